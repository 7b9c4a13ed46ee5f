"""Is a slice really different from the rest: an exact test, and the price of many slices."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

_ALIKE = 1 + 1e-7  # tables as improbable as the one seen, but for rounding


def fisher_exact(first: int, n_first: int, second: int, n_second: int) -> float:
    """Two-sided p-value of Fisher's exact test: `first` of `n_first` against `second` of `n_second`.

    The sum over all tables with the same margins that are no more probable than the one seen (Fisher 1935;
    the convention of R and scipy). Exact for any counts, so a slice with two errors is no special case.

    Returns
    -------
    float
        0-1; 1 where a side is empty.
    """
    n, hits = n_first + n_second, first + second
    least, most = max(0, hits - n_second), min(n_first, hits)
    if least >= most:
        return 1.0
    fact = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1)))])
    x = np.arange(least, most + 1)
    log_p = (
        fact[n_first] - fact[x] - fact[n_first - x]
        + fact[n_second] - fact[hits - x] - fact[n_second - hits + x]
        - (fact[n] - fact[hits] - fact[n - hits])
    )  # fmt: skip
    seen = log_p[first - least]
    return float(min(1.0, np.exp(log_p[log_p <= seen + math.log(_ALIKE)]).sum()))


def holm(p_values: Sequence[float]) -> npt.NDArray[np.float64]:
    """Correct p-values for their number (Holm 1979, Scand. J. Stat. 6, 65-70).

    The chance that even one of all slices is called different by accident stays below the level; slices may
    overlap or depend on one another in any way.

    Parameters
    ----------
    p_values : sequence of float
        One a test.

    Returns
    -------
    numpy.ndarray
        float64, in the same order; compare with the level directly.
    """
    p = np.asarray(p_values, np.float64)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(stepped, 1.0)
    return corrected
