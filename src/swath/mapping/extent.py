"""Map a part of a scene: inside the polygons of an area of interest, and outside those of a mask.

The part that is read and mapped is the box around the area of interest and one patch more, laid so that its windows are
those of the whole scene: inside the polygons the map is the same. Pixels outside are no data, and windows without any
are not classified; a window at the edge sees the ground on both sides, as it does on the whole scene.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rasterio import Affine
from rasterio.windows import Window

from swath.errors import DataError, MissingFileError, SettingError
from swath.mapping.places import Places, read_places
from swath.mapping.reader import Scene
from swath.mapping.zones import Zone, coverage, lay_zones

_HALF = 0.5 - 1e-9  # of a pixel, that has to be covered


@dataclass(frozen=True)
class MappedPart:
    """Which part of a scene a map is of.

    Attributes
    ----------
    aoi, mask : str or None
        Names of the files of polygons inside and outside which it lies.
    row, column : int
        The map's upper left corner in pixels of the scene.
    scene_height, scene_width : int
        Pixels of the scene.
    """

    aoi: str | None
    mask: str | None
    row: int
    column: int
    scene_height: int
    scene_width: int


@dataclass(frozen=True)
class Extent:
    """The part of a scene that is mapped.

    Attributes
    ----------
    aoi, mask : str or None
        Names of the files.
    row, column, height, width : int
        The box in pixels of the scene.
    inside, outside : tuple of Zone
        Polygons over the whole scene: of the area of interest, and of the mask.
    """

    aoi: str | None
    mask: str | None
    row: int
    column: int
    height: int
    width: int
    inside: tuple[Zone, ...]
    outside: tuple[Zone, ...]

    def keeps(self, start: int, rows: int) -> npt.NDArray[np.bool_]:
        """Which pixels ``[rows, width]`` of the box are mapped, from row `start` of the box on."""
        shape, corner = (rows, self.width), (self.row + start, self.column)
        kept = _covered(self.inside, corner, shape) if self.aoi is not None else np.ones(shape, bool)
        return kept & ~_covered(self.outside, corner, shape) if self.outside else kept

    def crop(self, scene: Scene) -> Scene:
        """The box of a scene, as a scene of its own; its pixels are as they were."""

        def read(bands: Sequence[int], window: Window) -> Any:
            moved = Window(window.col_off + self.column, window.row_off + self.row, window.width, window.height)
            return scene.read(bands, moved)

        corner = Affine.translation(self.column, self.row)
        transform = Affine(
            *np.array(tuple(scene.transform)).reshape(3, 3).dot(np.reshape(tuple(corner), (3, 3))).ravel()[:6]
        )
        return replace(scene, height=self.height, width=self.width, transform=transform, read=read)

    def part(self, scene: Scene) -> MappedPart:
        """What a map of it says of the whole scene."""
        return MappedPart(self.aoi, self.mask, self.row, self.column, scene.height, scene.width)


def lay_extent(scene: Scene, *, aoi: str | Path | None, mask: str | Path | None) -> Extent | None:
    """Lay the polygons of an area of interest and of a mask over a scene; None if there is neither.

    The box is the scene's until :func:`fit_extent` makes it smaller.

    Raises
    ------
    MissingFileError, DataError
        If a file cannot be read, holds other things than polygons, or has none in the scene.
    SettingError
        If the scene has no coordinates.
    """
    if aoi is None and mask is None:
        return None
    if not scene.crs:
        raise SettingError(
            f"{scene.name} has no coordinate reference system, so polygons cannot be laid over it",
            fix=f"give it one, for example with: rio edit-info --crs EPSG:32632 {scene.name}",
        )
    inside, outside = (_lay(path, option, scene) for path, option in ((aoi, "--aoi"), (mask, "--mask")))
    names = [None if path is None else Path(path).name for path in (aoi, mask)]
    return Extent(names[0], names[1], 0, 0, scene.height, scene.width, inside, outside)


def fit_extent(extent: Extent, *, patch: int, stride: int) -> Extent:
    """Make the box as small as it may be for its windows to be those of the whole scene."""
    if extent.aoi is None:
        return extent
    edges = np.concatenate([zone.edges for zone in extent.inside])
    spans = []
    for low, high, length in (
        (edges[:, 1::2].min(), edges[:, 1::2].max(), extent.height),
        (edges[:, ::2].min(), edges[:, ::2].max(), extent.width),
    ):
        start = max(0, int(np.floor((low - patch) / stride)) * stride)
        spans.append((start, min(length, int(np.ceil(high)) + patch)))
    (top, bottom), (left, right) = spans
    return replace(extent, row=top, column=left, height=bottom - top, width=right - left)


def _lay(path: str | Path | None, option: str, scene: Scene) -> tuple[Zone, ...]:
    if path is None:
        return ()
    name = Path(path).name
    try:
        places = read_places(path, need_labels=False)
    except MissingFileError:
        raise MissingFileError(
            f"there is no file of polygons {path}", fix=f"give {option} GeoJSON or a GeoPackage"
        ) from None
    except (DataError, SettingError) as error:
        raise type(error)(error.problem, fix=_fix(error.fix)) from error
    for row in places.rows:
        if row.geometry["type"] not in ("Polygon", "MultiPolygon"):
            raise DataError(f"{row.where} is a {row.geometry['type']}, and {option} takes polygons", fix="leave it out")
    numbered = replace(places, rows=tuple(replace(row, label=str(k)) for k, row in enumerate(places.rows)))
    return _over(numbered, name, scene)


def _over(places: Places, name: str, scene: Scene) -> tuple[Zone, ...]:
    shape = scene.height, scene.width
    try:
        return lay_zones(places, None, crs=scene.crs, transform=scene.transform, shape=shape).zones
    except DataError as error:
        if error.problem.startswith("no zone"):
            raise DataError(
                f"no polygon of {name} lies in the scene", fix="give polygons that cover part of it"
            ) from None
        raise


def _fix(fix: str | None) -> str | None:
    """What mends an error of places in the words of polygons."""
    for option, instead in {
        "--places-crs": "save it with its coordinate reference system, as QGIS does",
        "--layer": "export the layer of polygons to a file of its own",
        "--label-field": "leave out the columns that look like labels",
    }.items():
        if fix and option in fix:
            return instead
    return fix


def _covered(zones: Sequence[Zone], corner: tuple[int, int], shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Which pixels of a part of the scene polygons cover by half or more."""
    (top, left), (rows, width) = corner, shape
    total = np.zeros(shape)
    for zone in zones:
        x, y = zone.edges[:, ::2], zone.edges[:, 1::2]
        first, last = max(0, int(x.min()) - left), min(width, int(np.ceil(x.max())) - left)
        if y.min() >= top + rows or y.max() <= top or first >= last:
            continue
        moved = zone.edges - [left + first, 0, left + first, 0]
        total[:, first:last] += np.clip(coverage(moved, top, (rows, last - first)), 0, 1)
    return np.asarray(total >= _HALF)
