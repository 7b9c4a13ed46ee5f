"""Read a scene strip by strip: the chosen bands, mirrored at the edges, and where there is data."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader
from rasterio.session import DummySession
from rasterio.windows import Window

from swath.errors import DataError, SettingError
from swath.imagery import render_reflectance
from swath.mapping.grid import Grid

# Formats that are one local file, told by its first bytes. VRT and the like are left out: they name other
# files, remote ones too.
_DRIVERS = {
    b"II*\0": "GTiff",
    b"MM\0*": "GTiff",
    b"II+\0": "GTiff",
    b"MM\0+": "GTiff",
    b"\0\0\0\x0cjP  \r\n\x87\n": "JP2OpenJPEG",
    b"\xff\x4f\xff\x51": "JP2OpenJPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
}
_CACHE = 192 * 2**20
# Sidecar files (world files, masks) are looked up by name; the folder, which may be huge, is never listed.
ENVIRONMENT = {"GDAL_DISABLE_READDIR_ON_OPEN": "TRUE", "GDAL_CACHEMAX": _CACHE}
_MAX_BLOCK = 512 * 2**20
_COLOURS = {
    ColorInterp.red: "red",
    ColorInterp.green: "green",
    ColorInterp.blue: "blue",
    ColorInterp.alpha: "alpha",
}


@dataclass(frozen=True)
class Strip:
    """The pixels under one row of windows.

    Attributes
    ----------
    start : int
        Row of the scene at which the strip starts; negative before its first row.
    pixels : numpy.ndarray
        ``[bands, patch, columns]`` in the model's data type; columns from the first window's to the last's.
    valid : numpy.ndarray
        bool ``[patch, columns]``, False where there is no data.
    """

    start: int
    pixels: npt.NDArray[Any]
    valid: npt.NDArray[np.bool_]


class Scene:
    """An opened scene; see :func:`open_scene`.

    Attributes
    ----------
    name : str
        What messages call it.
    width, height : int
        Pixels.
    crs : rasterio.crs.CRS or None
        Coordinate reference system.
    transform : affine.Affine
        Pixels to coordinates.
    dtype : str
        NumPy name of the stored type.
    bands : tuple of str or None
        What the scene calls its bands: descriptions, else colours.
    """

    def __init__(self, dataset: DatasetReader, *, name: str) -> None:
        self.dataset = dataset
        self.name = name
        self.width: int = dataset.width
        self.height: int = dataset.height
        self.crs = dataset.crs
        self.transform = dataset.transform
        self.dtype: str = dataset.dtypes[0]
        self.bands = tuple(
            "alpha" if colour == ColorInterp.alpha else (text or "").strip() or _COLOURS.get(colour)
            for text, colour in zip(dataset.descriptions, dataset.colorinterp, strict=True)
        )


@contextlib.contextmanager
def open_scene(path: Path) -> Iterator[Scene]:
    """Open a local GeoTIFF (COGs too), JPEG 2000, PNG or JPEG scene.

    Raises
    ------
    DataError
        If there is no such file, it is none of these, or it cannot be read in strips of bounded memory.
    """
    if not path.is_file():
        raise DataError(f"there is no scene {path}", fix="give a raster file on this machine")
    with contextlib.ExitStack() as stack:
        stack.enter_context(rasterio.Env(session=DummySession(), **ENVIRONMENT))
        driver = _driver(path)
        try:
            # An absolute path of a file that exists is never taken for a URL.
            dataset = stack.enter_context(rasterio.open(path.resolve(), driver=driver, sharing=False))
        except RasterioError as error:
            raise DataError(
                f"{path} is a damaged or cut-short scene ({error.__cause__ or error})",
                fix="fetch or write the file again",
            ) from error
        _check_storage(dataset, path.name)
        yield Scene(dataset, name=path.name)


def check_values(dtype: str, wanted: str, *, render: tuple[float, float] | None, scene: str) -> None:
    """Refuse a scene whose values are not those the model was trained on.

    Parameters
    ----------
    dtype : str
        Type of the scene's values.
    wanted : str
        Type the model takes.
    render : tuple of float, optional
        LOW and HIGH the scene is to be rendered with.
    scene : str
        The scene's name, for messages.

    Raises
    ------
    DataError
        If the type is another one and the scene is not rendered.
    SettingError
        If it is to be rendered and that makes no sense.
    """
    bits = {"uint8": "8-bit (uint8)", "uint16": "16-bit (uint16)"}
    if render is None:
        if dtype == wanted:
            return
        fix = (
            "render reflectance to 8 bit with --render 0:2750, as EuroSAT was (1000:3750 where 1000 was added "
            "to the numbers, as Sentinel-2 does from processing baseline 04.00)"
            if wanted == "uint8"
            else "give a scene of that type"
        )
        raise DataError(
            f"{scene} holds {bits.get(dtype, dtype)} values and the model takes {bits[wanted]} ones", fix=fix
        )
    if wanted != "uint8":
        raise SettingError(
            f"the model takes {bits[wanted]} values, rendering makes 8-bit ones", fix="leave out --render"
        )
    if not (math.isfinite(render[0]) and math.isfinite(render[1]) and render[1] > render[0]):
        raise SettingError(
            f"cannot render values from {render[0]:g} to {render[1]:g}",
            fix="give --render LOW:HIGH, LOW below HIGH",
        )
    if dtype == "uint8" and render[1] > 255:
        raise SettingError(
            f"{scene} is 8-bit already, its values end at 255 and not at {render[1]:g}",
            fix="leave out --render",
        )


class Strips:
    """Gives the strip under each row of windows.

    A pixel has no data where every chosen band holds the nodata value or NaN, or where the scene's mask or
    alpha band says so. With `render` and no nodata value stated anywhere, 0 is nodata, as in Sentinel-2
    products, which do not state it.

    Parameters
    ----------
    scene : Scene
    grid : Grid
        The windows.
    bands : sequence of int
        Bands to read, counted from 1.
    render : tuple of float, optional
        LOW and HIGH of :func:`swath.imagery.render_reflectance`.
    nodata : float, optional
        Replaces the scene's own nodata value.
    """

    def __init__(
        self,
        scene: Scene,
        grid: Grid,
        *,
        bands: Sequence[int],
        render: tuple[float, float] | None = None,
        nodata: float | None = None,
    ) -> None:
        self._scene, self._grid, self._bands, self._render = scene, grid, list(bands), render
        stated = scene.dataset.nodata if nodata is None else nodata
        self.nodata: float | None = 0.0 if stated is None and render else stated
        self._masked = any(
            flag in (MaskFlags.per_dataset, MaskFlags.alpha)
            for flags in scene.dataset.mask_flag_enums
            for flag in flags
        )
        cols = grid.cols
        self._columns = cols.source(cols.first, cols.first + cols.span(cols.windows))

    def read(self, number: int) -> Strip:
        """Read the strip under window row `number`.

        Raises
        ------
        DataError
            If the file is damaged there.
        """
        rows = self._grid.rows
        start = rows.first + number * rows.stride
        wanted = rows.source(start, start + rows.patch)
        first = int(wanted.min())
        window = Window(0, first, self._scene.width, int(wanted.max()) + 1 - first)
        try:
            values = self._scene.dataset.read(self._bands, window=window)
            valid = _has_data(values, self.nodata)
            if self._masked:
                valid &= self._scene.dataset.dataset_mask(window=window) > 0
        except RasterioError as error:
            raise DataError(
                f"{self._scene.name} is damaged or cut short near row {first} ({error.__cause__ or error})",
                fix="fetch or write the file again",
            ) from error
        if self._render is not None:
            low, high = self._render
            values = render_reflectance(values, low=low, high=high, nodata=self.nodata)
        return Strip(
            start,
            values[:, wanted - first][:, :, self._columns],
            valid[wanted - first][:, self._columns],
        )


def _driver(path: Path) -> str:
    with path.open("rb") as stream:
        head = stream.read(16)
    for first, driver in _DRIVERS.items():
        if head.startswith(first):
            return driver
    raise DataError(
        f"{path} is not a GeoTIFF, JPEG 2000, PNG or JPEG scene",
        fix="convert it, for example with: gdal_translate -of COG",
    )


def _has_data(values: npt.NDArray[Any], nodata: float | None) -> npt.NDArray[np.bool_]:
    """Where at least one band ``[bands, rows, columns]`` holds neither nodata nor NaN."""
    present = np.zeros(values.shape[1:], bool)
    floating = np.issubdtype(values.dtype, np.floating)
    for band in values:
        there = np.ones(band.shape, bool) if nodata is None or math.isnan(nodata) else band != nodata
        present |= there & ~np.isnan(band) if floating else there
    return present


def _check_storage(dataset: DatasetReader, name: str) -> None:
    if len(dataset.subdatasets) > 1:
        raise DataError(f"{name} holds {len(dataset.subdatasets)} pages", fix="save one scene a file")
    dtype = dataset.dtypes[0]
    if dtype.startswith("complex"):
        raise DataError(f"{name} holds {dtype} values", fix="write its magnitude as float32")
    # Blocks are decoded whole, so one that holds the whole scene would break the bound on memory.
    for height, width in dataset.block_shapes:
        if height * width * dataset.count * np.dtype(dtype).itemsize > _MAX_BLOCK:
            raise DataError(
                f"{name} is stored in blocks of {width} x {height} pixels, which take too much memory",
                fix="write it in tiles, for example with: gdal_translate -of COG",
            )
