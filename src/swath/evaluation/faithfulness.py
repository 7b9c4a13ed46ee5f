"""Check a way of explaining on many patches: is what its maps show true of the network?

Four questions, each with an interval and a bar it must clear, asked of a split that is not the test: does
the answer go with the pixels a map marks (deletion), does it come with them (insertion), does a map change
when the network forgets what it learned, does it point at the right one of four classes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from swath.config import Settings
from swath.data import PatchIndex, cached_pixels
from swath.errors import DataError, SettingError
from swath.evaluation.intervals import mean_estimate
from swath.evaluation.predictions import checked_split
from swath.explain.cam import Evidence, upsample
from swath.explain.faithful import DELETED, INSERTED, STEPS, Curves, center_heat, curves, random_heat
from swath.explain.localize import VARIANTS, composites, share_inside
from swath.explain.methods import Explainer
from swath.explain.sanity import Part, weight_randomization
from swath.inference import Classifier
from swath.model.record import Estimate
from swath.pages.html import columns, percent, points
from swath.progress import Progress, silent

INTERVALS = "95 %, bootstrap percentile: over patches, and over draws of weights for correlations"
ALIKE = 0.2  # rank correlation above which maps of a network that forgot are still alike
INSIDE = 0.7  # share of positive mass that a map should have in the right quadrant
BASELINES = {
    "map": "the maps",
    "random": "random maps",
    "center": "center first",
    "other": "another patch's map",
}
_METHODS = {"cam": "class activation maps", "occlusion": "occlusion maps", "grad-cam": "Grad-CAM maps"}
PATCHES = 300
FEWEST = 10  # below them an interval over patches says nothing: of one patch it has no width
RANDOM_DRAWS = 3  # random maps a patch; their areas are averaged, so that luck with one does not count
SANITY_PATCHES = 16
SANITY_DRAWS = 10
SPLITS = ("val", "train")


class RemovalCurves(Settings):
    """Mean probability of the class while pixels are hidden or shown, in the order of four kinds of maps.

    Attributes
    ----------
    canvas : str
        What stood where pixels were not; see :mod:`swath.explain.occlusion`.
    steps : int
        Into how many parts the pixels were divided.
    map, random, center, other : Estimate
        Area under the curve, 0-1: of the maps, of random maps, of the distance from the center, and of the
        map of another patch.
    lead_on_random, lead_on_center, lead_on_other : Estimate
        Paired differences of areas, positive where the map is better.
    curves : dict of str to tuple of float
        Mean curves of the four, from no pixel to all.
    """

    canvas: str
    steps: int
    map: Estimate
    random: Estimate
    center: Estimate
    other: Estimate
    lead_on_random: Estimate
    lead_on_center: Estimate
    lead_on_other: Estimate
    curves: dict[str, tuple[float, ...]]

    @property
    def holds(self) -> bool:
        """Whether the whole interval of the lead on random maps is above 0."""
        return self.lead_on_random.low > 0


class RandomizationCheck(Settings):
    """Rank correlation of maps before and after a part of the network was drawn again: mean, and mean size."""

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
    randomization : tuple of Forgotten
        What was left of the maps when the network forgot its head, its upper half, everything.
    localization : dict of str to Estimate
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
    deletion: RemovalCurves
    insertion: RemovalCurves
    randomization: tuple[RandomizationCheck, ...]
    localization: dict[str, Estimate]
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
            f"the maps stay alike when the network forgets {randomization_name(f.part)} "
            f"(rank correlation {f.correlation.value:.2f})"
            for f in self.randomization
            if not f.holds
        )
        inside = self.localization.get("crops")
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
                ("pixels from the center outwards", removal.lead_on_center),
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
                "" if self.localization else " Composites could not be made of these patches: one check less."
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
                randomization_name(f.part),
                f"{f.correlation.value:+.2f}",
                f"{f.correlation.low:+.2f} to {f.correlation.high:+.2f}",
                f"{f.size.value:.2f}",
            )
            for f in self.randomization
        )
        lines = [self.verdict, "", *columns(rows), "", *columns(alike)]
        if self.localization:
            inside = [("positive mass in the right quadrant", "", "chance 25 %")]
            inside.extend((composite_name(v), *percent(e)) for v, e in self.localization.items())
            lines += ["", *columns(inside)]
        return [line.rstrip() for line in lines]


def composite_name(variant: str) -> str:
    """Say how composites were made."""
    return {"crops": "middles of four patches", "shrunk": "four patches at half resolution"}[variant]


def randomization_name(part: str) -> str:
    """Say what the network forgot."""
    return {"head": "its head", "upper half": "its upper half", "all": "all its layers"}[part]


def check_maps(
    classifier: Classifier,
    explain: Explainer,
    randomized_explainer: Callable[[Part, int], Explainer],
    index: PatchIndex,
    *,
    split: str = "val",
    limit: int = PATCHES,
    seed: int = 0,
    draws: int = SANITY_DRAWS,
    progress: Progress = silent,
) -> MapCheck:
    """Check the maps of a model on patches of one split.

    Parameters
    ----------
    classifier : Classifier
        The model the maps are about; its answers are what is watched.
    explain : callable
        Makes the maps; see :mod:`swath.explain.cam`.
    randomized_explainer : callable
        Makes those of the network with weights drawn again; see :func:`swath.explain.sanity.weight_randomization`.
    index : PatchIndex
        Labeled patches with splits.
    split : str
        ``val`` or ``train``: the test split is opened by an evaluation only.
    limit : int
        Patches to check, as many of each class as possible alike.
    seed : int
        Of the patches, the random maps, the composites and the random weights.
    draws : int
        How often weights are drawn again.
    progress : Progress
        Called for every part.

    Raises
    ------
    DataError
        If the split has fewer than 10 patches, a class is not one of the model's, or the index is of another task.
    SettingError
        If `split` is the test split, or `limit` is less than 10.
    """
    pixels, labels = chosen_patches(classifier, index, split=split, limit=limit, seed=seed, progress=progress)
    progress("check", 0, 4, note="curves")
    evidence = explain(pixels)
    removal = _curves(classifier, pixels, evidence, seed=seed)
    progress("check", 2, 4, note="random weights")
    few = np.random.default_rng(seed).permutation(len(pixels))[:SANITY_PATCHES]
    randomization = weight_randomization(
        explain, randomized_explainer, pixels[np.sort(few)], draws=draws, seed=seed
    )
    progress("check", 3, 4, note="composites")
    shares: dict[str, Estimate] = {}
    # Composites need two classes, and patches that can be quartered.
    if labels is not None and len(np.unique(labels)) > 1 and pixels.shape[-1] % 2 == 0:
        names = classifier.record.class_names
        for variant in VARIANTS:
            sewn = composites(pixels, labels, count=len(pixels), variant=variant, seed=seed)
            maps = explain(sewn.pixels, classes=[names[k] for k in sewn.numbers]).maps
            shares[variant] = mean_estimate(
                share_inside(maps, sewn.quadrants, side=pixels.shape[-1]), seed=seed
            )
    progress("check", 4, 4)
    return MapCheck(
        model=classifier.record.name,
        method=evidence.method,
        split=split,
        n=len(pixels),
        fingerprint=index.fingerprint,
        engine=classifier.engine,
        seed=seed,
        grid=(evidence.maps.shape[1], evidence.maps.shape[2]),
        deletion=removal[0],
        insertion=removal[1],
        randomization=tuple(
            RandomizationCheck(
                part=found.part,
                correlation=mean_estimate(found.correlations.mean(axis=1), seed=seed),
                size=mean_estimate(np.abs(found.correlations).mean(axis=1), seed=seed),
            )
            for found in randomization
        ),
        localization=shares,
    )


def chosen_patches(
    classifier: Classifier,
    index: PatchIndex,
    *,
    split: str,
    limit: int,
    seed: int,
    progress: Progress = silent,
) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64] | None]:
    """Patches of a split at the model's size, alike in number over the classes, in a random order.

    Returns
    -------
    tuple
        Pixels ``[N, bands, S, S]``, and class numbers ``[N]`` where every patch has one class, else None.

    Raises
    ------
    DataError, SettingError
        As :func:`check_maps`.
    """
    if split not in SPLITS:
        raise SettingError(
            f"maps are not checked on '{split}': the test split is for swath evaluate",
            fix=f"give --split {' or '.join(SPLITS)}",
        )
    if limit < FEWEST:
        raise SettingError(
            f"{limit} patches are too few to check maps on", fix=f"give --limit {FEWEST} or more"
        )
    record = classifier.record
    part = checked_split(index, split=split, classes=record.class_names, task=record.task)
    if len(part) < FEWEST:
        raise DataError(
            f"split '{split}' has {len(part)} patches, too few to check maps on",
            fix=f"give an index with {FEWEST} or more in that split",
        )
    pixels = cached_pixels(part, bands=record.input.bands, size=classifier.size, progress=progress)
    order = np.random.default_rng(seed).permutation(len(part))
    if record.task == "multi-label":
        return np.ascontiguousarray(pixels[order[:limit]]), None
    labels = np.array([record.class_names.index(label) for label in part.labels], np.int64)
    turn = np.empty(len(order), np.int64)  # of each patch within its class
    for k in np.unique(labels):
        own = order[labels[order] == k]
        turn[own] = np.arange(len(own))
    chosen = order[np.argsort(turn[order], kind="stable")][:limit]
    return np.ascontiguousarray(pixels[chosen]), labels[chosen]


def _curves(
    classifier: Classifier, pixels: npt.NDArray[Any], evidence: Evidence, *, seed: int
) -> tuple[RemovalCurves, RemovalCurves]:
    """Deletion and insertion of the maps beside the three baselines, on the same patches."""
    n, size = len(pixels), (pixels.shape[2], pixels.shape[3])
    grid = (evidence.maps.shape[1], evidence.maps.shape[2])
    names = classifier.record.class_names
    numbers = np.array([names.index(name) for name in evidence.explained])
    heat = upsample(evidence.maps, height=size[0], width=size[1])
    own = curves(classifier, pixels, heat, numbers)
    # As smooth and as fond of the middle as the maps are, but about another patch: what is left to beat it
    # with is what the map knows of this one.
    other = curves(classifier, pixels, np.roll(heat, 1, axis=0), numbers)
    center = curves(classifier, pixels, center_heat(n, size), numbers)
    random = _mean_of(
        [
            curves(classifier, pixels, random_heat(n, grid, size, seed=seed + i), numbers)
            for i in range(RANDOM_DRAWS)
        ]
    )
    all_of = {"map": own, "random": random, "center": center, "other": other}
    return (
        _removal(
            {name: c.deletion for name, c in all_of.items()},
            {name: c.deletion_area for name, c in all_of.items()},
            sign=-1,
            fill=DELETED,
            seed=seed,
        ),
        _removal(
            {name: c.insertion for name, c in all_of.items()},
            {name: c.insertion_area for name, c in all_of.items()},
            sign=1,
            fill=INSERTED,
            seed=seed,
        ),
    )


def _mean_of(several: list[Curves]) -> Curves:
    return Curves(
        np.mean([c.deletion for c in several], axis=0), np.mean([c.insertion for c in several], axis=0)
    )


def _removal(
    drawn: dict[str, npt.NDArray[np.float32]],
    areas: dict[str, npt.NDArray[np.float64]],
    *,
    sign: int,
    fill: str,
    seed: int,
) -> RemovalCurves:
    """Areas of the maps and of the baselines; leads are positive where the map is better."""
    leads = {
        f"lead_on_{name}": mean_estimate(sign * (areas["map"] - area), seed=seed)
        for name, area in areas.items()
        if name != "map"
    }
    return RemovalCurves(
        canvas=fill,
        steps=STEPS,
        **{name: mean_estimate(area, seed=seed) for name, area in areas.items()},
        **leads,
        curves={
            name: tuple(round(float(v), 4) for v in curve.mean(axis=0, dtype=np.float64))
            for name, curve in drawn.items()
        },
    )
