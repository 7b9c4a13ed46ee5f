"""Map a scene: lay the windows, classify strip by strip, write the rasters and what belongs to them."""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view
from rasterio import Affine

from swath import __version__
from swath.errors import DataError, SettingError
from swath.inference import Classifier
from swath.mapping import writer
from swath.mapping.area import PixelArea, pixel_area
from swath.mapping.bands import choose_bands
from swath.mapping.blend import Blend, CellRows
from swath.mapping.checks import Watch, size_warning
from swath.mapping.grid import Grid, make_grid
from swath.mapping.legend import draw_legend, draw_map
from swath.mapping.reader import Scene, Strip, Strips, check_values, open_scene
from swath.mapping.staging import staged
from swath.mapping.summary import MapFiles, MapSummary, map_record
from swath.mapping.totals import Totals
from swath.progress import Progress, silent

_MAX_CLASSES = 254


@dataclass(frozen=True)
class _Job:
    """What every step of one mapping needs."""

    classifier: Classifier
    scene: Scene
    grid: Grid
    strips: Strips
    batch: int
    progress: Progress


def map_scene(
    classifier: Classifier,
    scene: Path,
    out: Path,
    *,
    stride: int | None = None,
    bands: tuple[int, ...] | None = None,
    render: tuple[float, float] | None = None,
    nodata: float | None = None,
    probabilities: Path | None = None,
    batch: int = 256,
    overwrite: bool = False,
    progress: Progress = silent,
) -> MapSummary:
    """Classify a scene window by window and write a georeferenced map.

    Windows have the model's patch size; where they overlap, their probabilities are averaged, and the class
    with the largest mean is mapped. Pixels past the edges of the scene are mirror images of those inside, so
    every pixel lies under as many windows as any other. A window without any data is not classified; one
    that has some is, with the pixels as they are. Pixels without data stay without a class.

    Parameters
    ----------
    classifier : Classifier
        A loaded model.
    scene : Path
        GeoTIFF, JPEG 2000, PNG or JPEG with the model's bands in the model's data type.
    out : Path
        Class raster to write, ending in ``.tif``; see :class:`MapFiles` for what is written beside it.
    stride : int, optional
        Pixels from one window to the next; the patch size by default, so that windows do not overlap.
    bands : tuple of int, optional
        The scene's bands to use, counted from 1, in the model's order; by name or position by default.
    render : tuple of float, optional
        LOW and HIGH reflectance that become 1 and 255, for an 8-bit model on a scene of reflectances.
    nodata : float, optional
        Value that means no data, in place of the scene's own.
    probabilities : Path, optional
        Also write the mean probabilities: float32 GeoTIFF, one band a class, one pixel a cell. Its last
        cells may reach past the scene.
    batch : int
        Windows handed to the engine at a time.
    overwrite : bool
        Replace files that exist.
    progress : Progress
        Told of every row of windows.

    Returns
    -------
    MapSummary

    Raises
    ------
    DataError
        If the scene cannot be read, lacks bands or holds other values than the model takes.
    SettingError
        If an option does not fit the model or the scene.
    OutputError
        If an output exists without `overwrite` or cannot be written. Nothing is left half-written.
    """
    began = time.monotonic()
    record = classifier.record
    files = MapFiles.beside(out, probabilities=probabilities)
    _check_names(files, scene)
    if len(record.classes) > _MAX_CLASSES:
        raise DataError(f"a map holds {_MAX_CLASSES} classes at most and the model has {len(record.classes)}")
    with open_scene(scene) as opened, staged(files.all(), overwrite=overwrite) as paths:
        partial = dict(zip(files.all(), paths, strict=True))
        chosen = choose_bands(opened.bands, record.input.bands, asked=bands, scene=opened.name)
        check_values(opened.dtype, record.input.data_type, render=render, scene=opened.name)
        patch = record.input.size
        grid = make_grid(opened.height, opened.width, patch=patch, stride=patch if stride is None else stride)
        strips = Strips(opened, grid, bands=chosen.indexes, render=render, nodata=nodata)
        area = pixel_area(opened.crs, opened.transform, opened.height)
        totals, watch = Totals(record.class_names, area), Watch(record.input, grid)
        job = _Job(classifier, opened, grid, strips, batch, progress)
        classified = _write_rasters(job, files, partial, totals, watch)
        found = [chosen.warning, *_place_warnings(opened, area), size_warning(area, record.input.gsd)]
        warnings = [w for w in found if w] + watch.warnings(rendered=render is not None)
        classes = totals.classes()
        draw_legend(partial[files.legend], record.classes, classes, nodata=totals.nodata)
        draw_map(
            partial[files.picture],
            partial[files.classes],
            record.classes,
            classes,
            title=f"{opened.name}, {record.name}",
            area=area,
            nodata=totals.nodata,
        )
        summary = MapSummary(
            files=files,
            classes=classes,
            nodata_pixels=totals.nodata,
            width=opened.width,
            height=opened.height,
            crs=opened.crs.to_string() if opened.crs else None,
            bands=chosen,
            stride=grid.stride,
            windows=grid.windows,
            classified=classified,
            seconds=time.monotonic() - began,
            warnings=tuple(warnings),
        )
        content = map_record(
            summary,
            classifier,
            opened,
            grid,
            area=area,
            render=render,
            nodata=strips.nodata,
            means=watch.means,
        )
        text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
        partial[files.record].write_text(text + "\n", encoding="utf-8")
    return summary


def _check_names(files: MapFiles, scene: Path) -> None:
    for path in (files.classes, files.probabilities):
        if path is not None and path.suffix.lower() not in {".tif", ".tiff"}:
            raise SettingError(f"{path} does not end in .tif", fix="maps are GeoTIFF files")
    clash = (
        next((path for path in files.all() if path.exists() and path.samefile(scene)), None)
        if scene.exists()
        else None
    )
    if clash:
        raise SettingError(f"{clash} is the scene itself", fix="choose another name for the map")


def _write_rasters(
    job: _Job, files: MapFiles, partial: dict[Path, Path], totals: Totals, watch: Watch
) -> int:
    """Stream both rasters (and the probabilities) and make COGs of them; returns the windows classified."""
    scene, grid = job.scene, job.grid
    out = partial[files.classes]
    labels, confidences = out.with_name("classes.rows.tif"), out.with_name("confidence.rows.tif")
    place: dict[str, Any] = {"crs": scene.crs, "transform": scene.transform}
    size: dict[str, Any] = {"width": scene.width, "height": scene.height, "bands": 1, "dtype": "uint8"}
    classes = job.classifier.record.classes
    classified = 0
    with contextlib.ExitStack() as stack:
        to_labels = stack.enter_context(writer.row_writer(labels, nodata=writer.NODATA, **size, **place))
        to_confidence = stack.enter_context(
            writer.row_writer(confidences, nodata=writer.NO_CONFIDENCE, **size, **place)
        )
        to_cells = None
        if files.probabilities is not None:
            to_cells = stack.enter_context(
                writer.row_writer(
                    partial[files.probabilities],
                    width=grid.cols.cells,
                    height=grid.rows.cells,
                    bands=len(classes),
                    dtype="float32",
                    nodata=float("nan"),
                    crs=scene.crs,
                    transform=_coarser(scene.transform, grid.cell),
                    names=[c.name for c in classes],
                )
            )
        blend = Blend(grid, len(classes))
        for number in range(grid.rows.windows):
            strip = job.strips.read(number)
            watch.add(strip)
            values, done = _classify(job, strip)
            classified += int(done.sum())
            for rows in blend.add(values, done):
                start, painted, sure = _paint(grid, strip, rows)
                totals.add(start, painted)
                to_labels.write(painted[None])
                to_confidence.write(sure[None])
                if to_cells is not None:
                    cells = np.where(rows.covered, rows.mean, np.float32("nan"))
                    to_cells.write(np.repeat(cells[:, None], rows.stop - rows.start, axis=1))
            job.progress("mapping", (number + 1) * grid.cols.windows, grid.windows)
    software = f"swath {__version__}"
    job.progress("writing", 0, 2)
    writer.finish_confidence(confidences, partial[files.confidence], software=software)
    job.progress("writing", 1, 2)
    writer.finish_classes(labels, out, classes, software=software)
    job.progress("writing", 2, 2)
    return classified


def _classify(job: _Job, strip: Strip) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Probabilities ``[windows, K]`` of one row of windows, and which of them held data."""
    patch, stride = job.grid.patch, job.grid.stride
    # Views of the strip, no copies: [windows, bands, patch, patch] and [windows, patch].
    windows = sliding_window_view(strip.pixels, patch, axis=2)[:, :, ::stride].transpose(2, 0, 1, 3)
    columns = sliding_window_view(strip.valid.any(axis=0), patch)[::stride]
    held = np.asarray(columns.any(axis=1), bool)
    values = np.zeros((len(held), len(job.classifier.record.classes)), np.float32)
    places = np.flatnonzero(held)
    for start in range(0, len(places), job.batch):
        part = places[start : start + job.batch]
        values[part] = job.classifier.run(windows[part], batch=job.batch)["probabilities"]
    return values, held


def _paint(
    grid: Grid, strip: Strip, rows: CellRows
) -> tuple[int, npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Paint finished cells as pixels: first row, class numbers and confidences ``[rows, width]``."""
    start, stop = rows.start * grid.cell, min(rows.stop * grid.cell, grid.rows.length)
    width, left = grid.cols.length, -grid.cols.first
    valid = strip.valid[start - strip.start : stop - strip.start, left : left + width]
    best = np.where(rows.covered, rows.mean.argmax(axis=0) + 1, writer.NODATA).astype(np.uint8)
    sure = np.rint(100 * rows.mean.max(axis=0)).astype(np.uint8)
    return (
        start,
        np.where(valid, np.repeat(best, grid.cell)[:width], np.uint8(writer.NODATA)),
        np.where(valid, np.repeat(sure, grid.cell)[:width], np.uint8(writer.NO_CONFIDENCE)),
    )


def _coarser(pixels: Affine, cell: int) -> Affine:
    return Affine(pixels.a * cell, pixels.b * cell, pixels.c, pixels.d * cell, pixels.e * cell, pixels.f)


def _place_warnings(scene: Scene, area: PixelArea | None) -> list[str | None]:
    if not scene.crs:
        return [
            "the scene has no coordinate reference system: the map has none either, and no areas in hectares"
        ]
    if area is None:
        return ["the size of the scene's pixels is not known: the map has no areas in hectares"]
    return [area.warning]
