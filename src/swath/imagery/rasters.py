"""TIFF, GeoTIFF, JPEG 2000 and deep-color PNG through rasterio.

Only the driver that fits the file's first bytes is tried and sidecar files are not looked at. Where a file says it
lies is read where it is asked for, and never changes its pixels.
"""

from __future__ import annotations

import contextlib
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import DatasetReader, MemoryFile
from rasterio.session import DummySession

from swath.errors import DataError, MissingFileError
from swath.imagery.georeference import Georeference, georeference_of
from swath.imagery.header import (
    RGB,
    Header,
    Picture,
    check_size,
    mode_name,
    numbered_bands,
    units_of,
    upright,
    upright_size,
)

# Patches seldom have a place; the map commands say so in their own words where it matters. A filter
# set once is safe with threads, warnings.catch_warnings around each file is not.
warnings.filterwarnings("ignore", category=NotGeoreferencedWarning)

_ENVIRONMENT = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR", "GDAL_PAM_ENABLED": "NO"}
# Sources of the place of a file that are in it. PAM is off; without its name here the JPEG 2000 driver leaves the
# transform of a file that has none as it found the memory.
_GEOREFERENCED = {"GTiff": "INTERNAL", "JP2OpenJPEG": "PAM,INTERNAL"}
_KINDS = {"GTiff": "TIFF", "JP2OpenJPEG": "JPEG 2000", "PNG": "PNG"}
_COLORS = {
    ColorInterp.red: "red",
    ColorInterp.green: "green",
    ColorInterp.blue: "blue",
    ColorInterp.alpha: "alpha",
    ColorInterp.nir: "nir",
    ColorInterp.pan: "pan",
    ColorInterp.coastal: "coastal",
    ColorInterp.rededge: "rededge",
}


@contextlib.contextmanager
def open_raster(
    source: Path | bytes, driver: str, *, name: str, max_pixels: int, orientation: int = 1, georeference: bool = False
) -> Iterator[RasterReader]:
    """Open a raster by one driver and yield its reader, which reads the file's own georeference if that is asked for.

    Raises
    ------
    DataError
        If it is damaged, above the limits, has several pages, or values that are not real numbers.
    """
    georeference = georeference and driver in _GEOREFERENCED
    options = {"GEOREF_SOURCES": _GEOREFERENCED[driver] if georeference else "NONE"} if driver in _GEOREFERENCED else {}
    with contextlib.ExitStack() as stack:
        stack.enter_context(rasterio.Env(session=DummySession(), **_ENVIRONMENT))
        try:
            if isinstance(source, Path):
                # An absolute path can never be taken for a URL or a virtual file system.
                dataset = rasterio.open(source.resolve(), driver=driver, sharing=False, **options)
            else:
                memory = stack.enter_context(MemoryFile(source, filename="image"))
                dataset = memory.open(driver=driver, **options)
            stack.enter_context(dataset)
            reader = RasterReader(dataset, name=name, max_pixels=max_pixels, orientation=orientation)
            reader.georeference = georeference_of(dataset) if georeference else None
        except rasterio.errors.RasterioError as error:
            raise _damaged(name, driver, error) from error
        yield reader


def read_dataset(dataset: DatasetReader, *, name: str, max_pixels: int = 100_000_000) -> Picture:
    """All pixels of a raster that somebody has opened, of whatever format.

    Raises
    ------
    DataError
        As :func:`open_raster`, or if it is closed.
    """
    if dataset.closed:
        raise DataError(f"{name} is closed", fix="give it while it is open")
    return RasterReader(dataset, name=name, max_pixels=max_pixels, orientation=1).read()


def read_virtual(name: str) -> Picture:
    """All pixels of a raster on one of GDAL's virtual file systems (``/vsizip/``, ``/vsicurl/``...).

    Raises
    ------
    MissingFileError
        If there is none of this name.
    DataError
        As :func:`open_raster`.
    """
    try:
        with rasterio.Env(**_ENVIRONMENT), rasterio.open(name, sharing=False) as dataset:
            return read_dataset(dataset, name=name)
    except rasterio.errors.RasterioError as error:
        missing = "does not exist" in str(error) or "No such file" in str(error)
        mistake = MissingFileError if missing else DataError
        raise mistake(f"{name} cannot be opened ({error})", fix="check the name") from error


class RasterReader:
    """An opened raster."""

    def __init__(self, dataset: DatasetReader, *, name: str, max_pixels: int, orientation: int) -> None:
        self._dataset, self._name, self._orientation = dataset, name, orientation
        if len(dataset.subdatasets) > 1:
            raise DataError(f"{name} holds {len(dataset.subdatasets)} pages", fix="save one picture a file")
        dtype = dataset.dtypes[0]
        if dtype.startswith("complex"):
            raise DataError(f"{name} holds {dtype} values", fix="write its magnitude as float32")
        # A block is decoded whole, and its size is stated apart from the picture's.
        for height, width in {(dataset.height, dataset.width), *dataset.block_shapes}:
            check_size(width, height, name=name, max_pixels=max_pixels, bands=dataset.count, dtype=dtype)
        self._space = dataset.tags(ns="IMAGE_STRUCTURE").get("SOURCE_COLOR_SPACE")
        self._table = _color_table(dataset)
        self.georeference: Georeference | None = None
        self.header = self._describe(dtype)

    def _describe(self, dtype: str) -> Header:
        dataset = self._dataset
        if self._table is not None:
            bits = dataset.tags(1, ns="IMAGE_STRUCTURE").get("NBITS")
            bands = _table_bands(self._table)
            mode = {"gray": "1" if bits == "1" else "L"}.get(bands[0], "P")
            dtype = "uint8"
        elif self._space == "CMYK":
            bands, mode = RGB, "CMYK"
        else:
            bands = _band_names(dataset)
            mode = mode_name(dtype, bands)
        width, height = upright_size(dataset.width, dataset.height, self._orientation)
        return Header(width, height, bands, dtype, mode)

    def read(self) -> Picture:
        """Decode the values as stored (nodata untouched); palettes and CMYK become RGB."""
        header = self.header
        try:
            # GDAL presents CMYK as RGB and an alpha band that the file does not have.
            indexes = [1, 2, 3] if self._space == "CMYK" else None
            pixels = self._dataset.read(indexes)
        except rasterio.errors.RasterioError as error:
            raise _damaged(self._name, self._dataset.driver, error) from error
        if self._table is not None:
            pixels = self._table[: len(header.bands), pixels[0]]
        elif header.dtype == "uint8":
            pixels = _stretched(pixels, self._dataset.tags(1, ns="IMAGE_STRUCTURE").get("NBITS"))
        pixels = np.ascontiguousarray(upright(pixels, self._orientation))
        return Picture(pixels, header.bands, units_of(header.dtype), header.mode, self.georeference)


def _band_names(dataset: DatasetReader) -> tuple[str, ...]:
    """Names from the descriptions, else from colors, else numbers; doubtful names become numbers.

    One band of no stated color is gray, as it is in every other format.
    """
    numbers = ("gray",) if dataset.count == 1 else numbered_bands(dataset.count)
    # GDAL calls the first band of any gray-scale file gray; with other data bands it means nothing.
    colors = dict(_COLORS)
    if all(color == ColorInterp.alpha for color in dataset.colorinterp[1:]):
        colors[ColorInterp.gray] = "gray"
    names = tuple(
        (description or "").strip().lower() or colors.get(color, number)
        for description, color, number in zip(dataset.descriptions, dataset.colorinterp, numbers, strict=True)
    )
    names = tuple("gray" if re.fullmatch("gr[ae]y", name) else name for name in names)
    return names if len(set(names)) == len(names) else numbers


def _color_table(dataset: DatasetReader) -> npt.NDArray[np.uint8] | None:
    """``[4, values]`` red, green, blue and alpha of a palette raster; None for any other."""
    if dataset.count != 1 or dataset.colorinterp[0] != ColorInterp.palette:
        return None
    table = np.zeros((4, np.iinfo(dataset.dtypes[0]).max + 1), np.uint8)
    table[3] = 255
    for value, color in dataset.colormap(1).items():
        table[:, value] = color
    return table


def _table_bands(table: npt.NDArray[np.uint8]) -> tuple[str, ...]:
    """One-bit and white-is-zero files reach us as palettes too: theirs are all gray."""
    if bool((table[3] < 255).any()):
        return (*RGB, "alpha")
    return ("gray",) if bool((table[:3] == table[0]).all()) else RGB


def _stretched(pixels: npt.NDArray[np.uint8], bits: str | None) -> npt.NDArray[np.uint8]:
    """Values of fewer than eight bits stretched to 0-255, as PNG readers do; others as they are."""
    if bits is None or int(bits) > 7:
        return pixels
    table: npt.NDArray[np.uint8] = np.rint(np.linspace(0, 255, 2 ** int(bits))).astype(np.uint8)
    return table[pixels]


def _damaged(name: str, driver: str, error: Exception) -> DataError:
    reason: Any = error.__cause__ or error
    return DataError(
        f"{name} is a damaged or cut-short {_KINDS.get(driver, driver)} file ({reason})",
        fix="replace it or leave it out",
    )
