"""The legend of a map, and the two pictures that show it: the legend alone, and next to a small view of the map."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from swath.mapping.area import PixelArea
from swath.pages.text import three_digits

_DPI = 110
_LONGEST = 800 / _DPI  # inches of the map's longer side
_ROW = 0.26  # inches of a legend line
_WIDTH = 4.2  # inches of the legend
_NODATA_GRAY = 235
_FINE = 800  # pixels of a picture in which lines are fine
_HATCH = 7  # pixels from line to line


@dataclass(frozen=True)
class LegendEntry:
    """A class of a map, and how much of the map it covers.

    Attributes
    ----------
    value : int
        What pixels of the class hold in the class raster.
    color : str
        RRGGBB.
    name : str
        The class.
    pixels : int
        Pixels mapped as it.
    share : float
        Its part of the mapped pixels, 0-1.
    hectares : float or None
        Its area; None where a scene's pixels have no known size.
    ood : float or None
        Part of its pixels that is unlike the training data, 0-1; None where the model does not detect it.
    """

    value: int
    color: str
    name: str
    pixels: int
    share: float
    hectares: float | None
    ood: float | None = None

    @property
    def rgb(self) -> tuple[int, ...]:
        """Red, green, blue, 0-255."""
        return tuple(bytes.fromhex(self.color))


def draw_legend(path: Path, legend: Sequence[LegendEntry], *, nodata: int, ood_share: float | None = None) -> None:
    """Write the legend as PNG: color, name, share of the mapped pixels and hectares of every class.

    Parameters
    ----------
    path : Path
        PNG to write.
    legend : sequence of LegendEntry
        Its lines.
    nodata : int
        Pixels without a class.
    ood_share : float, optional
        Part of the mapped pixels that is unlike the training data, 0-1.
    """
    figure = Figure(figsize=(_WIDTH, _height(len(legend), nodata, ood_share)), dpi=_DPI)
    _legend(figure.add_axes((0, 0, 1, 1)), legend, nodata=nodata, ood_share=ood_share)
    _save(figure, path)


def draw_map(
    path: Path,
    labels: npt.NDArray[np.uint8],
    legend: Sequence[LegendEntry],
    *,
    title: str,
    area: PixelArea | None,
    width: int,
    nodata: int,
    ood: npt.NDArray[np.bool_] | None = None,
    ood_share: float | None = None,
) -> None:
    """Write a picture of the map: its classes' colors, a scale bar and the legend.

    Parameters
    ----------
    path : Path
        PNG to write.
    labels : numpy.ndarray
        uint8 ``[h, w]``, the class raster at reduced size.
    legend : sequence of LegendEntry
        Its classes.
    title : str
        Line above the map.
    area : PixelArea or None
        Size of the pixels, for the scale bar and the picture's shape.
    width : int
        Pixels of the whole raster from left to right.
    nodata : int
        Pixels without a class.
    ood : numpy.ndarray, optional
        bool ``[h, w]``, where the ground is unlike the training data: hatched.
    ood_share : float, optional
        Its part of the mapped pixels, 0-1.
    """
    shape = labels.shape
    table = np.full((256, 3), _NODATA_GRAY, np.uint8)
    for entry in legend:
        table[entry.value] = entry.rgb
    image = table[labels]
    if ood is not None:
        image = hatched(image, ood)
    # A pixel of a geographic grid is narrower than it is high; the picture shows it as it is on the ground.
    tall = shape[0] * (min(max(area.down / area.across, 0.2), 5.0) if area else 1.0)
    inches, wide = (max(_LONGEST * side / max(tall, shape[1]), 0.4) for side in (tall, shape[1]))
    below, above, side = 0.45, 0.4, 0.15
    lines = _height(len(legend), nodata, ood_share)
    whole = max(inches + below + above, lines + above)
    across = wide + _WIDTH + 2 * side
    figure = Figure(figsize=(across, whole), dpi=_DPI)
    top = whole - above
    axes = figure.add_axes((side / across, (top - inches) / whole, wide / across, inches / whole))
    axes.imshow(image, interpolation="nearest", aspect="auto")
    axes.set_axis_off()
    figure.text(side / across, 1 - 0.25 / whole, title, fontsize=10, va="center", parse_math=False)
    if area is not None:
        _scale_bar(axes, image, area.across * width / shape[1], inches=inches)
    place = ((across - _WIDTH) / across, (top - lines) / whole, _WIDTH / across, lines / whole)
    _legend(figure.add_axes(place), legend, nodata=nodata, ood_share=ood_share)
    _save(figure, path)


def hatched(image: npt.NDArray[np.uint8], where: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    """Draw white diagonal lines over parts of a picture, through which its colors stay visible.

    Parameters
    ----------
    image : numpy.ndarray
        uint8 ``[h, w, 3]``.
    where : numpy.ndarray
        bool ``[h, w]``.

    Returns
    -------
    numpy.ndarray
        The same picture, a whole number of times larger where it is so small that lines would be coarse.
    """
    larger = max(1, round(_FINE / max(image.shape[:2])))
    image, where = image.repeat(larger, 0).repeat(larger, 1), where.repeat(larger, 0).repeat(larger, 1)
    hatch(image, where)
    return image


def hatch(image: npt.NDArray[np.uint8], where: npt.NDArray[np.bool_], *, start: int = 0) -> None:
    """Draw the same lines into a picture as it is.

    Parameters
    ----------
    image : numpy.ndarray
        uint8 ``[h, w, 3]``, changed in place.
    where : numpy.ndarray
        bool ``[h, w]``.
    start : int
        Row plus column of its first pixel in a larger picture, through which lines run on.
    """
    height, width = where.shape
    lines = where & ((start + np.arange(height)[:, None] + np.arange(width)) % _HATCH < 2)
    image[lines] = (image[lines].astype(np.uint16) + 2 * 255) // 3


def round_length(longest: float) -> float:
    """The largest of 1, 2 or 5 times a power of ten that is not above `longest`."""
    power = 10.0 ** math.floor(math.log10(longest))
    return max(factor * power for factor in (1, 2, 5) if factor * power <= longest)


def _scale_bar(axes: Axes, image: npt.NDArray[np.uint8], pixel: float, *, inches: float) -> None:
    height, width = image.shape[:2]
    length = round_length(width * pixel * 0.3)
    text = f"{length / 1000:g} km" if length >= 1000 else f"{length:g} m"
    down = height * (1 + 0.14 / inches)
    axes.plot([0, length / pixel], [down, down], color="black", linewidth=2.5, clip_on=False)
    axes.text(length / pixel, down, f"  {text}", fontsize=9, va="center", clip_on=False)
    axes.set_xlim(-0.5, width - 0.5)
    axes.set_ylim(height - 0.5, -0.5)


def _height(classes: int, nodata: int, ood_share: float | None) -> float:
    return _ROW * (classes + 1 + bool(nodata) + bool(ood_share)) + 0.2


def _legend(axes: Axes, legend: Sequence[LegendEntry], *, nodata: int, ood_share: float | None) -> None:
    """Draw into axes that are `_WIDTH` inches wide, in inches from the upper left corner."""
    axes.set_xlim(0, _WIDTH)
    axes.set_ylim(_height(len(legend), nodata, ood_share), 0)
    axes.set_axis_off()
    areas = any(entry.hectares is not None for entry in legend)
    head = 0.1 + _ROW / 2
    axes.text(2.95, head, "share", fontsize=8, ha="right", va="center", color="0.35")
    if areas:
        axes.text(_WIDTH - 0.15, head, "hectares", fontsize=8, ha="right", va="center", color="0.35")
    for place, entry in enumerate(legend, start=1):
        line = head + place * _ROW
        _swatch(axes, line, tuple(v / 255 for v in entry.rgb))
        axes.text(0.5, line, _short(entry.name), fontsize=9, va="center", parse_math=False)
        axes.text(2.95, line, f"{100 * entry.share:.1f} %", fontsize=9, ha="right", va="center")
        if entry.hectares is not None:
            axes.text(_WIDTH - 0.15, line, three_digits(entry.hectares), fontsize=9, ha="right", va="center")
    if ood_share:
        line = head + (len(legend) + 1) * _ROW
        _swatch(axes, line, (0.6, 0.6, 0.6), hatch="/////")
        axes.text(0.5, line, f"unlike the training data, {100 * ood_share:.0f} %", fontsize=9, va="center")
    if nodata:
        line = head + (len(legend) + 1 + bool(ood_share)) * _ROW
        _swatch(axes, line, (_NODATA_GRAY / 255,) * 3)
        axes.text(0.5, line, f"No data ({nodata:,} pixels)", fontsize=9, va="center", color="0.35")


def _swatch(axes: Axes, line: float, color: tuple[float, ...], *, hatch: str | None = None) -> None:
    place, edge = (0.15, line - 0.085), "0.4" if hatch is None else "white"
    axes.add_patch(Rectangle(place, 0.26, 0.17, facecolor=color, edgecolor=edge, linewidth=0.5, hatch=hatch))


def _short(name: str, *, limit: int = 26) -> str:
    line = " ".join(name.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def _save(figure: Figure, path: Path) -> None:
    with warnings.catch_warnings():
        # Names in scripts that the bundled font lacks are drawn as boxes; map.json holds them in full.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        figure.savefig(path, dpi=_DPI, format="png", facecolor="white", metadata={"Software": None})
