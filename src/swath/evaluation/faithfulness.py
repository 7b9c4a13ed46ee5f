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

from swath.data import PatchIndex, cached_pixels
from swath.errors import DataError, SettingError
from swath.evaluation.evaluate import checked_split
from swath.evaluation.faithfulness_result import Forgotten, MapCheck, Removal
from swath.evaluation.intervals import mean_estimate
from swath.explain.cam import Evidence, upsample
from swath.explain.faithful import DELETED, INSERTED, STEPS, Curves, centre_heat, curves, random_heat
from swath.explain.localise import VARIANTS, composites, share_inside
from swath.explain.methods import Explainer
from swath.explain.sanity import Part, weight_randomisation
from swath.inference import Classifier
from swath.model.record import Estimate
from swath.progress import Progress, silent

PATCHES = 300
FEWEST = 10  # below them an interval over patches says nothing: of one patch it has no width
RANDOM_DRAWS = 3  # random maps a patch; their areas are averaged, so that luck with one does not count
SANITY_PATCHES = 16
SANITY_DRAWS = 10
SPLITS = ("val", "train")


def check_maps(
    classifier: Classifier,
    explain: Explainer,
    forgetful: Callable[[Part, int], Explainer],
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
        Makes the maps; see :mod:`swath.explain.methods`.
    forgetful : callable
        Makes those of the network with weights drawn anew; see :func:`swath.explain.sanity.weight_randomisation`.
    index : PatchIndex
        Labelled patches with splits.
    split : str
        ``val`` or ``train``: the test split is opened by an evaluation only.
    limit : int
        Patches to check, as many of each class as possible alike.
    seed : int
        Of the patches, the random maps, the composites and the random weights.
    draws : int
        How often weights are drawn anew.
    progress : Progress
        Told of every part.

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
    forgotten = weight_randomisation(explain, forgetful, pixels[np.sort(few)], draws=draws, seed=seed)
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
        forgotten=tuple(
            Forgotten(
                part=found.part,
                correlation=mean_estimate(found.correlations.mean(axis=1), seed=seed),
                size=mean_estimate(np.abs(found.correlations).mean(axis=1), seed=seed),
            )
            for found in forgotten
        ),
        localisation=shares,
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
) -> tuple[Removal, Removal]:
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
    centre = curves(classifier, pixels, centre_heat(n, size), numbers)
    random = _mean_of(
        [
            curves(classifier, pixels, random_heat(n, grid, size, seed=seed + i), numbers)
            for i in range(RANDOM_DRAWS)
        ]
    )
    all_of = {"map": own, "random": random, "centre": centre, "other": other}
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
) -> Removal:
    """Areas of the maps and of the baselines; leads are positive where the map is better."""
    leads = {
        f"lead_on_{name}": mean_estimate(sign * (areas["map"] - area), seed=seed)
        for name, area in areas.items()
        if name != "map"
    }
    return Removal(
        canvas=fill,
        steps=STEPS,
        **{name: mean_estimate(area, seed=seed) for name, area in areas.items()},
        **leads,
        curves={
            name: tuple(round(float(v), 4) for v in curve.mean(axis=0, dtype=np.float64))
            for name, curve in drawn.items()
        },
    )
