"""Small pictures of places, for people to label by: what a scene shows there, with a frame around what is meant.

``swath suggest`` frames the window that a model sees, ``swath sample`` the pixel of a map. The pictures travel in the
GeoPackage of the places, and its style shows them in the form of QGIS.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from rasterio.windows import Window

from swath.errors import DataError
from swath.imagery import rescale_reflectance
from swath.imagery.header import RGB
from swath.mapping.places import LabeledPlace, Places, points_of
from swath.mapping.reader import choose_bands, open_scene
from swath.pages.figures import to_display_rgb
from swath.progress import Progress, silent

SIDE = 240  # of a picture in its own pixels, in the form of QGIS
_LEAST, _MOST = 64, 1536  # pixels of the scene along a side
_NO_DATA = 200
_LEVELS = (2, 98)  # percentiles of all pictures that are drawn black and white
_LOOKED_AT = 200  # pictures whose percentiles count
Pixels = npt.NDArray[Any]


def footprints(at: npt.NDArray[Any], *, size: float, transform: Any, crs: Any) -> Places:
    """Squares of pixels as places, to be framed.

    Parameters
    ----------
    at : numpy.ndarray
        ``[N, 2]``, row and column of their middles; that of the first pixel is 0.5, 0.5.
    size : float
        Their side in pixels.
    transform : affine.Affine
        Pixels to coordinates.
    crs : rasterio.crs.CRS
        Reference system of the coordinates.
    """
    reach = size / 2
    corners = [(-reach, -reach), (-reach, reach), (reach, reach), (reach, -reach), (-reach, -reach)]
    rows = []
    for row, column in np.asarray(at, np.float64).tolist():
        ring = [list(transform @ (column + right, row + down)) for down, right in corners]
        rows.append(LabeledPlace({"type": "Polygon", "coordinates": [ring]}, None, ""))
    return Places(tuple(rows), crs, "")


def draw_places(
    scene: Any,
    places: Places,
    *,
    around: float,
    side: int = SIDE,
    needed: Sequence[str] = RGB,
    of: int | None = None,
    bands: Sequence[int] | None = None,
    nodata: float | None = None,
    progress: Progress = silent,
) -> list[bytes | None]:
    """Draw what a scene shows at places, each in the middle of its picture and framed.

    Parameters
    ----------
    scene : optional
        What :func:`swath.mapping.reader.open_scene` takes.
    places : Places
        In any coordinate reference system; the box around each one is framed.
    around : float
        What a side of a picture covers, in sides of the frame; never less than 64 pixels of the scene.
    side : int
        Pixels of a picture along each side.
    needed : sequence of str
        Bands to choose, as of a model; shown in color where they include red, green and blue.
    of, bands, nodata
        As for :func:`swath.mapping.reader.choose_bands` and :func:`swath.mapping.reader.open_scene`. Values other than
        8-bit ones are stretched alike in all pictures.
    progress : Progress
        Called with stage ``"pictures"``.

    Returns
    -------
    list of bytes or None
        JPEG of each place; None where it lies outside the scene.

    Raises
    ------
    DataError
        If the scene cannot be read, or no place lies in it.
    SettingError
        As :func:`swath.mapping.reader.choose_bands`.
    """
    # Some may have no coordinates in the scene's system, so each is known by its number.
    numbered = replace(places, rows=tuple(replace(row, where=str(k)) for k, row in enumerate(places.rows)))
    cut: list[tuple[Pixels, npt.NDArray[np.bool_], float] | None] = [None] * len(places.rows)
    with open_scene(scene, nodata=nodata, black=True) as opened:
        if not opened.crs:
            raise DataError(
                f"{opened.name} has no coordinate reference system, so places cannot be found in it",
                fix=f"give it one, for example with: rio edit-info --crs EPSG:32632 {opened.name}",
            )
        chosen = choose_bands(
            opened.bands, needed, asked=bands, of=of, scene=opened.name, sensor=opened.product.sensor
        ).indexes
        inverse = ~opened.transform
        for done, row in enumerate(numbered.to_crs(opened.crs).rows, start=1):
            corners = np.array([inverse @ (x, y) for x, y in points_of(row.geometry)])
            low, high = corners.min(axis=0), corners.max(axis=0)
            frame = max(1.0, float((high - low).max()))
            covered = round(min(max(around * frame, _LEAST), _MOST))
            column, line = (round(float(middle) - covered / 2) for middle in (low + high) / 2)
            found = _cut(opened.read, chosen, line, column, covered, (opened.height, opened.width))
            if found is not None:
                cut[int(row.where)] = (*found, frame / covered)
            progress("pictures", done, len(places.rows))
    seen = [one for one in cut if one is not None]
    if not seen:
        raise DataError(
            f"none of the {len(places.rows)} places lies in {opened.name}", fix="give a scene that covers them"
        )
    limits = _limits([pixels[:, valid] for pixels, valid, _ in seen[:_LOOKED_AT]])
    return [None if one is None else _drawn(*one, side=side, limits=limits, bands=needed) for one in cut]


def _cut(
    read: Any, bands: Sequence[int], top: int, left: int, side: int, shape: tuple[int, int]
) -> tuple[Pixels, npt.NDArray[np.bool_]] | None:
    """A square of a scene ``[bands, side, side]`` and where it has data; None if all of it lies outside."""
    rows = max(top, 0), min(top + side, shape[0])
    columns = max(left, 0), min(left + side, shape[1])
    if rows[0] >= rows[1] or columns[0] >= columns[1]:
        return None
    values, mask = read(bands, Window(columns[0], rows[0], columns[1] - columns[0], rows[1] - rows[0]))
    pixels, valid = np.zeros((len(bands), side, side), values.dtype), np.zeros((side, side), bool)
    inside = np.s_[rows[0] - top : rows[1] - top, columns[0] - left : columns[1] - left]
    pixels[:, *inside] = values
    valid[inside] = True if mask is None else mask.any(axis=0)
    return pixels, valid


def _limits(pixels: Sequence[Pixels]) -> tuple[float, float] | None:
    """Values that all pictures draw black and white; None for 8-bit ones, which are shown as they are."""
    if pixels[0].dtype == np.uint8:
        return None
    known = np.concatenate([part.ravel() for part in pixels]).astype(np.float64)
    known = known[np.isfinite(known)]
    if not known.size:
        return 0.0, 1.0
    low, high = np.percentile(known, _LEVELS)
    return float(low), float(max(high, low + 1e-6))


def _drawn(
    pixels: Pixels,
    valid: npt.NDArray[np.bool_],
    frame: float,
    *,
    side: int,
    limits: tuple[float, float] | None,
    bands: Sequence[str],
) -> bytes:
    """The picture as a JPEG."""
    if limits is not None:
        pixels = rescale_reflectance(pixels, low=limits[0], high=limits[1], nodata=None)
    shown = np.where(valid[..., None], to_display_rgb(pixels, bands, limit=max(pixels.shape)), np.uint8(_NO_DATA))
    method = Image.Resampling.BICUBIC if shown.shape[0] < side else Image.Resampling.BOX
    image = np.array(Image.fromarray(shown).resize((side, side), method))
    thick = max(1, side // SIDE)
    half = min(max(round(side * frame / 2), 4 * thick), side // 2 - 1 - 2 * thick)
    colors = [255] * thick + [0] * thick  # white with a dark edge is seen on everything
    for reach, color in enumerate(colors, start=half + 1):
        start, end = side // 2 - reach, side // 2 + reach
        for line in (start, end - 1):
            image[line, start:end] = image[start:end, line] = color
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=88, subsampling=0)
    return stream.getvalue()
