"""Class rasters: maps and other rasters whose values are classes, read strip by strip.

Any raster of one band of whole numbers is one: a map of swath, a land cover product, a drawing exported from QGIS.
Names come from the file (swath's tag or GDAL's category names); a value without a name is called by its number.
"""

from __future__ import annotations

import contextlib
import html
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio import Affine
from rasterio.enums import ColorInterp
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader
from rasterio.session import DummySession
from rasterio.windows import Window

from swath.data.names import class_name
from swath.errors import DataError, MissingFileError
from swath.imagery.rasters import unreadable
from swath.mapping.area import PixelArea, pixel_area
from swath.mapping.opening import ENVIRONMENT, open_file, use_own_proj_data
from swath.progress import Progress, silent

LARGEST = 65_535  # value of a class
MOST_CLASSES = 256
_STRIP = 4 * 2**20  # pixels read at once, unless one row of blocks has more
_SQUARE_METERS = 10_000.0  # per hectare
_MOST_XML = 2**20
_CATEGORY = re.compile(r"<Category(?:\s*/>|>(.*?)</Category>)", re.DOTALL)
Values = npt.NDArray[np.uint16]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class ClassRaster:
    """An opened class raster.

    Attributes
    ----------
    path : Path
        The file.
    height, width : int
        Pixels.
    crs : rasterio.crs.CRS
        Coordinate reference system.
    transform : affine.Affine
        Pixels to coordinates.
    names : mapping of int to str
        Names that the file gives to values.
    colors : mapping of int to str
        Colors (RRGGBB) that it gives to values.
    area : PixelArea
        Size of its pixels on the ground.
    """

    path: Path
    height: int
    width: int
    crs: Any
    transform: Affine
    names: Mapping[int, str]
    colors: Mapping[int, str]
    area: PixelArea
    dataset: DatasetReader

    @property
    def name(self) -> str:
        """What messages call it."""
        return self.path.name

    def named(self, value: int) -> str:
        """Name of a value."""
        return self.names.get(value, str(value))

    def hectares(self, rows: npt.NDArray[np.intp], columns: npt.NDArray[np.intp]) -> npt.NDArray[np.float64]:
        """Size of pixels on the ground, by their rows and columns."""
        high, wide = self.area.block
        return np.asarray(self.area.blocks[rows // high, columns // wide] / _SQUARE_METERS)

    def read(self, window: Window) -> tuple[Values, Mask]:
        """Values of a window, and which of them are classes.

        Raises
        ------
        DataError
            If a value is below 0 or above :data:`LARGEST`, or the file is damaged.
        """
        try:
            stored = self.dataset.read(1, window=window)
            valid = self.dataset.read_masks(1, window=window) > 0
        except RasterioError as error:
            raise unreadable(self.name, self.dataset.driver, error) from error
        return self.checked(stored, valid)

    def checked(self, stored: npt.NDArray[Any], valid: Mask) -> tuple[Values, Mask]:
        """Stored values as class numbers; see :meth:`read`."""
        wrong = valid & ((stored < 0) | (stored > LARGEST)) if stored.dtype.itemsize > 1 else np.zeros(1, bool)
        if wrong.any():
            raise DataError(
                f"{self.name} holds the value {int(stored[wrong][0])}, and classes are numbers from 0 to {LARGEST:,}",
                fix="give a raster of classes, such as the .tif that swath map writes",
            )
        return np.where(valid, stored, 0).astype(np.uint16), valid

    def strips(self, progress: Progress = silent, *, stage: str) -> Iterator[tuple[int, Values, Mask]]:
        """Strips from top to bottom: the first row, values, and which of them are classes that lie on the ground."""
        block = max(height for height, _ in self.dataset.block_shapes)
        rows = max(block, _STRIP // self.width // block * block)
        progress(stage, 0, self.height)
        for top in range(0, self.height, rows):
            high = min(rows, self.height - top)
            values, valid = self.read(Window(0, top, self.width, high))
            if not (self.area.blocks > 0).all():
                valid &= self.hectares(*self.grid(top, high)) > 0
            yield top, values, valid
            progress(stage, top + high, self.height)

    def grid(self, top: int, rows: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
        """Rows ``[n, 1]`` and columns ``[1, width]`` of a strip."""
        return np.arange(top, top + rows)[:, None], np.arange(self.width)[None]

    def pixel(
        self, x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]
    ) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
        """Row and column of the pixel under each coordinate; those outside are next to the raster."""
        columns, rows = ~self.transform @ (x, y)
        return (
            np.clip(np.floor(rows), -1, self.height).astype(np.intp),
            np.clip(np.floor(columns), -1, self.width).astype(np.intp),
        )

    def at(self, x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.intp], Mask]:
        """Value of the pixel under each coordinate, -1 for no data; and whether the coordinate is inside."""
        known = np.isfinite(x) & np.isfinite(y)
        rows, columns = self.pixel(np.where(known, x, 0.0), np.where(known, y, 0.0))
        inside = known & (columns >= 0) & (columns < self.width) & (rows >= 0) & (rows < self.height)
        found = np.full(len(x), -1, np.intp)
        high, wide = self.dataset.block_shapes[0]
        there = np.flatnonzero(inside)
        blocks = np.stack([rows[there] // high, columns[there] // wide], axis=1)
        kinds, of_block = np.unique(blocks, axis=0, return_inverse=True)
        for number in range(len(kinds)):  # each block is decoded once
            own = there[of_block.ravel() == number]
            top, left = rows[own].min(), columns[own].min()
            height, width = rows[own].max() - top + 1, columns[own].max() - left + 1
            values, valid = self.read(Window(int(left), int(top), int(width), int(height)))
            at = rows[own] - top, columns[own] - left
            found[own] = np.where(valid[at], values[at].astype(np.intp), -1)
        return found, inside


@contextlib.contextmanager
def open_classes(path: Path) -> Iterator[ClassRaster]:
    """Open a class raster.

    Raises
    ------
    MissingFileError
        If there is no such file.
    DataError
        If it is no raster of one band of whole numbers, or its pixels have no known size on the ground.
    """
    if not path.is_file():
        raise MissingFileError(f"there is no map {path}", fix="make one with: swath map MODEL SCENE --out MAP.tif")
    with contextlib.ExitStack() as stack:
        stack.enter_context(rasterio.Env(session=DummySession(), **ENVIRONMENT))
        use_own_proj_data()
        dataset = stack.enter_context(open_file(str(path)))
        if dataset.count != 1 or not np.issubdtype(np.dtype(dataset.dtypes[0]), np.integer):
            raise DataError(
                f"{path.name} has {dataset.count} bands of {dataset.dtypes[0]}, and a map of classes has one band of "
                "whole numbers",
                fix="give the class raster (.tif) that swath map writes, not one of the files next to it",
            )
        try:
            area = pixel_area(dataset.crs, dataset.transform, dataset.shape)
        except DataError as error:
            raise DataError(
                f"areas of {path.name} are not known: {error.problem}",
                fix=f"state where it lies, for example with: rio edit-info --crs EPSG:CODE {path.name}",
            ) from error
        yield ClassRaster(
            path=path,
            height=dataset.height,
            width=dataset.width,
            crs=dataset.crs,
            transform=dataset.transform,
            names=_names(dataset, path),
            colors=_colors(dataset),
            area=area,
            dataset=dataset,
        )


def _names(dataset: DatasetReader, path: Path) -> dict[int, str]:
    """Names of values: a tag that swath writes, else GDAL's category names next to the file."""
    names: list[Any] = []
    with contextlib.suppress(ValueError):
        names = json.loads(dataset.tags(1).get("class_names", "[]"))
    beside = path.with_name(f"{path.name}.aux.xml")
    if not names and beside.is_file() and beside.stat().st_size <= _MOST_XML:
        with contextlib.suppress(OSError, UnicodeDecodeError):
            band = re.search("<CategoryNames>(.*?)</CategoryNames>", beside.read_text(encoding="utf-8"), re.DOTALL)
            names = _CATEGORY.findall(band[1]) if band else []
            names = [html.unescape(name) for name in names]
    if not isinstance(names, list):
        return {}
    found = {value: class_name(name) for value, name in enumerate(names) if isinstance(name, str) and name.strip()}
    twice = {name for name, count in Counter(found.values()).items() if count > 1}
    return {value: f"{name} ({value})" if name in twice else name for value, name in found.items()}


def _colors(dataset: DatasetReader) -> dict[int, str]:
    """Colors (RRGGBB) of the file's color table."""
    if dataset.colorinterp[0] != ColorInterp.palette:
        return {}
    return {value: bytes(color[:3]).hex().upper() for value, color in dataset.colormap(1).items()}


@dataclass(frozen=True, eq=False)
class ClassTotals:
    """How much of a raster every class covers.

    Attributes
    ----------
    values : tuple of int
        Classes that occur, ascending.
    names : tuple of str
        Their names.
    pixels : numpy.ndarray
        int64 ``[K]``.
    hectares : numpy.ndarray
        float64 ``[K]``.
    """

    values: tuple[int, ...]
    names: tuple[str, ...]
    pixels: npt.NDArray[np.int64]
    hectares: npt.NDArray[np.float64]


class TotalsCounter:
    """Counts pixels and hectares of a raster's classes, strip by strip."""

    def __init__(self, raster: ClassRaster) -> None:
        self._raster = raster
        self._pixels = np.zeros(LARGEST + 1, np.int64)
        self._hectares = np.zeros(LARGEST + 1)

    def add(self, top: int, values: Values, valid: Mask) -> None:
        """Count a strip.

        Raises
        ------
        DataError
            If there are more than :data:`MOST_CLASSES` classes.
        """
        rows, columns = self._raster.grid(top, len(values))
        sizes = np.broadcast_to(self._raster.hectares(rows, columns), values.shape)
        self._pixels += np.bincount(values[valid], minlength=LARGEST + 1)
        self._hectares += np.bincount(values[valid], sizes[valid], LARGEST + 1)
        if np.count_nonzero(self._pixels) > MOST_CLASSES:
            raise DataError(
                f"{self._raster.name} holds more than {MOST_CLASSES} different values: it is not a map of classes",
                fix="give the class raster (.tif) that swath map writes",
            )

    def totals(self) -> ClassTotals:
        """What was counted.

        Raises
        ------
        DataError
            If there was no class at all.
        """
        values = np.flatnonzero(self._pixels)
        if not len(values):
            raise DataError(f"{self._raster.name} holds no class: all of its pixels are nodata")
        names = tuple(self._raster.named(int(value)) for value in values)
        return ClassTotals(tuple(map(int, values)), names, self._pixels[values], self._hectares[values])
