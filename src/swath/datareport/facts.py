"""Everything a data report says, gathered once as plain values."""

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
from swath.data.duplicates import comparison_bands, groups_with, level_scale
from swath.data.known import Overlap, known_overlaps
from swath.data.matching import SIDE
from swath.data.rows import map_patches
from swath.data.spatial import SpatialAutocorrelation, optimistic_bias, spatial_autocorrelation
from swath.datareport.shortcuts import Shortcuts, drawn, measure_shortcuts
from swath.errors import DataError
from swath.imagery import Storage, storage
from swath.progress import Progress, silent

OUTLYING = 5.0  # robust standard deviations from the median of the class
_LEAST_SD = 2.0  # 8-bit levels: a class of nearly equal patches has no outliers
_KINDS = 50  # names that a score tells apart
_RARE = 5
_BLOCK = 512


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
    """What a report says of an index.

    Attributes
    ----------
    audit : Audit
        Counts, duplicates, leaks and channels.
    classes : mapping of str to mapping of str to int
        Patches of each class in each split; a patch of several labels counts for each.
    forms : mapping of str to int
        Files of each format with its compression.
    extras : mapping of str to int
        Files with each set of blocks beside the pixels.
    lengths : tuple of int
        Shortest, median and longest file, bytes.
    shortcuts : Shortcuts
        What headers and colors tell of the class.
    outliers : tuple of Outlier
        Furthest from their class first.
    plain : tuple of str
        Paths of patches of one single color.
    overlaps : tuple of Overlap
        Patches of published sets.
    near : Closeness or None
        How close held-out patches lie to training patches.
    optimistic : str
        Why the split flatters; empty if it does not, or nothing is known.
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

    @property
    def copies(self) -> int:
        """Files that repeat another byte for byte."""
        return sum(len(members) - 1 for members in self.audit.exact)


def gather(index: PatchIndex, *, progress: Progress = silent) -> tuple[DataFacts, Pixels, tuple[str, ...]]:
    """Measure an index.

    Returns
    -------
    tuple of DataFacts, numpy.ndarray and tuple of str
        The facts, and the pixels ``[N, bands, 64, 64]`` they were measured on with their bands.

    Raises
    ------
    DataError, OutputError
        As :func:`swath.data.audit`, and if the index has no patches.
    """
    if not len(index):
        raise DataError(f"index '{index.name}' has no patches to report on")
    bands = comparison_bands(index)
    found = audit(index, progress=progress)
    pixels = cached_pixels(index, bands=bands, size=SIDE, progress=progress)
    headers = read_headers(index, progress=progress)
    labels = one_path_per_content(index)
    rows = drawn(labels)
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
    facts = DataFacts(
        audit=found,
        classes=class_counts(index),
        forms=_counted(form_of(one) for one in headers),
        extras=_counted(one.extras or "none" for one in headers),
        lengths=_range([one.bytes for one in headers]),
        shortcuts=shortcuts,
        outliers=_outliers(means, labels, index.paths),
        plain=tuple(index.paths[row] for row in np.flatnonzero(spreads == 0)),
        overlaps=known_overlaps(index, labels),
        near=spatial_autocorrelation(index),
        optimistic=optimistic_bias(index),
    )
    return facts, pixels, bands


def rows_of_classes(index: PatchIndex) -> dict[str, list[int]]:
    """Rows of each class; a patch of several labels is in several."""
    rows: dict[str, list[int]] = {name: [] for name in index.classes}
    one, several = index.table["label"].to_pylist(), index.table["labels"].to_pylist()
    for row, (label, labels) in enumerate(zip(one, several, strict=True)):
        for name in [label] if label is not None else (labels or ()):
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
    """Join names too rare to be learned, unless all are, and all but the 50 commonest under one name."""
    counts = Counter(labels)
    common = counts.most_common(_KINDS)
    kept = {name for name, n in common if n >= _RARE} or {name for name, _ in common}
    # One rare name has nothing to be joined with.
    return [name if name in kept or len(counts) - len(kept) < 2 else "(rare)" for name in labels]


def form_of(one: Storage) -> str:
    """Format and compression of a file in words."""
    return f"{one.kind}, {one.compression}" if one.compression else one.kind


def _brightness(
    pixels: npt.NDArray[Any],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Mean of all values of each patch in 8-bit levels, and the largest spread of any of its bands."""
    means, spreads = np.empty(len(pixels)), np.empty(len(pixels))
    for start in range(0, len(pixels), _BLOCK):
        block = np.asarray(pixels[start : start + _BLOCK])
        flat = block.reshape(len(block), block.shape[1], -1)
        means[start : start + _BLOCK] = flat.mean(axis=(1, 2), dtype=np.float64)
        spreads[start : start + _BLOCK] = (flat.max(axis=2) - flat.min(axis=2).astype(np.int64)).max(axis=1)
    return means * level_scale(pixels), spreads


def _outliers(
    means: npt.NDArray[np.float64], labels: Sequence[str], paths: Sequence[str]
) -> tuple[Outlier, ...]:
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


def _range(lengths: Sequence[int]) -> tuple[int, int, int]:
    return min(lengths), int(np.median(lengths)), max(lengths)
