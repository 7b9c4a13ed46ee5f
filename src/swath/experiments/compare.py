"""From the answers of arms and seeds to a table: accuracies, and paired differences between arms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from swath.errors import DataError
from swath.evaluation.intervals import percentile_interval, resample, wilson
from swath.evaluation.paired import mcnemar
from swath.experiments.arms import ArmResult
from swath.model.record import Estimate

_LEVEL = 0.05


@dataclass(frozen=True)
class Row:
    """One arm over its seeds.

    Attributes
    ----------
    name : str
        The arm.
    fraction : float
        Of the labels.
    labels : int
        Used by the first seed.
    accuracies : tuple of float
        One a seed.
    accuracy : Estimate
        Mean over seeds; the interval is of the patches (Wilson, n patches), not of seeds.
    seconds, epochs : float
        Of training, mean over seeds.
    against : str or None
        The arm it is compared with.
    difference : Estimate or None
        Of accuracy, this arm minus that one, on the same patches: mean over seeds, bootstrap over patches.
    p : float or None
        Exact McNemar; with one seed only, for it counts every patch once.
    """

    name: str
    fraction: float
    labels: int
    accuracies: tuple[float, ...]
    accuracy: Estimate
    seconds: float
    epochs: float
    against: str | None = None
    difference: Estimate | None = None
    p: float | None = None

    @property
    def sd(self) -> float | None:
        """Spread between seeds, if there are several."""
        return float(np.std(self.accuracies, ddof=1)) if len(self.accuracies) > 1 else None

    @property
    def clear(self) -> bool:
        """Whether the difference is more than chance: p under 0.05, or with several seeds an interval without 0."""
        if self.difference is None:
            return False
        if self.p is not None:
            return self.p < _LEVEL
        return self.difference.low > 0 or self.difference.high < 0


def make_rows(results: Sequence[ArmResult]) -> list[Row]:
    """One row an arm; an arm stands right after the one it is compared with.

    Parameters
    ----------
    results : sequence of ArmResult
        The same seeds of each arm, in one order.

    Raises
    ------
    DataError
        If two arms that are compared did not answer for the same patches.
    """
    arms: dict[str, list[ArmResult]] = {}
    for result in results:
        arms.setdefault(result.arm.name, []).append(result)
    return [_row(arms[name], arms) for name in _ordered({k: v[0].arm.against for k, v in arms.items()})]


def paired_difference(
    first: Sequence[npt.NDArray[np.bool_]], second: Sequence[npt.NDArray[np.bool_]]
) -> Estimate:
    """First minus second share of right answers to the same patches.

    Parameters
    ----------
    first, second : sequence of numpy.ndarray
        One bool ``[N]`` a seed: which answers are right.

    Returns
    -------
    Estimate
        Mean over seeds, with a bootstrap percentile interval over patches: how seeds differ is not in it.
    """
    gains = np.mean(first, axis=0) - np.mean(second, axis=0)
    values, counts = np.unique(gains, return_counts=True)
    n = len(gains)
    low, high = percentile_interval(resample(counts.astype(np.int64)) @ values / n)
    return Estimate(value=float(gains.mean()), low=low, high=high, n=n)


def _ordered(against: dict[str, str | None]) -> Iterator[str]:
    def after(name: str | None) -> Iterator[str]:
        for other, compared in against.items():
            if compared == name:
                yield other
                yield from after(other)

    yield from after(None)


def _row(several: Sequence[ArmResult], arms: dict[str, list[ArmResult]]) -> Row:
    one = several[0]
    right = [r.predicted == r.truth for r in several]
    accuracies = tuple(float(values.mean()) for values in right)
    mean, n = float(np.mean(accuracies)), len(one.truth)
    low, high = wilson(mean * n, n)
    difference = p = None
    if one.arm.against is not None:
        others = arms[one.arm.against]
        if any(not np.array_equal(other.truth, one.truth) for other in (*others, *several)):
            raise DataError(
                f"'{one.arm.name}' and '{one.arm.against}' answered for different patches",
                fix="give another --out, or remove their folders to run them anew",
            )
        difference = paired_difference(right, [r.predicted == r.truth for r in others])
        if len(several) == 1:
            p = mcnemar(one.truth, one.predicted, others[0].predicted).p_value
    return Row(
        name=one.arm.name,
        fraction=one.arm.fraction,
        labels=one.labels,
        accuracies=accuracies,
        accuracy=Estimate(value=mean, low=low, high=high, n=n),
        seconds=float(np.mean([r.seconds for r in several])),
        epochs=float(np.mean([r.epochs for r in several])),
        against=one.arm.against,
        difference=difference,
        p=p,
    )
