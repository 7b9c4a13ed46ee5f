"""From probabilities to labels: the one place that knows how each task decides.

One label of many is the most probable one. A binary model calls an image positive where the probability of
its positive class is at least the threshold, else negative. A multi-label model gives an image every label
whose probability is at least that label's threshold, perhaps none.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from swath.model.record import Record

NONE = -1  # the place of an image's class where it has none


def called(record: Record, probabilities: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Which labels images have.

    Parameters
    ----------
    record : Record
        Task and thresholds.
    probabilities : numpy.ndarray
        ``[..., K]``.

    Returns
    -------
    numpy.ndarray
        ``[..., K]`` bool; exactly one true an image, but any number for a multi-label model.
    """
    if record.task == "single-label":
        best = probabilities.argmax(axis=-1)
        return np.asarray(best[..., None] == np.arange(probabilities.shape[-1]))
    above = _above(record, probabilities)
    return above if record.task == "multi-label" else np.concatenate([~above, above], axis=-1)


def leading(record: Record, probabilities: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """The one class to name or paint.

    Parameters
    ----------
    record, probabilities
        As for :func:`called`.

    Returns
    -------
    numpy.ndarray
        ``[...]`` int64, place of the class: the one decided for, or of several labels the most probable
        one; :data:`NONE` where a multi-label model gives no label.
    """
    if record.task == "single-label":
        return np.asarray(probabilities.argmax(axis=-1), np.int64)
    above = _above(record, probabilities)
    if record.task == "binary":
        return above[..., 0].astype(np.int64)
    best = np.where(above, probabilities, -1.0).argmax(axis=-1)
    return np.where(above.any(axis=-1), best, NONE)


def margins(record: Record, probabilities: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """How far probabilities ``[..., K]`` are from their thresholds: ``[..., 1]`` (binary) or ``[..., K]``."""
    return np.asarray(np.abs(_compared(record, probabilities) - np.array(record.cuts)))


def _above(record: Record, probabilities: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    return np.asarray(_compared(record, probabilities) >= np.array(record.cuts))


def _compared(record: Record, probabilities: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """What thresholds are held against, in float64: in float32 one between two neighbours would move."""
    from_here = 1 if record.task == "binary" else 0
    return np.asarray(probabilities[..., from_here:], np.float64)
