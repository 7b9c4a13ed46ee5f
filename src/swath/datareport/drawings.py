"""The drawings of a data report: histograms, the map of likeness, and the places of patches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from swath.datareport.embedding import Embedding, spread_out
from swath.datareport.sheets import tile
from swath.explain.figures import save, written
from swath.model.palette import class_infos

BINS = 64
_BANDS = {"red": "#c23b22", "green": "#2e8b3d", "blue": "#2a5db0", "grey": "#56646e", "nir": "#8b3fa0"}
_OTHER = ("#17617c", "#d98032", "#7a4a00", "#5b5b66", "#a23e8c")
_SPLITS = {"train": "#17617c", "val": "#d98032", "test": "#c23b22", "none": "#8a98a1"}
_CELLS, _THUMB = 20, 48
_MANY = 12  # classes that a legend of dots can still tell apart


def draw_histograms(
    path: Path, counts: Mapping[str, npt.NDArray[np.int64]], bands: Sequence[str], *, top: float
) -> None:
    """Draw how often each value occurs, a panel a class and a line a band.

    Parameters
    ----------
    path : Path
        The PNG to write.
    counts : mapping of str to numpy.ndarray
        ``[bands, BINS]`` for each class.
    bands : sequence of str
        Names of the bands.
    top : float
        Value at the right end of the axis.
    """
    columns = min(5, len(counts))
    rows = -(-len(counts) // columns)
    figure = Figure(figsize=(2.1 * columns, 1.45 * rows + 0.4), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True).ravel()
    middles = (np.arange(BINS) + 0.5) * top / BINS
    colours = [_BANDS.get(band, _OTHER[place % len(_OTHER)]) for place, band in enumerate(bands)]
    for axis, (label, table) in zip(axes, counts.items(), strict=False):
        for place, colour in enumerate(colours):
            share = table[place] / max(1, int(table[place].sum()))
            axis.plot(middles, share, color=colour, linewidth=1.1)
        axis.set_title(written(label, limit=24), fontsize=8, loc="left", parse_math=False)
        axis.set_yticks([])
        axis.set_xlim(0, top)
        axis.tick_params(labelsize=7)
        axis.spines[["top", "right", "left"]].set_visible(False)
    for axis in axes[len(counts) :]:
        axis.set_axis_off()
    figure.legend(
        axes[0].lines, list(bands), loc="outside lower right", ncols=len(bands), fontsize=7, frameon=False
    )
    save(figure, path, dpi=110)


def draw_embedding(path: Path, found: Embedding, labels: Sequence[str]) -> None:
    """Draw one dot a patch in the colour of its class; with very many classes, the commonest in colour."""
    there = [labels[int(row)] for row in found.rows]
    names = sorted(set(there), key=lambda name: (-there.count(name), name))[:_MANY]
    colours = {info.name: f"#{info.color_hint}" for info in class_infos(sorted(names))}
    figure = Figure(figsize=(5.6, 5.9), layout="constrained")
    axis = figure.subplots()
    dots, said = [], []
    for name in sorted(names):
        chosen = found.places[[label == name for label in there]]
        dots.append(
            axis.scatter(chosen[:, 0], chosen[:, 1], s=7, color=colours[name], linewidths=0, alpha=0.75)
        )
        said.append(written(name, limit=24))
    rest = found.places[[label not in colours for label in there]]
    if len(rest):
        dots.append(axis.scatter(rest[:, 0], rest[:, 1], s=5, color="#b8c1c6", linewidths=0, zorder=0))
        said.append("other classes")
    axis.set_xlabel(f"component 1 ({100 * found.explained[0]:.0f} % of the variance)", fontsize=8)
    axis.set_ylabel(f"component 2 ({100 * found.explained[1]:.0f} %)", fontsize=8)
    _quiet(axis)
    # Named here one by one: left to itself matplotlib leaves out names that begin with "_".
    legend = figure.legend(
        dots,
        said,
        loc="outside lower center",
        ncols=3,
        fontsize=8,
        frameon=False,
        markerscale=2.2,
    )
    for text in legend.get_texts():
        text.set_parse_math(False)
    save(figure, path, dpi=120)


def draw_thumbnails(path: Path, found: Embedding, pixels: npt.NDArray[Any], bands: Sequence[str]) -> None:
    """Draw the same map with patches instead of dots: one for each cell that has any."""
    side = _THUMB + 2
    sheet = np.full((_CELLS * side, _CELLS * side, 3), 255, np.uint8)
    for number, column, row in spread_out(found.places, cells=_CELLS):
        shown = tile(pixels[int(found.rows[number])], bands, side=_THUMB)
        sheet[row * side : row * side + _THUMB, column * side : column * side + _THUMB] = shown
    figure = Figure(figsize=(sheet.shape[1] / 100, sheet.shape[0] / 100))
    axis = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axis.imshow(sheet, interpolation="nearest", aspect="auto")
    axis.set_axis_off()
    save(figure, path, dpi=100)


def draw_places(path: Path, lon: Sequence[float], lat: Sequence[float], splits: Sequence[str | None]) -> None:
    """Draw where patches lie, in the colour of their split."""
    x, y = np.array(lon), np.array(lat)
    sides = np.array([split or "none" for split in splits])
    figure = Figure(figsize=(7.4, 4.6), layout="constrained")
    axis = figure.subplots()
    for name in (name for name in _SPLITS if (sides == name).any()):
        chosen = sides == name
        axis.scatter(
            x[chosen], y[chosen], s=8, color=_SPLITS[name], linewidths=0, alpha=0.6,
            label=name if name != "none" else "in no split",
        )  # fmt: skip
    middle = np.radians(np.clip(y.mean(), -80, 80))
    axis.set_aspect(1 / np.cos(middle), adjustable="datalim")
    axis.set_xlabel("longitude, degrees", fontsize=8)
    axis.set_ylabel("latitude, degrees", fontsize=8)
    _quiet(axis)
    axis.legend(fontsize=8, frameon=False, markerscale=2)
    save(figure, path, dpi=120)


def _quiet(axis: Any) -> None:
    axis.tick_params(length=0, labelsize=7)
    axis.grid(color="#e3e8eb", linewidth=0.6)
    axis.set_axisbelow(True)
    axis.spines[:].set_visible(False)
