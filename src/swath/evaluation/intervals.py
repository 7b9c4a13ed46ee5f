"""95 % intervals: closed forms for proportions and F1, seeded resampling for the rest.

All of them take patches as independent. Patches of one scene resemble each other, so on scenes that the
split did not keep together the true uncertainty is larger than any of these says.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from swath.model.record import Estimate

RESAMPLES = 2000
FEWEST = 200  # resamples of the largest sets, whose intervals are narrow anyway
_WORK, _AT_A_TIME = 200_000_000, 4_000_000  # numbers to go through in all, and to hold
_TAILS = (2.5, 97.5)
Z = NormalDist().inv_cdf(0.975)


def wilson(successes: float, n: int) -> tuple[float, float]:
    """Score interval of a proportion (Wilson 1927, JASA 22, 209-212).

    Unlike value ± 1.96 standard errors it never leaves 0-1 and has a width where every try succeeded.

    Parameters
    ----------
    successes, n : float, int
        How many of how many; a number that is itself a mean, such as an average precision times its
        positives, need not be whole.

    Returns
    -------
    tuple of float
        Lower and upper limit; 0 and 1 where `n` is 0, as nothing is known.
    """
    if n == 0:
        return 0.0, 1.0
    share = successes / n
    spread = Z**2 / n
    center = (share + spread / 2) / (1 + spread)
    half = math.sqrt(share * (1 - share) * spread + spread**2 / 4) / (1 + spread)
    # The limits are exactly 0 and 1 at the ends; rounding must not move them past the value.
    low = 0.0 if successes == 0 else max(0.0, center - half)
    high = 1.0 if successes == n else min(1.0, center + half)
    return low, high


def estimate(value: float, limits: tuple[float, float], *, n: int) -> Estimate:
    """Give a value with the limits of its interval and the count it rests on."""
    return Estimate(value=value, low=limits[0], high=limits[1], n=n)


def around(value: float, limits: tuple[float, float], *, n: int) -> Estimate:
    """Give a value with limits that reach as far as the value itself, at least."""
    return estimate(value, wider(limits, (value, value)), n=n)


def proportion(successes: int, n: int) -> Estimate:
    """Give `successes` of `n` with its Wilson interval; 0 where `n` is 0."""
    return estimate(successes / n if n else 0.0, wilson(successes, n), n=n)


def proportion_difference(first: int, n_first: int, second: int, n_second: int) -> Estimate:
    """Difference of two independent proportions with its interval, from their Wilson limits.

    Newcombe 1998, Stat. Med. 17, 873-890, method 10. Its ``n`` is 0, and the limits are -1 and 1, where a
    side is empty.
    """
    if not (n_first and n_second):
        return Estimate(value=0.0, low=-1.0, high=1.0, n=0)
    a, b = proportion(first, n_first), proportion(second, n_second)
    value = a.value - b.value
    return Estimate(
        value=value,
        low=value - math.hypot(a.value - a.low, b.high - b.value),
        high=value + math.hypot(a.high - a.value, b.value - b.low),
        n=n_first + n_second,
    )


def paired_interval(samples: npt.NDArray[np.float64], value: float, n: int) -> tuple[float, float]:
    """Percentile interval of a difference on the same `n` patches, with a width even where no answer differs.

    It reaches at least as far from `value` as Newcombe's interval does from 0 for two answers that were the same on
    every patch: what was never drawn may still occur.
    """
    least = proportion_difference(0, n, 0, n)
    low, high = wider(percentile_interval(samples), (value + least.low, value + least.high))
    return max(-1.0, low), min(1.0, high)


def f1_estimate(hits: int, involved: int) -> Estimate:
    """F1 of one class with its interval.

    Of the `involved` patches (true, predicted or both) a share ``J = hits / involved`` is right, and
    ``F1 = 2 J / (1 + J)`` grows with ``J``; so Wilson's limits of ``J`` carry over (the indirect Wilson
    interval of Lam, Gopal and Qian 2023, arXiv:2309.14621).

    Parameters
    ----------
    hits : int
        Patches that are of the class and called so.
    involved : int
        Patches that are of the class, or called so, or both.

    Returns
    -------
    Estimate
        Its ``n`` is `involved`. Value 0 between 0 and 1 where `involved` is 0.
    """
    share = proportion(hits, involved)
    value, low, high = (2 * j / (1 + j) for j in (share.value, share.low, share.high))
    return Estimate(value=value, low=low, high=high, n=involved)


def resample(counts: npt.NDArray[np.int64], *, resamples: int = RESAMPLES, seed: int = 0) -> npt.NDArray[np.float64]:
    """Bootstrap a table of counts.

    Drawing n patches with replacement and counting them by cell is drawing the cells from a multinomial
    distribution: the same thing, without touching the patches.

    Parameters
    ----------
    counts : numpy.ndarray
        ``[U]`` int64, patches in each cell.
    resamples : int
        How often to draw.
    seed : int
        Seed of the draws.

    Returns
    -------
    numpy.ndarray
        ``[resamples, U]`` float64 whole numbers; each row sums to ``counts.sum()``.
    """
    n = int(counts.sum())
    draws = np.random.default_rng(seed).multinomial(n, counts / n, size=resamples)
    return draws.astype(np.float64)


def resample_patches(n: int, *, classes: int = 1, seed: int = 0) -> Iterator[npt.NDArray[np.float64]]:
    """Bootstrap `n` patches one by one, for what depends on the order of their scores.

    Parameters
    ----------
    n : int
        How many patches there are, each of which may be drawn again.
    classes : int
        How many classes are to be gone through for each draw. :data:`RESAMPLES` draws are made, fewer for
        large sets with many classes, and never fewer than :data:`FEWEST`.
    seed : int
        Seed of the draws.

    Yields
    ------
    numpy.ndarray
        ``[b, n]`` float64 whole numbers, how often each patch was drawn; each row sums to `n`.
    """
    random = np.random.default_rng(seed)
    left = min(RESAMPLES, max(FEWEST, _WORK // (n * classes)))
    while left:
        rows = min(left, max(1, _AT_A_TIME // n))
        drawn = random.integers(0, n, (rows, n)) + np.arange(rows)[:, None] * n
        yield np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n).astype(np.float64)
        left -= rows


def mean_estimate(values: npt.NDArray[np.float64], *, seed: int = 0) -> Estimate:
    """Mean of ``[N]`` values with its bootstrap percentile interval."""
    return estimate(float(values.mean()), percentile_interval(_means(values, seed=seed)), n=len(values))


def mean_share(values: npt.NDArray[np.float64], *, seed: int = 0) -> Estimate:
    """Mean of ``[N]`` shares of right answers, 0-1; its interval has a width even where all are right."""
    found = mean_difference(values, seed=seed)
    return found.model_copy(update={"low": max(0.0, found.low)})


def mean_difference(values: npt.NDArray[np.float64], *, seed: int = 0) -> Estimate:
    """Mean of ``[N]`` differences of shares of right answers, with the width of :func:`paired_interval`."""
    value = float(values.mean())
    return estimate(value, paired_interval(_means(values, seed=seed), value, len(values)), n=len(values))


def _means(values: npt.NDArray[np.float64], *, seed: int) -> npt.NDArray[np.float64]:
    return np.concatenate([drawn @ values for drawn in resample_patches(len(values), seed=seed)]) / len(values)


def wider(first: tuple[float, float], second: tuple[float, float]) -> tuple[float, float]:
    """The outer limits of two intervals."""
    return min(first[0], second[0]), max(first[1], second[1])


def percentile_interval(samples: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Percentile interval of bootstrap `samples` ``[B]`` (Efron 1981, Can. J. Stat. 9, 139-158)."""
    low, high = np.percentile(samples, _TAILS)
    return float(low), float(high)


def mean_interval(parts: list[Estimate]) -> tuple[float, float]:
    """Limits of the plain mean of independent estimates, from their own limits.

    The method of variance estimates recovery (Zou and Donner 2008, Stat. Med. 27, 1693-1702): distances
    to the limits add in squares.
    """
    mean = sum(e.value for e in parts) / len(parts)
    below = math.sqrt(sum((e.value - e.low) ** 2 for e in parts)) / len(parts)
    above = math.sqrt(sum((e.high - e.value) ** 2 for e in parts)) / len(parts)
    return max(0.0, mean - below), min(1.0, mean + above)
