"""The legend and a quick look at a map."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import rasterio
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from rasterio.enums import Resampling

from swath.mapping.area import PixelArea
from swath.model import Record
from swath.model.record import ClassInfo

NONE_OF_THESE = "none of these"  # painted where a multi-label model gives no label
_NONE_COLOR = "C8C8C8"
_LONGEST = 1000  # pixels of the map's longer side in the quick look
_DPI = 110
_ROW = 0.26  # inches of a legend line
_WIDTH = 4.2  # inches of the legend
_NODATA_GRAY = 235


@dataclass(frozen=True)
class ClassTotal:
    """What a map says of one class.

    Attributes
    ----------
    name : str
        The class.
    pixels : int
        Pixels mapped as it.
    share : float
        Its part of the mapped pixels, 0-1.
    hectares : float or None
        Its area; None where a scene's pixels have no known size.
    """

    name: str
    pixels: int
    share: float
    hectares: float | None


class Totals:
    """Counts class numbers row by row.

    Parameters
    ----------
    names : sequence of str
        Classes; class i is stored as i + 1.
    area : PixelArea, optional
        Area of the pixels of each row.
    """

    def __init__(self, names: tuple[str, ...], area: PixelArea | None) -> None:
        self._names, self._area = names, area
        self._pixels = np.zeros(len(names) + 1, np.int64)
        self._meters = np.zeros(len(names) + 1)
        self._ood = 0

    def add(self, start: int, labels: npt.NDArray[np.uint8]) -> None:
        """Count `labels` ``[rows, width]``, the map from row `start` on."""
        values, rows = len(self._pixels), len(labels)
        if labels.strides[0] == 0:  # one row, repeated
            count = np.bincount(labels[0], minlength=values)
            self._pixels += rows * count
            if self._area is not None:
                self._meters += self._area.rows[start : start + rows].sum() * count
            return
        places = labels + np.arange(rows, dtype=np.intp)[:, None] * values
        counts = np.bincount(places.ravel(), minlength=rows * values).reshape(rows, values)
        self._pixels += counts.sum(axis=0)
        if self._area is not None:
            self._meters += self._area.rows[start : start + rows] @ counts

    def add_ood(self, ood: npt.NDArray[np.uint8]) -> None:
        """Count the pixels of ``[rows, width]`` that are 1: not like the training data."""
        self._ood += int(np.count_nonzero(ood == 1))

    @property
    def ood_share(self) -> float:
        """Part of the mapped pixels that is not like the training data, 0-1."""
        return self._ood / max(self.mapped, 1)

    @property
    def nodata(self) -> int:
        """Pixels without a class."""
        return int(self._pixels[0])

    @property
    def mapped(self) -> int:
        """Pixels with a class."""
        return int(self._pixels[1:].sum())

    def classes(self) -> tuple[ClassTotal, ...]:
        """One total a class, in the model's order."""
        mapped = max(self.mapped, 1)
        return tuple(
            ClassTotal(
                name,
                int(pixels),
                int(pixels) / mapped,
                None if self._area is None else float(meters) / 10_000,
            )
            for name, pixels, meters in zip(self._names, self._pixels[1:], self._meters[1:], strict=True)
        )


def painted_classes(record: Record) -> tuple[ClassInfo, ...]:
    """What a map of this model may show: its classes and, for a multi-label model, none of them."""
    if record.task != "multi-label":
        return record.classes
    return (
        *record.classes,
        ClassInfo(value=len(record.classes), name=NONE_OF_THESE, color_hint=_NONE_COLOR),
    )


def draw_legend(
    path: Path, classes: Sequence[ClassInfo], totals: Sequence[ClassTotal], *, nodata: int
) -> None:
    """Write the legend as PNG: color, name, share of the mapped pixels and hectares of every class.

    Parameters
    ----------
    path : Path
        PNG to write.
    classes, totals : sequences
        One each a class, in the same order.
    nodata : int
        Pixels without a class.
    """
    figure = Figure(figsize=(_WIDTH, _height(len(classes), nodata)), dpi=_DPI)
    _legend(figure.add_axes((0, 0, 1, 1)), classes, totals, nodata=nodata)
    _save(figure, path)


def draw_map(
    path: Path,
    raster: Path,
    classes: Sequence[ClassInfo],
    totals: Sequence[ClassTotal],
    *,
    title: str,
    area: PixelArea | None,
    nodata: int,
) -> None:
    """Write a quick look: the map in its classes' colors, a scale bar and the legend.

    Parameters
    ----------
    path : Path
        PNG to write.
    raster : Path
        The class raster; read at reduced size, the most frequent class standing for many pixels.
    classes, totals : sequences
        One each a class, in the same order.
    title : str
        Line above the map.
    area : PixelArea or None
        Size of the pixels, for the scale bar and the picture's shape.
    nodata : int
        Pixels without a class.
    """
    with rasterio.open(raster) as dataset:
        ratio = min(1.0, _LONGEST / max(dataset.height, dataset.width))
        shape = tuple(max(1, round(side * ratio)) for side in (dataset.height, dataset.width))
        labels = dataset.read(
            1, out_shape=shape, resampling=Resampling.mode if ratio < 1 else Resampling.nearest
        )
        pixel = None if area is None else area.across * dataset.width / shape[1]
    table = np.full((256, 3), _NODATA_GRAY, np.uint8)
    for info in classes:
        table[info.value + 1] = info.rgb
    image = table[labels]
    longest = _LONGEST / _DPI * 0.8
    # A pixel of a geographic grid is narrower than it is high; the picture shows it as it is on the ground.
    tall = shape[0] * (min(max(area.down / area.across, 0.2), 5.0) if area else 1.0)
    height, width = (max(longest * side / max(tall, shape[1]), 0.4) for side in (tall, shape[1]))
    below, above, side = 0.45, 0.4, 0.15
    legend = _height(len(classes), nodata)
    whole = max(height + below + above, legend + above)
    across = width + _WIDTH + 2 * side
    figure = Figure(figsize=(across, whole), dpi=_DPI)
    top = whole - above
    axes = figure.add_axes((side / across, (top - height) / whole, width / across, height / whole))
    axes.imshow(image, interpolation="nearest", aspect="auto")
    axes.set_axis_off()
    figure.text(side / across, 1 - 0.25 / whole, title, fontsize=10, va="center", parse_math=False)
    if pixel is not None:
        _scale_bar(axes, image, pixel, inches=height)
    spare = (width + 2 * side) / across
    _legend(
        figure.add_axes((spare, (top - legend) / whole, _WIDTH / across, legend / whole)),
        classes,
        totals,
        nodata=nodata,
    )
    _save(figure, path)


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


def _height(classes: int, nodata: int) -> float:
    return _ROW * (classes + 1 + bool(nodata)) + 0.2


def _legend(axes: Axes, classes: Sequence[ClassInfo], totals: Sequence[ClassTotal], *, nodata: int) -> None:
    """Draw into axes that are `_WIDTH` inches wide, in inches from the upper left corner."""
    axes.set_xlim(0, _WIDTH)
    axes.set_ylim(_height(len(classes), nodata), 0)
    axes.set_axis_off()
    areas = any(total.hectares is not None for total in totals)
    head = 0.1 + _ROW / 2
    axes.text(2.95, head, "share", fontsize=8, ha="right", va="center", color="0.35")
    if areas:
        axes.text(_WIDTH - 0.15, head, "hectares", fontsize=8, ha="right", va="center", color="0.35")
    for place, (info, total) in enumerate(zip(classes, totals, strict=True), start=1):
        line = head + place * _ROW
        _swatch(axes, line, tuple(v / 255 for v in info.rgb))
        axes.text(0.5, line, _short(info.name), fontsize=9, va="center", parse_math=False)
        axes.text(2.95, line, f"{100 * total.share:.1f} %", fontsize=9, ha="right", va="center")
        if total.hectares is not None:
            axes.text(_WIDTH - 0.15, line, f"{total.hectares:,.1f}", fontsize=9, ha="right", va="center")
    if nodata:
        line = head + (len(classes) + 1) * _ROW
        _swatch(axes, line, (_NODATA_GRAY / 255,) * 3)
        axes.text(0.5, line, f"No data ({nodata:,} pixels)", fontsize=9, va="center", color="0.35")


def _swatch(axes: Axes, line: float, color: tuple[float, ...]) -> None:
    axes.add_patch(
        Rectangle((0.15, line - 0.085), 0.26, 0.17, facecolor=color, edgecolor="0.4", linewidth=0.5)
    )


def _short(name: str, *, limit: int = 26) -> str:
    line = " ".join(name.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def _save(figure: Figure, path: Path) -> None:
    with warnings.catch_warnings():
        # Names in scripts that the bundled font lacks are drawn as boxes; map.json holds them in full.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        figure.savefig(path, dpi=_DPI, format="png", facecolor="white", metadata={"Software": None})
