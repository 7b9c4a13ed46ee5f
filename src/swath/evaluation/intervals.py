"""95 % intervals, all in closed form: Wilson's for proportions, the delta method for what is made of many patches.

The delta method needs of a number only its *slopes*: by how much it changes per unit of weight that a patch gains
(:func:`delta_interval`). It knows nothing of what was never drawn: where all answers are right it has no width. So
every number that can be perfect has the wider, on each side, of it and of an interval made of proportions.
``benchmarks/interval_coverage.py`` measures how often each kind holds the truth.

All of them take patches as independent. Patches of one scene resemble each other, so on scenes that the
split did not keep together the true uncertainty is larger than any of these says.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Literal

import numpy as np
import numpy.typing as npt

from swath.model.record import Estimate

Floats = npt.NDArray[np.float64]
Limits = tuple[float, float]
Z = NormalDist().inv_cdf(0.975)
_POISSON = (0.0, 0.0513, 0.3554, 0.8177)  # means at which 0, 1, 2, 3 or more occur with a probability of 5 %
_FEW_T = (12.7062, 4.3027, 3.1824)  # 97.5 % quantiles of Student's t with 1, 2 and 3 degrees of freedom


def wilson(successes: float, n: int) -> tuple[float, float]:
    """Score interval of a proportion (Wilson 1927, JASA 22, 209-212), modified for one to three successes or failures.

    Unlike value ± 1.96 standard errors it never leaves 0-1 and has a width where every try succeeded. Next to 0 and 1
    Wilson's own limits hold the truth in as few as 83 % of samples; where one to three tries (up to 50 tries: one or
    two) succeeded or failed, the limit on that side is Poisson's (Brown, Cai and DasGupta 2001, Stat. Sci. 16,
    101-133, section 4.1.1).

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
    low, high = _score_limits(successes, n)
    return min(low, _rare(successes, n)), max(high, 1 - _rare(n - successes, n))


def _score_limits(successes: float, n: int) -> Limits:
    share = successes / n
    spread = Z**2 / n
    center = (share + spread / 2) / (1 + spread)
    half = math.sqrt(share * (1 - share) * spread + spread**2 / 4) / (1 + spread)
    # The limits are exactly 0 and 1 at the ends; rounding must not move them past the value.
    low = 0.0 if successes == 0 else max(0.0, center - half)
    high = 1.0 if successes == n else min(1.0, center + half)
    return low, high


def _rare(successes: float, n: int) -> float:
    """Lower limit of the share of something rare; 1 where it is not rare."""
    most = 3 if n > 50 else 2
    return 1.0 if successes > most else float(np.interp(successes, range(4), _POISSON)) / n


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
    one, two = (estimate(hits / n, _score_limits(hits, n), n=n) for hits, n in ((first, n_first), (second, n_second)))
    return estimate(one.value - two.value, difference_interval(one, two), n=n_first + n_second)


def difference_interval(first: Estimate, second: Estimate, *, correlation: float = 0.0) -> Limits:
    """Interval of a difference of two estimates from their own limits, which may lie unevenly around them.

    The method of variance estimates recovery (Zou 2007, Psychol. Methods 12, 399-413, for correlated estimates).
    """

    def reach(a: float, b: float) -> float:
        return math.sqrt(max(0.0, a * a + b * b - 2 * correlation * a * b))

    value = first.value - second.value
    low = value - reach(first.value - first.low, second.high - second.value)
    return low, value + reach(first.high - first.value, second.value - second.low)


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


def f1_shortfall(f1: Estimate) -> float:
    """By how much the F1 of few patches is too low on average.

    F1 is a concave function of the share ``J`` (see :func:`f1_estimate`), whose variance is ``J (1 - J) / n``; half its
    second derivative is ``-2 / (1 + J)³``.
    """
    share = f1.value / (2 - f1.value)
    return 2 * share * (1 - share) / (1 + share) ** 3 / max(f1.n, 1)


def t_quantile(n: int) -> float:
    """97.5 % quantile of Student's t of `n` values, 2 or more (n - 1 degrees of freedom), to three digits.

    Fisher's expansion (Abramowitz and Stegun 1964, 26.7.5) from four degrees of freedom on.

    >>> round(t_quantile(5), 2), round(t_quantile(10), 3), round(t_quantile(1000), 3)
    (2.78, 2.262, 1.962)
    """
    v = n - 1
    if v <= len(_FEW_T):
        return _FEW_T[v - 1]
    terms = (
        (Z**3 + Z) / 4,
        (5 * Z**5 + 16 * Z**3 + 3 * Z) / 96,
        (3 * Z**7 + 19 * Z**5 + 17 * Z**3 - 15 * Z) / 384,
        (79 * Z**9 + 776 * Z**7 + 1482 * Z**5 - 1920 * Z**3 - 945 * Z) / 92160,
    )
    return Z + math.fsum(term / v**power for power, term in enumerate(terms, 1))


def delta_interval(
    value: float,
    slopes: Floats,
    *,
    n: int | None = None,
    scale: Literal["plain", "log", "logit"] = "plain",
    within: Limits = (0.0, 1.0),
) -> Limits:
    """Interval of a smooth function of weighted patches (the delta method, or infinitesimal jackknife).

    Its standard error is the root of the sum of squared slopes (Efron 1982, The Jackknife, the Bootstrap and Other
    Resampling Plans, chapter 6), its quantile Student's.

    Parameters
    ----------
    value : float
        The number.
    slopes : numpy.ndarray
        ``[N]``, its derivative by the weight of each patch, where all have weight 1; they sum to 0.
    n : int, optional
        How many values there really are, such as the positives; the number of slopes by default.
    scale : str
        On which the interval is symmetric: ``"log"`` for what is above 0 and skewed, ``"logit"`` for what is between 0
        and 1. At its ends neither has a width.
    within : tuple of float
        The smallest and the largest value possible; they are the limits where fewer than two patches say nothing.
    """
    n = len(slopes) if n is None else n
    if n < 2:
        return within
    reach = t_quantile(n) * math.sqrt(float(slopes @ slopes) * n / (n - 1))
    low, high = value - reach, value + reach
    if scale == "log":
        factor = math.exp(min(reach / value, 700.0)) if value > 0 else 1.0
        low, high = value / factor, value * factor
    elif scale == "logit":
        if not 0 < value < 1:
            return value, value
        odds, factor = value / (1 - value), math.exp(min(reach / (value * (1 - value)), 300.0))
        low, high = odds / factor / (1 + odds / factor), odds * factor / (1 + odds * factor)
    return max(within[0], low), min(within[1], high)


def mean_slopes(values: npt.NDArray[np.float64]) -> Floats:
    """Slopes of a plain mean of ``[N]`` values."""
    return np.asarray((values - values.mean()) / len(values))


def mean_estimate(values: npt.NDArray[np.float64], *, signed: bool = False) -> Estimate:
    """Mean of ``[N]`` continuous values, 0-1 (or -1 to 1 where `signed`), with Student's t interval.

    That of values 0-1 is on the logit scale, as those near an end are skewed. Of one value nothing is known; values
    that are all the same are taken as shares of right answers.
    """
    value, n = float(values.mean()), len(values)
    within = (-1.0 if signed else 0.0, 1.0)
    if n > 1 and not np.ptp(values):
        return mean_difference(values) if signed else mean_share(values)
    scale: Literal["plain", "logit"] = "plain" if signed else "logit"
    return estimate(value, delta_interval(value, mean_slopes(values), scale=scale, within=within), n=n)


def mean_share(values: npt.NDArray[np.float64]) -> Estimate:
    """Mean of ``[N]`` shares of right answers, 0-1; its interval has a width even where all are right.

    It is Student's, as if four more patches had been drawn, two all right and two all wrong (Agresti and Coull 1998,
    Am. Stat. 52, 119-126).
    """
    value, n = float(values.mean()), len(values)
    more = np.concatenate([values, [0.0, 0.0, 1.0, 1.0]])
    return around(value, delta_interval(float(more.mean()), mean_slopes(more)), n=n)


def mean_difference(values: npt.NDArray[np.float64]) -> Estimate:
    """Mean of ``[N]`` differences of shares of right answers, with the width of :func:`paired_interval`."""
    value = float(values.mean())
    return estimate(value, paired_interval(value, mean_slopes(values)), n=len(values))


def paired_interval(value: float, slopes: Floats, *, n: int | None = None) -> Limits:
    """Interval of a difference on the same `n` patches, -1 to 1, with a width even where no answer differs.

    The delta method, as if two more patches had been drawn, one for each side: for accuracies the adjusted Wald
    interval of Bonett and Price 2012, J. Educ. Behav. Stat. 37, 479-488. What was never drawn may still occur.

    Parameters
    ----------
    value : float
        The difference.
    slopes : numpy.ndarray
        ``[N]``, its slopes as for :func:`delta_interval`.
    n : int, optional
        How many patches it really rests on, such as the positives; the number of slopes by default.
    """
    n = len(slopes) if n is None else n
    center, more = value * n / (n + 2), n + 2
    # In units of one patch: the squares around 0, those of the two more, less the square of the mean.
    square = (n * n * float(slopes @ slopes) + n * value * value + 2) / more - center * center
    reach = Z * math.sqrt(square / more)
    return max(-1.0, min(value, center - reach)), min(1.0, max(value, center + reach))


def wider(first: Limits, second: Limits) -> Limits:
    """The outer limits of two intervals."""
    return min(first[0], second[0]), max(first[1], second[1])


def mean_interval(parts: list[Estimate]) -> tuple[float, float]:
    """Limits of the plain mean of independent estimates, from their own limits.

    The method of variance estimates recovery (Zou and Donner 2008, Stat. Med. 27, 1693-1702): distances
    to the limits add in squares.
    """
    mean = sum(e.value for e in parts) / len(parts)
    below = math.sqrt(sum((e.value - e.low) ** 2 for e in parts)) / len(parts)
    above = math.sqrt(sum((e.high - e.value) ** 2 for e in parts)) / len(parts)
    return max(0.0, mean - below), min(1.0, mean + above)
