"""Compare maps with another raster of classes, pixel by pixel, in whatever grid and reference system it has.

The other raster is a map as well and has errors too, so what comes out is agreement, never accuracy. Every pixel where
both have a class is compared: there is nothing to infer, and no interval.
"""

from __future__ import annotations

import contextlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

from swath.assessment.legend import group_order, grouped
from swath.assessment.rasters import LARGEST, ClassRaster, Mask, Values, open_classes
from swath.assessment.results import Agreement, MapAgreement
from swath.errors import DataError
from swath.imagery.rasters import unreadable
from swath.progress import Progress, silent

NO_CLASS = "without a class in the reference"
NO_GROUP = "in no group of the legend"


def measure_agreement(
    maps: Sequence[Path], reference: Path, *, groups: Mapping[str, str] | None = None, progress: Progress = silent
) -> Agreement:
    """Compare maps with a raster of classes.

    Parameters
    ----------
    maps : sequence of Path
        Class rasters.
    reference : Path
        Class raster; a pixel of a map is compared with the one of it under its center.
    groups : mapping of str to str, optional
        From :func:`swath.assessment.legend.read_legend`; without it classes of the same name are the same.
    progress : Progress
        Called per strip.

    Returns
    -------
    Agreement

    Raises
    ------
    MissingFileError, DataError
        As :func:`swath.assessment.rasters.open_classes`; or if there is nothing to compare.
    """
    with open_classes(reference) as other:
        of_maps = []
        for path in maps:
            with open_classes(path) as raster:
                of_maps.append(_compare(raster, other, groups, progress))
    notes = (f"{reference.name} is a map too and has errors of its own: this is agreement, not accuracy",)
    return Agreement(reference=reference.name, maps=tuple(of_maps), notes=notes)


def _compare(
    raster: ClassRaster, other: ClassRaster, groups: Mapping[str, str] | None, progress: Progress
) -> MapAgreement:
    hectares: defaultdict[tuple[int, int], float] = defaultdict(float)
    pixels: Counter[tuple[int, int]] = Counter()
    left: Counter[str] = Counter()
    with contextlib.ExitStack() as stack:
        warped = stack.enter_context(_on_grid_of(raster, other))
        for top, values, valid in raster.strips(progress, stage=f"comparing {raster.name}"):
            theirs, there = _read(warped, other, Window(0, top, raster.width, len(values)))
            left[NO_CLASS] += int((valid & ~there).sum())
            both = valid & there
            sizes = np.broadcast_to(raster.hectares(*raster.grid(top, len(values))), values.shape)[both]
            (ours, of_ours), (others, of_others) = (_compact(found[both]) for found in (values, theirs))
            pairs = of_ours * len(others) + of_others
            counts = np.bincount(pairs, minlength=len(ours) * len(others))
            areas = np.bincount(pairs, sizes, len(counts))
            for k in np.flatnonzero(counts).tolist():
                pair = int(ours[k // len(others)]), int(others[k % len(others)])
                pixels[pair] += int(counts[k])
                hectares[pair] += float(areas[k])
    of_map = {one: grouped(raster.named(one), groups) for one in sorted({first for first, _ in pixels})}
    of_other = {one: grouped(other.named(one), groups) for one in sorted({second for _, second in pixels})}
    kept = {pair for pair in pixels if of_map[pair[0]] is not None and of_other[pair[1]] is not None}
    left[NO_GROUP] = sum(count for pair, count in pixels.items() if pair not in kept)
    if not kept:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in left.items() if count)
        raise DataError(
            f"no pixel of {raster.name} can be compared with {other.name} ({reasons or 'all are nodata'})",
            fix="give a reference of the same place, and with --legend the classes that are the same",
        )
    order = group_order(groups, [*filter(None, of_map.values()), *filter(None, of_other.values())])
    present = {of_map[first] for first, _ in kept} | {of_other[second] for _, second in kept}
    classes = [name for name in order if name in present]
    if groups is None and not set(of_map.values()) & set(of_other.values()):
        shown = [", ".join(map(str, list(names.values())[:3])) for names in (of_map, of_other)]
        raise DataError(
            f"{raster.name} and {other.name} have no class in common ({shown[0]}... and {shown[1]}...)",
            fix="say which are the same with --legend GROUPS.yaml, a group a line: trees: [Forest, 10]",
        )
    matrix = np.zeros((len(classes), len(classes)))
    for pair in kept:
        matrix[classes.index(str(of_map[pair[0]])), classes.index(str(of_other[pair[1]]))] += hectares[pair]
    return MapAgreement(
        map=raster.name,
        pixels=sum(pixels[pair] for pair in kept),
        hectares=float(matrix.sum()),
        left_out={reason: count for reason, count in left.items() if count},
        overall=float(np.trace(matrix) / matrix.sum()),
        matrix=tuple(map(tuple, matrix.tolist())),
        classes=tuple(classes),
    )


def _compact(values: Values) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """The values that occur, and the place of each pixel's among them."""
    present = np.flatnonzero(np.bincount(values, minlength=1))
    places = np.zeros(LARGEST + 1, np.intp)
    places[present] = np.arange(len(present))
    return present, places[values]


def _on_grid_of(raster: ClassRaster, other: ClassRaster) -> WarpedVRT:
    """The reference as if it had the map's grid: of every pixel of the map the one under its center."""
    return WarpedVRT(
        other.dataset,
        crs=raster.crs,
        transform=raster.transform,
        width=raster.width,
        height=raster.height,
        resampling=Resampling.nearest,
        add_alpha=other.dataset.nodata is None,
    )


def _read(warped: WarpedVRT, other: ClassRaster, window: Window) -> tuple[Values, Mask]:
    try:
        values: npt.NDArray[np.int64] = warped.read(1, window=window)
        valid = warped.read_masks(1, window=window) > 0
    except RasterioError as error:
        raise unreadable(other.name, other.dataset.driver, error) from error
    return other.checked(values, valid)
