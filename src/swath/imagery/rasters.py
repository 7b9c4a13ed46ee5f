"""TIFF, GeoTIFF, JPEG 2000 and deep-color PNG through rasterio.

Only the driver that fits the file's first bytes is tried and sidecar files are not looked at. Where a file says it
lies is read where it is asked for, and never changes its pixels.
"""

from __future__ import annotations

import contextlib
import functools
import math
import re
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio._err import CPLE_BaseError
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import DatasetReader, MemoryFile
from rasterio.session import DummySession
from rasterio.windows import Window

from swath.errors import DataError, MissingFileError, SwathError
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
from swath.machine import check_local

# Patches seldom have a place; the map commands say so in their own words where it matters. A filter
# set once is safe with threads, warnings.catch_warnings around each file is not.
warnings.filterwarnings("ignore", category=NotGeoreferencedWarning)

# Of a PNG that is cut short GDAL gives whatever the memory held, and no error, where it decodes it as a whole.
_ENVIRONMENT = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_PAM_ENABLED": "NO",
    "GDAL_PNG_WHOLE_IMAGE_OPTIM": "NO",
}
# Sources of the place of a file that are in it. PAM is off; without its name here the JPEG 2000 driver leaves the
# transform of a file that has none as it found the memory.
_GEOREFERENCED = {"GTiff": "INTERNAL", "JP2OpenJPEG": "PAM,INTERNAL"}
# What rasterio raises where GDAL finds a file damaged: its own errors, GDAL's as they are, and of texts and numbers.
_SAID = (rasterio.errors.RasterioError, CPLE_BaseError, ValueError, OverflowError)
_KINDS = {"GTiff": "TIFF", "JP2OpenJPEG": "JPEG 2000", "PNG": "PNG"}
_CODEC = re.compile(r"missing codec (?:of code )?(.*?)\.?$", re.IGNORECASE)
_MAX_BLOCK = 512 * 2**20  # bytes
_LONGEST = 200  # letters of what GDAL says
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
        with sound(name, driver):
            if isinstance(source, Path):
                # An absolute path can never be taken for a URL or a virtual file system.
                dataset = rasterio.open(source.resolve(), driver=driver, sharing=False, **options)
            else:
                memory = stack.enter_context(MemoryFile(source, filename="image"))
                dataset = memory.open(driver=driver, **options)
            stack.enter_context(dataset)
            reader = RasterReader(dataset, name=name, max_pixels=max_pixels, orientation=orientation)
            reader.georeference = georeference_of(dataset) if georeference else None
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
    with sound(name, dataset.driver):
        return RasterReader(dataset, name=name, max_pixels=max_pixels, orientation=1).read()


def read_virtual(name: str) -> Picture:
    """All pixels of a raster on one of GDAL's virtual file systems (``/vsizip/``, ``/vsicurl/``...).

    Raises
    ------
    MissingFileError
        If there is none of this name.
    DataError
        As :func:`open_raster`, or if it is on another machine and the network is switched off.
    """
    check_local(name)
    try:
        with rasterio.Env(**_ENVIRONMENT), rasterio.open(name, sharing=False) as dataset:
            return read_dataset(dataset, name=name)
    except rasterio.errors.RasterioError as error:
        missing = "does not exist" in str(error) or "No such file" in str(error)
        mistake = MissingFileError if missing else DataError
        raise mistake(f"{name} cannot be opened ({error})", fix="check the name") from error


class RasterReader:
    """An opened raster, read whole."""

    def __init__(self, dataset: DatasetReader, *, name: str, max_pixels: int, orientation: int) -> None:
        self._name, self._orientation = name, orientation
        self._bands = RasterBands(dataset, name=name)
        # A block is decoded whole, and its size is stated apart from the picture's.
        for height, width in {(dataset.height, dataset.width), *dataset.block_shapes}:
            stored = dataset.dtypes[0]
            check_size(width, height, name=name, max_pixels=max_pixels, bands=dataset.count, dtype=stored)
        width, height = upright_size(dataset.width, dataset.height, orientation)
        self.header = Header(width, height, self._bands.names, self._bands.dtype, self._bands.mode)
        self.georeference: Georeference | None = None

    def read(self) -> Picture:
        """Decode the values as stored (nodata untouched); palettes and CMYK become RGB."""
        header = self.header
        pixels = np.ascontiguousarray(upright(self._bands.read(), self._orientation))
        return Picture(pixels, header.bands, units_of(header.dtype), header.mode, self.georeference)


class RasterBands:
    """The bands of an opened raster as every command gets them, and where they hold data.

    Palettes are expanded, values of fewer than eight bits are stretched to 0-255, and CMYK becomes RGB.

    Attributes
    ----------
    names : tuple of str
        From the descriptions, else the colors, else ``band_1``...; ``alpha`` for a band that masks the others.
    dtype : str
        NumPy name of the values' type.
    mode : str
        As :attr:`swath.imagery.Picture.mode`.
    nodata : tuple of float or None
        The value of each band that means no data, as the file states it.

    Raises
    ------
    DataError
        If the file holds several pages or complex values.
    """

    def __init__(self, dataset: DatasetReader, *, name: str) -> None:
        self._dataset, self._name = dataset, name
        if len(dataset.subdatasets) > 1:
            raise DataError(f"{name} holds {len(dataset.subdatasets)} pages", fix="save one page a file")
        self.dtype = dataset.dtypes[0]
        if self.dtype.startswith("complex"):
            raise DataError(f"{name} holds {self.dtype} values", fix="write its magnitude as float32")
        self._table = _color_table(dataset)
        bits = dataset.tags(1, ns="IMAGE_STRUCTURE").get("NBITS")
        self._stretch = _stretch_table(bits) if self.dtype == "uint8" and self._table is None else None
        # GDAL presents CMYK as RGB and an alpha band that the file does not have.
        cmyk = dataset.tags(ns="IMAGE_STRUCTURE").get("SOURCE_COLOR_SPACE") == "CMYK"
        if self._table is not None:
            self.names = _table_bands(self._table)
            self.mode = {"gray": "1" if bits == "1" else "L"}.get(self.names[0], "P")
            self.dtype = "uint8"
        elif cmyk:
            self.names, self.mode = RGB, "CMYK"
        else:
            self.names = _band_names(dataset)
            self.mode = mode_name(self.dtype, self.names)
        single = self._table is not None
        self.nodata = (dataset.nodatavals[:1] * len(self.names)) if single else dataset.nodatavals[: len(self.names)]
        colors = () if cmyk else enumerate(dataset.colorinterp, start=1)
        self._alpha = [index for index, color in colors if color == ColorInterp.alpha]
        flags = dataset.mask_flag_enums
        # One color, the values of all bands together, that means no data: GDAL's tag NODATA_VALUES.
        self._nodata_tuple = any({MaskFlags.nodata, MaskFlags.per_dataset} <= set(of_band) for of_band in flags)
        # A mask of its own, in the file or in a .msk next to it. (GDAL knows alpha as the last of 2 or 4 bands alone.)
        self._masked = any(MaskFlags.per_dataset in f and len(f) == 1 for f in flags)

    def read(self, bands: Sequence[int] | None = None, window: Window | None = None) -> npt.NDArray[Any]:
        """Values ``[n, H, W]`` of some bands, counted from 1; by default of all, and of the whole raster."""
        return self._expanded(self._stored(bands, window), bands)

    def read_with_mask(
        self, bands: Sequence[int], window: Window | None = None, *, nodata: float | None = None
    ) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_] | None]:
        """Values of some bands, and where they hold data.

        No data is what equals the nodata value of its band, with GDAL's tolerance for floating-point values; what the
        file's mask or any alpha band hides; and what is NaN or infinite.

        Parameters
        ----------
        bands : sequence of int
            Counted from 1.
        window : rasterio.windows.Window, optional
            By default, the whole raster.
        nodata : float, optional
            Replaces the file's own nodata values.

        Returns
        -------
        tuple of numpy.ndarray
            ``[n, H, W]``, and bool ``[n or 1, H, W]``, or None where all of it is data.
        """
        stored = self._stored(bands, window)
        values = self._expanded(stored, bands)
        places = [1] if self._table is not None else list(bands)
        present: list[npt.NDArray[np.bool_]] = []
        with sound(self._name, self._dataset.driver):
            if nodata is not None:
                present.append(~equals_nodata(stored, nodata))
            elif self._nodata_tuple:
                present.append(self._dataset.read_masks([1], window=window) > 0)
            elif any(self.nodata[band - 1] is not None for band in bands):
                stated = [self.nodata[band - 1] for band in places]
                present.append(
                    np.stack(
                        [
                            np.ones(band.shape, bool) if value is None else ~equals_nodata(band, value)
                            for band, value in zip(stored, stated, strict=True)
                        ]
                    )
                )
            if self._masked:
                present.append(self._dataset.read_masks([1], window=window) > 0)
            if self._alpha:
                present.append(self._dataset.read(self._alpha, window=window).any(axis=0, keepdims=True))
        if self._table is not None and "alpha" in self.names:
            present.append(self._table[3, stored] > 0)
        if values.dtype.kind == "f":
            present.append(np.isfinite(values))
        return values, functools.reduce(np.logical_and, present) if present else None

    def _stored(self, bands: Sequence[int] | None, window: Window | None) -> npt.NDArray[Any]:
        wanted = range(1, len(self.names) + 1) if bands is None else bands
        with sound(self._name, self._dataset.driver):
            # Of a palette there is one band, whatever it is expanded to.
            values: npt.NDArray[Any] = self._dataset.read(
                [1] if self._table is not None else list(wanted), window=window
            )
        return values

    def _expanded(self, stored: npt.NDArray[Any], bands: Sequence[int] | None) -> npt.NDArray[Any]:
        if self._table is not None:
            rows = range(len(self.names)) if bands is None else [band - 1 for band in bands]
            return self._table[list(rows)][:, stored[0]]
        return stored if self._stretch is None else self._stretch[stored]


def check_blocks(dataset: DatasetReader, *, name: str) -> None:
    """Refuse a raster of which a block, which is decoded whole, would break the bound on memory.

    Raises
    ------
    DataError
        If there is one.
    """
    each = dataset.count * np.dtype(dataset.dtypes[0]).itemsize
    for height, width in dataset.block_shapes:
        if height * width * each > _MAX_BLOCK:
            raise DataError(
                f"{name} is stored in blocks of {width} x {height} pixels, which take too much memory",
                fix="write it in tiles, for example with: gdal_translate -of COG",
            )


def equals_nodata(values: npt.NDArray[Any], nodata: float) -> npt.NDArray[np.bool_]:
    """Where values equal a nodata value, as GDAL compares them.

    Floating-point values may differ in the last bits of 32-bit numbers: these are often stated as 64-bit numbers, and
    the other way round. Where the sum of two 32-bit numbers overflows GDAL takes them for equal: the lowest of all such
    numbers, by which many programs mark no data, is as often stated as -3.4e38.
    """
    if values.dtype.kind != "f" or not math.isfinite(nodata):
        return np.isnan(values) if math.isnan(nodata) and values.dtype.kind == "f" else np.asarray(values == nodata)
    limits = np.finfo(values.dtype)
    wanted = min(max(nodata, float(limits.min)), float(limits.max))
    value, last = values.dtype.type(wanted), values.dtype.type(np.finfo(np.float32).eps)
    with np.errstate(over="ignore", invalid="ignore"):
        close = np.abs(values - value) < last * np.abs(values + value) * 2
    return np.asarray((values == value) | (close & np.isfinite(values)))


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
        "alpha" if color == ColorInterp.alpha else (description or "").strip().lower() or colors.get(color, number)
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


def _stretch_table(bits: str | None) -> npt.NDArray[np.uint8] | None:
    """What stretches values of fewer than eight bits to 0-255, as PNG readers do; None for others."""
    if bits is None or int(bits) > 7:
        return None
    table = np.full(256, 255, np.uint8)
    table[: 2 ** int(bits)] = np.rint(np.linspace(0, 255, 2 ** int(bits)))
    return table


@contextlib.contextmanager
def sound(name: str, driver: str) -> Iterator[None]:
    """Make one error, :func:`unreadable`, of what GDAL says of a damaged raster that is read meanwhile.

    Tiles of JPEG 2000 are decoded one by one: those that several threads cannot decode GDAL gives as zeros or whatever
    the memory held, with a line on standard error and no error.
    """
    options = {"GDAL_NUM_THREADS": "1"} if driver == "JP2OpenJPEG" else {}
    try:
        with rasterio.Env(session=DummySession(), **options) if options else contextlib.nullcontext():
            yield
    except SwathError:
        raise
    except _SAID as error:
        raise unreadable(name, driver, error) from error


def unreadable(name: str, driver: str, error: Exception) -> DataError:
    """The error of a raster that cannot be opened or read: damaged, or packed in a way this build cannot unpack."""
    reason = " ".join(str(error.__cause__ or error).split())[:_LONGEST]
    kind = _KINDS.get(driver, driver)
    codec = _CODEC.search(reason)
    if codec is not None:
        return DataError(
            f"{name} is a {kind} file packed with {codec[1]}, which this build of GDAL cannot unpack",
            fix="rewrite it where it can be read, for example with: gdal_translate -co COMPRESS=DEFLATE",
        )
    return DataError(f"{name} is a damaged or cut-short {kind} file ({reason})", fix="replace it or leave it out")
