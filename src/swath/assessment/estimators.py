"""Accuracy and areas from a stratified random sample of a map, with 95 % intervals.

Everything that is estimated is a mean or a ratio of two means over the ground: the overall accuracy is the mean of
"map and reference agree", a user's accuracy the part of a map class where they do. So there is one estimator, Stehman's
for strata of any kind (Stehman 2014, Int. J. Remote Sens. 35, 4923-4939, equations 2, 25, 27 and 28). Where the strata
are the map's classes it is that of Olofsson et al. 2014 (Remote Sens. Environ. 148, 42-57, equations 1-11), to the last
digit, with the same standard errors.

Limits are another matter. Value ± 1.96 standard errors holds the truth in as few as 79 % of samples of 50 points per
class: it leaves 0-1, has no width where all points agree, and knows nothing of errors that no point happened to show,
though those of a large class decide on the producer's accuracy and the area of a small one. The limits given here are
Wilson's around the estimate, for as many points of a simple random sample as would have its variance (an effective
sample size with Student's quantile: Korn and Graubard 1998, Survey Methodology 24, 193-201). That variance is computed
as if every stratum had two points more, of the classes that the whole sample has. Its degrees of freedom are
Satterthwaite's over the points of each map class in each stratum: of a map whose classes are not the strata, few points
of a large stratum may decide. ``benchmarks/assess_coverage.py`` measures how often these limits hold, and the plain.

Limits of a difference come from those of both maps and their correlation. Producer's accuracies of two maps are shares
of the same few points and go together so closely that their difference hangs on that correlation, which few degrees of
freedom overstate: points that would part the maps were not drawn. So it is drawn toward 0 by half a degree, a number
chosen by simulations other than those that are reported.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from swath.config import Settings
from swath.errors import DataError
from swath.evaluation.intervals import Z, difference_interval, score_limits, t_quantile
from swath.model.record import Estimate

_MORE = 2.0  # points added to each stratum, for the limits only
_LEAST_FREEDOM = 2
_SHRINKAGE = 0.5  # degrees of freedom by which the correlation of two maps is drawn toward 0
_TINY = 1e-9
_FEW = 0.05  # share of a stratum's pixels in the sample, up to which it counts as drawn from infinitely many
Floats = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]


class StratifiedEstimate(Estimate):
    """A share or a ratio from a stratified sample, with its 95 % interval.

    Its `n` are the points it rests on; where that is 0 nothing is known.

    Attributes
    ----------
    se : float
        Standard error, by the equations of the papers.
    """

    se: float

    @property
    def margin(self) -> float:
        """1.96 standard errors: what the papers write after ±."""
        return 1.96 * self.se


class ClassAccuracy(Settings):
    """How well a map shows one class.

    Attributes
    ----------
    users, producers : StratifiedEstimate
        Share of the area mapped as the class that is of it; share of the area of the class that is mapped as it.
    area : StratifiedEstimate
        The part of the ground that is of the class (the adjusted area), 0-1.
    mapped : float
        The part of the ground that is mapped as the class, 0-1.
    """

    users: StratifiedEstimate
    producers: StratifiedEstimate
    area: StratifiedEstimate
    mapped: float


class AccuracyEstimates(Settings):
    """Accuracy of a map and areas of its classes.

    Attributes
    ----------
    counts : tuple of tuple of int
        Points, ``[K][K]``: map classes in rows, reference classes in columns.
    matrix : tuple of tuple of float
        The error matrix ``[K][K]`` in parts of the ground, which sum to 1.
    overall : StratifiedEstimate
        Overall accuracy.
    per_class : dict of str to ClassAccuracy
        By name, in the order of the matrix.
    """

    counts: tuple[tuple[int, ...], ...]
    matrix: tuple[tuple[float, ...], ...]
    overall: StratifiedEstimate
    per_class: dict[str, ClassAccuracy]


class AccuracyDifference(Settings):
    """A first map's accuracy less a second one's, on the same points.

    Attributes
    ----------
    overall : StratifiedEstimate
        Of the overall accuracies.
    users, producers : dict of str to StratifiedEstimate
        Of both accuracies of every class.
    """

    overall: StratifiedEstimate
    users: dict[str, StratifiedEstimate]
    producers: dict[str, StratifiedEstimate]


class StratifiedSample:
    """Points drawn at random in each of several strata, with what maps and the reference say there.

    Parameters
    ----------
    classes : tuple of str
        K names.
    stratum : numpy.ndarray
        ``[N]``, number of the stratum of each point.
    mapped : numpy.ndarray
        ``[M, N]`` or ``[N]``, class numbers of M maps.
    reference : numpy.ndarray
        ``[N]``, class numbers.
    areas : numpy.ndarray
        ``[H]``, size of each stratum on the ground, in any unit.
    pixels : numpy.ndarray, optional
        ``[H]``, pixels that the points of a stratum were drawn from; without them, infinitely many. Where more than 5 %
        of them were drawn, the finite population correction applies (Cochran 1977, Sampling Techniques, section 2.6).
    weights : numpy.ndarray, optional
        ``[N]``, size of the ground that a point stands for, in any unit: pixels of a geographic grid differ in size.
        Within a stratum the estimates are means with these weights, and its number of points is Kish's effective one.
    whole : bool
        Whether the strata are all of the map. Where they are its classes it is then known everywhere: a class that no
        stratum is of is nowhere on it. Without strata, or with some left out, it may be where no point was drawn.

    Raises
    ------
    DataError
        If there is no point, a stratum has none, or sizes or weights are no positive numbers.

    Examples
    --------
    >>> import numpy as np
    >>> points = StratifiedSample(
    ...     ("forest", "other"),
    ...     stratum=np.array([0, 0, 0, 0, 1, 1, 1, 1]),
    ...     mapped=np.array([0, 0, 0, 0, 1, 1, 1, 1]),
    ...     reference=np.array([0, 0, 0, 1, 1, 1, 1, 1]),
    ...     areas=np.array([300.0, 700.0]),
    ... )
    >>> found = measure_map(points)
    >>> round(found.overall.value, 3), round(found.per_class["forest"].area.value, 3)
    (0.925, 0.225)
    """

    def __init__(
        self,
        classes: tuple[str, ...],
        *,
        stratum: Numbers,
        mapped: Numbers,
        reference: Numbers,
        areas: Floats,
        pixels: npt.NDArray[np.int64] | None = None,
        weights: Floats | None = None,
        whole: bool = True,
    ) -> None:
        self.classes, self.whole = classes, whole
        self.stratum, self.mapped, self.reference = stratum, np.atleast_2d(mapped), reference
        count = len(areas)
        weights = np.ones(len(stratum)) if weights is None else np.asarray(weights, np.float64)
        drawn = np.bincount(stratum, minlength=count)
        if not len(stratum) or not drawn.all():
            raise DataError("a stratum has no point: nothing is known of it")
        for numbers in (areas, weights):
            if not (np.isfinite(numbers).all() and (numbers > 0).all()):
                raise DataError("sizes of strata and weights of points are positive numbers")
        total = np.bincount(stratum, weights, count)
        self.share = areas / areas.sum()
        self.mass = weights / total[stratum]
        self.effective = 1 / np.bincount(stratum, self.mass**2, count)
        part = np.zeros(count) if pixels is None else drawn / np.maximum(pixels, drawn)
        self.left = np.where(part > _FEW, 1 - part, 1.0)

    def __len__(self) -> int:
        """Points."""
        return len(self.stratum)


class _Ratios:
    """The one estimator, over the points of a sample and those added to it for the limits.

    Added are two points per stratum. What the maps call them is as often each class as it is in the stratum; of the
    reference they are, in equal parts, as the whole sample and spread evenly over the classes.
    """

    def __init__(self, sample: StratifiedSample, which: tuple[int, ...]) -> None:
        size, h = len(sample.classes), len(sample.share)
        rows = np.column_stack([sample.stratum, *(sample.mapped[k] for k in which)])
        places, inverse = np.unique(rows, axis=0, return_inverse=True)
        of_place = np.bincount(inverse.ravel(), sample.mass, len(places))
        ground = np.bincount(sample.reference, sample.share[sample.stratum] * sample.mass, size)
        prior = (of_place[:, None] * (ground + 1 / size)[None] / 2).ravel()
        self.stratum = np.concatenate([sample.stratum, np.repeat(places[:, 0], size)])
        self.mapped = np.concatenate([rows[:, 1:].T, np.repeat(places[:, 1:], size, axis=0).T], axis=1)
        self.reference = np.concatenate([sample.reference, np.tile(np.arange(size), len(places))])
        self.real = len(sample)
        self._exact = sample.whole and len(places) == h  # what the maps show is known everywhere: a class per stratum
        self._cell = np.concatenate([inverse.ravel(), np.repeat(np.arange(len(places)), size)])
        n = sample.effective
        self._share, self._strata, self._left = sample.share, h, sample.left
        self._plain = (np.concatenate([sample.mass, np.zeros(len(prior))]), n)
        weighted = n[self.stratum] * self._plain[0] + _MORE * np.concatenate([np.zeros(self.real), prior])
        self._smooth = (weighted / (n + _MORE)[self.stratum], n + _MORE)

    def share_of(self, y: Mask, x: Mask | None = None) -> StratifiedEstimate:
        """Mean of `y`, or the part of `x` that is `y` too, with its interval."""
        within = np.ones(len(y), bool) if x is None else x
        n = int(within[: self.real].sum())
        if not n:
            return StratifiedEstimate(value=0.0, low=0.0, high=1.0, n=0, se=0.0)
        value, residuals = self._linear(y, within, smooth=False)
        likely, others = self._linear(y, within, smooth=True)
        variances, more = self._variances(residuals, smooth=False), self._variances(others, smooth=True)
        lone = self._plain[1] < 1 + _TINY  # one point has no spread of its own
        se = math.sqrt(float(np.where(lone, more, variances).sum()))
        spread = float(more.sum())
        if spread <= 0:  # every pixel is in the sample, or nothing else is possible
            low = high = value
            if not self._exact and self._left.any():  # a map whose classes are not the strata may show it elsewhere
                weights = (self._plain[0] * self._share[self.stratum])[within]
                effective = float(weights.sum() ** 2 / (weights**2).sum())
                low, high = score_limits(value * effective, effective)
            return StratifiedEstimate(value=value, low=low, high=high, n=n, se=se)
        quantile = t_quantile(1 + max(_LEAST_FREEDOM, round(self._freedom(others))))
        effective = likely * (1 - likely) / spread * (Z / quantile) ** 2
        low, high = score_limits(value * effective, effective)
        return StratifiedEstimate(value=value, low=low, high=high, n=n, se=se)

    def difference_of(self, first: tuple[Mask, Mask], second: tuple[Mask, Mask]) -> StratifiedEstimate:
        """The first ratio less the second, on the same points."""
        n = int((first[1] | second[1])[: self.real].sum())
        one, two = (self.share_of(y, x) for y, x in (first, second))
        if not (one.n and two.n):
            return StratifiedEstimate(value=0.0, low=-1.0, high=1.0, n=0, se=0.0)
        (_, z_one), (_, z_two) = (self._linear(*part, smooth=False) for part in (first, second))
        of_one, of_two, of_both = (float(self._variances(z, smooth=False).sum()) for z in (z_one, z_two, z_one - z_two))
        product = 2 * math.sqrt(of_one * of_two)
        together = (of_one + of_two - of_both) / product if product else 0.0
        (_, likely_one), (_, likely_two) = (self._linear(*part, smooth=True) for part in (first, second))
        apart = likely_one - likely_two
        if np.array_equal(first[1], second[1]) and not first[1].all() and apart.any():
            freedom = max(_LEAST_FREEDOM, self._freedom(apart))
            together *= freedom / (freedom + _SHRINKAGE)
        low, high = difference_interval(one, two, correlation=together)
        value = one.value - two.value
        return StratifiedEstimate(value=value, low=max(-1.0, low), high=min(1.0, high), n=n, se=math.sqrt(of_both))

    def _linear(self, y: Mask, x: Mask, *, smooth: bool) -> tuple[float, Floats]:
        """A ratio (equation 27 of Stehman 2014) and its linear part in every point."""
        mass = (self._smooth if smooth else self._plain)[0] * self._share[self.stratum]
        below = float(mass @ x)
        value = float(mass @ (y & x)) / below
        return value, ((y & x) - value * x) / below

    def _variances(self, residuals: Floats, *, smooth: bool) -> Floats:
        """What each stratum adds to the variance of a sum of `residuals` (equations 25 and 28)."""
        return np.asarray(np.bincount(self.stratum, self._parts(residuals, smooth=smooth), self._strata), np.float64)

    def _parts(self, residuals: Floats, *, smooth: bool) -> Floats:
        """What each point adds to it."""
        mass, n = self._smooth if smooth else self._plain
        mean = np.bincount(self.stratum, mass * residuals, self._strata)
        scale = self._share**2 * self._left / np.maximum(n - 1, _TINY)
        return np.asarray(scale[self.stratum] * mass * (residuals - mean[self.stratum]) ** 2)

    def _freedom(self, residuals: Floats) -> float:
        """Degrees of freedom of the variance (Satterthwaite 1946, Biometrics Bulletin 2, 110-114)."""
        mass, n = self._smooth
        parts = np.bincount(self._cell, self._parts(residuals, smooth=True))
        points = np.bincount(self._cell, mass * n[self.stratum])
        return float(parts.sum() ** 2 / (parts**2 / np.maximum(points - 1, 1.0)).sum())


def measure_map(sample: StratifiedSample, *, which: int = 0) -> AccuracyEstimates:
    """Error matrix, accuracies and areas by one of the maps of a sample.

    With the map's classes as strata these are Olofsson et al. 2014: error matrix, equation 4; overall accuracy, 1
    and 5; user's accuracy, 2 and 6; producer's accuracy, 3 and 7; adjusted areas, 9 to 11. In general they are Stehman
    2014: 12, 14 and 16 by 2 and 25; ratios by 27 and 28.

    Parameters
    ----------
    sample : StratifiedSample
        The points.
    which : int
        Number of the map.

    Returns
    -------
    AccuracyEstimates
    """
    size = len(sample.classes)
    ratios = _Ratios(sample, (which,))
    mapped, reference = ratios.mapped[0], ratios.reference
    cells = sample.mapped[which] * size + sample.reference
    ground = sample.share[sample.stratum] * sample.mass
    matrix = np.bincount(cells, ground, size * size).reshape(size, size)
    per_class = {}
    for k, name in enumerate(sample.classes):
        here, there = mapped == k, reference == k
        per_class[name] = ClassAccuracy(
            users=ratios.share_of(there, here),
            producers=ratios.share_of(here, there),
            area=ratios.share_of(there),
            mapped=float(matrix[k].sum()),
        )
    counts = np.bincount(cells, minlength=size * size).reshape(size, size)
    return AccuracyEstimates(
        counts=tuple(map(tuple, counts.tolist())),
        matrix=tuple(map(tuple, matrix.tolist())),
        overall=ratios.share_of(mapped == reference),
        per_class=per_class,
    )


def measure_difference(sample: StratifiedSample, first: int, second: int) -> AccuracyDifference:
    """How much more accurate one map of a sample is than another, paired by points.

    The variance of a difference of two ratios on the same points is that of the difference of their linear parts
    (Särndal, Swensson and Wretman 1992, Model Assisted Survey Sampling, section 5.5).

    Parameters
    ----------
    sample : StratifiedSample
        The points.
    first, second : int
        Numbers of the maps.
    """
    ratios = _Ratios(sample, (first, second))
    (one, two), reference = ratios.mapped, ratios.reference
    everywhere = np.ones(len(reference), bool)
    users, producers = {}, {}
    for k, name in enumerate(sample.classes):
        there = reference == k
        users[name] = ratios.difference_of((there, one == k), (there, two == k))
        producers[name] = ratios.difference_of((one == k, there), (two == k, there))
    overall = ratios.difference_of((one == reference, everywhere), (two == reference, everywhere))
    return AccuracyDifference(overall=overall, users=users, producers=producers)
