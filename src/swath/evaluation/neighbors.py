"""Which labeled patches an image looks most like to a model: those whose features point the same way as its own.

:func:`labeled_features` computes the features of labeled patches once; :meth:`LabeledFeatures.nearest` finds those
nearest to an image by the cosine between them (k nearest neighbors of deep features as in Papernot and McDaniel 2018,
"Deep k-nearest neighbors", arXiv:1803.04765). Each is shown with what the model file says of it: whether the model
learned from that very patch. A cosine says nothing by itself, so it is compared with how near each of the labeled
patches has its own nearest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from swath.errors import DataError, ModelFileError
from swath.evaluation.predictions import model_outputs
from swath.evaluation.seen import SeenRows, seen_rows
from swath.inference import Classifier
from swath.progress import Progress, silent

Role = Literal["trained on", "chosen by", "not seen", "not known"]
_BLOCK = 512  # rows compared at once
# Shares of the labeled patches that are less similar to their own nearest, from which on a similarity is called so.
_WORDS = ((0.5, "very similar"), (0.1, "similar"), (0.01, "somewhat similar"))
Units = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Neighbor:
    """A labeled patch near an image.

    Attributes
    ----------
    row : int
        Which of the labeled patches.
    name, label : str
        Of the patch.
    similarity : float
        Cosine between the features of both, -1 to 1.
    words : str
        How similar that is, next to how similar labeled patches are to their own nearest.
    role : str
        ``"trained on"``: the model learned from this very patch; ``"chosen by"``: it was selected or calibrated with
        it; ``"not seen"``; or ``"not known"``, where its file does not say what it has seen.
    """

    row: int
    name: str
    label: str
    similarity: float
    words: str
    role: Role


@dataclass(frozen=True, eq=False, repr=False)
class LabeledFeatures:
    """Features of N labeled patches, as one model sees them.

    Attributes
    ----------
    pixels : numpy.ndarray
        ``[N, bands, H, W]`` as the model takes them.
    labels, names : tuple of str
        Of each.
    units : numpy.ndarray
        ``[N, D]`` float32, of length 1.
    roles : tuple of str
        What each was to the model; see :class:`Neighbor`.
    usual : numpy.ndarray
        ``[N]`` float32, ascending: how similar each is to its nearest other.
    """

    pixels: npt.NDArray[Any]
    labels: tuple[str, ...]
    names: tuple[str, ...]
    units: Units
    roles: tuple[Role, ...]
    usual: Units

    def __len__(self) -> int:
        return len(self.units)

    def __repr__(self) -> str:
        return f"<LabeledFeatures of {len(self):,} patches, {self.units.shape[1]} each>"

    def nearest(self, classifier: Classifier, pixels: npt.NDArray[Any], *, k: int = 5) -> list[Neighbor]:
        """The `k` patches an image looks most like, nearest first.

        Parameters
        ----------
        classifier : Classifier
            The model that the features are of.
        pixels : numpy.ndarray
            ``[bands, H, W]``, as the model takes them.
        k : int
            How many; fewer if there are no more.

        Raises
        ------
        DataError
            If the pixels are not the model's.
        """
        similar = self.units @ _units(classifier.run(pixels[None], wanted=("features",))["features"])[0]
        return [
            Neighbor(
                row,
                self.names[row],
                self.labels[row],
                float(similar[row]),
                self._words(row, similar[row], pixels),
                self.roles[row],
            )
            for row in np.argsort(-similar, kind="stable")[:k].tolist()
        ]

    def _words(self, row: int, similarity: float, pixels: npt.NDArray[Any]) -> str:
        if np.array_equal(self.pixels[row], pixels):
            return "the same picture"
        share = np.searchsorted(self.usual, similarity) / max(len(self.usual), 1)
        return next((words for least, words in _WORDS if share >= least), "hardly similar")


def labeled_features(
    classifier: Classifier,
    pixels: npt.NDArray[Any],
    *,
    labels: Sequence[str],
    names: Sequence[str],
    progress: Progress = silent,
) -> LabeledFeatures:
    """Compute what :meth:`LabeledFeatures.nearest` needs of labeled patches.

    Parameters
    ----------
    classifier : Classifier
        Any model with features.
    pixels : numpy.ndarray
        ``[N, bands, H, W]`` as the model takes them.
    labels, names : sequence of str
        Class and file of each patch.
    progress : Progress
        Called for every batch.

    Raises
    ------
    ModelFileError
        If the model file gives no features, or its record is damaged.
    DataError
        If the pixels are not the model's, or their features are not finite.

    Examples
    --------
    >>> import numpy as np
    >>> import swath
    >>> from swath.evaluation.neighbors import labeled_features
    >>> classifier = swath.load("eurosat")
    >>> colors = np.array([(35, 70, 110), (130, 115, 105)], np.uint8)
    >>> sea, field = np.broadcast_to(colors[:, :, None, None], (2, 3, 64, 64)).copy()
    >>> known = labeled_features(classifier, np.stack([sea, field]), labels=["SeaLake", "AnnualCrop"], names=["a", "b"])
    >>> known.nearest(classifier, sea, k=1)[0].label
    'SeaLake'
    """
    if "features" not in classifier.outputs:
        raise ModelFileError(
            f"model '{classifier.record.name}' gives no features to compare pictures by",
            fix="export it again with swath train",
        )
    found = model_outputs(classifier, pixels, wanted=("features",), stage="features", progress=progress)
    units = _units(found["features"])
    seen = seen_rows(classifier.record, pixels)
    return LabeledFeatures(pixels, tuple(labels), tuple(names), units, _roles(seen), _own_nearest(units))


def _roles(seen: SeenRows) -> tuple[Role, ...]:
    unknown: Role = "not known"
    if not seen.count.known:
        return (unknown,) * seen.count.patches
    roles: list[Role] = [
        "trained on" if learned else "chosen by" if chose else "not seen"
        for learned, chose in zip(seen.train.tolist(), seen.val.tolist(), strict=True)
    ]
    return tuple(roles)


def _units(features: npt.NDArray[np.float32]) -> Units:
    """Vectors ``[N, D]`` brought to length 1; those of no length stay."""
    if not np.isfinite(features).all():
        raise DataError("the model's features are not finite", fix="use another model file")
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    return np.asarray(features / np.maximum(lengths, np.finfo(np.float32).tiny), np.float32)


def _own_nearest(units: Units) -> Units:
    """How similar each is to its nearest other, ascending; none of one alone."""
    if len(units) < 2:
        return np.empty(0, np.float32)
    best = np.empty(len(units), np.float32)
    for start in range(0, len(units), _BLOCK):
        similar = units[start : start + _BLOCK] @ units.T
        similar[np.arange(len(similar)), start + np.arange(len(similar))] = -2
        best[start : start + _BLOCK] = similar.max(axis=1)
    return np.sort(best)
