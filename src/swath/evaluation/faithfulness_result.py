"""What a check of maps found: the contents of ``explain.json``, and its verdict in plain words."""

from __future__ import annotations

from swath.config import Settings
from swath.evaluation.wording import columns, percent, points
from swath.model.record import Estimate

INTERVALS = "95 %, bootstrap percentile: over patches, and over draws of weights for correlations"
ALIKE = 0.2  # rank correlation above which maps of a network that forgot are still alike
INSIDE = 0.7  # share of positive mass that a map should have in the right quadrant
BASELINES = {
    "map": "the maps",
    "random": "random maps",
    "centre": "centre first",
    "other": "another patch's map",
}
_METHODS = {"cam": "class activation maps", "occlusion": "occlusion maps", "grad-cam": "Grad-CAM maps"}


class Removal(Settings):
    """Mean probability of the class while pixels are hidden or shown, in the order of four kinds of maps.

    Attributes
    ----------
    canvas : str
        What stood where pixels were not; see :mod:`swath.explain.fills`.
    steps : int
        Into how many parts the pixels were divided.
    map, random, centre, other : Estimate
        Area under the curve, 0-1: of the maps, of random maps, of the distance from the centre, and of the
        map of another patch.
    lead_on_random, lead_on_centre, lead_on_other : Estimate
        Paired differences of areas, positive where the map is better.
    curves : dict of str to tuple of float
        Mean curves of the four, from no pixel to all.
    """

    canvas: str
    steps: int
    map: Estimate
    random: Estimate
    centre: Estimate
    other: Estimate
    lead_on_random: Estimate
    lead_on_centre: Estimate
    lead_on_other: Estimate
    curves: dict[str, tuple[float, ...]]

    @property
    def holds(self) -> bool:
        """Whether the whole interval of the lead on random maps is above 0."""
        return self.lead_on_random.low > 0


class Forgotten(Settings):
    """Rank correlation of maps before and after a part of the network was drawn anew: mean, and mean size."""

    part: str
    correlation: Estimate
    size: Estimate

    @property
    def holds(self) -> bool:
        """Whether the maps are not clearly alike: the interval reaches below the bar."""
        return self.correlation.low <= ALIKE


class MapCheck(Settings):
    """Whether the maps of a model may be believed.

    Attributes
    ----------
    model, method, split : str
        Name of the model, way of explaining, split the patches are from.
    n : int
        Patches checked.
    fingerprint : str
        Of the index.
    engine : str
        What ran the model.
    seed : int
        Of all that was drawn.
    grid : tuple of int
        Rows and columns of the maps before interpolation.
    deletion, insertion : Removal
        What hiding and showing the marked pixels did.
    forgotten : tuple of Forgotten
        What was left of the maps when the network forgot its head, its upper half, everything.
    localisation : dict of str to Estimate
        Share of positive mass in the right quadrant of composites (chance: 0.25), for middles of patches
        at their own resolution (``crops``) and for whole ones at half of it (``shrunk``); empty for
        multi-label models, whose patches have not one class.
    intervals : str
        How the intervals were made.
    """

    model: str
    method: str
    split: str
    n: int
    fingerprint: str
    engine: str
    seed: int
    grid: tuple[int, int]
    deletion: Removal
    insertion: Removal
    forgotten: tuple[Forgotten, ...]
    localisation: dict[str, Estimate]
    intervals: str = INTERVALS

    @property
    def failures(self) -> tuple[str, ...]:
        """What the maps failed, in plain words; empty if nothing."""
        found = []
        if not self.deletion.holds:
            found.append("hiding the marked pixels first does not clearly cost more than hiding random ones")
        if not self.insertion.holds:
            found.append(
                "showing the marked pixels first does not clearly help more than showing random ones"
            )
        found.extend(
            f"the maps stay alike when the network forgets {forgotten_name(f.part)} "
            f"(rank correlation {f.correlation.value:.2f})"
            for f in self.forgotten
            if not f.holds
        )
        inside = self.localisation.get("crops")
        if inside is not None and inside.value < INSIDE:
            found.append(
                f"of four patches in a picture the maps point at the right one with {percent(inside)[0]} of "
                f"their mass, less than {100 * INSIDE:.0f} %"
            )
        return tuple(found)

    @property
    def limits(self) -> tuple[str, ...]:
        """What the maps are not clearly better than, though they may hold; empty if nothing."""
        found = []
        for done, removal in (("hiding", self.deletion), ("showing", self.insertion)):
            for name, lead in (
                ("pixels from the centre outwards", removal.lead_on_centre),
                ("what the map of another patch marks", removal.lead_on_other),
            ):
                if lead.low <= 0:
                    does = "does better" if lead.high < 0 else "does as well"
                    found.append(f"{done} {name} {does} (lead of the maps: {points(lead)})")
        return tuple(found)

    @property
    def verdict(self) -> str:
        """Whether the maps may be believed, in one sentence, and one more for what limits them."""
        what = f"{_METHODS.get(self.method, self.method)} of model {self.model}"
        where = f"on {self.n:,} patches of the split '{self.split}'"
        limits = f" But {'; '.join(self.limits)}." if self.limits else ""
        if not self.failures:
            untried = (
                "" if self.localisation else " Composites could not be made of these patches: one check less."
            )
            return f"The {what} hold: they passed every check {where}.{untried}{limits}"
        return f"The {what} FAIL {where}: {'; '.join(self.failures)}.{limits}"

    def lines(self) -> list[str]:
        """Tell the result in plain text, for a terminal."""
        rows: list[tuple[str, ...]] = [
            ("mean probability while pixels", "go, marked first", "come, marked first")
        ]
        rows.extend(
            (BASELINES[name], *(" ".join(percent(getattr(r, name))) for r in (self.deletion, self.insertion)))
            for name in BASELINES
        )
        rows.extend(
            (
                f"lead on: {BASELINES[name]}",
                *(points(getattr(r, f"lead_on_{name}")) for r in (self.deletion, self.insertion)),
            )
            for name in BASELINES
            if name != "map"
        )
        alike = [("rank correlation after forgetting", "mean", "95 %", "mean size")]
        alike.extend(
            (
                forgotten_name(f.part),
                f"{f.correlation.value:+.2f}",
                f"{f.correlation.low:+.2f} to {f.correlation.high:+.2f}",
                f"{f.size.value:.2f}",
            )
            for f in self.forgotten
        )
        lines = [self.verdict, "", *columns(rows), "", *columns(alike)]
        if self.localisation:
            inside = [("positive mass in the right quadrant", "", "chance 25 %")]
            inside.extend((composite_name(v), *percent(e)) for v, e in self.localisation.items())
            lines += ["", *columns(inside)]
        return [line.rstrip() for line in lines]


def composite_name(variant: str) -> str:
    """Say how composites were made."""
    return {"crops": "middles of four patches", "shrunk": "four patches at half resolution"}[variant]


def forgotten_name(part: str) -> str:
    """Say what the network forgot."""
    return {"head": "its head", "upper half": "its upper half", "all": "all its layers"}[part]
