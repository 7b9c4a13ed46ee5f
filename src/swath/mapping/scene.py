"""Map a scene: open it, lay the windows, classify strip by strip, write the layers and what goes with them.

Data goes one way: reader, strips, windows, engine, painter, writer, summary. The scene is read on one thread and the
map written on another while the engine runs on this one. Rasters on disk and arrays in memory take the same way and
differ in the writer alone.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from swath.errors import DataError, SettingError
from swath.files import atomic_files
from swath.inference import Classifier, load
from swath.inference.rescale import Asked, read_rescale
from swath.mapping.area import PixelArea, pixel_area
from swath.mapping.extent import Extent, fit_extent, lay_extent
from swath.mapping.grid import check_stride, make_grid
from swath.mapping.legend import draw_legend, draw_map
from swath.mapping.opening import check_name
from swath.mapping.page import write_page
from swath.mapping.paint import Painter, Totals, painted_classes
from swath.mapping.reader import Scene, check_values, choose_bands, open_scene
from swath.mapping.sieve import MinimumArea, check_min_area, merge_small
from swath.mapping.strips import SmallScene, Strips, rescale_scene
from swath.mapping.styles import class_style
from swath.mapping.summary import Map, MapFiles, map_record, map_warnings
from swath.mapping.windows import Windows, default_stride, make_windows, with_data
from swath.mapping.writer import (
    NO_CONFIDENCE,
    NODATA,
    PREVIEW,
    ArrayWriter,
    Layer,
    LayerWriter,
    RowWriter,
    map_layers,
    most_frequent,
    raster_writers,
)
from swath.mapping.zones import ZoneTotals, lay_zones, read_zones, write_zones
from swath.model import Record
from swath.model.record import ClassInfo
from swath.progress import Progress, silent

_MAX_CLASSES = 254
_MERGED = ("classes", "ood")  # layers in which patches are merged, or that are counted by class
_ROWS = 512  # of a map that was held, written at a time
_PICTURE = 1000  # pixels of the longer side of the map in map.png, at most
T = TypeVar("T")
_END = object()


def map_scene(
    model: Classifier | str | Path,
    scene: Any,
    *,
    out: str | Path | None = None,
    stride: int | None = None,
    bands: Sequence[int] | None = None,
    rescale: Asked = "auto",
    nodata: float | None = None,
    probabilities: bool | str | Path = False,
    min_area: float | None = None,
    zones: str | Path | None = None,
    zone_field: str | None = None,
    aoi: str | Path | None = None,
    mask: str | Path | None = None,
    crs: Any = None,
    transform: Any = None,
    name: str | None = None,
    batch_size: int = 1024,
    dense: bool | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
) -> Map:
    """Classify a scene window by window and make a georeferenced map, in memory or on disk.

    Windows have the model's patch size; where they overlap, their probabilities are averaged, and the class
    with the largest mean is mapped. A binary model's threshold decides on the mean instead; a multi-label
    model's most probable label that reaches its threshold is mapped, and "none of these", one class more,
    where none does. Pixels past the edges of the scene are mirror images of those inside, so
    every pixel lies under as many windows as any other. A window without any data is not classified; one
    that has some is, with the pixels unchanged. Pixels without data stay without a class.

    Parameters
    ----------
    model : Classifier, str or pathlib.Path
        A loaded model, or what :func:`swath.load` takes.
    scene : str, pathlib.Path, list of them, rasterio dataset, numpy.ndarray or xarray.DataArray
        Pixels with the model's bands in the model's data type: a GeoTIFF, JPEG 2000, PNG or JPEG; the ``/vsi...``
        name of one; a ``.SAFE`` folder of Sentinel-2 or its zip archive; a folder or a list of files of one band each;
        an open dataset; an array ``[bands, H, W]``, ``[H, W, bands]`` or ``[H, W]``; or a DataArray with
        dimensions ``y``, ``x`` and, for several bands, one more. An open dataset must not be used elsewhere meanwhile.
    out : str or pathlib.Path, optional
        Class raster to write, ending in ``.tif``; see :class:`MapFiles` for what is written next to it. Memory is then
        bounded by the scene's width, whatever its height. By default nothing is written and the map is kept in memory,
        which takes 2 bytes per pixel (3 where the model detects what is unlike its training data).
    stride : int, optional
        Pixels from one window to the next; by default a quarter of the patch where the network is run densely or that
        takes half a minute, else half of it or the patch, so that windows do not overlap.
    bands : sequence of int, optional
        The scene's bands to use, counted from 1, in the model's order; by name or position by default.
    rescale : str or tuple of float
        How the scene was drawn: ``"l1c"``, ``"l2a"`` or ``"tci"``, the latter with a white as in ``"tci:3558"``;
        ``"off"`` takes its values as they are, ``"match"`` matches its quantiles to the training patches',
        ``"0:2750"`` or ``(0, 2750)`` are the values that become 1 and 255. ``"auto"`` decides by the scene and the
        model; see :mod:`swath.inference.rescale`.
    nodata : float, optional
        Value that means no data, in place of the scene's own.
    probabilities : bool, str or pathlib.Path
        Also keep the mean probabilities, or write them to this GeoTIFF: float32, one band per class, one pixel per
        cell. The last cells may reach past the scene.
    min_area : float, optional
        Minimum mapping unit in hectares: smaller patches of a class are merged into the neighbor with which they share
        the longest border. The map is then held in memory, and confidence stays that of the class before.
    zones : str or pathlib.Path, optional
        Polygons, such as districts, in each of which the area of every class is measured; any file and system that
        :func:`swath.mapping.places.read_places` reads.
    zone_field : str, optional
        Column of the zones' names; by default the one called name or the like, or the only one that holds text.
    aoi : str or pathlib.Path, optional
        Polygons outside which nothing is mapped; any file and system that :func:`swath.mapping.places.read_places`
        reads. The map is that of the box around them and one patch more, and inside it is that of the whole scene.
    mask : str or pathlib.Path, optional
        Polygons inside which nothing is mapped, such as clouds.
    crs, transform : optional
        Coordinate reference system (anything :meth:`rasterio.crs.CRS.from_user_input` takes) and affine transform, in
        place of the scene's own.
    name : str, optional
        What the map calls the scene; by default the file's name, or "the array".
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
    Map
        The legend with areas, and the rasters or their files.

    Raises
    ------
    DataError
        If the scene cannot be read, lacks bands or holds other values than the model takes.
    SettingError
        If an option does not fit the model or the scene.
    OutputError
        If an output exists without `overwrite` or cannot be written. Nothing is left half-written.

    Examples
    --------
    >>> import numpy as np
    >>> import swath
    >>> scene = np.full((3, 128, 192), 60, np.uint8)
    >>> land = swath.map_scene("eurosat", scene, crs="EPSG:32632", transform=(10, 0, 6e5, 0, -10, 5.4e6))
    >>> land.array.shape
    (128, 192)
    >>> round(sum(land.hectares.values()), 2)  # on the ellipsoid, of 245.76 in the plane of UTM
    245.9
    """
    began = time.monotonic()
    classifier = model if isinstance(model, Classifier) else load(model)
    record = classifier.record
    classes = painted_classes(record)
    if len(classes) > _MAX_CLASSES:
        raise DataError(f"a map holds {_MAX_CLASSES} classes at most and the model has {len(classes)}")
    spec = record.input
    with contextlib.ExitStack() as stack:
        whole = stack.enter_context(
            open_scene(scene, crs=crs, transform=transform, nodata=nodata, black=spec.data_type == "uint8", name=name)
        )
        chosen = choose_bands(
            whole.bands, spec.bands, asked=bands, of=spec.file_bands, scene=whole.name, sensor=whole.product.sensor
        )
        check_values(whole, spec, rescale=read_rescale(rescale))
        opened, stride, extent = _cut(whole, lay_extent(whole, aoi=aoi, mask=mask), classifier, stride)
        shape = opened.height, opened.width
        grid = make_grid(*shape, patch=record.input.size, stride=stride)
        windows = make_windows(classifier, grid, batch_size=batch_size, dense=dense)
        area, no_area = _area(opened)
        if min_area is not None:
            check_min_area(min_area, area, no_area, grid)
        by_zone = _zone_totals(zones, zone_field, opened, classes, area, no_area)
        files = _name_files(out, scene, probabilities=probabilities, ood=windows.detects_ood, zones=by_zone is not None)
        partial = stack.enter_context(_staged(files, overwrite=overwrite)) if files else {}
        strips = Strips(opened, grid, bands=chosen.indexes, keeps=None if extent is None else extent.keeps)
        rescaled = rescale_scene(strips, spec, rescale, whole=Strips(whole, grid, bands=chosen.indexes))
        picture = SmallScene(*shape, strips.bands, dtype=spec.data_type, longest=PREVIEW if files else 1)
        strips.picture = picture if files else None
        totals = Totals(classes, area, width=opened.width, ood=windows.detects_ood, zones=by_zone)
        names = record.class_names if probabilities else ()
        layers = map_layers(grid, classes, ood=windows.detects_ood, probabilities=names)
        run, model_hash = uuid.uuid4().hex, hashlib.sha256(classifier.path.read_bytes()).hexdigest() if files else ""
        # Rasters on disk or arrays in memory: from here to the painter nothing else differs.
        kept = {} if files else {layer.name: ArrayWriter(layer) for layer in layers}
        tags = {"SWATH_RUN": run, "SWATH_MODEL": record.name, "SWATH_MODEL_SHA256": model_hash}
        tags["SWATH_SCENE_RESCALE"] = rescaled.rendering.taken
        if min_area is not None:
            tags["SWATH_MIN_AREA_HECTARES"] = f"{min_area:g}"
        tags |= {f"SWATH_{key.upper()}": name for key in ("aoi", "mask") if (name := getattr(extent, key, None))}
        with _rasters(files, partial, layers, opened, tags, progress) as rasters:
            writers: Mapping[str, LayerWriter] = kept or rasters
            # What is merged has to be there as a whole before it is counted and written.
            held = (
                {}
                if min_area is None
                else {name: ArrayWriter(layer) for layer in layers if (name := layer.name) in _MERGED}
            )
            counted = Totals(classes, area, width=opened.width) if held else totals
            painter = Painter(grid, record, {**writers, **held}, counted)
            classified = _classify(strips, windows, painter, progress)
            smallest = _write_merged(held, writers, totals, min_area, area, progress)
        made = Map(
            legend=totals.legend(),
            height=opened.height,
            width=opened.width,
            crs=opened.crs,
            transform=opened.transform,
            nodata_pixels=totals.nodata,
            ood_share=totals.ood_share,
            warnings=map_warnings(strips, record.input, area, no_area, chosen, rescaled, totals, min_area),
            bands=chosen,
            rescale=rescaled,
            stride=grid.stride,
            dense=windows.dense,
            windows=grid.windows,
            classified=classified,
            seconds=time.monotonic() - began,
            layers={name: writer.array for name, writer in kept.items()},
            written=files,
            min_area=smallest,
            zones=() if by_zone is None else by_zone.table(),
            zone_notes=() if by_zone is None else by_zone.notes(),
            part=None if extent is None else extent.part(whole),
        )
        if files:
            _write_others(partial, made, record, rasters, picture, area=area, name=opened.name)
            made = replace(made, seconds=time.monotonic() - began)
            content = map_record(made, classifier, strips, area, run=run, model_hash=model_hash)
            text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
            partial[files.record].write_text(text + "\n", encoding="utf-8")
    return made


def _cut(
    scene: Scene, extent: Extent | None, classifier: Classifier, stride: int | None
) -> tuple[Scene, int, Extent | None]:
    """The part of a scene to map, if it is not all of it, and the stride."""
    if extent is None:
        return scene, default_stride(classifier, scene.height, scene.width) if stride is None else stride, None
    patch = classifier.record.input.size
    if stride is None:
        about = fit_extent(extent, patch=patch, stride=patch)
        stride = default_stride(classifier, about.height, about.width)
    check_stride(stride, patch=patch)
    fitted = fit_extent(extent, patch=patch, stride=stride)
    return fitted.crop(scene), stride, fitted


def _staged(files: MapFiles, *, overwrite: bool) -> contextlib.AbstractContextManager[dict[Path, Path]]:
    """Where the files are written before all of them get their names."""
    return atomic_files((*files.all(), *files.systems()), overwrite=overwrite, obsolete=files.obsolete())


def _rasters(
    files: MapFiles | None,
    partial: Mapping[Path, Path],
    layers: Sequence[Layer],
    scene: Scene,
    tags: Mapping[str, str],
    progress: Progress,
) -> contextlib.AbstractContextManager[dict[str, RowWriter]]:
    """Writers of the rasters by the names of their layers; none for a map in memory."""
    if files is None:
        return contextlib.nullcontext({})
    paths = {layer.name: partial[getattr(files, layer.name)] for layer in layers}
    return raster_writers(layers, paths, crs=scene.crs, transform=scene.transform, tags=tags, progress=progress)


def _zone_totals(
    zones: str | Path | None,
    field: str | None,
    scene: Scene,
    classes: Sequence[ClassInfo],
    area: PixelArea | None,
    no_area: str | None,
) -> ZoneTotals | None:
    """What counts areas by zone, if there are zones."""
    if zones is None:
        if field is not None:
            raise SettingError("a column of zones was named, and no zones", fix="give their file with --zones")
        return None
    if area is None:
        raise SettingError(f"zones cannot be laid over the scene: {no_area}", fix="give a scene with coordinates")
    shape = scene.height, scene.width
    places, named = read_zones(zones, field=field)
    laid = lay_zones(places, named, crs=scene.crs, transform=scene.transform, shape=shape)
    return ZoneTotals(laid, classes, area, shape)


def _write_merged(
    held: Mapping[str, ArrayWriter],
    writers: Mapping[str, LayerWriter],
    totals: Totals,
    min_area: float | None,
    area: PixelArea | None,
    progress: Progress,
) -> MinimumArea | None:
    """Merge small patches of the map that is held, if one is, and count and write it."""
    if min_area is None or area is None:
        return None
    labels, made = merge_small(held["classes"].array[0], min_area, area, progress=progress)
    for start in range(0, len(labels), _ROWS):
        rows = labels[start : start + _ROWS]
        totals.add(start, rows)
        writers["classes"].write(rows[None])
        if "ood" in held:
            mask = held["ood"].array[0, start : start + _ROWS]
            totals.add_ood(rows, mask)
            writers["ood"].write(mask[None])
    return made


def _name_files(
    out: str | Path | None, scene: Any, *, probabilities: bool | str | Path, ood: bool, zones: bool
) -> MapFiles | None:
    """The files to write, none of which may be the scene; None for a map in memory."""
    if out is None:
        if not isinstance(probabilities, bool):
            raise SettingError(
                f"a map in memory does not write probabilities to {probabilities}",
                fix="give out too, or probabilities=True to keep them",
            )
        return None
    check_name(Path(out))
    files = MapFiles.next_to(Path(out), probabilities=probabilities, ood=ood, zones=zones)
    files.check(scene)
    return files


def _area(scene: Scene) -> tuple[PixelArea | None, str | None]:
    """The area of a scene's pixels, or why it cannot be known."""
    try:
        return pixel_area(scene.crs, scene.transform, (scene.height, scene.width)), None
    except DataError as error:
        return None, ": ".join(filter(None, (error.problem, scene.placing)))


def _write_others(
    partial: Mapping[Path, Path],
    made: Map,
    record: Record,
    rasters: Mapping[str, RowWriter],
    scene: SmallScene,
    *,
    area: PixelArea | None,
    name: str,
) -> None:
    """Write what lies next to the rasters and is not ``map.json``: styles, pictures, page and zones."""
    files = made.files
    # What a binary model does not look for lets the scene through; a color table cannot say that.
    background = 0 if record.task == "binary" else None
    for style, text in files.styles(class_style(painted_classes(record), background=background)).items():
        partial[style].write_text(text, encoding="utf-8")
    draw_legend(partial[files.legend], made.legend, nodata=made.nodata_pixels, ood_share=made.ood_share)
    classes, confidence = rasters["classes"].preview, rasters["confidence"].preview
    ood = rasters["ood"].preview if "ood" in rasters else None
    draw_map(
        partial[files.picture],
        _small(classes, nodata=NODATA),
        made.legend,
        title=f"{name}, {record.name}",
        area=area,
        width=made.width,
        nodata=made.nodata_pixels,
        ood=None if ood is None else _small(ood, nodata=NO_CONFIDENCE) == 1,
        ood_share=made.ood_share,
    )
    if files.zones is not None:
        write_zones(partial[files.zones], made.zones, [entry.name for entry in made.legend])
    write_page(
        partial[files.page],
        made,
        record,
        scene=scene,
        classes=classes,
        confidence=confidence,
        ood=ood,
        area=area,
        name=name,
    )


def _small(preview: npt.NDArray[np.uint8], *, nodata: int) -> npt.NDArray[np.uint8]:
    """A preview at the size of ``map.png``."""
    while max(preview.shape) > _PICTURE:
        preview = most_frequent(preview, nodata=nodata)
    return preview


def _classify(strips: Strips, windows: Windows, painter: Painter, progress: Progress) -> int:
    """Read, classify and write at once, a strip each; returns the number of windows classified."""
    grid, done = strips.grid, 0
    progress("mapping", 0, grid.windows)
    with behind(depth=1) as later, ahead(strips.pieces(), depth=1) as pieces:
        for strip in strips.cut(pieces, windows=windows.rows):
            held = with_data(strip, grid)
            values = windows.classify(strip, held)
            later(functools.partial(painter.add, strip, values, held))
            done += int(held.sum())
            for row in range(strip.first + 1, strip.first + strip.windows + 1):
                progress("mapping", row * grid.cols.windows, grid.windows)
    return done


@contextlib.contextmanager
def ahead(items: Iterator[T], *, depth: int) -> Iterator[Iterator[T]]:
    """Make the next `depth` items on a thread while the current one is used.

    Parameters
    ----------
    items : iterator
        Runs on the thread; an error it raises is raised where its item is asked for.
    depth : int
        Items that may wait, 1 or more.

    Yields
    ------
    iterator
        The same items.
    """
    with _one_thread("swath reader") as submit:
        waiting: deque[Future[object]] = deque()

        def taken() -> Iterator[T]:
            for _ in range(depth):
                waiting.append(submit(lambda: next(items, _END)))
            while (item := waiting.popleft().result()) is not _END:
                waiting.append(submit(lambda: next(items, _END)))
                yield item  # type: ignore[misc]  # all that is not the end is an item

        yield taken()


@contextlib.contextmanager
def behind(*, depth: int) -> Iterator[Callable[[Callable[[], None]], None]]:
    """Yield a function that runs jobs on a thread, one after the other, in order.

    It waits while `depth` jobs are waiting. When the block ends well all jobs are done; if it raises, those
    that have not begun are dropped. An error of a job is raised at a later call, or at the end.
    """
    with _one_thread("swath writer") as submit:
        waiting: deque[Future[object]] = deque()

        def later(job: Callable[[], None]) -> None:
            while waiting and (len(waiting) >= depth or waiting[0].done()):
                waiting.popleft().result()
            waiting.append(submit(job))

        yield later
        while waiting:
            waiting.popleft().result()


@contextlib.contextmanager
def _one_thread(name: str) -> Iterator[Callable[[Callable[[], object]], Future[object]]]:
    pool = ThreadPoolExecutor(1, thread_name_prefix=name)
    try:
        yield pool.submit
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
