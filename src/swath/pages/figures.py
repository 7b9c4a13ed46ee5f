"""What every figure of swath shares: colors, quiet axes, patches made visible, sheets of patches, and PNG bytes.

A figure is drawn to bytes, which a page embeds and a writer puts into a file: no picture is read back.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.legend import Legend
from matplotlib.textpath import text_to_path
from PIL import Image

from swath.pages.text import written

# Text and lines, the number in question, its interval or a reference, a contrast, and the grid behind them.
INK, ACCENT, SOFT, WARM, GRID = "#1d2a33", "#1f6f8b", "#8a98a1", "#c8553d", "#e3e8eb"
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


def finish_axis(
    axis: Axes,
    *,
    across: str = "",
    up: str = "",
    label_size: float = 9,
    tick_size: float = 8,
    grid: Literal["both", "x"] = "both",
) -> None:
    """Name the axes, and leave of everything else a light grid behind the data.

    Parameters
    ----------
    axis : matplotlib.axes.Axes
        With its data drawn.
    across, up : str
        Names of the horizontal and the vertical axis.
    label_size, tick_size : float
        Of their letters, points.
    grid : str
        ``both`` or ``x``: which lines to draw.
    """
    axis.set_xlabel(across, color=INK, fontsize=label_size)
    axis.set_ylabel(up, color=INK, fontsize=label_size)
    axis.tick_params(length=0, labelsize=tick_size)
    axis.grid(axis=grid, color=GRID, linewidth=0.8)
    axis.set_axisbelow(True)
    axis.spines[:].set_visible(False)


def plain_legend(legend: Legend) -> None:
    """Write the names of a legend as they are: a class name is never a formula."""
    for text in legend.get_texts():
        text.set_parse_math(False)


def fitted(name: str, *, inches: float, points: float, after: str = "") -> str:
    """Shorten a name until it and the text `after` it fit a width in inches, at a font size in points."""
    font = FontProperties(size=points)
    line = shown = written(name, limit=60)
    with _boxes_for_unknown_letters():
        while line and text_to_path.get_text_width_height_descent(shown + after, font, False)[0] > 72 * inches:
            line = line[:-1]
            shown = line + "…"
    return shown + after


def to_png(figure: Figure, *, dpi: int = 110) -> bytes:
    """Draw a figure as a PNG on white; the same figure gives the same bytes."""
    stream = io.BytesIO()
    with _boxes_for_unknown_letters():
        figure.savefig(stream, dpi=dpi, format="png", facecolor="white", metadata={"Software": None})
    return stream.getvalue()


def pixels_to_png(pixels: RgbImage) -> bytes:
    """Write pixels ``[H, W, 3]`` as a PNG, one dot per pixel."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


@contextmanager
def _boxes_for_unknown_letters() -> Iterator[None]:
    """Names in scripts that the bundled font lacks are drawn as boxes; the tables hold them in full."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        yield
