"""Where the rows of a map go: to arrays in memory, or to Cloud Optimized GeoTIFFs that appear together.

A map has up to four layers, and a :class:`LayerWriter` takes the rows of each. :class:`ArrayWriter` keeps them;
those of :func:`raster_writers` write them: the COG driver writes once, from a complete raster, so rows go to a plain
tiled GeoTIFF first, and their overviews to files next to it (``.ovr``, ``.ovr.ovr`` and so on, where GDAL looks).
Those files are packed as fast as can be: they are copied once and removed.

The class raster has one band and the confidence a file of its own. In one file with two bands GDAL's COG
driver declares the second one to be transparency, and QGIS takes any raster of two bands for a color
composite and not for classes. GDAL and QGIS read the names of the classes from ``<file>.aux.xml``: TIFF
has no place for them.
"""

from __future__ import annotations

import contextlib
import functools
import html
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import rasterio
import rasterio.shutil
from rasterio import Affine
from rasterio._err import CPLE_BaseError
from rasterio.errors import RasterioError
from rasterio.io import DatasetWriter, MemoryFile
from rasterio.windows import Window

from swath import __version__
from swath.errors import OutputError
from swath.mapping.grid import Grid
from swath.model.record import ClassInfo
from swath.progress import Progress

NODATA = 0
NO_CONFIDENCE = 255
_TILE = 512
PREVIEW = 2000  # pixels of the longer side of a preview, at most; more than a tile, so that some overview has it
_MAX_BUFFER = 48 * 2**20
Pixels = npt.NDArray[np.uint8]
Halve = Callable[[Pixels], Pixels]


@dataclass(frozen=True)
class Layer:
    """One raster of a map.

    Attributes
    ----------
    name : str
        ``classes``, ``confidence``, ``ood`` or ``probabilities``.
    bands : tuple of str
        Descriptions of its bands.
    height, width : int
        Pixels.
    dtype : str
        Type of its values.
    nodata : float
        Value of pixels without data.
    halve : callable, optional
        Makes overviews, of uint8 ``[n, width]`` to half as many rows and columns. A layer that has them becomes a
        COG; another one stays a tiled GeoTIFF.
    cell : int
        Pixels of the scene that a pixel of the layer covers each way.
    classes : sequence of ClassInfo
        Names and colors of its values: class i is stored as i + 1.
    """

    name: str
    bands: tuple[str, ...]
    height: int
    width: int
    dtype: str = "uint8"
    nodata: float = NO_CONFIDENCE
    halve: Halve | None = None
    cell: int = 1
    classes: Sequence[ClassInfo] = ()


def map_layers(
    grid: Grid, classes: Sequence[ClassInfo], *, ood: bool, probabilities: Sequence[str] = ()
) -> tuple[Layer, ...]:
    """The layers of a map.

    Parameters
    ----------
    grid : Grid
        Of the scene.
    classes : sequence of ClassInfo
        What may be painted, at most 254.
    ood : bool
        Whether to mark what is unlike the training data.
    probabilities : sequence of str
        Names of the classes whose probabilities are kept; none for no such layer.
    """
    height, width = grid.rows.length, grid.cols.length
    layers = [
        Layer("classes", ("class",), height, width, nodata=NODATA, halve=most_frequent, classes=classes),
        Layer("confidence", ("confidence, percent",), height, width, halve=mean),
    ]
    if ood:
        halve = functools.partial(most_frequent, nodata=NO_CONFIDENCE)
        layers.append(Layer("ood", ("unlike the training data",), height, width, halve=halve))
    if probabilities:
        names, size = tuple(probabilities), (grid.rows.cells, grid.cols.cells)
        layers.append(Layer("probabilities", names, *size, "float32", float("nan"), cell=grid.cell))
    return tuple(layers)


class LayerWriter(Protocol):
    """Takes the rows of one layer from top to bottom."""

    def write(self, rows: npt.NDArray[Any]) -> None:
        """Append `rows` ``[bands, n, width]``."""


class ArrayWriter:
    """Keeps a layer in memory: 1 byte per pixel, or 4 bytes per class and cell for probabilities.

    Attributes
    ----------
    array : numpy.ndarray
        ``[bands, height, width]``.
    """

    def __init__(self, layer: Layer) -> None:
        self.array: npt.NDArray[Any] = np.empty((len(layer.bands), layer.height, layer.width), layer.dtype)
        self._at = 0

    def write(self, rows: npt.NDArray[Any]) -> None:
        """Append `rows` ``[bands, n, width]``."""
        start, self._at = self._at, self._at + rows.shape[1]
        self.array[:, start : self._at] = rows


@contextlib.contextmanager
def raster_writers(
    layers: Sequence[Layer],
    paths: Mapping[str, Path],
    *,
    crs: Any,
    transform: Affine,
    tags: Mapping[str, str],
    progress: Progress,
) -> Iterator[dict[str, RowWriter]]:
    """Yield a writer for each layer, by its name; if the block ends well, their rasters are made COGs.

    Memory is bounded by the width of the scene: a row of tiles of each layer and of each of its overviews.

    Parameters
    ----------
    layers : sequence of Layer
    paths : mapping of str to Path
        The file of each layer, by its name. The names of classes go to ``<file>.aux.xml``, and so does a reference
        system that a GeoTIFF cannot hold.
    crs, transform
        Of the scene, as rasterio takes them.
    tags : mapping of str to str
        Written into every raster: what it was made by.
    progress : Progress
        Called for every COG.

    Raises
    ------
    OutputError
        If a raster cannot be written.
    """
    writers, unfinished = {}, {}
    with contextlib.ExitStack() as stack:
        for layer in layers:
            path = paths[layer.name]
            if layer.halve is not None:
                unfinished[path] = path = path.with_name(f"{layer.name}.rows.tif")
            writers[layer.name] = stack.enter_context(row_writer(path, layer, crs=crs, transform=transform, tags=tags))
        yield writers
    system = None if crs is None or fits_geotiff(crs) else crs
    for layer in layers:
        path = paths[layer.name]
        if layer.halve is None:
            check_whole(path)
        if layer.classes or system is not None:
            path.with_name(f"{path.name}.aux.xml").write_text(_aux_xml(layer.classes, system), encoding="utf-8")
    progress("writing", 0, len(unfinished))
    with ThreadPoolExecutor(2) as pool:
        cogs = [pool.submit(make_cog, rows, path) for path, rows in unfinished.items()]
        for number, cog in enumerate(as_completed(cogs), start=1):
            cog.result()
            progress("writing", number, len(cogs))


class RowWriter:
    """Collects rows into whole tiles, so that every tile is compressed once.

    Parameters
    ----------
    dataset : rasterio.io.DatasetWriter
        Open for writing.
    rows : int
        Height of its tiles.
    halve : callable, optional
        Makes the rows of the next overview.
    coarser : RowWriter, optional
        Takes them.
    kept : numpy.ndarray
        ``[height, width]``, where a copy of the whole raster is left; empty for none.
    """

    def __init__(
        self, dataset: DatasetWriter, rows: int, *, halve: Halve | None, coarser: RowWriter | None, kept: Pixels
    ) -> None:
        self._dataset, self._at, self._filled = dataset, 0, 0
        self._halve, self._coarser, self._kept = halve, coarser, kept
        self._held = np.empty((dataset.count, rows, dataset.width), dataset.dtypes[0])

    @property
    def preview(self) -> Pixels:
        """A copy in memory of this raster or of its first overview of at most 2,000 pixels a side."""
        return self._kept if self._coarser is None or self._kept.size else self._coarser.preview

    def write(self, rows: npt.NDArray[Any]) -> None:
        """Append `rows` ``[bands, n, width]``."""
        done, room = 0, self._held.shape[1]
        while done < rows.shape[1]:
            step = min(rows.shape[1] - done, room - self._filled)
            self._held[:, self._filled : self._filled + step] = rows[:, done : done + step]
            self._filled += step
            done += step
            if self._filled == room:
                self.flush()

    def flush(self) -> None:
        """Write the rows held; their number is even, except at the end."""
        if not self._filled:
            return
        rows = self._held[:, : self._filled]
        with _writing(self._dataset.name):
            self._dataset.write(rows, window=Window(0, self._at, self._dataset.width, self._filled))
        if self._kept.size:
            self._kept[self._at : self._at + self._filled] = rows[0]
        if self._coarser is not None and self._halve is not None:
            self._coarser.write(self._halve(rows[0])[None])
        self._at += self._filled
        self._filled = 0


@contextlib.contextmanager
def row_writer(
    path: Path,
    layer: Layer,
    *,
    crs: Any = None,
    transform: Affine | None = None,
    tags: Mapping[str, str] = MappingProxyType({}),
    preview: bool = True,
) -> Iterator[RowWriter]:
    """Make a tiled GeoTIFF, and files of its overviews if it is on the way to a COG, and yield its writer.

    Parameters
    ----------
    path : Path
        File to make.
    layer : Layer
        What it holds.
    crs, transform
        Of the scene, as rasterio takes them.
    tags : mapping of str to str
        To write into it.
    preview : bool
        Keep a small copy in memory, if the layer has overviews.
    """
    width, height = layer.width, layer.height
    side = tile_rows(width * len(layer.bands) * np.dtype(layer.dtype).itemsize)
    if transform is not None:
        a, b, c, d, e, f = (transform[i] for i in range(6))
        transform = Affine(a * layer.cell, b * layer.cell, c, d * layer.cell, e * layer.cell, f)
    packing = {"compress": "deflate", "zlevel": 1} if layer.halve is None else {"compress": "packbits"}
    with (
        _writing(path),
        rasterio.open(
            path,
            "w",
            driver="GTiff",
            width=width,
            height=height,
            count=len(layer.bands),
            dtype=layer.dtype,
            nodata=layer.nodata,
            crs=crs,
            transform=transform,
            tiled=True,
            blockxsize=side,
            blockysize=side,
            interleave="band",
            bigtiff="if_safer",
            **packing,
        ) as dataset,
        contextlib.ExitStack() as stack,
    ):
        dataset.descriptions = layer.bands
        dataset.update_tags(TIFFTAG_SOFTWARE=f"swath {__version__}", **tags)
        if layer.classes:
            colors = {c.value + 1: (*c.rgb, 255) for c in layer.classes}
            dataset.write_colormap(1, {NODATA: (0, 0, 0, 0)} | colors)
            # For a file that has lost its .aux.xml: a JSON list, from value 0 on.
            names = json.dumps(category_names(layer.classes), ensure_ascii=False)
            dataset.update_tags(1, class_names=names)
        small = preview and layer.halve is not None and max(width, height) <= PREVIEW
        kept, coarser = np.empty((height, width) if small else (0, 0), np.uint8), None
        if layer.halve is not None and max(width, height) > _TILE:
            half = replace(layer, width=-(-width // 2), height=-(-height // 2), classes=())
            overview = row_writer(path.with_name(f"{path.name}.ovr"), half, preview=preview and not small)
            coarser = stack.enter_context(overview)
        writer = RowWriter(dataset, side, halve=layer.halve, coarser=coarser, kept=kept)
        yield writer
        writer.flush()


def tile_rows(across: int) -> int:
    """Rows of a tile of a raster whose rows have so many bytes: a row of tiles is held until it is full."""
    side = _TILE
    while side > 16 and side * across > _MAX_BUFFER:
        side //= 2
    return side


def category_names(classes: Sequence[ClassInfo]) -> list[str]:
    """Names of the values 0, 1, 2... of a class raster."""
    return ["No data", *(c.name for c in classes)]


def make_cog(rows: Path, out: Path) -> None:
    """Copy a raster and the overviews next to it into a COG, and remove them.

    This and :func:`check_whole` are the only places where a map opens a file that it has written itself, and the
    reader is GDAL: its COG driver copies nothing but complete rasters, and it does not report a write that failed
    while a file was closed. Pixels, totals and pictures are never taken from files.
    """
    with _writing(out):
        rasterio.shutil.copy(
            rows, out, driver="COG", compress="DEFLATE", blocksize=_TILE, bigtiff="IF_SAFER", overviews="AUTO"
        )
    check_whole(out)
    while rows.exists():
        rows.unlink()
        rows = rows.with_name(f"{rows.name}.ovr")


def check_whole(path: Path) -> None:
    """Compare the places of all blocks of a GeoTIFF with the length of its file.

    GDAL does not report a disk that fills up while it closes a file.

    Raises
    ------
    OutputError
        If a block is missing.
    """
    length = path.stat().st_size
    with rasterio.open(path) as made:
        for band in made.indexes:
            for (row, column), _ in made.block_windows(band):
                place = [
                    made.get_tag_item(f"BLOCK_{what}_{column}_{row}", "TIFF", bidx=band) for what in ("OFFSET", "SIZE")
                ]
                if None in place or sum(map(int, place)) > length:
                    raise OutputError(f"{path.name} was not written to its end", fix="check the space on the disk")


def fits_geotiff(crs: Any) -> bool:
    """Whether the keys of a GeoTIFF can say a reference system: not, for example, one with ellipsoidal heights."""
    with MemoryFile() as memory, rasterio.Env(GDAL_PAM_ENABLED="NO"):
        profile = {"driver": "GTiff", "width": 1, "height": 1, "count": 1, "dtype": "uint8"}
        with memory.open(**profile, crs=crs, transform=Affine(1, 0, 0, 0, -1, 0)):
            pass
        with memory.open() as made:
            return bool(made.crs == crs)


def _aux_xml(classes: Sequence[ClassInfo], crs: Any) -> str:
    """What a GeoTIFF has no place for: the names of classes and, where its keys cannot say it, a reference system."""
    system = names = ""
    if crs is not None:
        text = html.escape(crs.to_wkt(version="WKT2_2019"), quote=False)
        # Latitude comes first in most geographic systems; rasters are stored x, y all the same.
        order = "2,1" if crs.is_geographic and "DERIVINGCONVERSION" not in text else "1,2"
        system = f'  <SRS dataAxisToSRSAxisMapping="{order}">{text}</SRS>\n'
    if classes:
        lines = "".join(
            f"      <Category>{html.escape(name, quote=False)}</Category>\n" for name in category_names(classes)
        )
        names = f'  <PAMRasterBand band="1">\n    <CategoryNames>\n{lines}    </CategoryNames>\n  </PAMRasterBand>\n'
    return f"<PAMDataset>\n{system}{names}</PAMDataset>\n"


@contextlib.contextmanager
def _writing(path: Path | str) -> Iterator[None]:
    try:
        yield
    except (RasterioError, CPLE_BaseError) as error:
        raise OutputError(
            f"cannot write {Path(path).name} ({error.__cause__ or error})", fix="check the space on the disk"
        ) from error


def most_frequent(values: Pixels, *, nodata: int = 0) -> Pixels:
    """The most frequent value of each 2 x 2 pixels.

    Parameters
    ----------
    values : numpy.ndarray
        uint8 ``[rows, width]``; a last odd row or column counts twice.
    nodata : int
        Value that is taken only where all four hold it.

    Returns
    -------
    numpy.ndarray
        uint8 ``[ceil(rows / 2), ceil(width / 2)]``. Of values as frequent as each other the first one in
        reading order is taken.
    """
    a, b, c, d = (np.ascontiguousarray(part) for part in _quarters(values))
    found = a.copy()
    gaps = not (values != nodata).all()
    if gaps:
        for other in (b, c, d):
            np.copyto(found, other, where=found == nodata)
    for value, rest in ((c, (d,)), (b, (c, d)), (a, (b, c, d))):
        twice = value == rest[0]
        for other in rest[1:]:
            twice |= value == other
        if gaps:
            twice &= value != nodata
        np.copyto(found, value, where=twice)
    return found


def mean(values: Pixels, *, nodata: int = 255) -> Pixels:
    """The rounded mean of each 2 x 2 pixels, of those that are not nodata; halves upwards.

    Shapes are those of :func:`most_frequent`.
    """
    parts = _quarters(values)
    if (values != nodata).all():
        total = np.full(parts[0].shape, 2, np.uint16)
        for part in parts:
            total += part
        total >>= 2
        return total.astype(np.uint8)
    count = np.zeros(parts[0].shape, np.uint16)
    total = np.zeros(parts[0].shape, np.uint16)
    for part in parts:
        there = part != nodata
        count += there
        total += np.where(there, part, np.uint8(0))
    rounded = (2 * total + count) // np.maximum(2 * count, 1)
    return np.where(count > 0, rounded, nodata).astype(np.uint8)


def _quarters(values: Pixels) -> tuple[Pixels, Pixels, Pixels, Pixels]:
    """The upper left, upper right, lower left and lower right of each 2 x 2 pixels."""
    odd = tuple((0, side % 2) for side in values.shape)
    whole = np.pad(values, odd, mode="edge") if any(after for _, after in odd) else values
    return whole[::2, ::2], whole[::2, 1::2], whole[1::2, ::2], whole[1::2, 1::2]
