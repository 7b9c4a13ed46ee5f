"""Draw a stratified random sample of a map's pixels, to be labeled and given to ``swath assess``.

The strata are the map's classes. Pixels get random numbers by their row and column, and the lowest of each class are
the sample: a simple random sample without replacement of every class, from one pass over the raster, the same whatever
the tiles and the compression of the file. What a point stands for travels with it, as columns of the file: a sample
that was edited in a GIS or converted still says its design.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from rasterio.errors import RasterioError
from rasterio.windows import Window

from swath.assessment.rasters import LARGEST, ClassRaster, ClassTotals, Mask, TotalsCounter, Values, open_classes
from swath.errors import DataError, SettingError
from swath.files import check_output
from swath.imagery.rasters import unreadable
from swath.mapping.geopackage import PICTURE
from swath.mapping.opening import open_file
from swath.mapping.pictures import draw_places, footprints
from swath.mapping.places import LabeledPlace, Places, write_places
from swath.model.record import class_infos
from swath.progress import Progress, silent

Allocation = Literal["proportional", "equal", "neyman"]
FEWEST = 2  # points of a class: fewer have no spread
MOST = 50_000
ENOUGH = 50  # points of a class, from which on the intervals hold what they say
REFERENCE, STRATUM, MAPPED, WEIGHT = "reference", "stratum", "map_class", "weight_ha"
PIXELS, HECTARES, WHOLE = "stratum_pixels", "stratum_ha", "map_ha"
DESIGN = (STRATUM, MAPPED, WEIGHT, PIXELS, HECTARES, WHOLE)
_AROUND = 24  # side of a picture in pixels of the map
_LIKELY = (0.5, 0.98)  # range of user's accuracies that a mean confidence is taken to say
_NO_CONFIDENCE = "use --allocation proportional or equal"
Numbers = npt.NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class MapSample:
    """A stratified random sample of a map.

    Attributes
    ----------
    classes : tuple of str
        Names of the strata.
    points : tuple of int
        Points of each.
    pixels : tuple of int
        Pixels of each.
    hectares : tuple of float
        Size of each.
    notes : tuple of str
        What to know before labeling.
    files : tuple of Path
        What was written.
    """

    classes: tuple[str, ...]
    points: tuple[int, ...]
    pixels: tuple[int, ...]
    hectares: tuple[float, ...]
    notes: tuple[str, ...]
    files: tuple[Path, ...]


def sample_map(
    path: str | Path,
    *,
    out: str | Path,
    n: int = 100,
    per_class: int | None = None,
    allocation: Allocation = "proportional",
    scene: Any = None,
    bands: Sequence[int] | None = None,
    seed: int = 0,
    overwrite: bool = False,
    progress: Progress = silent,
) -> MapSample:
    """Draw a stratified random sample of the pixels of a map and write it as points to label.

    Parameters
    ----------
    path : str or Path
        Class raster, as :func:`swath.mapping.map_scene` writes it; any other one, too.
    out : str or Path
        GeoPackage to write. Its column ``reference`` is empty, and a style next to it offers the map's classes there.
    n : int
        Points in all.
    per_class : int, optional
        Points that every class gets at least; the others follow `allocation`. By default 2, below which a class has no
        interval.
    allocation : str
        How points are shared among classes: by their area (``proportional``), the same to all (``equal``), or by area
        times the spread that the map's confidence lets expect (``neyman``; Cochran 1977, equation 5.26), which needs
        the raster ``.confidence.tif`` next to the map.
    scene : optional
        Image to draw a small picture of every point from, with its pixel framed: what was mapped, or a finer one; as
        for :func:`swath.mapping.map_scene`.
    bands : sequence of int, optional
        Its bands to show as red, green and blue.
    seed : int
        The same seed draws the same pixels.
    overwrite : bool
        Replace files that exist.
    progress : Progress
        Called per strip and per picture.

    Returns
    -------
    MapSample

    Raises
    ------
    MissingFileError, DataError
        As :func:`swath.assessment.rasters.open_classes`; or if the map holds no class.
    SettingError
        If there are fewer points than classes need, or no confidence for ``neyman``.
    OutputError
        If a file exists or cannot be written.
    """
    path, out = Path(path), Path(out)
    if out.suffix.lower() != ".gpkg":
        raise SettingError(f"a sample is written as GeoPackage, not as {out.name}", fix="end --out in .gpkg")
    if not 1 <= n <= MOST:
        raise SettingError(f"--n {n} is not from 1 to {MOST:,}", fix="give a number of points in that range")
    if per_class is not None and per_class < 1:
        raise SettingError(f"--per-class {per_class} is not 1 or more", fix="leave it out")
    for file in (out, out.with_suffix(".qml")):
        check_output(file, overwrite=overwrite)
    beside = path.with_name(f"{path.stem}.confidence{path.suffix}")
    if allocation == "neyman" and path.is_file() and not beside.is_file():
        raise SettingError(f"--allocation neyman needs {beside.name} next to the map", fix=_NO_CONFIDENCE)
    with open_classes(path) as raster:
        sure = _Confidence(beside, raster) if allocation == "neyman" else None
        drawn, counter = _Draw(most=n, seed=seed), TotalsCounter(raster)
        for top, values, valid in raster.strips(progress, stage="drawing"):
            counter.add(top, values, valid)
            drawn.add(top, values, valid)
            if sure is not None:
                sure.add(top, values, valid)
        totals = counter.totals()
        counts = allocate(
            n,
            totals,
            allocation=allocation,
            least=FEWEST if per_class is None else per_class,
            users=None if sure is None else sure.users(totals),
        )
        places, at = _places(raster, totals, counts, drawn, seed)
        colors, transform = class_colors(raster, totals.values), raster.transform
    notes = []
    if scene is not None:
        squares = footprints(at + 0.5, size=1, transform=transform, crs=places.crs)
        pictures = draw_places(scene, squares, around=_AROUND, bands=bands, progress=progress)
        places = _with_pictures(places, pictures)
        if missing := pictures.count(None):
            notes.append(f"{missing} of {len(pictures)} points lie outside the scene and have no picture")
    # Whoever labels must not see what the map says.
    files = write_places(out, places, classes=colors, hidden=DESIGN, overwrite=overwrite)
    few = [name for name, count in zip(totals.names, counts, strict=True) if count < ENOUGH]
    if few:
        notes.append(
            f"{len(few)} of {len(counts)} classes have fewer than {ENOUGH} points: their intervals will be wide"
        )
    return MapSample(
        totals.names,
        tuple(counts),
        tuple(map(int, totals.pixels)),
        tuple(map(float, totals.hectares)),
        tuple(notes),
        files,
    )


def allocate(
    n: int,
    totals: ClassTotals,
    *,
    allocation: Allocation = "proportional",
    least: int = FEWEST,
    users: npt.NDArray[np.float64] | None = None,
) -> list[int]:
    """Share points among classes; no class gets more than it has pixels.

    Parameters
    ----------
    n : int
        Points.
    totals : ClassTotals
        Of the map.
    allocation : str
        As for :func:`sample_map`.
    least : int
        Points that every class gets at least, as far as it has pixels.
    users : numpy.ndarray, optional
        ``[K]``, the user's accuracies to expect, for ``neyman``.

    Returns
    -------
    list of int
        Points of each class; their sum is `n`, or the number of pixels where that is less.

    Raises
    ------
    SettingError
        If the classes need more.
    """
    room = totals.pixels
    floor = np.minimum(least, room)
    if floor.sum() > n:
        raise SettingError(
            f"{n} points are too few for {len(room)} classes of at least {least}",
            fix=f"give --n {int(floor.sum())} or more",
        )
    want = np.ones(len(room)) if allocation == "equal" else totals.hectares.copy()
    if allocation == "neyman" and users is not None:
        want *= np.sqrt(users * (1 - users))
    counts = floor.copy()
    # A class whose floor or whose pixels decide is out of the sharing; the others share what is left.
    free = np.ones(len(room), bool)
    while free.any():
        share = np.where(free, want, 0.0)
        share *= (n - counts[~free].sum()) / share.sum()
        fixed = free & ((share < floor) | (share > room))
        if not fixed.any():
            counts = np.where(free, share, counts)
            break
        # Those below their floor first: what they take may bring others below their room.
        low = free & (share < floor)
        chosen = low if low.any() else fixed
        counts = np.where(chosen, np.where(low, floor, room), counts)
        free &= ~chosen
    whole = np.floor(counts + 1e-9).astype(np.int64)
    rest = min(n, int(room.sum())) - int(whole.sum())
    order = np.argsort(-(counts - whole), kind="stable")
    for k in order:
        if rest <= 0:
            break
        if whole[k] < room[k]:
            whole[k] += 1
            rest -= 1
    return [int(count) for count in whole]


class _Draw:
    """Keeps the pixels of the lowest random numbers of every class."""

    def __init__(self, *, most: int, seed: int) -> None:
        self._most, self._seed = most, seed
        self._limit = np.ones(2**16)
        self._kept: dict[int, tuple[npt.NDArray[np.float64], Numbers, Numbers]] = {}

    def add(self, top: int, values: Values, valid: Mask) -> None:
        """Look at a strip."""
        width = values.shape[1]
        keys = np.stack([np.random.default_rng([self._seed, top + k]).random(width) for k in range(len(values))])
        rows, columns = np.nonzero(valid & (keys < self._limit[values]))
        found, numbers = values[rows, columns], keys[rows, columns]
        for value in np.unique(found):
            own = np.flatnonzero(found == value)
            parts = (numbers[own], rows[own] + top, columns[own])
            if value in self._kept:
                keys_before, rows_before, columns_before = self._kept[value]
                parts = (
                    np.concatenate([keys_before, parts[0]]),
                    np.concatenate([rows_before, parts[1]]),
                    np.concatenate([columns_before, parts[2]]),
                )
            if len(parts[0]) > self._most:
                chosen = np.argpartition(parts[0], self._most)[: self._most]
                parts = (parts[0][chosen], parts[1][chosen], parts[2][chosen])
                self._limit[value] = parts[0].max()
            self._kept[int(value)] = parts

    def pixels(self, value: int, count: int) -> tuple[Numbers, Numbers]:
        """Rows and columns of `count` pixels of a class."""
        keys, rows, columns = self._kept[value]
        order = np.lexsort((columns, rows, keys))[:count]
        return rows[order], columns[order]


class _Confidence:
    """Mean confidence of every class, from the raster next to the map."""

    def __init__(self, path: Path, raster: ClassRaster) -> None:
        self._path, self._raster = path, raster
        self._dataset = open_file(str(path))
        if self._dataset.shape != (raster.height, raster.width) or self._dataset.dtypes[0] != "uint8":
            raise DataError(f"{path.name} is not the confidence of {raster.name}", fix=_NO_CONFIDENCE)
        self._sums, self._counts = np.zeros(LARGEST + 1), np.zeros(LARGEST + 1)

    def add(self, top: int, values: Values, valid: Mask) -> None:
        """Look at a strip."""
        try:
            percent = self._dataset.read(1, window=Window(0, top, *values.shape[::-1]))
        except RasterioError as error:
            raise unreadable(self._path.name, "GTiff", error) from error
        known = valid & (percent <= 100)
        self._sums += np.bincount(values[known], percent[known], LARGEST + 1)
        self._counts += np.bincount(values[known], minlength=LARGEST + 1)

    def users(self, totals: ClassTotals) -> npt.NDArray[np.float64]:
        """The user's accuracies that the confidence lets expect, ``[K]``; never so high that a class gets no points."""
        places = list(totals.values)
        mean = self._sums[places] / np.maximum(self._counts[places], 1) / 100
        return np.asarray(np.clip(mean, *_LIKELY))


def _places(
    raster: ClassRaster, totals: ClassTotals, counts: Sequence[int], drawn: _Draw, seed: int
) -> tuple[Places, Numbers]:
    """The sample as places, and their rows and columns ``[N, 2]``, in random order: who labels them does not see class
    after class.
    """
    rows: list[LabeledPlace] = []
    at: list[tuple[int, int]] = []
    whole = math.fsum(totals.hectares)
    for k, (value, name) in enumerate(zip(totals.values, totals.names, strict=True)):
        down, right = drawn.pixels(value, counts[k])
        sizes = raster.hectares(down, right) * int(totals.pixels[k]) / max(counts[k], 1)
        for row, column, size in zip(down.tolist(), right.tolist(), sizes.tolist(), strict=True):
            x, y = raster.transform @ (column + 0.5, row + 0.5)
            attributes: dict[str, Any] = {
                STRATUM: name,
                MAPPED: name,
                WEIGHT: size,
                PIXELS: int(totals.pixels[k]),
                HECTARES: float(totals.hectares[k]),
                WHOLE: whole,
            }
            rows.append(LabeledPlace({"type": "Point", "coordinates": [x, y]}, None, "", attributes))
            at.append((row, column))
    order = np.random.default_rng([seed, 2**31]).permutation(len(rows))
    return Places(tuple(rows[k] for k in order), raster.crs, raster.name, REFERENCE), np.array(at, np.intp)[order]


def _with_pictures(places: Places, pictures: Sequence[bytes | None]) -> Places:
    rows = zip(places.rows, pictures, strict=True)
    return replace(
        places, rows=tuple(replace(row, attributes={**row.attributes, PICTURE: picture}) for row, picture in rows)
    )


def class_colors(raster: ClassRaster, values: Sequence[int] = ()) -> dict[str, str]:
    """Classes for people to choose from, with colors (RRGGBB): all that a raster can show, whether it does or not.

    Parameters
    ----------
    raster : ClassRaster
        The map.
    values : sequence of int
        Values that occur; those without a name are called by their number.
    """
    every = sorted({*values, *(value for value in raster.names if value != raster.dataset.nodata)})
    names = [raster.named(value) for value in every]
    usual = {info.name: info.color_hint for info in class_infos(names)}
    return {name: raster.colors.get(value, usual[name]) for value, name in zip(every, names, strict=True)}
