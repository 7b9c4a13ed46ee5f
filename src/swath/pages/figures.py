"""What every drawing of swath shares: how pixels are shown, how names are written, how files are saved."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path
from PIL import Image

from swath.imagery.header import RGB

# Wider than any panel is drawn: more pixels would only cost time and memory.
MAX_SHOWN = 1024


def to_display_rgb(
    pixels: npt.NDArray[Any], bands: Sequence[str], *, limit: int = MAX_SHOWN
) -> npt.NDArray[np.uint8]:
    """Make pixels visible: true color where there are red, green and blue, else the first band in gray.

    8-bit pixels are shown as they are. Anything else is stretched between its 2nd and 98th percentile,
    for the picture only. Pictures with a longer side than `limit` are averaged down to it.

    Parameters
    ----------
    pixels : numpy.ndarray
        ``[bands, H, W]``, any real dtype.
    bands : sequence of str
        One name a band.
    limit : int
        Longest side of the result, pixels.

    Returns
    -------
    numpy.ndarray
        ``[H, W, 3]`` uint8.
    """
    order = [list(bands).index(name) for name in RGB] if set(RGB) <= set(bands) else [0, 0, 0]
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


def written(name: str, *, limit: int = 28) -> str:
    """Shorten a class or file name to one line of at most `limit` characters, all of them visible.

    Draw it with ``parse_math=False``: a name is never a formula.
    """
    line = " ".join("".join(c if c.isprintable() else " " for c in name).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def fitted(name: str, *, inches: float, points: float, after: str = "") -> str:
    """Shorten a name until it and what stands `after` it are at most so wide, in letters of so many points."""
    font = FontProperties(size=points)
    line = shown = written(name, limit=60)
    with _boxes_for_unknown_letters():
        while (
            line and text_to_path.get_text_width_height_descent(shown + after, font, False)[0] > 72 * inches
        ):
            line = line[:-1]
            shown = line + "…"
    return shown + after


def to_png(figure: Figure, *, dpi: int = 110) -> bytes:
    """Draw a figure as PNG on white; the same figure gives the same bytes."""
    stream = io.BytesIO()
    with _boxes_for_unknown_letters():
        figure.savefig(stream, dpi=dpi, format="png", facecolor="white", metadata={"Software": None})
    return stream.getvalue()


def save(figure: Figure, path: Path, *, dpi: int = 110) -> None:
    """Write a figure as PNG; see :func:`to_png`."""
    path.write_bytes(to_png(figure, dpi=dpi))


@contextmanager
def _boxes_for_unknown_letters() -> Iterator[None]:
    """Names in scripts that the bundled font lacks are drawn as boxes; the CSV beside holds them in full."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        yield
