"""What a model says of the patches of an index."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from swath.data import PatchIndex

_SMALLEST = float(np.finfo(np.float32).tiny)  # a probability of 0 would make an endless loss


@dataclass(frozen=True)
class Answers:
    """What a model said of N patches.

    Attributes
    ----------
    part : PatchIndex
        The patches.
    pixels : numpy.ndarray
        ``[N, bands, H, W]``.
    classes : tuple of str
        The K class names.
    probabilities : numpy.ndarray
        ``[N, K]`` float32.
    truth, predicted : numpy.ndarray
        ``[N]`` int64 class numbers.
    """

    part: PatchIndex
    pixels: npt.NDArray[Any]
    classes: tuple[str, ...]
    probabilities: npt.NDArray[np.float32]
    truth: npt.NDArray[np.int64]
    predicted: npt.NDArray[np.int64]

    @property
    def right(self) -> npt.NDArray[np.bool_]:
        """``[N]``, whether the answer is the label."""
        return np.asarray(self.truth == self.predicted)

    @property
    def confidence(self) -> npt.NDArray[np.float64]:
        """``[N]``, the probability of the answer."""
        return self._of(self.predicted)

    @property
    def loss(self) -> npt.NDArray[np.float64]:
        """``[N]``, the negative logarithm of the probability of the label."""
        return np.asarray(-np.log(np.maximum(self._of(self.truth), _SMALLEST)) + 0.0)

    def _of(self, classes: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        return self.probabilities[np.arange(len(classes)), classes].astype(np.float64)
