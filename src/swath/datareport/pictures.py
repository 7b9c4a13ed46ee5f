"""The pictures of a data report, as PNG bytes by name: samples, means, histograms, pairs, outliers, maps of patches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from swath.data import PatchIndex
from swath.data.audit import one_path_per_content
from swath.datareport.embedding import Embedding, spread_out
from swath.datareport.facts import DataFacts, rows_of_classes
from swath.evaluation.plots import sample_grid
from swath.model.record import class_infos
from swath.pages.figures import INK, RgbImage, finish_axis, pixels_to_png, plain_legend, tile, tile_sheet, to_png
from swath.pages.text import written

SHOWN_CLASSES = 40
SAMPLES = 10
PAIRS = 12
OUTLIERS = 20
BINS = 64
TILE = 96  # pixels of a picture on a sheet
_MEASURED = 400  # patches per class for means and histograms; drawn with seed 0
_BANDS = {"red": "#c23b22", "green": "#2e8b3d", "blue": "#2a5db0", "gray": "#56646e", "nir": "#8b3fa0"}
_OTHER = ("#17617c", "#d98032", "#7a4a00", "#5b5b66", "#a23e8c")
_SPLITS = {"train": "#17617c", "val": "#d98032", "test": "#c23b22", None: "#8a98a1"}
_CELLS, _THUMB = 20, 48
_MANY = 12  # classes that a legend of dots can still tell apart
_GAP = 8
_TEXT = 30  # pixels under a picture, for two lines of text


def draw_pictures(
    index: PatchIndex, facts: DataFacts, pixels: npt.NDArray[Any], bands: Sequence[str]
) -> dict[str, bytes]:
    """Draw everything there is something to draw of.

    Parameters
    ----------
    index : PatchIndex
        The reported index.
    facts : DataFacts
        What was measured.
    pixels : numpy.ndarray
        ``[N, bands, S, S]``, in index order.
    bands : sequence of str
        One name per band.

    Returns
    -------
    dict of str to bytes
        ``samples``, ``means``, ``histograms``, ``dots`` and ``thumbnails``; and ``outliers``, ``exact``, ``near``,
        ``leaks`` and ``places`` where there are any.
    """
    row_of = {path: row for row, path in enumerate(index.paths)}

    def shown(path: str) -> RgbImage:
        return tile(pixels[row_of[path]], bands, side=TILE)

    rows = rows_of_classes(index)
    names = sorted(sorted(rows, key=lambda name: (-len(rows[name]), name))[:SHOWN_CLASSES])
    rng = np.random.default_rng(0)
    drawn = {name: rng.permutation(np.array(rows[name], np.intp))[:_MEASURED] for name in names if rows[name]}
    samples = [(row, name) for name, some in drawn.items() for row in some[:SAMPLES].tolist()]
    pictures = {
        "samples": sample_grid(
            np.stack([pixels[row] for row, _ in samples]), [name for _, name in samples], bands=bands, each=SAMPLES
        ),
        "means": sheet_picture(
            [tile(_mean(pixels, some), bands, side=TILE) for some in drawn.values()], list(drawn), columns=10
        ),
        "histograms": histograms_picture(pixels, drawn, bands),
        "dots": embedding_picture(facts.embedding, one_path_per_content(index)),
        "thumbnails": thumbnails_picture(facts.embedding, pixels, bands),
    }
    sets: dict[str, Sequence[Sequence[str]]] = {
        "exact": facts.audit.exact,
        "near": [(pair.first, pair.second) for pair in facts.audit.near],
        "leaks": facts.audit.leaks,
    }
    for name, members in sets.items():
        if members:
            pairs = [each[:2] for each in members[:PAIRS]]
            tiles = [tile_sheet({(0, k): shown(path) for k, path in enumerate(pair)}, gap=2) for pair in pairs]
            pictures[name] = sheet_picture(tiles, ["\n".join(pair) for pair in pairs], columns=4)
    if facts.outliers:
        furthest = facts.outliers[:OUTLIERS]
        captions = [f"{PurePosixPath(o.path).name}\n{o.brightness:.0f} ({o.deviation:+.0f} sd)" for o in furthest]
        pictures["outliers"] = sheet_picture([shown(o.path) for o in furthest], captions, columns=10)
    places = zip(*(index.table[column].to_pylist() for column in ("lon", "lat", "split")), strict=True)
    known = [place for place in places if None not in place[:2]]
    if known:
        pictures["places"] = places_picture(known)
    return pictures


def _mean(pixels: npt.NDArray[Any], rows: npt.NDArray[np.intp]) -> npt.NDArray[Any]:
    mean = pixels[np.sort(rows)].mean(axis=0, dtype=np.float64)
    return np.asarray(np.rint(mean).astype(pixels.dtype))


def histograms_picture(
    pixels: npt.NDArray[Any], rows: Mapping[str, npt.NDArray[np.intp]], bands: Sequence[str]
) -> bytes:
    """Draw how often each value occurs: a panel per class and a line per band.

    Parameters
    ----------
    pixels : numpy.ndarray
        ``[N, bands, S, S]``.
    rows : mapping of str to numpy.ndarray
        Patches of each class.
    bands : sequence of str
        Names of the bands.
    """
    top = 256.0 if pixels.dtype == np.uint8 else float(int(pixels[:].max()) + 1)
    columns = min(5, len(rows))
    lines = -(-len(rows) // columns)
    figure = Figure(figsize=(2.1 * columns, 1.45 * lines + 0.4), layout="constrained")
    axes = figure.subplots(lines, columns, squeeze=False, sharex=True).ravel()
    middles = (np.arange(BINS) + 0.5) * top / BINS
    for axis, (label, own) in zip(axes, rows.items(), strict=False):
        binned = np.minimum((pixels[np.sort(own)] * np.float32(BINS / top)).astype(np.uint8), BINS - 1)
        for place, band in enumerate(bands):
            counts = np.bincount(binned[:, place].ravel(), minlength=BINS)
            color = _BANDS.get(band, _OTHER[place % len(_OTHER)])
            axis.plot(middles, counts / max(1, int(counts.sum())), color=color, linewidth=1.1)
        axis.set_title(written(label, limit=24), fontsize=8, loc="left", parse_math=False)
        axis.set_yticks([])
        axis.set_xlim(0, top)
        axis.tick_params(labelsize=7)
        axis.spines[["top", "right", "left"]].set_visible(False)
    for axis in axes[len(rows) :]:
        axis.set_axis_off()
    figure.legend(axes[0].lines, list(bands), loc="outside lower right", ncols=len(bands), fontsize=7, frameon=False)
    return to_png(figure)


def embedding_picture(found: Embedding, labels: Sequence[str]) -> bytes:
    """Draw one dot per patch in the color of its class; of very many classes, the commonest in color."""
    there = [labels[int(row)] for row in found.rows]
    names = sorted(sorted(set(there), key=lambda name: (-there.count(name), name))[:_MANY])
    figure = Figure(figsize=(5.6, 5.9), layout="constrained")
    axis = figure.subplots()
    groups = [(written(info.name, limit=24), f"#{info.color_hint}", {info.name}) for info in class_infos(names)]
    groups.append(("other classes", "#b8c1c6", set(there) - set(names)))
    dots, legend = [], []
    for name, color, members in groups:
        chosen = found.places[[label in members for label in there]]
        if len(chosen):
            rest = name == "other classes"
            dots.append(
                axis.scatter(
                    chosen[:, 0],
                    chosen[:, 1],
                    s=5 if rest else 7,
                    color=color,
                    linewidths=0,
                    alpha=1 if rest else 0.75,
                    zorder=0 if rest else 1,
                )
            )
            legend.append(name)
    finish_axis(
        axis,
        across=f"component 1 ({100 * found.explained[0]:.0f} % of the variance)",
        up=f"component 2 ({100 * found.explained[1]:.0f} %)",
        label_size=8,
        tick_size=7,
    )
    # Named one by one: left to itself matplotlib leaves out names that begin with "_".
    plain_legend(
        figure.legend(dots, legend, loc="outside lower center", ncols=3, fontsize=8, frameon=False, markerscale=2.2)
    )
    return to_png(figure, dpi=120)


def thumbnails_picture(found: Embedding, pixels: npt.NDArray[Any], bands: Sequence[str]) -> bytes:
    """Draw the same map with patches instead of dots: one for each cell that has any."""
    blank = np.full((_THUMB, _THUMB, 3), 255, np.uint8)
    tiles = {(0, 0): blank, (_CELLS - 1, _CELLS - 1): blank}  # the sheet has its full size
    for number, column, row in spread_out(found.places, cells=_CELLS):
        tiles[row, column] = tile(pixels[int(found.rows[number])], bands, side=_THUMB)
    return pixels_to_png(tile_sheet(tiles, gap=2))


def places_picture(places: Sequence[tuple[float, float, str | None]]) -> bytes:
    """Draw longitude and latitude of patches, in the color of their split."""
    figure = Figure(figsize=(7.4, 4.6), layout="constrained")
    axis = figure.subplots()
    for split, color in _SPLITS.items():
        chosen = np.array([(lon, lat) for lon, lat, own in places if own == split])
        if len(chosen):
            axis.scatter(
                chosen[:, 0], chosen[:, 1], s=8, color=color, linewidths=0, alpha=0.6, label=split or "in no split"
            )
    middle = np.radians(np.clip(np.mean([lat for _, lat, _ in places]), -80, 80))
    axis.set_aspect(1 / np.cos(middle), adjustable="datalim")
    finish_axis(axis, across="longitude, degrees", up="latitude, degrees", label_size=8, tick_size=7)
    axis.legend(fontsize=8, frameon=False, markerscale=2)
    return to_png(figure, dpi=120)


def sheet_picture(tiles: Sequence[RgbImage], captions: Sequence[str], *, columns: int) -> bytes:
    """Draw pictures of one size in rows, each with up to two lines of text under it.

    Parameters
    ----------
    tiles : sequence of numpy.ndarray
        ``[H, W, 3]`` uint8 each.
    captions : sequence of str
        Lines separated by ``\\n``; each is cut to the width of its picture.
    columns : int
        Pictures per row.
    """
    height, width = tiles[0].shape[:2]
    columns = min(columns, len(tiles))
    placed = {divmod(number, columns): picture for number, picture in enumerate(tiles)}
    sheet = tile_sheet(placed, gap=_GAP, below=_TEXT + _GAP)
    # Pixels of the sheet are pixels of the figure, so that nothing is smoothed.
    figure = Figure(figsize=(sheet.shape[1] / 100, sheet.shape[0] / 100))
    axis = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axis.imshow(sheet, interpolation="nearest", aspect="auto")
    axis.set_axis_off()
    limit = max(8, round(width / 5.1))
    for (row, column), caption in zip(placed, captions, strict=True):
        left, bottom = column * (width + _GAP), row * (height + _TEXT + _GAP) + height
        for line, text in enumerate(caption.split("\n")[:2]):
            axis.text(
                left, bottom + 4 + 12 * line, _ending(text, limit), fontsize=6.5, color=INK, va="top", parse_math=False
            )
    return to_png(figure, dpi=100)


def _ending(text: str, limit: int) -> str:
    """One visible line: the end of a long path, which distinguishes files, and the beginning of a long name."""
    line = written(text, limit=10_000)
    if len(line) <= limit or "." not in line:
        return written(line, limit=limit)
    return "…" + line[1 - limit :]
