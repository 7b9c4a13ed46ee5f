"""Map a scene: lay the windows, classify strip by strip, write the rasters and what belongs to them.

The scene is read on one thread and the map written on another while the engine runs on this one.
"""

from __future__ import annotations

import contextlib
import functools
import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rasterio import Affine

from swath import __version__
from swath.errors import DataError
from swath.inference import Classifier
from swath.inference.color_match import check_mode, compare_scene
from swath.mapping import writer
from swath.mapping.area import PixelArea, pixel_area
from swath.mapping.grid import Grid, make_grid
from swath.mapping.legend import Totals, draw_legend, draw_map, painted_classes
from swath.mapping.paint import Painter
from swath.mapping.reader import Scene, check_name, check_values, choose_bands, open_scene
from swath.mapping.strips import Strips, ahead, behind
from swath.mapping.summary import MapFiles, MapSummary, SceneStatistics, map_record, ood_warning, size_warning
from swath.mapping.windows import Windows, make_windows, with_data
from swath.mapping.writer import mean, most_frequent, staged
from swath.progress import Progress, silent

_MAX_CLASSES = 254


@dataclass(frozen=True)
class _Job:
    """What every step of one mapping needs."""

    classifier: Classifier
    scene: Scene
    grid: Grid
    strips: Strips
    windows: Windows
    progress: Progress


def map_scene(
    classifier: Classifier,
    scene: str | Path,
    out: str | Path,
    *,
    stride: int | None = None,
    bands: tuple[int, ...] | None = None,
    rescale: tuple[float, float] | None = None,
    nodata: float | None = None,
    match_colors: str = "auto",
    probabilities: str | Path | None = None,
    batch_size: int = 1024,
    dense: bool | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
) -> MapSummary:
    """Classify a scene window by window and write a georeferenced map.

    Windows have the model's patch size; where they overlap, their probabilities are averaged, and the class
    with the largest mean is mapped. A binary model's threshold decides on the mean instead; a multi-label
    model's most probable label that reaches its threshold is mapped, and "none of these", one class more,
    where none does. Pixels past the edges of the scene are mirror images of those inside, so
    every pixel lies under as many windows as any other. A window without any data is not classified; one
    that has some is, with the pixels as they are. Pixels without data stay without a class.

    Parameters
    ----------
    classifier : Classifier
        A loaded model.
    scene : str or pathlib.Path
        GeoTIFF, JPEG 2000, PNG or JPEG with the model's bands in the model's data type.
    out : str or pathlib.Path
        Class raster to write, ending in ``.tif``; see :class:`MapFiles` for what is written beside it.
    stride : int, optional
        Pixels from one window to the next; the patch size by default, so that windows do not overlap.
    bands : tuple of int, optional
        The scene's bands to use, counted from 1, in the model's order; by name or position by default.
    rescale : tuple of float, optional
        LOW and HIGH reflectance that become 1 and 255, for an 8-bit model on a scene of reflectances.
    nodata : float, optional
        Value that means no data, in place of the scene's own.
    match_colors : str
        ``"on"`` matches the scene's channels to the training patches', ``"off"`` does not, ``"auto"`` does if
        they lie outside; see :mod:`swath.imagery.color_match`.
    probabilities : str or pathlib.Path, optional
        Also write the mean probabilities: float32 GeoTIFF, one band a class, one pixel a cell. Its last
        cells may reach past the scene.
    batch_size : int
        Windows cut out and handed to the engine at a time, which takes as many of them as it likes.
    dense : bool, optional
        Run the network over many windows at once, or window by window; by default the faster way. A network
        without padding gives the same probabilities either way, another one allows only the latter.
    overwrite : bool
        Replace files that exist.
    progress : Progress
        Called for every row of windows.

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
    scene, out = Path(scene), Path(out)
    probabilities = None if probabilities is None else Path(probabilities)
    files = MapFiles.next_to(out, probabilities=probabilities, ood=classifier.detects_ood)
    files.check(scene)
    check_name(out)
    check_mode(match_colors)
    legend = painted_classes(record)
    if len(legend) > _MAX_CLASSES:
        raise DataError(f"a map holds {_MAX_CLASSES} classes at most and the model has {len(legend)}")
    with contextlib.ExitStack() as stack:
        opened = stack.enter_context(open_scene(scene))
        chosen = choose_bands(opened.bands, record.input.bands, asked=bands, scene=opened.name)
        check_values(opened.dtype, record.input.data_type, rescale=rescale, scene=opened.name)
        patch = record.input.size
        grid = make_grid(opened.height, opened.width, patch=patch, stride=patch if stride is None else stride)
        windows = make_windows(classifier, grid, batch_size=batch_size, dense=dense)
        if not windows.detects_ood:
            files = replace(files, ood=None)
        paths = stack.enter_context(staged(files.all(), overwrite=overwrite))
        partial = dict(zip(files.all(), paths, strict=True))
        strips = Strips(opened, grid, bands=chosen.indexes, rescale=rescale, nodata=nodata)
        color_match = compare_scene(strips.sample(), record.input, mode=match_colors)
        strips.correction = color_match.correction
        area = pixel_area(opened.crs, opened.transform, opened.height)
        totals, watch = Totals(tuple(c.name for c in legend), area), SceneStatistics(record.input, grid)
        job = _Job(classifier, opened, grid, strips, windows, progress)
        classified = _write_rasters(job, files, partial, totals, watch)
        found = [chosen.warning, *_place_warnings(opened, area), size_warning(area, record.input.gsd)]
        warnings = [w for w in [*found, color_match.warning] if w]
        ood = totals.ood_share if files.ood else None
        warnings += ood_warning(ood)
        warnings += watch.warnings(rescaled=rescale is not None, compared=color_match.judged)
        classes = totals.classes()
        draw_legend(partial[files.legend], legend, classes, nodata=totals.nodata)
        draw_map(
            partial[files.picture],
            partial[files.classes],
            legend,
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
            color_match=color_match,
            stride=grid.stride,
            dense=windows.dense,
            windows=grid.windows,
            classified=classified,
            seconds=time.monotonic() - began,
            warnings=tuple(warnings),
            ood=ood,
        )
        content = map_record(
            summary,
            classifier,
            opened,
            grid,
            area=area,
            rescale=rescale,
            nodata=strips.nodata,
            means=watch.means,
        )
        text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
        partial[files.record].write_text(text + "\n", encoding="utf-8")
    if files.ood is None and overwrite:  # of an earlier map of this name
        out.with_name(f"{out.stem}.ood{out.suffix}").unlink(missing_ok=True)
    return summary


def _write_rasters(
    job: _Job, files: MapFiles, partial: dict[Path, Path], totals: Totals, watch: SceneStatistics
) -> int:
    """Stream both rasters (and the probabilities) and make COGs of them; returns the windows classified."""
    scene, grid = job.scene, job.grid
    out = partial[files.classes]
    labels, confidences, strange = (
        out.with_name(f"{name}.rows.tif") for name in ("classes", "confidence", "ood")
    )
    place: dict[str, Any] = {"crs": scene.crs, "transform": scene.transform}
    size: dict[str, Any] = {"width": scene.width, "height": scene.height, "bands": 1, "dtype": "uint8"}
    record = job.classifier.record
    with contextlib.ExitStack() as stack:
        to_labels = stack.enter_context(
            writer.row_writer(labels, nodata=writer.NODATA, halve=most_frequent, **size, **place)
        )
        to_confidence = stack.enter_context(
            writer.row_writer(confidences, nodata=writer.NO_CONFIDENCE, halve=mean, **size, **place)
        )
        to_ood = None
        if files.ood is not None:
            to_ood = stack.enter_context(
                writer.row_writer(
                    strange,
                    nodata=writer.NO_CONFIDENCE,
                    halve=functools.partial(most_frequent, nodata=writer.NO_CONFIDENCE),
                    **size,
                    **place,
                )
            )
        to_cells = None
        if files.probabilities is not None:
            to_cells = stack.enter_context(
                writer.row_writer(
                    partial[files.probabilities],
                    width=grid.cols.cells,
                    height=grid.rows.cells,
                    bands=len(record.classes),
                    dtype="float32",
                    nodata=float("nan"),
                    crs=scene.crs,
                    transform=_coarser(scene.transform, grid.cell),
                    names=list(record.class_names),
                )
            )
        painter = Painter(
            grid,
            record,
            labels=to_labels,
            confidences=to_confidence,
            cells=to_cells,
            ood=to_ood,
            totals=totals,
            watch=watch,
        )
        classified = _classify(job, painter)
    if files.probabilities is not None:
        writer.check_whole(partial[files.probabilities])
    software = f"swath {__version__}"
    job.progress("writing", 0, 2)
    with ThreadPoolExecutor(2) as pool:
        finished = [
            pool.submit(
                writer.finish_bytes,
                confidences,
                partial[files.confidence],
                name="confidence, percent",
                software=software,
            ),
            pool.submit(writer.finish_classes, labels, out, painted_classes(record), software=software),
        ]
        if files.ood is not None:
            finished.append(
                pool.submit(
                    writer.finish_bytes,
                    strange,
                    partial[files.ood],
                    name="not like the training data",
                    software=software,
                )
            )
        for number, file in enumerate(finished, start=1):
            file.result()
            job.progress("writing", number, len(finished))
    return classified


def _classify(job: _Job, painter: Painter) -> int:
    """Read, classify and write at once, a strip each; returns the number of windows classified."""
    grid, done = job.grid, 0
    with behind(depth=1) as later, ahead(job.strips.pieces(), depth=1) as pieces:
        for strip in job.strips.cut(pieces, windows=job.windows.rows):
            held = with_data(strip, grid)
            values = job.windows.classify(strip, held)
            later(functools.partial(painter.add, strip, values, held))
            done += int(held.sum())
            for row in range(strip.first + 1, strip.first + strip.windows + 1):
                job.progress("mapping", row * grid.cols.windows, grid.windows)
    return done


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
