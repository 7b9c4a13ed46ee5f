"""Make the pictures of a data report as files in a working folder; the page takes them in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from swath.data import PatchIndex
from swath.data.audit import one_name_each
from swath.datareport.drawings import BINS, draw_embedding, draw_histograms, draw_places, draw_thumbnails
from swath.datareport.embedding import Embedding
from swath.datareport.facts import DataFacts, rows_of_classes
from swath.datareport.sheets import beside, draw_sheet, tile
from swath.evaluation.plots import sample_grid

SHOWN_CLASSES = 40
SAMPLES = 10
PAIRS = 12
OUTLIERS = 20
_MEASURED = 400  # patches a class for means and histograms; drawn with seed 0


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
        The map of likeness.
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
    labels = one_name_each(index)
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
    sample_grid(path, shown, [name for _, name in rows], bands=bands, each=SAMPLES)


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
