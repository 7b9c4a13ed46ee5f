"""What teaching has gained, in numbers and in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from swath.evaluation.compare import McNemar
from swath.model.record import Estimate
from swath.pages.text import p_value

SURE = 0.05  # p-value below which a gain is called one
_Z = 1.96
_WORTH = 0.02  # a difference worth knowing where none was found
_MOST = 100_000


@dataclass(frozen=True)
class TeachingSource:
    """What a model was taught from.

    Attributes
    ----------
    scene : str or None
        Name of the scene.
    index : str or None
        Name of the patch index.
    colors : str
        What was done to the scene's colors.
    rescale : str
        With which the scene is to be mapped: as asked for, or where that was ``"auto"``, as the places have shown.
    bands : sequence of int or None
        As they were asked for.
    """

    scene: str | None
    index: str | None = None
    colors: str = ""
    rescale: str = "auto"
    bands: Sequence[int] | None = None


@dataclass(frozen=True)
class ClassGain:
    """Agreement with the places of one class, before and after, by held-out places.

    Attributes
    ----------
    name : str
        The class.
    places : int
        Its places.
    new : bool
        Whether the model before did not have it.
    before, after : Estimate
        Share of them that were given their class.
    """

    name: str
    places: int
    new: bool
    before: Estimate
    after: Estimate


@dataclass(frozen=True)
class TeachingResult:
    """A taught model and what was gained.

    Attributes
    ----------
    path : Path
        The model file.
    model : str
        Name of the model before.
    source : TeachingSource
        Scene or patches.
    places : dict of str to int
        Places by class.
    before, after : Estimate
        Agreement with places, those after by cross-validation: each by a head that was not fitted to it.
    difference : Estimate
        After minus before, on the same places.
    test : McNemar
        Paired; ``only_second`` are places that only the taught model gets right.
    classes : tuple of ClassGain
        By class.
    strength : float
        Of the penalty.
    notes : tuple of str
        What was left out, decided, or cannot be known.
    seconds : float
        It took.
    """

    path: Path
    model: str
    source: TeachingSource
    places: dict[str, int]
    before: Estimate
    after: Estimate
    difference: Estimate
    test: McNemar
    classes: tuple[ClassGain, ...]
    strength: float
    notes: tuple[str, ...]
    seconds: float

    @property
    def helped(self) -> bool | None:
        """Whether the places show a gain; None where they are too few to tell."""
        if self.test.p_value < SURE:
            return self.difference.value > 0
        return None

    def lines(self) -> list[str]:
        """What to print: at most 80 columns wide."""
        n = sum(self.places.values())
        width = min(30, max(len("class"), *(len(gain.name) for gain in self.classes)))
        lines = [
            f"agreement with {n} places, each predicted without having been learned:",
            f"  before {_share(self.before)}",
            f"  after  {_share(self.after)}",
            f"  gain   {_points(self.difference)}, paired test {p_value(self.test.p_value)}",
            f"  {'class':<{width}} {'places':>6} {'before':>8} {'after':>8}",
        ]
        for gain in self.classes:
            before = "new" if gain.new else f"{100 * gain.before.value:.0f} %"
            name = gain.name if len(gain.name) <= width else gain.name[: width - 1] + "…"
            lines.append(f"  {name:<{width}} {gain.places:>6} {before:>8} {100 * gain.after.value:>6.0f} %")
        return [*lines, self.verdict()]

    def verdict(self) -> str:
        """Whether it helped, and what would tell where that is not known."""
        if self.helped:
            return "teaching helped"
        if self.helped is False:
            return "teaching did not help: the model before agrees with more places, so keep it"
        if self.before.value == self.after.value == 1:
            return "the model knew all places before: there was nothing to gain on them"
        more = places_needed(self.difference.value, self.test, self.before.n)
        told = "no gain can be shown" if self.difference.value >= 0 else "it may have done harm"
        return f"{told} by {self.before.n} places; about {more:,} more would tell"


def places_needed(difference: float, test: McNemar, n: int) -> int:
    """Places to add for a 95 % interval of a difference such as this one, or of 2 points, to leave out zero.

    By the variance of a paired difference, where `n` places differ as the test has counted.
    """
    apart = (test.only_first + test.only_second + 1) / (n + 2)  # Laplace: none seen is not none there
    wanted = max(abs(difference), _WORTH)
    needed = math.ceil(_Z**2 * max(apart - difference**2, apart * 0.1) / wanted**2)
    return min(max(needed - n, 5), _MOST)


def _share(estimate: Estimate) -> str:
    return f"{100 * estimate.value:.1f} % ({100 * estimate.low:.1f}-{100 * estimate.high:.1f})"


def _points(estimate: Estimate) -> str:
    return f"{100 * estimate.value:+.1f} points ({100 * estimate.low:+.1f} to {100 * estimate.high:+.1f})"
