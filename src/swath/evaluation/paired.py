"""Which of two models is right where they disagree: McNemar's test on the same patches."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from swath.config import Settings
from swath.errors import DataError


class McNemar(Settings):
    """What a paired test found.

    Attributes
    ----------
    only_first, only_second : int
        Patches that the first model alone, or the second alone, got right.
    p_value : float
        Two-sided, exact: how probable so uneven a split, or a more uneven one, would be between models that are
        equally good.
    mid_p : float
        The same with half the weight on the split seen: less cautious, and nearer to the stated level.
    """

    only_first: int
    only_second: int
    p_value: float
    mid_p: float


def mcnemar(truth: npt.NDArray[Any], first: npt.NDArray[Any], second: npt.NDArray[Any]) -> McNemar:
    """Exact McNemar test of two sets of answers to the same patches.

    Patches both got right, or both wrong, say nothing of which is better; the others are a coin thrown
    ``only_first + only_second`` times (McNemar 1947, Psychometrika 12, 153-157; exact and mid-p as in
    Fagerland, Lydersen and Laake 2013, BMC Med. Res. Methodol. 13:91).

    Parameters
    ----------
    truth, first, second : numpy.ndarray
        ``[N]`` class numbers or names.

    Raises
    ------
    DataError
        If the three differ in length.
    """
    truth, first, second = np.asarray(truth), np.asarray(first), np.asarray(second)
    if not truth.shape == first.shape == second.shape or truth.ndim != 1:
        raise DataError(
            f"answers of shape {first.shape} and {second.shape} to {truth.shape} patches cannot be paired",
            fix="give both models' answers to the same patches",
        )
    right, other = first == truth, second == truth
    return mcnemar_counts(int((right & ~other).sum()), int((other & ~right).sum()))


def mcnemar_counts(only_first: int, only_second: int) -> McNemar:
    """As :func:`mcnemar`, from the two counts alone; without disagreement both p-values are 1."""
    n, fewer = only_first + only_second, min(only_first, only_second)
    log_p = [
        math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) - n * math.log(2)
        for k in range(fewer + 1)
    ]
    tail = math.fsum(map(math.exp, log_p))
    seen = math.exp(log_p[-1])
    return McNemar(
        only_first=only_first,
        only_second=only_second,
        p_value=min(1.0, 2 * tail),
        mid_p=min(1.0, 2 * tail - seen),
    )
