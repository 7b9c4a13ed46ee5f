"""The facts of a data report, measured once as plain values (:func:`measure_data`).

Most come from measures of other rooms. The map of similarity is made here: patches with similar features are close to
each other on a plane (:func:`embed`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from swath.data import PatchIndex, color_features
from swath.data.audit import Audit, audit, one_path_per_content
from swath.data.cache import Pixels, cached_pixels
from swath.data.known import Overlap, known_overlaps
from swath.data.matching import SIDE
from swath.data.overlap import groups_with
from swath.data.rows import comparison_bands, level_scale, map_patches
from swath.data.spatial import SpatialAutocorrelation, optimistic_bias, spatial_autocorrelation
from swath.datareport.shortcuts import Shortcuts, drawn, measure_shortcuts
from swath.errors import DataError
from swath.evaluation.predictions import model_outputs
from swath.imagery import RGB, Storage, storage
from swath.inference import load
from swath.progress import Progress, silent

OUTLYING = 5.0  # robust standard deviations from the median of the class
_LEAST_SD = 2.0  # 8-bit levels: a class of nearly equal patches has no outliers
_KINDS = 50  # classes that a score distinguishes
_RARE = 5
_BLOCK = 512
MODEL = "eurosat"
MOST = 4_000  # patches on the map; drawn with seed 0
Floats = npt.NDArray[np.float64]


def read_headers(index: PatchIndex, *, progress: Progress = silent) -> list[Storage]:
    """Read the headers of every patch, in index order.

    Parameters
    ----------
    index : PatchIndex
        Its files are read once each.
    progress : Progress
        Called with stage ``"headers"``.

    Raises
    ------
    DataError
        If a patch is gone or has changed.
    """

    def headers(data: bytes, row: int) -> Storage:
        return storage(data, name=index.paths[row])

    return list(map_patches(index, headers, stage="headers", progress=progress))


@dataclass(frozen=True)
class Outlier:
    """A patch much darker or brighter than its class.

    Attributes
    ----------
    path, label : str
        Which patch.
    brightness : float
        Mean of all its values, 8-bit levels.
    deviation : float
        From the median of its class, in robust standard deviations.
    """

    path: str
    label: str
    brightness: float
    deviation: float


@dataclass(frozen=True)
class DataFacts:
    """The facts about an index.

    Attributes
    ----------
    audit : Audit
        Counts, duplicates, leaks and channels.
    classes : mapping of str to mapping of str to int
        Patches of each class in each split; a patch of several labels counts for each.
    forms : mapping of str to int
        Files of each format with its compression.
    extras : mapping of str to int
        Files with each set of blocks besides the pixels.
    lengths : tuple of int
        Shortest, median and longest file, bytes.
    shortcuts : Shortcuts
        How well headers and colors predict the class.
    outliers : tuple of Outlier
        Furthest from their class first.
    plain : tuple of str
        Paths of patches of one single color.
    overlaps : tuple of Overlap
        Patches of published sets.
    near : SpatialAutocorrelation or None
        How close held-out patches are to training patches.
    optimistic : str
        Why the split is optimistic; empty if it is not, or nothing is known.
    embedding : Embedding
        Patches on a plane, by similarity.
    """

    audit: Audit
    classes: Mapping[str, Mapping[str, int]]
    forms: Mapping[str, int]
    extras: Mapping[str, int]
    lengths: tuple[int, int, int]
    shortcuts: Shortcuts
    outliers: tuple[Outlier, ...]
    plain: tuple[str, ...]
    overlaps: tuple[Overlap, ...]
    near: SpatialAutocorrelation | None
    optimistic: str
    embedding: Embedding

    @property
    def copies(self) -> int:
        """Files that repeat another byte for byte."""
        return sum(len(members) - 1 for members in self.audit.exact)


def measure_data(index: PatchIndex, *, progress: Progress = silent) -> DataFacts:
    """Measure an index; nothing is written.

    Parameters
    ----------
    index : PatchIndex
        With splits or without, one label per patch or several.
    progress : Progress
        Called with stages ``"decode"``, ``"compare"``, ``"align"``, ``"headers"``, ``"score"`` and ``"features"``.

    Raises
    ------
    DataError
        If the index has no patches, or one is gone or has changed.

    Examples
    --------
    >>> from swath.data import build_index
    >>> facts = measure_data(build_index("eurosat-mini"))
    >>> facts.audit.patches, facts.shortcuts.headers.is_shortcut
    (2000, False)
    """
    if not len(index):
        raise DataError(f"index '{index.name}' has no patches to report on", fix="make one with: swath data index")
    found = audit(index, progress=progress)
    pixels, bands = report_pixels(index, progress=progress)
    headers = read_headers(index, progress=progress)
    labels = one_path_per_content(index)
    rows = drawn(len(labels))
    groups = groups_with(index, found.near)
    progress("score", 0, 1)
    shortcuts = measure_shortcuts(
        [headers[row] for row in rows],
        [PurePosixPath(index.paths[row]).suffix for row in rows],
        color_features(np.asarray(pixels[rows])),
        pooled([labels[row] for row in rows]),
        [groups[row] for row in rows],
    )
    progress("score", 1, 1)
    means, spreads = _brightness(pixels)
    lengths = [one.bytes for one in headers]
    return DataFacts(
        audit=found,
        classes=class_counts(index),
        forms=_counted(f"{h.kind}, {h.compression}" if h.compression else h.kind for h in headers),
        extras=_counted(one.extras or "none" for one in headers),
        lengths=(min(lengths), int(np.median(lengths)), max(lengths)),
        shortcuts=shortcuts,
        outliers=_outliers(means, labels, index.paths),
        plain=tuple(index.paths[row] for row in np.flatnonzero(spreads == 0)),
        overlaps=known_overlaps(index, labels),
        near=spatial_autocorrelation(index),
        optimistic=optimistic_bias(index),
        embedding=embed(pixels, bands, progress=progress),
    )


def report_pixels(index: PatchIndex, *, progress: Progress = silent) -> tuple[Pixels, tuple[str, ...]]:
    """Pixels ``[N, bands, 64, 64]`` that a report is made of, and their bands; decoded once and then cached."""
    bands = comparison_bands(index)
    return cached_pixels(index, bands=bands, size=SIDE, progress=progress), bands


def rows_of_classes(index: PatchIndex) -> dict[str, list[int]]:
    """Rows of each class; a patch of several labels is in several."""
    rows: dict[str, list[int]] = {name: [] for name in index.classes}
    for row, labels in enumerate(index.label_sets):
        for name in labels:
            rows[name].append(row)
    return rows


def class_counts(index: PatchIndex) -> dict[str, dict[str, int]]:
    """Patches of each class in each split; ``"in no split"`` counts those that have none."""
    splits = index.table["split"].to_pylist()
    return {
        name: dict(Counter(splits[row] or "in no split" for row in rows))
        for name, rows in rows_of_classes(index).items()
    }


def pooled(labels: Sequence[str]) -> list[str]:
    """Put names too rare to be learned, unless all are, and all but the 50 commonest under one name."""
    counts = Counter(labels)
    common = counts.most_common(_KINDS)
    kept = {name for name, n in common if n >= _RARE} or {name for name, _ in common}
    # A single rare name has no other to join.
    return [name if name in kept or len(counts) - len(kept) < 2 else "(rare)" for name in labels]


def _brightness(pixels: npt.NDArray[Any]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Mean of all values of each patch in 8-bit levels, and the largest spread of any of its bands."""
    means, spreads = np.empty(len(pixels)), np.empty(len(pixels))
    for start in range(0, len(pixels), _BLOCK):
        block = np.asarray(pixels[start : start + _BLOCK])
        flat = block.reshape(len(block), block.shape[1], -1)
        means[start : start + _BLOCK] = flat.mean(axis=(1, 2), dtype=np.float64)
        spreads[start : start + _BLOCK] = (flat.max(axis=2) - flat.min(axis=2).astype(np.int64)).max(axis=1)
    return means * level_scale(pixels), spreads


def _outliers(means: npt.NDArray[np.float64], labels: Sequence[str], paths: Sequence[str]) -> tuple[Outlier, ...]:
    """Patches far from the median of their class; 1.4826 median absolute deviations are one sd."""
    names = np.array(labels, dtype=object)
    found = []
    for name in sorted(set(labels)):
        rows = np.flatnonzero(names == name)
        middle = float(np.median(means[rows]))
        sd = max(_LEAST_SD, 1.4826 * float(np.median(np.abs(means[rows] - middle))))
        found += [
            Outlier(paths[row], name, round(float(means[row]), 1), round(float(means[row] - middle) / sd, 1))
            for row in rows.tolist()
            if abs(means[row] - middle) > OUTLYING * sd
        ]
    return tuple(sorted(found, key=lambda one: (-abs(one.deviation), one.path)))


def _counted(values: Any) -> dict[str, int]:
    return dict(Counter(values).most_common())


@dataclass(frozen=True)
class Embedding:
    """Positions of patches on the map.

    Attributes
    ----------
    rows : numpy.ndarray
        ``[M]``, which patches are on it.
    places : numpy.ndarray
        ``[M, 2]`` float64, the first two principal components.
    explained : tuple of float
        Share of the variance that each of the two carries.
    by : str
        The features that describe the patches, in words.
    """

    rows: npt.NDArray[np.intp]
    places: Floats
    explained: tuple[float, float]
    by: str


def embed(
    pixels: npt.NDArray[Any], bands: Sequence[str], *, most: int = MOST, progress: Progress = silent
) -> Embedding:
    """Describe patches by features and project them onto a plane.

    8-bit RGB patches are described by the features of the shipped model, others by their color
    statistics, standardized.

    Parameters
    ----------
    pixels : numpy.ndarray
        ``[N, bands, S, S]`` uint8 or uint16; may be mapped from disk.
    bands : sequence of str
        One name per band.
    most : int
        Maximum number of patches.
    progress : Progress
        Called with stage ``"features"``.
    """
    rows = drawn(len(pixels), most=most)
    described: npt.NDArray[Any]
    if pixels.dtype == np.uint8 and tuple(bands) == RGB:
        found = model_outputs(load(MODEL), pixels[rows], wanted=("features",), stage="features", progress=progress)
        described = found["features"]
        by = f"the features of the shipped model '{MODEL}'"
    else:
        described = color_features(np.asarray(pixels[rows]))
        spread = described.std(axis=0)
        described = (described - described.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
        by = "color statistics, since the shipped model takes 8-bit RGB only"
    places, explained = principal(described)
    return Embedding(rows, places, explained, by)


def principal(values: npt.NDArray[np.floating]) -> tuple[Floats, tuple[float, float]]:
    """First two principal components of ``[N, F]`` values, and the share of variance of each.

    Axes point so that the largest loading of each is positive: the same values give the same map.
    Pearson 1901, Philosophical Magazine 2, 559-572.
    """
    centered = values.astype(np.float64) - values.mean(axis=0, dtype=np.float64)
    if centered.shape[1] < 2:
        centered = np.pad(centered, ((0, 0), (0, 2 - centered.shape[1])))
    power, axes = np.linalg.eigh(centered.T @ centered)
    axes = axes[:, ::-1][:, :2]
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), [0, 1]])
    total = float(power.sum())
    shares = [float(max(0.0, power[place]) / total) if total > 0 else 0.0 for place in (-1, -2)]
    return centered @ axes, (shares[0], shares[1])


def spread_out(places: Floats, *, cells: int) -> list[tuple[int, int, int]]:
    """Choose patches that cover a map: of each cell of a grid the one nearest its center.

    Parameters
    ----------
    places : numpy.ndarray
        ``[M, 2]``.
    cells : int
        Cells along each side of the map.

    Returns
    -------
    list of tuple of int
        Number of the patch, and column and row of its cell; row 0 is at the top.
    """
    low, high = places.min(axis=0), places.max(axis=0)
    scaled = (places - low) / np.where(high > low, high - low, 1.0) * cells
    cell = np.minimum(scaled.astype(np.intp), cells - 1)
    off = ((scaled - cell - 0.5) ** 2).sum(axis=1)
    best: dict[tuple[int, int], int] = {}
    for number in np.argsort(off, kind="stable"):
        best.setdefault((int(cell[number, 0]), int(cell[number, 1])), int(number))
    return sorted((number, column, cells - 1 - row) for (column, row), number in best.items())
