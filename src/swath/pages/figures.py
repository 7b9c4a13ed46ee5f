"""Patches made visible, sheets of patches, and PNG bytes.

A figure is drawn to bytes, which a page embeds and a writer puts into a file: no picture is read back.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from PIL import Image

# Wider than any panel is drawn: more pixels would only cost time and memory.
MAX_SHOWN = 1024
_TRUE_COLOR = ("red", "green", "blue")

RgbImage = npt.NDArray[np.uint8]


def to_display_rgb(pixels: npt.NDArray[Any], bands: Sequence[str], *, limit: int = MAX_SHOWN) -> RgbImage:
    """Make pixels visible: true color where there are red, green and blue, else the first band in gray.

    8-bit pixels are shown as they are. Anything else is stretched between its 2nd and 98th percentile,
    for the picture only. Pictures with a longer side than `limit` are averaged down to it.

    Parameters
    ----------
    pixels : numpy.ndarray
        ``[bands, H, W]``, any real dtype.
    bands : sequence of str
        One name per band.
    limit : int
        Longest side of the result, pixels.

    Returns
    -------
    numpy.ndarray
        ``[H, W, 3]`` uint8.
    """
    true_color = set(_TRUE_COLOR) <= set(bands)
    order = [list(bands).index(name) for name in _TRUE_COLOR] if true_color else [0, 0, 0]
    chosen = pixels[order]
    if chosen.dtype != np.uint8:
        low, high = np.nanpercentile(chosen, (2, 98))
        scaled = (chosen - low) / max(float(high - low), 1e-12) * 255
        chosen = np.clip(np.nan_to_num(scaled), 0, 255).astype(np.uint8)
    picture = Image.fromarray(np.ascontiguousarray(chosen.transpose(1, 2, 0)))
    ratio = limit / max(picture.size)
    if ratio < 1:
        width, height = (max(1, round(side * ratio)) for side in picture.size)
        picture = picture.resize((width, height), Image.Resampling.BOX)
    return np.asarray(picture)


def tile(pixels: npt.NDArray[Any], bands: Sequence[str], *, side: int) -> RgbImage:
    """Show one patch ``[bands, H, W]`` as a picture ``[side, side, 3]`` without smoothing."""
    shown = Image.fromarray(to_display_rgb(np.asarray(pixels), bands))
    return np.asarray(shown.resize((side, side), Image.Resampling.NEAREST))


def tile_sheet(tiles: Mapping[tuple[int, int], RgbImage], *, gap: int, below: int | None = None) -> RgbImage:
    """Lay pictures of one size on a white sheet.

    Parameters
    ----------
    tiles : mapping of (int, int) to numpy.ndarray
        ``[H, W, 3]`` uint8 by row and column; places without one stay white.
    gap : int
        White pixels between two columns.
    below : int, optional
        White pixels under each row, the last one included; by default `gap`, between rows only.

    Returns
    -------
    numpy.ndarray
        ``[rows, columns, 3]`` uint8.
    """
    height, width = next(iter(tiles.values())).shape[:2]
    down, right = height + (gap if below is None else below), width + gap
    rows, columns = (1 + max(place[axis] for place in tiles) for axis in (0, 1))
    sheet = np.full((rows * down - (gap if below is None else 0), columns * right - gap, 3), 255, np.uint8)
    for (row, column), picture in tiles.items():
        sheet[row * down : row * down + height, column * right : column * right + width] = picture
    return sheet


def draw_sheet(
    figure: Figure,
    tiles: Mapping[tuple[int, int], RgbImage],
    *,
    gap: int,
    rows: Sequence[str],
    columns: Sequence[str] = (),
) -> None:
    """Draw the sheet of :func:`tile_sheet` on a figure, with the names of its rows and columns at its edges."""
    axis = figure.subplots()
    axis.imshow(tile_sheet(tiles, gap=gap))
    side = next(iter(tiles.values())).shape[0]
    middles = [place * (side + gap) + side / 2 for place in range(max(len(rows), len(columns)))]
    axis.set_xticks(middles[: len(columns)], columns, fontsize=9, parse_math=False)
    axis.set_yticks(middles[: len(rows)], rows, fontsize=9, parse_math=False)
    axis.xaxis.tick_top()
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)


def to_png(figure: Figure, *, dpi: int = 110) -> bytes:
    """Draw a figure as a PNG on white; the same figure gives the same bytes."""
    stream = io.BytesIO()
    with _boxes_for_unknown_letters():
        figure.savefig(stream, dpi=dpi, format="png", facecolor="white", metadata={"Software": None})
    return stream.getvalue()


def pixels_to_png(pixels: RgbImage) -> bytes:
    """Write pixels ``[H, W, 3]``, or ``[H, W, 4]`` with opacity, as a PNG, one dot per pixel."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


@contextmanager
def _boxes_for_unknown_letters() -> Iterator[None]:
    """Names in scripts that the bundled font lacks are drawn as boxes; the tables hold them in full."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        yield
