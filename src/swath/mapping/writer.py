"""Write rasters row by row, then turn them into Cloud Optimized GeoTIFFs.

The COG driver writes once, from a complete raster, so rows go to a plain tiled GeoTIFF first, and their
overviews to files beside it (``.ovr``, ``.ovr.ovr`` and so on, where GDAL looks for them). Those files are
packed as fast as can be: they are read once and removed.

The class raster has one band and the confidence a file of its own. In one file with two bands GDAL's COG
driver declares the second one to be transparency, and QGIS takes any raster of two bands for a color
composite and not for classes. GDAL and QGIS read the names of the classes from ``<file>.aux.xml``: TIFF
has no place for them.
"""

from __future__ import annotations

import contextlib
import html
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
import rasterio.shutil
from rasterio._err import CPLE_BaseError
from rasterio.enums import ColorInterp
from rasterio.errors import RasterioError
from rasterio.io import DatasetWriter
from rasterio.windows import Window

from swath.errors import OutputError, SettingError
from swath.files import check_output
from swath.model.record import ClassInfo

NODATA = 0
NO_CONFIDENCE = 255
_TILE = 512
_MAX_BUFFER = 48 * 2**20
Halve = Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.uint8]]
Pixels = npt.NDArray[np.uint8]


class RowWriter:
    """Collects rows into whole tiles, so that every tile is compressed once."""

    def __init__(self, dataset: DatasetWriter, rows: int, *, coarser: OverviewWriter | None = None) -> None:
        self._dataset, self._at, self._filled, self._coarser = dataset, 0, 0, coarser
        self._held = np.empty((dataset.count, rows, dataset.width), dataset.dtypes[0])

    def write(self, rows: npt.NDArray[Any]) -> None:
        """Append `rows` ``[bands, n, width]``.

        Raises
        ------
        OutputError
            If they cannot be written, for want of space for instance.
        """
        done, room = 0, self._held.shape[1]
        while done < rows.shape[1]:
            step = min(rows.shape[1] - done, room - self._filled)
            self._held[:, self._filled : self._filled + step] = rows[:, done : done + step]
            self._filled += step
            done += step
            if self._filled == room:
                self.flush()

    def flush(self) -> None:
        """Write the rows held."""
        if self._filled:
            window = Window(0, self._at, self._dataset.width, self._filled)
            with _writing(self._dataset.name):
                self._dataset.write(self._held[:, : self._filled], window=window)
            if self._coarser is not None:
                self._coarser.add(self._held[0, : self._filled])
            self._at += self._filled
            self._filled = 0


@dataclass(frozen=True)
class OverviewWriter:
    """Where the next overview is written, and how it is made."""

    to: RowWriter
    halve: Halve

    def add(self, rows: npt.NDArray[np.uint8]) -> None:
        """Halve `rows` ``[n, width]``, n being even except at the end, and write them."""
        self.to.write(self.halve(rows)[None])


@contextlib.contextmanager
def row_writer(
    path: Path,
    *,
    width: int,
    height: int,
    bands: int,
    dtype: str,
    nodata: float,
    crs: Any,
    transform: Any,
    names: Sequence[str] | None = None,
    halve: Halve | None = None,
) -> Iterator[RowWriter]:
    """Make a tiled GeoTIFF and yield its writer.

    Parameters
    ----------
    path : Path
        File to make.
    width, height : int
        Pixels; `height` rows are expected.
    bands, dtype, nodata, crs, transform
        As rasterio takes them.
    names : sequence of str, optional
        Descriptions of the bands.
    halve : callable, optional
        Makes overviews of a raster of one band, uint8 ``[n, width]`` to half as many rows and columns. The
        file is then one on the way to a COG.
    """
    side = _TILE
    while side > 16 and side * width * bands * np.dtype(dtype).itemsize > _MAX_BUFFER:
        side //= 2
    with (
        _writing(path),
        rasterio.open(
            path,
            "w",
            driver="GTiff",
            width=width,
            height=height,
            count=bands,
            dtype=dtype,
            nodata=nodata,
            crs=crs,
            transform=transform,
            tiled=True,
            blockxsize=side,
            blockysize=side,
            interleave="band",
            bigtiff="if_safer",
            **({"compress": "deflate", "zlevel": 1} if halve is None else {"compress": "packbits"}),
        ) as dataset,
        contextlib.ExitStack() as stack,
    ):
        if names is not None:
            dataset.descriptions = tuple(names)
        coarser = None
        if halve is not None and max(width, height) > _TILE:
            half = row_writer(
                path.with_name(f"{path.name}.ovr"),
                width=-(-width // 2),
                height=-(-height // 2),
                bands=bands,
                dtype=dtype,
                nodata=nodata,
                crs=None,
                transform=None,
                halve=halve,
            )
            coarser = OverviewWriter(stack.enter_context(half), halve)
        writer = RowWriter(dataset, side, coarser=coarser)
        yield writer
        writer.flush()


def finish_classes(rows: Path, out: Path, classes: Sequence[ClassInfo], *, software: str) -> None:
    """Turn the raster of class numbers into a COG with a color table, and write its names beside it.

    The names are in the tag ``class_names`` too (a JSON list, from
    value 0 on), for a file that has lost its ``.aux.xml``.

    Parameters
    ----------
    rows : Path
        uint8, one band, 0 for nodata and class i as i + 1; its tags are changed.
    out : Path
        COG to make.
    classes : sequence of ClassInfo
        Names and colors, at most 255.
    software : str
        What made it, for the TIFF tag.
    """
    names = category_names(classes)
    with _writing(out):
        with rasterio.open(rows, "r+") as dataset:
            table = {NODATA: (0, 0, 0, 0)}
            table |= {c.value + 1: (*c.rgb, 255) for c in classes}
            dataset.write_colormap(1, table)
            dataset.colorinterp = [ColorInterp.palette]
            dataset.set_band_description(1, "class")
            dataset.update_tags(TIFFTAG_SOFTWARE=software)
            dataset.update_tags(1, class_names=json.dumps(names, ensure_ascii=False))
        _to_cog(rows, out)
    out.with_name(f"{out.name}.aux.xml").write_text(_aux_xml(names), encoding="utf-8")


def finish_bytes(rows: Path, out: Path, *, name: str, software: str) -> None:
    """Turn a raster of one uint8 band, such as confidences in percent, into a COG; `name` is the band's."""
    with _writing(out):
        with rasterio.open(rows, "r+") as dataset:
            dataset.set_band_description(1, name)
            dataset.update_tags(TIFFTAG_SOFTWARE=software)
        _to_cog(rows, out)


def category_names(classes: Sequence[ClassInfo]) -> list[str]:
    """Names of the values 0, 1, 2... of a class raster."""
    return ["No data", *(c.name for c in classes)]


def _to_cog(rows: Path, out: Path) -> None:
    """Copy a raster and the overviews beside it into a COG, and remove them."""
    rasterio.shutil.copy(
        rows, out, driver="COG", compress="DEFLATE", blocksize=_TILE, bigtiff="IF_SAFER", overviews="AUTO"
    )
    check_whole(out)
    while rows.exists():
        rows.unlink()
        rows = rows.with_name(f"{rows.name}.ovr")


def check_whole(path: Path) -> None:
    """Hold the places of all blocks of a GeoTIFF against the length of its file.

    GDAL says nothing of a disk that fills up while it closes a file.

    Raises
    ------
    OutputError
        If a block is not there.
    """
    length = path.stat().st_size
    with rasterio.open(path) as made:
        for band in made.indexes:
            for (row, column), _ in made.block_windows(band):
                place = [
                    made.get_tag_item(f"BLOCK_{what}_{column}_{row}", "TIFF", bidx=band)
                    for what in ("OFFSET", "SIZE")
                ]
                if None in place or sum(map(int, place)) > length:
                    raise OutputError(
                        f"{path.name} was not written to its end", fix="check the space on the disk"
                    )


def _aux_xml(names: Sequence[str]) -> str:
    lines = "".join(f"      <Category>{html.escape(name, quote=False)}</Category>\n" for name in names)
    return (
        '<PAMDataset>\n  <PAMRasterBand band="1">\n    <CategoryNames>\n'
        f"{lines}    </CategoryNames>\n  </PAMRasterBand>\n</PAMDataset>\n"
    )


@contextlib.contextmanager
def _writing(path: Path | str) -> Iterator[None]:
    try:
        yield
    except (RasterioError, CPLE_BaseError) as error:
        raise OutputError(
            f"cannot write {Path(path).name} ({error.__cause__ or error})", fix="check the space on the disk"
        ) from error


@contextlib.contextmanager
def staged(targets: Sequence[Path], *, overwrite: bool = False) -> Iterator[tuple[Path, ...]]:
    """Yield a path to write for each target; move them all, the first one last, if the block ends well.

    The paths lie in hidden folders beside their targets, ``.<first target there>.partial``, under the targets'
    own names. It is removed if the block raises. A killed process leaves it; the next run for the same
    target removes it and starts over, so only one run at a time may write to a target.

    Parameters
    ----------
    targets : sequence of Path
        The final files. The presence of the first one means that all are whole.
    overwrite : bool
        Replace files that exist.

    Raises
    ------
    OutputError
        If a target exists without `overwrite`, or cannot be written.
    SettingError
        If two targets are the same file.
    """
    if len({target.resolve() for target in targets}) < len(targets):
        raise SettingError("two outputs would go to the same file", fix="give them different names")
    for target in targets:
        check_output(target, overwrite=overwrite)
    # Named after a target of their own: runs whose other targets differ may share a parent.
    folders: dict[Path, Path] = {}
    for target in targets:
        folders.setdefault(target.parent, target.parent / f".{target.name}.partial")
    paths = tuple(folders[target.parent] / target.name for target in targets)
    try:
        for folder in folders.values():
            shutil.rmtree(folder, ignore_errors=True)
            _make(folder)
        yield paths
        for path, target in reversed(list(zip(paths, targets, strict=True))):
            path.replace(target)
    finally:
        for folder in folders.values():
            shutil.rmtree(folder, ignore_errors=True)


def _make(folder: Path) -> None:
    try:
        folder.mkdir()
    except OSError as error:
        raise OutputError(
            f"cannot make the folder {folder} ({error.strerror})",
            fix="remove it, or wait for the run that is using it",
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
