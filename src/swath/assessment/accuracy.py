"""Compare maps with labeled places: accuracy and areas with intervals, and differences between maps.

What the intervals are worth depends on how the places were chosen. A sample of ``swath sample`` says so itself: each
point has its stratum, the size of the stratum and its own weight. Where places say nothing of the kind, they are taken
as drawn at random over the whole map, which is said with the result, and no areas are given.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rasterio._err import CPLE_BaseError
from rasterio.errors import RasterioError
from rasterio.warp import transform as to_system

from swath.assessment.estimators import StratifiedSample, measure_difference, measure_map
from swath.assessment.legend import group_order, grouped
from swath.assessment.rasters import ClassRaster, open_classes
from swath.assessment.results import Assessment, MapEstimates, PairedDifference, in_hectares
from swath.assessment.sample import HECTARES, PIXELS, REFERENCE, STRATUM, WEIGHT, WHOLE
from swath.errors import DataError
from swath.mapping.places import Geometry, LabeledPlace, Places, match_names, points_of, read_places
from swath.model.memory import Teaching, taught_places
from swath.pages.text import counted

_MODEL_TAG = "SWATH_MODEL_SHA256"  # in rasters that swath map writes
_LINES = 32  # laid across a polygon
_FEW = 50  # points of a stratum below which intervals are less exact
_LOST = 1e-6  # share of the sampled ground without a labeled place, from which on it is more than rounding
_ROUNDING = 1e-3  # of hectares that went through a table
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Design:
    """How points were drawn.

    Attributes
    ----------
    strata : tuple of str
        Names of the strata.
    stratum : numpy.ndarray
        ``[N]``, the stratum of every point.
    hectares : numpy.ndarray
        ``[H]``.
    pixels : numpy.ndarray or None
        ``[H]``, where they are known.
    weights : numpy.ndarray or None
        ``[N]``, hectares that a point stands for, where they are known.
    whole : float
        Hectares of all strata, those without a point too.
    """

    strata: tuple[str, ...]
    stratum: npt.NDArray[np.intp]
    hectares: Floats
    pixels: npt.NDArray[np.int64] | None
    weights: Floats | None
    whole: float


def read_reference(path: str | Path, *, label_field: str | None = None, crs: Any = None) -> Places:
    """Read places to compare a map with; their classes are in the column ``reference`` unless another one is named.

    Raises
    ------
    DataError, SettingError
        As :func:`swath.mapping.places.read_places`.
    """
    return read_places(path, label_field=label_field, usual=REFERENCE, crs=crs)


def assess_places(maps: Sequence[Path], places: Places, *, groups: Mapping[str, str] | None = None) -> Assessment:
    """Estimate the accuracy of maps, and the areas of their classes, from labeled places.

    Parameters
    ----------
    maps : sequence of Path
        Class rasters. For several of them only the places on data of all are used, and their accuracies are compared.
    places : Places
        From :func:`read_reference`. Of a polygon the pixel under a point inside it counts.
    groups : mapping of str to str, optional
        From :func:`swath.assessment.legend.read_legend`.

    Returns
    -------
    Assessment

    Raises
    ------
    MissingFileError, DataError
        As :func:`swath.assessment.rasters.open_classes`; or if no place is left to compare with.
    """
    rows = places.rows
    left: Counter[str] = Counter()
    names = [path.name for path in maps]
    if len(set(names)) < len(names):
        names = [str(path) for path in maps]
    xy = reference_points(places)
    found, known = [], []
    on_data, pixel = np.ones(len(rows), bool), np.zeros((len(rows), 2), np.intp)
    unknown = [note for path in maps if (note := _check_taught(path, places)) is not None]
    for k, path in enumerate(maps):
        with open_classes(path) as raster:
            x, y = _transformed(places.crs, raster.crs, xy)
            values, inside = raster.at(x, y)
            left[f"outside {names[k]}"] += int((on_data & ~inside).sum())
            left[f"on nodata of {names[k]}"] += int((on_data & inside & (values < 0)).sum())
            on_data &= values >= 0
            if k == 0:
                pixel[inside] = np.stack(raster.pixel(x[inside], y[inside]), axis=1)
            found.append([raster.named(int(value)) if value >= 0 else "" for value in values])
            known.append(_classes(raster, values))
    classes = list(dict.fromkeys(name for one in known for name in one))
    spelled, notes = match_names(
        sorted({row.label for row in rows if row.label is not None}), [*classes, *(groups or ())]
    )
    labels = [None if row.label is None else spelled.get(row.label, row.label) for row in rows]
    unlabeled = np.array([label is None for label in labels])
    left["without a label"] = int((on_data & unlabeled).sum())
    reference = [None if label is None else grouped(label, groups) for label in labels]
    mapped = [[grouped(name, groups) for name in one] for one in found]
    loose = np.array([reference[k] is None or any(one[k] is None for one in mapped) for k in range(len(rows))])
    left["in no group of the legend"] = int((on_data & ~unlabeled & loose).sum())
    used = on_data & ~unlabeled & ~loose
    twice = _repeated(pixel, reference, used)
    left["on the pixel of another place"] = int(twice.sum())
    used &= ~twice
    if not used.any():
        reasons = ", ".join(f"{count} {reason}" for reason, count in left.items() if count)
        raise DataError(
            f"none of the {len(rows)} places of {places.name} can be compared with {names[0]} ({reasons})",
            fix=f"fill in '{places.label_field}'"
            if left["without a label"]
            else "label places that lie on the map; draw some with: swath sample MAP --out PLACES.gpkg",
        )
    order = group_order(
        groups, [*classes, *sorted({str(reference[k]) for k in np.flatnonzero(used).tolist()} - set(classes))]
    )
    present = {str(reference[k]) for k in np.flatnonzero(used).tolist()} | {
        str(one[k]) for one in mapped for k in np.flatnonzero(used)
    }
    order = [name for name in order if name in present]
    design = read_design(rows)
    sample, hectares, more = _sample(order, mapped, reference, used, on_data, design)
    of_maps = tuple(
        MapEstimates(
            map=name,
            strata=_strata(design, found[k], used),
            accuracy=(estimates := measure_map(sample, which=k)),
            hectares=None if hectares is None else in_hectares(estimates, hectares),
        )
        for k, name in enumerate(names)
    )
    stray = sorted({name for name in present if name not in {grouped(one, groups) for one in classes}})
    several = "" if len(maps) == 1 else "s"
    notes = (*places.notes, *notes, *more, *unknown)
    if stray:
        shown = ", ".join(f"'{name}'" for name in stray[:4])
        notes += (
            f"the reference has {counted(len(stray), 'class', 'classes')} that the map{several} cannot show ({shown}): "
            "places of it count as errors of the map, and its area is estimated",
        )
    notes += tuple(note for one in of_maps if (note := _never_mapped(one, stray)) is not None)
    differences = tuple(
        PairedDifference(first=names[0], second=names[k], difference=measure_difference(sample, 0, k))
        for k in range(1, len(maps))
    )
    return Assessment(
        reference=places.name,
        n=int(used.sum()),
        left_out={reason: count for reason, count in left.items() if count},
        design="random sample assumed" if design is None else "stratified random sample",
        mapped_hectares=hectares,
        maps=of_maps,
        differences=differences,
        notes=notes,
    )


def _never_mapped(one: MapEstimates, stray: Sequence[str]) -> str | None:
    """Why classes have no interval: a map that is known everywhere shows none of them; of `stray` ones that is said."""
    never = [
        f"'{name}'"
        for name, scores in one.accuracy.per_class.items()
        if name not in stray and not scores.mapped and scores.producers.n and scores.producers.high == 0
    ]
    if not never:
        return None
    return f"{one.map} shows no {', '.join(never[:4])}: its producer's accuracy is 0 without an interval"


def reference_points(places: Places) -> Floats:
    """The point ``[N, 2]`` by which each place counts: itself, the first of several, or one inside a polygon."""
    return np.array([_inside(row.geometry) for row in places.rows])


def _check_taught(path: Path, places: Places) -> str | None:
    """Refuse places that taught the model of a map; a note where the record that would say so is gone.

    Raises
    ------
    DataError
        If the model learned from some of them.
    """
    record = path.with_suffix(".json")
    try:
        taught = json.loads(record.read_text(encoding="utf-8"))["model"]["taught"]
        known = taught_places([Teaching.model_validate(one) for one in taught], places.lonlat)
    except (OSError, ValueError, KeyError, TypeError):
        with open_classes(path) as raster:
            if _MODEL_TAG not in raster.dataset.tags():
                return None
        return (
            f"{record.name} next to {path.name} is missing or damaged: whether these places taught its model is unknown"
        )
    if known.any():
        raise DataError(
            f"{counted(int(known.sum()), 'place', 'places')} of {places.name} taught the model of {path.name}: no map "
            "is assessed by what its model has learned",
            fix=f"label others: swath sample {path.name} --out NEW.gpkg",
        )
    return None


def read_design(rows: Sequence[LabeledPlace]) -> Design | None:
    """How the points of a file were drawn, from the columns that ``swath sample`` writes; None without them.

    Raises
    ------
    DataError
        If some rows have them and others do not, or rows of one stratum differ.
    """
    strata = [row.attributes.get(STRATUM) for row in rows]
    sizes = [_positive(row.attributes.get(HECTARES)) for row in rows]
    stated = [name not in (None, "") and size is not None for name, size in zip(strata, sizes, strict=True)]
    if not any(stated):
        return None
    if not all(stated):
        lacking = rows[stated.index(False)].where
        raise DataError(
            f"{lacking} has no '{STRATUM}' and '{HECTARES}' as other places of its file have: it was added to a sample",
            fix="assess them in a file of their own",
        )
    names = sorted({str(name) for name in strata})
    number = np.array([names.index(str(name)) for name in strata], np.intp)
    hectares, pixels = np.zeros(len(names)), np.zeros(len(names), np.int64)
    for k, name in enumerate(names):
        own = np.flatnonzero(number == k)
        of_stratum = {round(float(sizes[row] or 0), 6) for row in own}
        if max(of_stratum) - min(of_stratum) > _ROUNDING * max(of_stratum):
            raise DataError(
                f"places of the stratum '{name}' state different sizes of it: samples of several maps in one file",
                fix="assess each sample by itself",
            )
        hectares[k] = max(of_stratum)
        pixels[k] = int(_positive(rows[own[0]].attributes.get(PIXELS)) or 0)
    weights = [_positive(row.attributes.get(WEIGHT)) for row in rows]
    wholes = [size for row in rows if (size := _positive(row.attributes.get(WHOLE))) is not None]
    return Design(
        strata=tuple(names),
        stratum=number,
        hectares=hectares,
        pixels=pixels if pixels.all() else None,
        weights=None if None in weights else np.array(weights, np.float64),
        whole=max([math.fsum(hectares), *wholes[:1]]),
    )


def _sample(
    classes: Sequence[str],
    mapped: Sequence[Sequence[str | None]],
    reference: Sequence[str | None],
    used: npt.NDArray[np.bool_],
    on_data: npt.NDArray[np.bool_],
    design: Design | None,
) -> tuple[StratifiedSample, float | None, tuple[str, ...]]:
    """The used points as a sample, the hectares they stand for, and what to know of them."""
    at = np.flatnonzero(used).tolist()
    number = {name: k for k, name in enumerate(classes)}
    truth = np.array([number[str(reference[k])] for k in at], np.intp)
    of_maps = np.array([[number[str(one[k])] for k in at] for one in mapped], np.intp)
    if design is None:
        notes: tuple[str, ...] = (
            "the places do not say how they were drawn: intervals hold if they are a random sample of the map, and "
            "areas are not estimated (draw a sample with: swath sample)",
        )
        sample = StratifiedSample(
            tuple(classes),
            stratum=np.zeros(len(at), np.intp),
            mapped=of_maps,
            reference=truth,
            areas=np.ones(1),
            whole=False,
        )
        return sample, None, notes
    size = len(design.strata)
    weights = np.ones(len(used)) if design.weights is None else design.weights
    everywhere = np.bincount(design.stratum, weights, size)
    # Of a stratum the part without data on some map is out; how large that is, its points say.
    hectares = design.hectares * np.bincount(design.stratum, weights * on_data, size) / everywhere
    counts = np.bincount(design.stratum[at], minlength=size)
    kept = np.flatnonzero(counts)
    lost = 1 - hectares[kept].sum() / (design.whole * hectares.sum() / design.hectares.sum())
    notes = ()
    if lost > _LOST:
        notes += (
            f"{100 * lost:.2g} % of the sampled ground is in strata without a labeled place: nothing is said of it",
        )
    few = [design.strata[k] for k in kept if counts[k] < _FEW]
    if few:
        shown = ", ".join(few[:3]) + (", ..." if len(few) > 3 else "")
        notes += (
            f"fewer than {_FEW} places in {counted(len(few), 'stratum', 'strata')} ({shown}): intervals are rough",
        )
    renumbered = np.full(size, -1, np.intp)
    renumbered[kept] = np.arange(len(kept))
    sample = StratifiedSample(
        tuple(classes),
        stratum=renumbered[design.stratum[at]],
        mapped=of_maps,
        reference=truth,
        areas=hectares[kept],
        pixels=None if design.pixels is None else design.pixels[kept],
        weights=weights[at],
        whole=lost <= _LOST,
    )
    return sample, float(hectares[kept].sum()), notes


def _strata(design: Design | None, found: Sequence[str], used: npt.NDArray[np.bool_]) -> str:
    """What the strata are to a map, and so whose estimators these are."""
    if design is None:
        return ""
    own = all(design.strata[design.stratum[k]] == found[k] for k in np.flatnonzero(used).tolist())
    return "classes of this map (Olofsson et al. 2014)" if own else "not the classes of this map (Stehman 2014)"


def _classes(raster: ClassRaster, values: npt.NDArray[np.intp]) -> list[str]:
    """Names that a map can show, by value."""
    named = {value for value in raster.names if value != raster.dataset.nodata}
    return [raster.named(value) for value in sorted(named | {int(value) for value in values if value >= 0})]


def _repeated(
    pixel: npt.NDArray[np.intp], reference: Sequence[str | None], used: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_]:
    """Places that repeat the class of an earlier one on the same pixel.

    Raises
    ------
    DataError
        If two of a pixel have different classes.
    """
    first: dict[tuple[int, int], int] = {}
    twice = np.zeros(len(used), bool)
    for k in np.flatnonzero(used).tolist():
        before = first.setdefault((int(pixel[k, 0]), int(pixel[k, 1])), int(k))
        if before != k:
            if reference[before] != reference[k]:
                raise DataError(
                    f"two places on one pixel are of different classes ('{reference[before]}' and '{reference[k]}')",
                    fix="correct one of them",
                )
            twice[k] = True
    return twice


def _inside(geometry: Geometry) -> tuple[float, float]:
    """A point of a place; of a polygon the middle of the widest part of a line across it, near its middle."""
    if geometry["type"] in ("Point", "MultiPoint"):
        x, y = next(points_of(geometry))
        return float(x), float(y)
    polygons = [geometry["coordinates"]] if geometry["type"] == "Polygon" else geometry["coordinates"]
    rings = [np.array(ring, np.float64) for ring in max(polygons, key=lambda polygon: len(polygon[0]))]
    corners = rings[0]
    levels = np.unique(corners[:, 1])
    if len(levels) < 2:
        return float(corners[:, 0].mean()), float(levels[0])
    between = (levels[:-1] + levels[1:]) / 2  # lines that meet no corner
    nearest = np.argsort(np.abs(between - (levels[0] + levels[-1]) / 2), kind="stable")[:_LINES]
    _, x, y = max(_widest(rings, float(between[k])) for k in nearest)
    return x, y


def _widest(rings: Sequence[Floats], level: float) -> tuple[float, float, float]:
    """Width of the widest part of a line across a polygon, and the point in the middle of it."""
    crossings: list[float] = []
    for ring in rings:
        (x1, y1), (x2, y2) = ring.T, np.roll(ring, -1, axis=0).T  # closed, whether the file closes it or not
        meets = (y1 < level) != (y2 < level)
        crossings += (x1 + (level - y1) / np.where(meets, y2 - y1, 1) * (x2 - x1))[meets].tolist()
    ordered = sorted(crossings)
    start, end = max(zip(ordered[::2], ordered[1::2], strict=True), key=lambda pair: pair[1] - pair[0])
    return end - start, (start + end) / 2, level


def _transformed(source: Any, target: Any, xy: Floats) -> tuple[Floats, Floats]:
    """Coordinates in the system of a map; NaN where they have none in it."""
    if source == target:
        return xy[:, 0], xy[:, 1]
    try:
        x, y = to_system(source, target, xy[:, 0].tolist(), xy[:, 1].tolist())[:2]
    except (RasterioError, CPLE_BaseError):
        if len(xy) == 1:
            return np.array([np.nan]), np.array([np.nan])
        half = len(xy) // 2
        parts = [_transformed(source, target, part) for part in (xy[:half], xy[half:])]
        return np.concatenate([parts[0][0], parts[1][0]]), np.concatenate([parts[0][1], parts[1][1]])
    return np.where(np.isfinite(x), x, np.nan), np.where(np.isfinite(y), y, np.nan)


def _positive(value: Any) -> float | None:
    """A cell as a number above 0."""
    with contextlib.suppress(TypeError, ValueError):
        number = float(value)
        if math.isfinite(number) and number > 0:
            return number
    return None
