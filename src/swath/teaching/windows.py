"""Windows around labeled places: where they lie in the scene, and how they are cut.

Each place is seen several times, shifted by a few pixels and turned, for nobody clicks the middle of a field. A polygon
gives up to :data:`MOST_CENTERS` windows inside it. What lies outside the scene or on no data is left out and said.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from rasterio.windows import Window

from swath.errors import DataError
from swath.inference.rescale import Asked, RescaleDecision, read_rescale
from swath.mapping.grid import Axis, make_grid
from swath.mapping.places import LabeledPlace, Places, points_of
from swath.mapping.reader import Bands, check_values, choose_bands, open_scene
from swath.mapping.strips import Strips, rescale_scene
from swath.model.record import InputSpec
from swath.progress import Progress, silent

VIEWS = 4  # six teach no more on re-rendered scenes, and take half as long again
SHIFT = 10 / 64  # of a window's side, at most
MOST_CENTERS = 8  # windows of one polygon
MOST_BYTES = 2**30  # of all views
_GRID = 64  # points along a side of a polygon at which it is looked for
_LEAST_DATA = 0.5  # of a window
_SAME = 1 / 16  # of a window's side: centers nearer than that are one window
_RANDOM_TRIES = 50
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class PlaceWindows:
    """Windows cut around places.

    Attributes
    ----------
    pixels : numpy.ndarray
        ``[N, V, bands, P, P]`` in the model's data type; view 0 is centered and not turned.
    labels : tuple of str
        ``[N]``, the class of each window.
    places : numpy.ndarray
        int64 ``[N]``, the place that each belongs to; a polygon may have several.
    groups : numpy.ndarray
        int64 ``[N]``, the same for windows that share ground, so that they are held out together.
    lonlat : numpy.ndarray
        ``[M, 2]``, longitude and latitude of the places.
    notes : tuple of str
        What was left out or decided.
    """

    pixels: npt.NDArray[Any]
    labels: tuple[str, ...]
    places: Ints
    groups: Ints
    lonlat: Floats
    notes: tuple[str, ...] = ()


@contextlib.contextmanager
def open_strips(
    scene: Any, spec: InputSpec, *, bands: Sequence[int] | None, rescale: Asked, nodata: float | None
) -> Iterator[tuple[Strips, Bands, RescaleDecision]]:
    """Open a scene with the bands and the rescaling that a map of it would have.

    Raises
    ------
    DataError, SettingError
        As :func:`swath.mapping.map_scene`.
    """
    with open_scene(scene, nodata=nodata, black=spec.data_type == "uint8") as opened:
        chosen = choose_bands(
            opened.bands, spec.bands, asked=bands, of=spec.file_bands, scene=opened.name, sensor=opened.product.sensor
        )
        check_values(opened, spec, rescale=read_rescale(rescale))
        grid = make_grid(opened.height, opened.width, patch=spec.size, stride=spec.size)
        strips = Strips(opened, grid, bands=chosen.indexes)
        yield strips, chosen, rescale_scene(strips, spec, rescale)


def cut_windows(
    strips: Strips, places: Places, *, size: int, views: int = VIEWS, seed: int = 0, progress: Progress = silent
) -> PlaceWindows:
    """Cut windows around places from a scene.

    Parameters
    ----------
    strips : Strips
        The scene, with the bands and the rescaling of a map.
    places : Places
        With labels, in any coordinate reference system.
    size : int
        Side of a window in pixels of the scene.
    views : int
        Per window.
    seed : int
        Of shifts and turns.
    progress : Progress
        Called with stage ``"windows"``.

    Raises
    ------
    DataError
        If no place lies on data in the scene, or two classes are said of one window.
    """
    scene = strips.scene
    if not scene.crs:
        raise DataError(
            f"{scene.name} has no coordinate reference system, so places cannot be found in it",
            fix=f"give it one, for example with: rio edit-info --crs EPSG:32632 {scene.name}",
        )
    moved = places.to_crs(scene.crs)
    inverse = ~scene.transform
    centers: list[tuple[float, float]] = []
    owners: list[int] = []
    outside: list[str] = []
    for number, place in enumerate(moved.rows):
        found = [
            (row, column)
            for column, row in _centers(place, inverse, size)
            if 0 <= row < scene.height and 0 <= column < scene.width
        ]
        if not found:
            outside.append(place.where)
        centers += found
        owners += [number] * len(found)
    if not centers:
        raise DataError(
            f"none of the {len(moved.rows)} places of {places.name} lies in {scene.name}",
            fix="give places of this scene, or name their system with --places-crs",
        )
    check_room(len(centers) * views, size, bands=strips.bands, name=places.name)
    at, owner = np.array(centers), np.array(owners, np.int64)
    _refuse_conflicts(at, [moved.rows[k] for k in owner], size)
    pixels, share = cut_at(strips, at, size=size, views=views, seed=seed, progress=progress)
    kept = share >= _LEAST_DATA
    blank = sorted({moved.rows[k].where for k in set(owner.tolist()) - set(owner[kept].tolist())})
    if not kept.any():
        raise DataError(f"all places of {places.name} lie where {scene.name} has no data", fix="choose places on data")
    notes = list(moved.notes)
    for lost, why in ((outside, f"outside {scene.name}"), (blank, f"where {scene.name} has no data")):
        if lost:
            notes.append(f"{len(lost)} of {len(moved.rows)} places lie {why} and were left out: {_some(lost)}")
    owner, at, pixels = owner[kept], at[kept], pixels[kept]
    numbers, place_of = np.unique(owner, return_inverse=True)
    return PlaceWindows(
        pixels=pixels,
        labels=tuple(str(moved.rows[k].label) for k in owner),
        places=place_of.astype(np.int64),
        groups=overlap_groups(at, place_of, size),
        lonlat=moved.lonlat[numbers],
        notes=tuple(notes),
    )


def check_room(views: int, size: int, *, bands: int, name: str, itemsize: int = 2) -> None:
    """Refuse more views than memory is allowed for.

    Raises
    ------
    DataError
        If they take more than :data:`MOST_BYTES`.
    """
    most = MOST_BYTES // (size * size * bands * itemsize)
    if views > most:
        raise DataError(
            f"{name} gives {views // VIEWS:,} windows, and {most // VIEWS:,} are learned at once at most",
            fix="keep the places that matter, some of each class, or train: swath train",
        )


def random_windows(
    strips: Strips, avoid: PlaceWindows, at: Floats, *, count: int, size: int, label: str, views: int, seed: int
) -> PlaceWindows:
    """Windows at random centers a window or more away from others, as examples of everything else.

    Parameters
    ----------
    strips : Strips
        The scene.
    avoid : PlaceWindows
        Windows already cut; theirs are the first groups and places.
    at : numpy.ndarray
        ``[M, 2]``, rows and columns to keep away from.
    count, size, label, views, seed
        How many, their side, their class, and views and seed as in :func:`cut_windows`.

    Raises
    ------
    DataError
        If the scene has no room for any.
    """
    scene = strips.scene
    rng = np.random.default_rng(seed)
    tries = rng.random((count * _RANDOM_TRIES, 2)) * (scene.height, scene.width)
    away = np.abs(tries[:, None] - at[None]).max(axis=2).min(axis=1) >= size
    chosen = tries[away][: 2 * count]
    empty = np.empty((0, *avoid.pixels.shape[1:]), avoid.pixels.dtype), np.empty(0)
    pixels, share = cut_at(strips, chosen, size=size, views=views, seed=seed) if len(chosen) else empty
    good = np.flatnonzero(share >= _LEAST_DATA)[:count]
    if not len(good):
        raise DataError(
            f"{scene.name} has no room for random places a window away from the labeled ones",
            fix="label other places too, and give --negatives places",
        )
    first_place, first_group = int(avoid.places.max()) + 1, int(avoid.groups.max()) + 1
    numbers = np.arange(len(good))
    return PlaceWindows(
        pixels=np.concatenate([avoid.pixels, pixels[good]]),
        labels=(*avoid.labels, *[label] * len(good)),
        places=np.concatenate([avoid.places, first_place + numbers]),
        groups=np.concatenate([avoid.groups, first_group + overlap_groups(chosen[good], numbers, size)]),
        lonlat=avoid.lonlat,
        notes=avoid.notes,
    )


def pixel_centers(strips: Strips, places: Places) -> Floats:
    """Row and column of the middle of each place, ``[N, 2]``."""
    scene = strips.scene
    moved = places.to_crs(scene.crs)
    inverse = ~scene.transform
    return np.array([(row, column) for column, row in (_pixel(inverse, *c) for c in moved.centers.tolist())])


def turned_views(pixels: npt.NDArray[Any], *, views: int, seed: int) -> npt.NDArray[Any]:
    """Views ``[N, V, bands, P, P]`` of patches ``[N, bands, P, P]`` that have no surroundings: shifted with mirrored
    edges, and turned.
    """
    size = pixels.shape[-1]
    margin = round(size * SHIFT)
    wide = np.pad(pixels, ((0, 0), (0, 0), (margin, margin), (margin, margin)), mode="reflect")
    return np.stack([_views(one, size, plan) for one, plan in zip(wide, _plans(len(pixels), views, size, seed))])  # noqa: B905


def overlap_groups(at: Floats, places: Ints, size: int) -> Ints:
    """The same number for windows that overlap, directly or by others, or belong to one place."""
    parent = list(range(len(at)))

    def root(k: int) -> int:
        while parent[k] != k:
            parent[k] = parent[parent[k]]
            k = parent[k]
        return k

    order = np.argsort(at[:, 0], kind="stable")
    rows = at[order, 0]
    for position, one in enumerate(order.tolist()):
        end = int(np.searchsorted(rows, rows[position] + size, side="left"))
        near = order[position + 1 : end]
        for other in near[np.abs(at[near, 1] - at[one, 1]) < size].tolist():
            parent[root(other)] = root(one)
    first: dict[int, int] = {}
    for k, place in enumerate(np.asarray(places).tolist()):
        parent[root(k)] = root(first.setdefault(place, k))
    return np.unique([root(k) for k in range(len(at))], return_inverse=True)[1].astype(np.int64)


def _pixel(inverse: Any, x: float, y: float) -> tuple[float, float]:
    """Column and row; without the multiplication operator, which the library wants to give up."""
    return inverse.a * x + inverse.b * y + inverse.c, inverse.d * x + inverse.e * y + inverse.f


def _centers(place: LabeledPlace, inverse: Any, size: int) -> list[tuple[float, float]]:
    """Columns and rows of the windows of a place, :data:`MOST_CENTERS` at most."""
    kind, coordinates = place.geometry["type"], place.geometry["coordinates"]
    if kind in ("Point", "MultiPoint"):
        return _thinned([_pixel(inverse, *point[:2]) for point in points_of(place.geometry)])
    polygons = [coordinates] if kind == "Polygon" else coordinates
    rings = [np.array([_pixel(inverse, *point[:2]) for point in ring]) for polygon in polygons for ring in polygon]
    corners = np.concatenate(rings)
    low, high = corners.min(axis=0), corners.max(axis=0)
    counts = np.clip(np.floor((high - low) / (size / 2)), 1, _GRID).astype(int)
    columns, rows = (low[k] + (np.arange(counts[k]) + 0.5) * (high[k] - low[k]) / counts[k] for k in range(2))
    inside = [
        (float(column), float(row))
        for row in rows
        for column in columns[np.searchsorted(_crossings(rings, float(row)), columns) % 2 == 1]
    ]
    return _thinned(inside) if inside else [_inner_point(rings, low, high)]


def _crossings(rings: Sequence[Floats], row: float) -> Floats:
    """Columns at which outlines cross a row, ascending; between the first and the second is inside, and so on."""
    found = []
    for ring in rings:  # a hole is a ring like others
        (x1, y1), (x2, y2) = ring[:-1].T, ring[1:].T
        cut = (y1 > row) != (y2 > row)
        found.append(x1[cut] + (x2[cut] - x1[cut]) * (row - y1[cut]) / (y2[cut] - y1[cut]))
    return np.sort(np.concatenate(found))


def _inner_point(rings: Sequence[Floats], low: Floats, high: Floats) -> tuple[float, float]:
    """A point inside a small or thin polygon: the middle of its widest part on one of a few rows."""
    best, widest = ((low[0] + high[0]) / 2, (low[1] + high[1]) / 2), -1.0
    for part in (0.5, 0.3, 0.7, 0.1, 0.9):
        row = low[1] + part * (high[1] - low[1])
        ends = _crossings(rings, float(row)).reshape(-1, 2)
        if len(ends) and float(np.ptp(ends, axis=1).max()) > widest:
            left, right = ends[np.ptp(ends, axis=1).argmax()]
            best, widest = ((left + right) / 2, row), float(right - left)
    return float(best[0]), float(best[1])


def _thinned(centers: list[tuple[float, float]]) -> list[tuple[float, float]]:
    rows = np.unique(np.linspace(0, len(centers) - 1, min(len(centers), MOST_CENTERS)).round().astype(int))
    return [centers[k] for k in rows]


def _refuse_conflicts(at: Floats, rows: Sequence[LabeledPlace], size: int) -> None:
    order = np.argsort(at[:, 0], kind="stable")
    near = size * _SAME
    for position, one in enumerate(order.tolist()):
        for other in order[position + 1 :].tolist():
            if at[other, 0] - at[one, 0] >= near:
                break
            if abs(at[other, 1] - at[one, 1]) < near and rows[one].label != rows[other].label:
                first, second = sorted((one, other))
                raise DataError(
                    f"{rows[first].where} is {rows[first].label} and {rows[second].where} is {rows[second].label}, "
                    "and they are one window of the scene",
                    fix="keep one of the two",
                )


Plan = tuple[int, int, int, bool]  # shift down and right, quarter turns, mirrored


def _plans(count: int, views: int, size: int, seed: int) -> list[list[Plan]]:
    rng = np.random.default_rng(seed)
    most = round(size * SHIFT)
    plans: list[list[Plan]] = []
    for _ in range(count):
        shifts = rng.integers(-most, most + 1, (views, 2)).tolist()
        turns = rng.integers(0, 8, views).tolist()
        plan = [(down, right, turn % 4, turn >= 4) for (down, right), turn in zip(shifts, turns, strict=True)]
        plans.append([(0, 0, 0, False), *plan[1:]])
    return plans


def _views(wide: npt.NDArray[Any], size: int, plan: Sequence[Plan]) -> npt.NDArray[Any]:
    """Views ``[V, bands, P, P]`` of ``[bands, P + 2 m, P + 2 m]``."""
    margin = (wide.shape[-1] - size) // 2
    found = []
    for down, right, turns, mirrored in plan:
        part = wide[:, margin + down : margin + down + size, margin + right : margin + right + size]
        part = part[..., ::-1] if mirrored else part
        found.append(np.rot90(part, turns, axes=(1, 2)))
    return np.stack(found)


def cut_at(
    strips: Strips, at: Floats, *, size: int, views: int, seed: int, progress: Progress = silent
) -> tuple[npt.NDArray[Any], Floats]:
    """Views around centers: the centered one, then shifted and turned ones.

    Parameters
    ----------
    strips : Strips
        The scene.
    at : numpy.ndarray
        ``[N, 2]``, rows and columns.
    size, views, seed
        As for :func:`cut_windows`.
    progress : Progress
        Called with stage ``"windows"``.

    Returns
    -------
    tuple of numpy.ndarray
        ``[N, V, bands, P, P]`` in the model's data type, and the share of data ``[N]`` in the centered view.
    """
    scene, margin = strips.scene, round(size * SHIFT)
    axes = [Axis(length, size, size) for length in (scene.height, scene.width)]
    plans = _plans(len(at), views, size, seed)
    pixels, shares = [], np.zeros(len(at))
    # From top to bottom, so that blocks are decoded once.
    for done, k in enumerate(np.argsort(at[:, 0], kind="stable").tolist(), start=1):
        starts = [round(float(center) - size / 2) - margin for center in at[k]]
        rows, columns = (
            axis.source(start, start + size + 2 * margin) for axis, start in zip(axes, starts, strict=True)
        )
        top, left = int(rows.min()), int(columns.min())
        values, valid = strips.window(Window(left, top, int(columns.max()) - left + 1, int(rows.max()) - top + 1))
        where = np.ix_(rows - top, columns - left)
        wide = values[:, where[0], where[1]]
        shares[k] = valid[where][margin : margin + size, margin : margin + size].mean()
        pixels.append((k, _views(wide, size, plans[k])))
        progress("windows", done, len(at))
    return np.stack([views for _, views in sorted(pixels, key=lambda pair: pair[0])]), shares


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
