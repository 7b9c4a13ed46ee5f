"""Check an explanation method on many patches: is what its maps show true of the network?

Four questions, each with an interval and a threshold, on a split that is not the test: does the probability fall when
the marked pixels are hidden (deletion), does it rise when they are shown (insertion), does a map change when the
network's weights are drawn again, does it point at the right one of four classes. :func:`measure_maps` answers them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from swath.config import Settings
from swath.data import PatchIndex, cached_pixels
from swath.errors import DataError, SettingError
from swath.evaluation.intervals import mean_estimate
from swath.evaluation.predictions import checked_split
from swath.evaluation.results import Result
from swath.explain.evidence import Evidence, Explainer, upsample
from swath.explain.faithful import (
    DELETED,
    INSERTED,
    STEPS,
    VARIANTS,
    Curves,
    Faithfulness,
    Part,
    area_under,
    center_heat,
    composites,
    curves,
    faithfulness,
    random_heat,
    share_inside,
    weight_randomization,
)
from swath.inference import Classifier
from swath.model.record import Estimate
from swath.pages.text import columns, percent, points
from swath.progress import Progress, silent

INTERVALS = "95 %, Student's t: over patches, and over draws of weights for correlations"
ALIKE = 0.2  # rank correlation above which maps of a network with random weights are too similar
INSIDE = 0.7  # share of positive mass that a map should have in the right quadrant
BASELINES = {"map": "the maps", "random": "random maps", "center": "center first", "other": "another patch's map"}
REDRAWN = {"head": "its head", "upper half": "its upper half", "all": "all its layers"}
COMPOSITES = {"crops": "middles of four patches", "shrunk": "four patches at half resolution"}
_METHODS = {"cam": "class activation maps", "occlusion": "occlusion maps", "grad-cam": "Grad-CAM maps"}
PATCHES = 300
FEWEST = 10  # below them an interval over patches says nothing: of one patch it has no width
RANDOM_DRAWS = 3  # random maps per patch; their areas are averaged to reduce the variance
SANITY_PATCHES = 16
SANITY_DRAWS = 10
SPLITS = ("val", "train")
SHOWN = 20  # maps on a page


class RemovalCurves(Settings):
    """Mean probability of the class while pixels are hidden or shown, in the order of four kinds of maps.

    Attributes
    ----------
    canvas : str
        What replaced hidden pixels; see :func:`swath.explain.evidence.canvas`.
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
        """Whether the maps are not clearly similar: the interval reaches below the threshold."""
        return self.correlation.low <= ALIKE


class MapCheck(Result):
    """Whether the maps of a model are true of it.

    Attributes
    ----------
    model, method, split : str
        Name of the model, explanation method, split of the patches.
    n : int
        Patches checked.
    fingerprint : str
        Of the index.
    engine : str
        What ran the model.
    seed : int
        Of everything drawn at random.
    grid : tuple of int
        Rows and columns of the maps before interpolation.
    deletion, insertion : RemovalCurves
        Effect of hiding and of showing the marked pixels.
    randomization : tuple of RandomizationCheck
        Similarity of the maps when the head, the upper half, all layers were drawn again.
    localization : dict of str to Estimate
        Share of positive mass in the right quadrant of composites (chance: 0.25), for middles of patches
        at their own resolution (``crops``) and for whole ones at half of it (``shrunk``); empty for
        multi-label models.
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
        """The failed checks in plain words."""
        found = []
        if not self.deletion.holds:
            found.append("hiding the marked pixels first does not clearly cost more than hiding random ones")
        if not self.insertion.holds:
            found.append("showing the marked pixels first does not clearly help more than showing random ones")
        found.extend(
            f"the maps stay similar when the weights of {REDRAWN[f.part]} are drawn again "
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
        """Baselines that the maps do not clearly beat, though they may pass."""
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
        """The verdict in one sentence, and one more for its limits."""
        what = f"{_METHODS.get(self.method, self.method)} of model {self.model}"
        where = f"on {self.n:,} patches of the split '{self.split}'"
        limits = f" But {'; '.join(self.limits)}." if self.limits else ""
        if not self.failures:
            untried = "" if self.localization else " Composites could not be made of these patches: one check less."
            return f"The {what} hold: they passed every check {where}.{untried}{limits}"
        return f"The {what} FAIL {where}: {'; '.join(self.failures)}.{limits}"

    def lines(self) -> list[str]:
        """The result in plain text, for a terminal."""
        both = (self.deletion, self.insertion)
        removal = [
            ("mean probability while pixels", "are hidden, marked first", "are shown, marked first"),
            *((what, *(" ".join(percent(getattr(r, name))) for r in both)) for name, what in BASELINES.items()),
            *(
                (f"lead on: {what}", *(points(getattr(r, f"lead_on_{name}")) for r in both))
                for name, what in BASELINES.items()
                if name != "map"
            ),
        ]
        alike = [("rank correlation after new weights in", "mean", "95 %", "mean size")]
        for f in self.randomization:
            mean, low, high = (f"{v:+.2f}" for v in (f.correlation.value, f.correlation.low, f.correlation.high))
            alike.append((REDRAWN[f.part], mean, f"{low} to {high}", f"{f.size.value:.2f}"))
        lines = [self.verdict, "", *columns(removal), "", *columns(alike)]
        if self.localization:
            inside = [(COMPOSITES[v], *percent(e)) for v, e in self.localization.items()]
            lines += ["", *columns([("positive mass in the right quadrant", "", "chance 25 %"), *inside])]
        return [line.rstrip() for line in lines]


@dataclass(frozen=True)
class MapExamples:
    """A few of the checked patches with their maps, to look at.

    Attributes
    ----------
    pixels : numpy.ndarray
        ``[M, bands, S, S]``, M at most :data:`SHOWN`.
    bands : tuple of str
        The model's bands.
    evidence : Evidence
        Their maps.
    truth : tuple of str or None
        Their classes; None for a multi-label model.
    verdicts : tuple of Faithfulness
        On each single map.
    """

    pixels: npt.NDArray[Any]
    bands: tuple[str, ...]
    evidence: Evidence
    truth: tuple[str, ...] | None
    verdicts: tuple[Faithfulness, ...]


def measure_maps(
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
) -> tuple[MapCheck, MapExamples]:
    """Check the maps of a model on patches of one split.

    Parameters
    ----------
    classifier : Classifier
        The model the maps are about.
    explain : callable
        Makes the maps; see :func:`swath.explain.explainer`.
    randomized_explainer : callable
        Makes those of the network with newly drawn weights; see :func:`swath.explain.weight_randomization`.
    index : PatchIndex
        Labeled patches with splits.
    split : str
        ``val`` or ``train``: only an evaluation opens the test split.
    limit : int
        Patches to check, as equal in number over the classes as possible.
    seed : int
        Of the patches, the random maps, the composites and the random weights.
    draws : int
        How often weights are drawn again.
    progress : Progress
        Called for every part.

    Returns
    -------
    tuple of MapCheck and MapExamples
        The numbers, and the first of the patches to look at.

    Raises
    ------
    DataError
        If the split has fewer than 10 patches, a class is not one of the model's, or the index is of another task.
    SettingError
        If `split` is the test split, or `limit` is less than 10.
    """
    names = classifier.record.class_names
    pixels, labels = chosen_patches(classifier, index, split=split, limit=limit, seed=seed, progress=progress)
    progress("check", 0, 4, note="curves")
    evidence = explain(pixels)
    drawn = _curves(classifier, pixels, evidence, seed=seed)
    progress("check", 2, 4, note="random weights")
    few = np.random.default_rng(seed).permutation(len(pixels))[:SANITY_PATCHES]
    randomization = weight_randomization(explain, randomized_explainer, pixels[np.sort(few)], draws=draws, seed=seed)
    progress("check", 3, 4, note="composites")
    shares: dict[str, Estimate] = {}
    # Composites need two classes, and patches that can be quartered.
    if labels is not None and len(np.unique(labels)) > 1 and pixels.shape[-1] % 2 == 0:
        for variant in VARIANTS:
            made = composites(pixels, labels, count=len(pixels), variant=variant, seed=seed)
            maps = explain(made.pixels, classes=[names[k] for k in made.numbers]).maps
            shares[variant] = mean_estimate(share_inside(maps, made.quadrants, side=pixels.shape[-1]))
    check = MapCheck(
        model=classifier.record.name,
        method=evidence.method,
        split=split,
        n=len(pixels),
        fingerprint=index.fingerprint,
        engine=classifier.engine,
        seed=seed,
        grid=(evidence.maps.shape[1], evidence.maps.shape[2]),
        deletion=_removal({k: c.deletion for k, c in drawn.items()}, sign=-1, fill=DELETED),
        insertion=_removal({k: c.insertion for k, c in drawn.items()}, sign=1, fill=INSERTED),
        randomization=tuple(
            RandomizationCheck(
                part=part,
                correlation=mean_estimate(correlations.mean(axis=1), signed=True),
                size=mean_estimate(np.abs(correlations).mean(axis=1)),
            )
            for part, correlations in randomization.items()
        ),
        localization=shares,
    )
    shown = evidence[:SHOWN]
    examples = MapExamples(
        pixels[:SHOWN],
        classifier.record.input.bands,
        shown,
        None if labels is None else tuple(names[k] for k in labels[:SHOWN]),
        faithfulness(classifier, pixels[:SHOWN], shown, seed=seed),
    )
    progress("check", 4, 4)
    return check, examples


def chosen_patches(
    classifier: Classifier, index: PatchIndex, *, split: str, limit: int, seed: int, progress: Progress = silent
) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64] | None]:
    """Patches of a split at the model's size, as equal in number over the classes as possible, in random order.

    Returns
    -------
    tuple
        Pixels ``[N, bands, S, S]``, and class numbers ``[N]`` where every patch has one class, else None.

    Raises
    ------
    DataError, SettingError
        As :func:`measure_maps`.
    """
    if split not in SPLITS:
        raise SettingError(
            f"maps are not checked on '{split}': the test split is for swath evaluate",
            fix=f"give --split {' or '.join(SPLITS)}",
        )
    if limit < FEWEST:
        raise SettingError(f"{limit} patches are too few to check maps on", fix=f"give --limit {FEWEST} or more")
    record = classifier.record
    part = checked_split(index, split=split, classes=record.class_names, task=record.task)
    if len(part) < FEWEST:
        raise DataError(
            f"split '{split}' has {len(part)} patches, too few to check maps on",
            fix=f"give an index with {FEWEST} or more in that split",
        )
    pixels = cached_pixels(
        part, bands=record.input.bands, size=classifier.size, of=record.input.file_bands, progress=progress
    )
    order = np.random.default_rng(seed).permutation(len(part))
    if record.task == "multi-label":
        return np.ascontiguousarray(pixels[order[:limit]]), None
    labels = part.targets(record.class_names, multi_label=False)
    turn = np.empty(len(order), np.int64)  # of each patch within its class
    for k in np.unique(labels):
        own = order[labels[order] == k]
        turn[own] = np.arange(len(own))
    chosen = order[np.argsort(turn[order], kind="stable")][:limit]
    return np.ascontiguousarray(pixels[chosen]), labels[chosen]


def _curves(classifier: Classifier, pixels: npt.NDArray[Any], evidence: Evidence, *, seed: int) -> dict[str, Curves]:
    """Deletion and insertion curves of the maps and of the three baselines, on the same patches."""
    n, size = len(pixels), (pixels.shape[2], pixels.shape[3])
    grid = (evidence.maps.shape[1], evidence.maps.shape[2])
    names = classifier.record.class_names
    numbers = np.array([names.index(name) for name in evidence.explained])
    heat = upsample(evidence.maps, height=size[0], width=size[1])
    random = [
        curves(classifier, pixels, random_heat(n, grid, size, seed=seed + i), numbers) for i in range(RANDOM_DRAWS)
    ]
    return {
        "map": curves(classifier, pixels, heat, numbers),
        "random": Curves(np.mean([c.deletion for c in random], axis=0), np.mean([c.insertion for c in random], axis=0)),
        "center": curves(classifier, pixels, center_heat(n, size), numbers),
        # As smooth and as central as the maps, but about another patch: a lead over it shows what the map
        # says about its own patch.
        "other": curves(classifier, pixels, np.roll(heat, 1, axis=0), numbers),
    }


def _removal(drawn: dict[str, npt.NDArray[np.float32]], *, sign: int, fill: str) -> RemovalCurves:
    """Areas under the curves of the maps and the baselines; leads are positive where the map is better."""
    areas = {name: area_under(curve) for name, curve in drawn.items()}
    leads = {
        f"lead_on_{name}": mean_estimate(sign * (areas["map"] - area), signed=True)
        for name, area in areas.items()
        if name != "map"
    }
    return RemovalCurves(
        canvas=fill,
        steps=STEPS,
        **{name: mean_estimate(area) for name, area in areas.items()},
        **leads,
        curves={
            name: tuple(round(float(v), 4) for v in curve.mean(axis=0, dtype=np.float64))
            for name, curve in drawn.items()
        },
    )
