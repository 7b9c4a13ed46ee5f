"""Sheets of small pictures with a line of text under each: means, outliers, duplicates."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from PIL import Image

from swath.explain.figures import displayed, save, written

TILE = 96  # pixels of a picture on a sheet
_GAP = 8
_TEXT = 30  # pixels of the line under a picture, for two lines of text
_INK = "#1d2a33"

Tile = npt.NDArray[np.uint8]


def tile(pixels: npt.NDArray[Any], bands: Sequence[str], *, side: int = TILE) -> Tile:
    """Make one patch ``[bands, H, W]`` a picture ``[side, side, 3]`` without smoothing."""
    shown = Image.fromarray(displayed(np.asarray(pixels), bands))
    return np.asarray(shown.resize((side, side), Image.Resampling.NEAREST))


def beside(first: Tile, second: Tile) -> Tile:
    """Put two pictures side by side as one."""
    gap = np.full((len(first), 2, 3), 255, np.uint8)
    return np.concatenate([first, gap, second], axis=1)


def draw_sheet(path: Path, tiles: Sequence[Tile], captions: Sequence[str], *, columns: int) -> None:
    """Draw pictures of one size in rows, each with up to two lines of text under it.

    Parameters
    ----------
    path : Path
        The PNG to write.
    tiles : sequence of numpy.ndarray
        ``[H, W, 3]`` uint8, all of one shape, at least one.
    captions : sequence of str
        Lines apart by ``\\n``; each is cut to the width of its picture.
    columns : int
        Pictures a row.
    """
    height, width = tiles[0].shape[:2]
    columns = min(columns, len(tiles))
    rows = -(-len(tiles) // columns)
    step_down, step_right = height + _TEXT + _GAP, width + _GAP
    sheet = np.full((rows * step_down, columns * step_right - _GAP, 3), 255, np.uint8)
    for number, picture in enumerate(tiles):
        top, left = number // columns * step_down, number % columns * step_right
        sheet[top : top + height, left : left + width] = picture
    # Dots of the sheet are dots of the figure, so that nothing is drawn smooth.
    figure = Figure(figsize=(sheet.shape[1] / 100, sheet.shape[0] / 100))
    axis = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axis.imshow(sheet, interpolation="nearest", aspect="auto")
    axis.set_axis_off()
    limit = max(8, round(width / 5.1))
    for number, caption in enumerate(captions):
        top, left = number // columns * step_down, number % columns * step_right
        for line, text in enumerate(caption.split("\n")[:2]):
            axis.text(
                left,
                top + height + 4 + 12 * line,
                _ending(text, limit),
                fontsize=6.5,
                color=_INK,
                va="top",
                parse_math=False,
            )
    save(figure, path, dpi=100)


def _ending(text: str, limit: int) -> str:
    """One visible line; of a long path its end is kept, which tells files apart, of a name its beginning."""
    line = written(text, limit=10_000)
    if len(line) <= limit or "." not in line:
        return written(line, limit=limit)
    return "…" + line[1 - limit :]
