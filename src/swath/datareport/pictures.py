"""Make the pictures of a data report as files in a working folder; the page takes them in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from PIL import Image

from swath.data import PatchIndex
from swath.data.audit import one_path_per_content
from swath.datareport.embedding import Embedding, spread_out
from swath.datareport.facts import DataFacts, rows_of_classes
from swath.evaluation.plots import sample_grid
from swath.model.record import class_infos
from swath.pages.figures import save, to_display_rgb, written

BINS = 64
_BANDS = {"red": "#c23b22", "green": "#2e8b3d", "blue": "#2a5db0", "gray": "#56646e", "nir": "#8b3fa0"}
_OTHER = ("#17617c", "#d98032", "#7a4a00", "#5b5b66", "#a23e8c")
_SPLITS = {"train": "#17617c", "val": "#d98032", "test": "#c23b22", "none": "#8a98a1"}
_CELLS, _THUMB = 20, 48
_MANY = 12  # classes that a legend of dots can still tell apart
TILE = 96  # pixels of a picture on a sheet
_GAP = 8
_TEXT = 30  # pixels of the line under a picture, for two lines of text
_INK = "#1d2a33"
Tile = npt.NDArray[np.uint8]
SHOWN_CLASSES = 40
SAMPLES = 10
PAIRS = 12
OUTLIERS = 20
_MEASURED = 400  # patches a class for means and histograms; drawn with seed 0


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
    colors = [_BANDS.get(band, _OTHER[place % len(_OTHER)]) for place, band in enumerate(bands)]
    for axis, (label, table) in zip(axes, counts.items(), strict=False):
        for place, color in enumerate(colors):
            share = table[place] / max(1, int(table[place].sum()))
            axis.plot(middles, share, color=color, linewidth=1.1)
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
    """Draw one dot a patch in the color of its class; with very many classes, the commonest in color."""
    there = [labels[int(row)] for row in found.rows]
    names = sorted(set(there), key=lambda name: (-there.count(name), name))[:_MANY]
    colors = {info.name: f"#{info.color_hint}" for info in class_infos(sorted(names))}
    figure = Figure(figsize=(5.6, 5.9), layout="constrained")
    axis = figure.subplots()
    dots, said = [], []
    for name in sorted(names):
        chosen = found.places[[label == name for label in there]]
        dots.append(
            axis.scatter(chosen[:, 0], chosen[:, 1], s=7, color=colors[name], linewidths=0, alpha=0.75)
        )
        said.append(written(name, limit=24))
    rest = found.places[[label not in colors for label in there]]
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
    """Draw where patches lie, in the color of their split."""
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


def tile(pixels: npt.NDArray[Any], bands: Sequence[str], *, side: int = TILE) -> Tile:
    """Make one patch ``[bands, H, W]`` a picture ``[side, side, 3]`` without smoothing."""
    shown = Image.fromarray(to_display_rgb(np.asarray(pixels), bands))
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


@dataclass(frozen=True)
class Pictures:
    """Where each picture is; ``None`` where there is nothing to draw."""

    samples: Path
    means: Path
    histograms: Path
    dots: Path
    thumbnails: Path
    outliers: Path | None
    exact: Path | None
    near: Path | None
    leaks: Path | None
    places: Path | None


def draw_all(
    folder: Path,
    index: PatchIndex,
    facts: DataFacts,
    pixels: npt.NDArray[Any],
    bands: Sequence[str],
    embedding: Embedding,
) -> Pictures:
    """Draw everything into `folder`.

    Parameters
    ----------
    folder : Path
        An empty folder.
    index : PatchIndex
        What is reported on.
    facts : DataFacts
        What was found.
    pixels : numpy.ndarray
        ``[N, bands, S, S]``, row by row as the index.
    bands : sequence of str
        One name a band.
    embedding : Embedding
        The map of similarity.
    """
    at = {path: row for row, path in enumerate(index.paths)}

    def pairs(name: str, sets: Sequence[Sequence[str]]) -> Path | None:
        if not sets:
            return None
        # One of each file name at a time would hide pairs; the first sets in order of path are shown.
        shown = [members[:2] for members in sets[:PAIRS]]
        tiles = [beside(*(tile(pixels[at[path]], bands) for path in pair)) for pair in shown]
        draw_sheet(folder / name, tiles, ["\n".join(pair) for pair in shown], columns=4)
        return folder / name

    chosen = _chosen(index)
    _draw_samples(folder / "samples.png", chosen, pixels, bands)
    _draw_means(folder / "means.png", chosen, pixels, bands)
    _draw_histograms(folder / "histograms.png", chosen, pixels, bands)
    labels = one_path_per_content(index)
    draw_embedding(folder / "dots.png", embedding, labels)
    draw_thumbnails(folder / "thumbnails.png", embedding, pixels, bands)
    return Pictures(
        samples=folder / "samples.png",
        means=folder / "means.png",
        histograms=folder / "histograms.png",
        dots=folder / "dots.png",
        thumbnails=folder / "thumbnails.png",
        outliers=_outliers(folder / "outliers.png", facts, at, pixels, bands),
        exact=pairs("exact.png", facts.audit.exact),
        near=pairs("near.png", [(pair.first, pair.second) for pair in facts.audit.near]),
        leaks=pairs("leaks.png", facts.audit.leaks),
        places=_places(folder / "places.png", index),
    )


def _chosen(index: PatchIndex) -> dict[str, npt.NDArray[np.intp]]:
    """Rows of the commonest classes, in the order of a seeded draw."""
    rows = rows_of_classes(index)
    names = sorted(sorted(rows, key=lambda name: (-len(rows[name]), name))[:SHOWN_CLASSES])
    rng = np.random.default_rng(0)
    return {name: rng.permutation(np.array(rows[name], np.intp))[:_MEASURED] for name in names if rows[name]}


def _draw_samples(
    path: Path, chosen: dict[str, npt.NDArray[np.intp]], pixels: npt.NDArray[Any], bands: Sequence[str]
) -> None:
    rows = [(int(row), name) for name, some in chosen.items() for row in some[:SAMPLES]]
    shown = np.stack([pixels[row] for row, _ in rows])
    path.write_bytes(sample_grid(shown, [name for _, name in rows], bands=bands, each=SAMPLES))


def _draw_means(
    path: Path, chosen: dict[str, npt.NDArray[np.intp]], pixels: npt.NDArray[Any], bands: Sequence[str]
) -> None:
    tiles, captions = [], []
    for name, rows in chosen.items():
        mean = np.rint(pixels[np.sort(rows)].mean(axis=0, dtype=np.float64)).astype(pixels.dtype)
        tiles.append(tile(mean, bands))
        captions.append(name)
    draw_sheet(path, tiles, captions, columns=10)


def _draw_histograms(
    path: Path, chosen: dict[str, npt.NDArray[np.intp]], pixels: npt.NDArray[Any], bands: Sequence[str]
) -> None:
    top = 256.0 if pixels.dtype == np.uint8 else float(int(pixels[:].max()) + 1)
    counts = {}
    for name, rows in chosen.items():
        block = pixels[np.sort(rows)]
        binned = np.minimum((block * np.float32(BINS / top)).astype(np.uint8), BINS - 1)
        counts[name] = np.stack(
            [np.bincount(binned[:, band].ravel(), minlength=BINS) for band in range(len(bands))]
        )
    draw_histograms(path, counts, bands, top=top)


def _outliers(
    path: Path, facts: DataFacts, at: dict[str, int], pixels: npt.NDArray[Any], bands: Sequence[str]
) -> Path | None:
    if not facts.outliers:
        return None
    shown = facts.outliers[:OUTLIERS]
    tiles = [tile(pixels[at[one.path]], bands) for one in shown]
    captions = [
        f"{PurePosixPath(one.path).name}\n{one.brightness:.0f} ({one.deviation:+.0f} sd)" for one in shown
    ]
    draw_sheet(path, tiles, captions, columns=10)
    return path


def _places(path: Path, index: PatchIndex) -> Path | None:
    rows = [
        (lon, lat, split)
        for lon, lat, split in zip(
            *(index.table[column].to_pylist() for column in ("lon", "lat", "split")), strict=True
        )
        if lon is not None and lat is not None
    ]
    if not rows:
        return None
    draw_places(path, [r[0] for r in rows], [r[1] for r in rows], [r[2] for r in rows])
    return path
