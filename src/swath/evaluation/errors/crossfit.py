"""Probabilities that did not learn from the patch's own label: fold by fold from a model's features."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from swath.data import PatchIndex, class_numbers
from swath.data.splits import fold_index
from swath.errors import DataError
from swath.evaluation.predictions import model_outputs, model_pixels
from swath.evaluation.softmax import fit_softmax
from swath.inference import Classifier
from swath.progress import Progress, silent

# A share of the patches a fold learns from, chosen on planted flips (benchmarks/label_issues.py): weak enough a
# regression draws classes, a stronger one learns the wrong labels by heart.
PENALTY = 0.01


def feature_probabilities(
    classifier: Classifier, index: PatchIndex, *, folds: int = 4, seed: int = 0, progress: Progress = silent
) -> npt.NDArray[np.float64]:
    """Probability of each class of `index` for each patch, from regressions on the other folds.

    The network's features are taken as they are; only the regression on them is kept from the patch's own
    label. Where the network itself was trained on these very labels its features may have learned the wrong
    ones, and some stay unseen. Patches of one group lie in one fold.

    Parameters
    ----------
    classifier : Classifier
        Any model whose bands the patches have; its classes do not matter.
    index : PatchIndex
        N patches, each with one label.
    folds : int
        At least 2.
    seed : int
        Another seed gives other folds.
    progress : Progress
        Called for every batch and fold.

    Returns
    -------
    numpy.ndarray
        ``[N, K]`` float64 in the order of ``index.classes``.

    Raises
    ------
    DataError
        If the index has one class only, a class has fewer groups than folds, or patches have no single label.
    SettingError
        If there are fewer than 2 folds.
    """
    labels = label_numbers(index)
    held_out = [held_out_rows(index, folds=folds, fold=fold, seed=seed) for fold in range(folds)]
    pixels = model_pixels(classifier, index, progress=progress)
    outputs = model_outputs(classifier, pixels, wanted=("features",), stage="features", progress=progress)
    features = outputs["features"]
    probabilities = np.empty((len(index), len(index.classes)))
    for fold, rows in enumerate(held_out):
        others = np.setdiff1d(np.arange(len(index)), rows)
        fitted = fit_softmax(features[others], labels[others], outputs=len(index.classes), ridge=PENALTY)
        probabilities[rows] = fitted.probabilities(features[rows])
        progress("folds", fold + 1, folds)
    return probabilities


def label_numbers(index: PatchIndex) -> npt.NDArray[np.int64]:
    """Place of each patch's label in ``index.classes``, ``[N]`` int64.

    Raises
    ------
    DataError
        If patches have no single label, or all have the same.
    """
    numbers = class_numbers(index.labels, index.classes)
    if len(index.classes) < 2:
        raise DataError(
            f"all {len(numbers)} patches are labeled '{index.classes[0]}': a wrong label cannot be detected",
            fix="add patches of another class",
        )
    return numbers


def held_out_rows(index: PatchIndex, *, folds: int, fold: int, seed: int) -> npt.NDArray[np.int64]:
    """Rows of one fold, ascending; see :func:`swath.data.splits.fold_index`."""
    splits = fold_index(index, folds=folds, fold=fold, val=0.0, seed=seed).table.column("split")
    return np.flatnonzero(np.array(splits.to_pylist()) == "test")
