"""What ``--rescale auto`` does to a scene in another rendering, and to one that needs none."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from swath.config import Settings
from swath.data import PatchIndex
from swath.evaluation.intervals import proportion
from swath.evaluation.metrics import paired_differences
from swath.evaluation.predictions import SplitPredictions, predict_pixels, predict_split, sample_rows
from swath.evaluation.robustness import LEVELS, find_shift
from swath.evaluation.robustness.shifts import usable
from swath.imagery.color_match import ENOUGH
from swath.imagery.rescaling import Rescaling
from swath.inference import Classifier
from swath.inference.rescale import IMAGES, RescaleDecision, Sample, decide_rescale
from swath.model.record import Estimate
from swath.progress import Progress, silent

PATCHES = 1000
SHIFT = "surface"


class ColorMatchResult(Settings):
    """Patches taken for one scene, as they are and after ``--rescale auto``.

    Attributes
    ----------
    split : str
        Where they are from.
    n : int
        How many.
    before, after : Estimate
        Accuracy all the way under the surface shift.
    gain : Estimate
        Their paired difference.
    clean_changed : bool
        Whether patches without any shift were changed as well.
    clean_gain : Estimate
        What that did to their accuracy.
    sentence : str
        What was found and done under the shift.
    """

    split: str
    n: int
    before: Estimate
    after: Estimate
    gain: Estimate
    clean_changed: bool
    clean_gain: Estimate
    sentence: str


def measure_color_match(
    classifier: Classifier,
    index: PatchIndex,
    *,
    split: str = "val",
    patches: int = PATCHES,
    seed: int = 0,
    progress: Progress = silent,
) -> ColorMatchResult | None:
    """Measure ``--rescale auto`` on patches as they are and under the full surface shift.

    Returns
    -------
    ColorMatchResult or None
        None where there is nothing to measure: the model file holds no quantiles of its training patches, the
        model gives several labels, takes no 8-bit red, green and blue, or there are too few pixels to judge by.

    Raises
    ------
    DataError
        If the split is empty, patches have no single label, or a class is not one of the model's.
    """
    record = classifier.record
    if (
        record.task == "multi-label"
        or record.input.data_type != "uint8"
        or record.input.channel_quantiles is None
        or find_shift(SHIFT) not in usable(record.input.bands, record.input.size)[0]
    ):
        return None
    n = index.split_counts.get(split, 0)
    found = predict_split(classifier, index, split=split, rows=sample_rows(n, patches, seed=seed), progress=progress)
    pixels = found.pixels
    if pixels[:, 0].size < ENOUGH:
        return None
    shifted = find_shift(SHIFT).at(pixels, LEVELS[-1], seed=seed)
    clean_match, match = (_decide(classifier, p) for p in (pixels, shifted))
    clean = clean_matched = found.right
    if clean_match.rescaling is not None:
        clean_matched = _right(classifier, found, corrected(pixels, clean_match.rescaling), progress=progress)
    before = after = _right(classifier, found, shifted, progress=progress)
    if match.rescaling is not None:
        after = _right(classifier, found, corrected(shifted, match.rescaling), progress=progress)
    n = len(found)
    return ColorMatchResult(
        split=split,
        n=n,
        before=proportion(int(before.sum()), n),
        after=proportion(int(after.sum()), n),
        gain=_difference(after, before),
        clean_changed=clean_match.rescaling is not None,
        clean_gain=_difference(clean_matched, clean),
        sentence=match.sentence,
    )


def corrected(pixels: npt.NDArray[Any], rescaling: Rescaling) -> npt.NDArray[Any]:
    """Rescale patches ``[N, bands, P, P]`` as one scene."""
    n, bands, height, width = pixels.shape
    scene = np.moveaxis(pixels, 1, 0).reshape(bands, n * height, width)
    return np.ascontiguousarray(np.moveaxis(rescaling.apply(scene).reshape(bands, n, height, width), 0, 1))


def _decide(classifier: Classifier, pixels: npt.NDArray[Any]) -> RescaleDecision:
    """Decide by as many patches as ``predict`` looks at."""
    some = pixels[:: -(-len(pixels) // IMAGES)]
    flat = np.moveaxis(some, 1, 0).reshape(some.shape[1], -1)
    return decide_rescale(classifier.record.input, Sample(flat))


def _right(
    classifier: Classifier, found: SplitPredictions, pixels: npt.NDArray[Any], *, progress: Progress
) -> npt.NDArray[np.bool_]:
    predictions = predict_pixels(classifier, pixels, stage="rescale", progress=progress)
    return replace(found, predictions=predictions).right


def _difference(after: npt.NDArray[np.bool_], before: npt.NDArray[np.bool_]) -> Estimate:
    every = np.ones(len(after), np.int64)
    return paired_differences(every, after.astype(np.int64), before.astype(np.int64), classes=2)[0]
