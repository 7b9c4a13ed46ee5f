"""Read several files, one band each, as one raster: same ground, pixels of the smallest size among them.

Bands with larger pixels (20 and 60 m of Sentinel-2) are repeated, without interpolation, so that what is read does not
depend on the window. Each file is opened by the one driver that fits its first bytes, as everywhere in swath.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio import Affine
from rasterio.crs import CRS
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader
from rasterio.windows import Window

from swath.errors import DataError
from swath.imagery.decode import kind_of
from swath.imagery.rasters import RasterBands, check_blocks, sound, unreadable
from swath.imagery.remote import DOWNLOAD, is_address
from swath.imagery.stores import BandFile, SceneFiles
from swath.imagery.structure import check_structure

_DRIVERS = {"TIFF": "GTiff", "JPEG 2000": "JP2OpenJPEG"}
_OFF = 0.01  # of a pixel, by which grids may differ
_MOST_REPEATED = 12  # pixels each way that one of another band covers


class BandStack:
    """Bands from one file each.

    Attributes
    ----------
    names : tuple of str or None
        What the bands are called.
    height, width, crs, transform
        Of the finest band.
    dtype : str
        NumPy name of the type that holds the values of all bands.
    nodata : tuple of float or None
        The value of each band that means no data.
    block : int
        Rows that are stored, and so decoded, together.
    scaling : tuple of float or None
        Scale and offset by which values become reflectance. Where the files' own differ, values are reflectance.
    repeated : tuple of str
        Bands whose pixels are larger.
    tags : tuple of str
        Values of all tags of the files.
    """

    def __init__(self, files: SceneFiles, opened: Sequence[DatasetReader]) -> None:
        self._files, self._opened = files, opened
        self._bands = [RasterBands(one, name=files.label(file)) for one, file in zip(opened, files.bands, strict=True)]
        for file, bands in zip(files.bands, self._bands, strict=True):
            if file.index is None and len(bands.names) != 1:
                raise DataError(
                    f"{files.label(file)} holds {len(bands.names)} bands",
                    fix="give files of one band each, or that file alone",
                )
        finest = max(opened, key=lambda one: one.width * one.height)
        self.names = tuple(file.band for file in files.bands)
        self.height, self.width = finest.height, finest.width
        self.crs: CRS | None = finest.crs
        self.transform: Affine = finest.transform
        self._factors = [
            _factor(one, finest, name=files.label(file)) for file, one in zip(files.bands, opened, strict=True)
        ]
        for file, one in zip(files.bands, opened, strict=True):
            check_blocks(one, name=files.label(file))
            _check_pixel(file, one, name=files.label(file))
        self.repeated = tuple(
            file.band or file.name for file, factor in zip(files.bands, self._factors, strict=True) if factor > 1
        )
        self._at = [(file.index or 1) - 1 for file in files.bands]  # of each band in its dataset
        own = [bands.nodata[at] for bands, at in zip(self._bands, self._at, strict=True)]
        self.nodata = tuple(files.nodata if value is None else value for value in own)
        shapes = zip(opened, self._factors, strict=True)
        self.block = max(factor * one.block_shapes[0][0] for one, factor in shapes)
        stated = [
            file.scaling or (one.scales[at], one.offsets[at])
            for file, one, at in zip(files.bands, opened, self._at, strict=True)
        ]
        self._scaling = stated if len(set(stated)) > 1 else None
        self.scaling = None if self._scaling or stated[0] == (1.0, 0.0) else stated[0]
        types = {bands.dtype for bands in self._bands}
        self.dtype = "float32" if self._scaling else np.result_type(*types).name
        self.tags = tuple(value for one in opened for value in one.tags().values())
        self._checked: set[int] = set()

    def read_with_mask(
        self, bands: Sequence[int], window: Window, *, nodata: float | None = None
    ) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_] | None]:
        """As :meth:`swath.imagery.rasters.RasterBands.read_with_mask`, of bands counted from 1."""
        values = np.empty((len(bands), int(window.height), int(window.width)), self.dtype)
        present = np.ones(values.shape, bool)
        masked = False
        for row, band in enumerate(bands):
            read, there = self._read(band - 1, window, nodata)
            if self._scaling is not None:
                scale, offset = self._scaling[band - 1]
                read = read.astype(np.float32) * np.float32(scale) + np.float32(offset)
            values[row] = read
            if there is not None:
                present[row], masked = there, True
        return values, present if masked else None

    def _read(
        self, at: int, window: Window, nodata: float | None
    ) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_] | None]:
        """One band ``[rows, columns]``, and where it holds data."""
        self._check(at)
        asked = self.nodata[at] if nodata is None else nodata
        (top, bottom), (left, right) = (tuple(map(int, pair)) for pair in window.toranges())
        factor = self._factors[at]
        rows, columns = slice(top // factor, -(-bottom // factor)), slice(left // factor, -(-right // factor))
        stored = Window.from_slices(rows, columns)
        values, there = self._bands[at].read_with_mask([self._at[at] + 1], stored, nodata=asked)
        if factor == 1:
            return values[0], None if there is None else there[0]
        part = (
            slice(top - rows.start * factor, bottom - rows.start * factor),
            slice(left - columns.start * factor, right - columns.start * factor),
        )
        return _repeated(values[0], factor)[part], None if there is None else _repeated(there[0], factor)[part]

    def _check(self, at: int) -> None:
        """Look, before a band is first read, whether its file is whole: that may take reading all of it."""
        file = self._files.bands[at]
        if at in self._checked or self._opened[at].driver != "JP2OpenJPEG":
            return
        with self._files.store.open(file.name) as stream:
            check_structure(stream, "JPEG 2000", name=self._files.label(file))
        self._checked.add(at)


@contextlib.contextmanager
def open_stack(files: SceneFiles) -> Iterator[BandStack]:
    """Open the files of a scene.

    Raises
    ------
    DataError
        If one is damaged, no GeoTIFF or JPEG 2000, or holds several bands; or if they are not of the same ground.
    """
    with contextlib.ExitStack() as stack:
        opened: list[DatasetReader] = []
        sources: dict[str, DatasetReader] = {}
        for file in files.bands:
            driver = file.driver or _driver(files, file)
            source = file.name if file.driver is not None else files.store.gdal_name(file.name)
            # Nothing that might lie next to a file on another machine is asked for.
            alone = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"} if is_address(file.name) else {}
            try:
                if source not in sources:  # a variable may hold several bands
                    with rasterio.Env(**alone):
                        sources[source] = stack.enter_context(rasterio.open(source, driver=driver, sharing=False))
                opened.append(sources[source])
            except RasterioError as error:
                raise unreadable(files.label(file), driver, error) from error
        with sound(files.name, opened[0].driver):
            made = BandStack(files, opened)
        yield made


def _driver(files: SceneFiles, file: BandFile) -> str:
    """The driver that fits a file's first bytes.

    Raises
    ------
    DataError
        If there is none, or the file lacks a part of it.
    """
    name, away = files.label(file), is_address(file.name)
    with files.store.open(file.name) as stream:
        kind = kind_of(stream, name)
        if kind == "TIFF" and not away:
            check_structure(stream, kind, name=name)
    if kind not in _DRIVERS or (away and kind != "TIFF"):
        fix = DOWNLOAD if away else "give the bands as the product has them"
        raise DataError(f"{name} is not a GeoTIFF{'' if away else ' or JPEG 2000'} file", fix=fix)
    return _DRIVERS[kind]


def _repeated(values: npt.NDArray[Any], factor: int) -> npt.NDArray[Any]:
    return np.repeat(np.repeat(values, factor, axis=0), factor, axis=1)


def _factor(one: DatasetReader, finest: DatasetReader, *, name: str) -> int:
    """How many pixels of the finest band lie along one of this band.

    Raises
    ------
    DataError
        If the two are not of the same ground.
    """
    factor: int = max(1, round(finest.width / one.width))
    mine, wanted = list(one.transform)[:6], list(finest.transform)[:6]
    if one.crs or not one.transform.is_identity:
        mine = [value if at in (2, 5) else value / factor for at, value in enumerate(mine)]
    sides = (finest.width, finest.height, 1) * 2  # pixels over which a difference of a number adds up
    apart = max(abs(a - b) * side for a, b, side in zip(mine, wanted, sides, strict=True))
    pixel = math.sqrt(abs(finest.transform.determinant))
    same = (
        (one.width * factor, one.height * factor) == (finest.width, finest.height)
        and one.crs == finest.crs
        and apart <= _OFF * pixel
        and factor <= _MOST_REPEATED
    )
    if not same:
        raise DataError(
            f"{name} is not of the same ground as the other bands ({one.width:,} x {one.height:,} pixels of "
            f"{abs(one.transform.a):g} at {one.transform.c:g}, {one.transform.f:g}, not {finest.width:,} x "
            f"{finest.height:,} of {abs(finest.transform.a):g} at {finest.transform.c:g}, {finest.transform.f:g})",
            fix="give the bands of one scene; warp them onto one grid first, for example with: gdalwarp",
        )
    return factor


def _check_pixel(file: BandFile, one: DatasetReader, *, name: str) -> None:
    """Refuse a band whose pixels are not of the size that the product states."""
    size = abs(one.transform.a)
    if file.pixel is None or not one.crs or not one.crs.is_projected or abs(size - file.pixel) <= _OFF * file.pixel:
        return
    raise DataError(
        f"{name} has pixels of {size:g} m, and by its name they are {file.pixel:g} m",
        fix="download the product again, or give its bands as files: B02.tif B03.tif B04.tif",
    )
