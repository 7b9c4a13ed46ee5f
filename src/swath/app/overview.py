"""A scene and its map as pictures of limited size, whole or a part of them, and what is at one place of them."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from PIL import Image
from rasterio.windows import Window

from swath.errors import DataError
from swath.imagery.rgb import rescale_reflectance
from swath.mapping import Map, MapFiles
from swath.mapping.area import pixel_area
from swath.mapping.places import LabeledPlace, Places, crs_name
from swath.mapping.strips import SmallScene, Strips
from swath.mapping.writer import NO_CONFIDENCE, PREVIEW
from swath.model.record import InputSpec
from swath.pages.figures import to_display_rgb
from swath.teaching.windows import cut_at, open_strips

LONGEST = PREVIEW  # pixels of the longer side of a picture, at most
_QUALITY = 85
_NOTHING = 128  # gray where there is no data
Box = tuple[int, int, int, int]  # left, top, width and height in pixels of the scene


@dataclass(frozen=True)
class Picture:
    """An encoded picture of a part of a scene, or of the values of its map.

    Attributes
    ----------
    data : bytes
        JPEG of a scene. PNG of a map: red is the value of the class (0 is no data), green the confidence in percent,
        blue 1 where the ground is unlike the training data.
    mime : str
        Which of the two.
    box : tuple of int
        Left, top, width and height of what it shows, in pixels of the scene.
    """

    data: bytes
    mime: str
    box: Box


@dataclass(frozen=True)
class Overview:
    """A scene to be looked at.

    Attributes
    ----------
    path : Path
        The scene.
    spec : InputSpec
        Of the model whose bands are shown.
    rescale : str
        How the scene was drawn, as :func:`swath.map_scene` takes it.
    width, height : int
        Pixels.
    crs, transform
        Where it lies; `crs` is None where nobody has said.
    meters : float or None
        Width of a pixel on the ground.
    aspect : float
        Height of a pixel on the ground by its width.
    whole : Picture
        All of it.
    limits : tuple of float or None
        Values that are drawn black and white; None for 8-bit ones, which are shown as they are.
    """

    path: Path
    spec: InputSpec
    rescale: str
    width: int
    height: int
    crs: Any
    transform: Any
    meters: float | None
    aspect: float
    whole: Picture
    limits: tuple[float, float] | None

    def part(self, box: Box) -> Picture:
        """A part of the scene with all of its pixels.

        Raises
        ------
        DataError
            If the scene cannot be read.
        """
        with open_strips(self.path, self.spec, bands=None, rescale=self.rescale, nodata=None) as (strips, _, _):
            if strips.scene.dtype == self.spec.data_type:
                strips.rescaling = None  # as the whole is shown
            values, there = strips.window(Window(*box))
        return _drawn(values, there, self.spec, self.limits, box)

    def coordinates(self, column: float, row: float) -> str:
        """Where a place is, in words."""
        if not self.crs:
            return f"column {int(column)}, row {int(row)}"
        x, y = self.point(column, row)
        lon, lat = self.places([(column, row, None)]).lonlat[0].tolist()
        found = [] if self.crs.is_geographic else [f"{x:,.0f}, {y:,.0f} ({crs_name(self.crs)})"]
        if np.isfinite((lon, lat)).all():
            found.insert(0, f"{abs(lat):.5f}° {'NS'[lat < 0]}, {abs(lon):.5f}° {'EW'[lon < 0]}")
        return " · ".join(found)

    def point(self, column: float, row: float) -> tuple[float, float]:
        """Coordinates of a place in the scene's own system."""
        a, b, c, d, e, f = tuple(self.transform)[:6]
        return a * column + b * row + c, d * column + e * row + f

    def pixel(self, x: float, y: float) -> tuple[float, float]:
        """Column and row of coordinates in the scene's own system."""
        a, b, c, d, e, f = tuple(~self.transform)[:6]
        return a * x + b * y + c, d * x + e * y + f

    def places(self, found: list[tuple[float, float, str | None]]) -> Places:
        """Places given by column, row and class, in the scene's own system."""
        rows = tuple(
            LabeledPlace({"type": "Point", "coordinates": list(self.point(column, row))}, label, f"place {number}")
            for number, (column, row, label) in enumerate(found, start=1)
        )
        return Places(rows, self.crs, "the places", "class")

    def window(self, column: float, row: float, *, rescale: str) -> npt.NDArray[Any]:
        """Pixels ``[bands, P, P]`` of the window around a place, as the model gets them in a map.

        Raises
        ------
        DataError
            If the scene cannot be read.
        """
        with open_strips(self.path, self.spec, bands=None, rescale=rescale, nodata=None) as (strips, _, _):
            found, _ = cut_at(strips, np.array([[row, column]]), size=self.spec.size, views=1, seed=0)
        pixels: npt.NDArray[Any] = np.ascontiguousarray(found[0, 0])
        return pixels


def look_at(scene: Path, spec: InputSpec, *, rescale: str = "auto") -> Overview:
    """Read a scene once, for its picture and its place.

    Parameters
    ----------
    scene : pathlib.Path
        The scene.
    spec : InputSpec
        Of the model whose bands are shown.
    rescale : str
        How the scene was drawn.

    Raises
    ------
    DataError
        If the scene cannot be read, or the model cannot take it.
    SettingError
        If `rescale` does not fit.
    """
    with open_strips(scene, spec, bands=None, rescale=rescale, nodata=None) as (strips, _, _):
        opened = strips.scene
        box = (0, 0, opened.width, opened.height)
        values, there, factor = _small(strips, spec)
        limits = _limits(values, there)
        covered = (0, 0, values.shape[2] * factor, values.shape[1] * factor)
        try:
            area = pixel_area(opened.crs, opened.transform, (opened.height, opened.width))
        except DataError:
            area = None
        return Overview(
            path=scene,
            spec=spec,
            rescale=rescale,
            width=box[2],
            height=box[3],
            crs=opened.crs,
            transform=opened.transform,
            meters=None if area is None else area.across,
            # A pixel of a geographic grid is narrower than it is high.
            aspect=1.0 if area is None else min(max(area.down / area.across, 0.2), 5.0),
            whole=_drawn(values, there, spec, limits, covered),
            limits=limits,
        )


def map_part(files: MapFiles, box: Box, *, longest: int = LONGEST) -> Picture:
    """The values of a part of a map, every pixel or as many as `longest` allows."""
    left, top, width, height = box
    times = max(1.0, max(width, height) / longest)
    shape = max(1, round(height / times)), max(1, round(width / times))
    layers = []
    for path, nothing in ((files.classes, None), (files.confidence, NO_CONFIDENCE), (files.ood, NO_CONFIDENCE)):
        if path is None:
            layers.append(np.zeros(shape, np.uint8))
            continue
        with rasterio.open(path) as raster:
            values = raster.read(1, window=Window(left, top, width, height), out_shape=shape)
        layers.append(values if nothing is None else np.where(values == nothing, np.uint8(0), values))
    return Picture(_encoded(np.stack(layers, axis=-1), "PNG", compress_level=1), "image/png", box)


@dataclass(frozen=True)
class Finding:
    """What a map says of one place.

    Attributes
    ----------
    name : str or None
        The class; None where there is no data.
    confidence : int
        Percent.
    ood : bool
        Whether the ground is unlike the training data.
    """

    name: str | None
    confidence: int
    ood: bool


def find(made: Map, column: float, row: float) -> Finding:
    """What a map on disk says of a place inside it."""
    picture = map_part(made.files, (int(column), int(row), 1, 1))
    value, percent, marked = np.asarray(Image.open(io.BytesIO(picture.data)))[0, 0].tolist()
    name = next((entry.name for entry in made.legend if entry.value == value), None)
    return Finding(name, percent, marked == 1)


def _small(strips: Strips, spec: InputSpec) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_], int]:
    """The scene at reduced size, where it has data, and how many pixels of it are one, each way."""
    opened = strips.scene
    strips.picture = SmallScene(opened.height, opened.width, strips.bands, dtype=spec.data_type, longest=LONGEST)
    for _ in strips.pieces():
        pass
    values, there = strips.picture.result()
    return values, there, 2 ** round(np.log2(opened.width / values.shape[2]))


def _limits(values: npt.NDArray[Any], there: npt.NDArray[np.bool_]) -> tuple[float, float] | None:
    if values.dtype == np.uint8:
        return None
    known = values[:, there]
    low, high = np.nanpercentile(known, (2, 98)).tolist() if known.size else (0.0, 1.0)
    return low, max(high, low + 1e-6)


def _drawn(
    values: npt.NDArray[Any],
    there: npt.NDArray[np.bool_],
    spec: InputSpec,
    limits: tuple[float, float] | None,
    box: Box,
) -> Picture:
    if limits is not None:
        values = rescale_reflectance(values, low=limits[0], high=limits[1], nodata=None)
    rgb = to_display_rgb(values, spec.bands, limit=max(values.shape)).copy()
    rgb[~there] = _NOTHING
    return Picture(_encoded(rgb, "JPEG", quality=_QUALITY), "image/jpeg", box)


def _encoded(pixels: npt.NDArray[np.uint8], kind: str, **options: int) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind, **options)
    return stream.getvalue()
