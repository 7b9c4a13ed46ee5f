"""A minimum mapping unit: patches of a class that are smaller are merged into their neighbors.

A patch is a connected region of one class; pixels that touch only at a corner are not connected. The smallest patch
is merged first, into the neighbor with which it shares the longest border, and so on until every patch is large enough
or has no neighbor. Pixels without data are no neighbors: they stay as they are and become of no class.

The map is looked at as runs of equal pixels in rows, and equal rows that follow each other as one: what it takes
depends on how many patches there are rather than on the number of pixels.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from swath.errors import SettingError
from swath.mapping.area import PixelArea
from swath.mapping.grid import Grid
from swath.mapping.writer import NODATA
from swath.progress import Progress, silent

MOST_PIXELS = 2_000_000_000  # bytes of a class raster that are held in memory
MOST_CELLS = 4_000_000  # where each is a patch of its own, that takes minutes and 3 GB
_EVERY = 10_000  # patches from one report of progress to the next
Labels = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class MinimumArea:
    """What a minimum mapping unit has done to a map.

    Attributes
    ----------
    hectares : float
        The unit: patches that are smaller were merged.
    patches : int
        How many were.
    changed_hectares : float
        Ground whose class changed.
    changed_share : float
        Its part of the mapped ground, 0-1.
    left : int
        Smaller patches that have no neighbor and stayed.
    """

    hectares: float
    patches: int
    changed_hectares: float
    changed_share: float
    left: int


def check_min_area(hectares: float, area: PixelArea | None, no_area: str | None, grid: Grid) -> None:
    """Refuse a minimum mapping unit that cannot be kept to.

    Raises
    ------
    SettingError
        If it is not above 0, the size of pixels is not known, or the map is too large to be held.
    """
    if not 0 < hectares < float("inf"):
        raise SettingError(f"--min-area {hectares:g} is not above 0", fix="give hectares, such as --min-area 1")
    if area is None or not area.blocks.all():
        reason = no_area or "some of its pixels lie outside the part of the globe that its reference system covers"
        raise SettingError(f"--min-area is in hectares, and {reason}", fix="leave it out")
    cells, pixels = grid.rows.cells * grid.cols.cells, grid.rows.length * grid.cols.length
    if cells > MOST_CELLS:
        raise SettingError(
            f"--min-area looks at {MOST_CELLS:,} cells at most, and the map would have {cells:,}",
            fix=f"make larger ones, such as with --stride {grid.patch // 2}, or map the scene in parts",
        )
    if pixels > MOST_PIXELS:
        raise SettingError(
            f"--min-area holds the map in memory, {MOST_PIXELS:,} pixels at most, and the scene has {pixels:,}",
            fix="map the scene in parts",
        )


def merge_small(
    labels: Labels, hectares: float, area: PixelArea, *, progress: Progress = silent
) -> tuple[Labels, MinimumArea]:
    """Merge the patches of a map that are smaller than a minimum mapping unit into their neighbors.

    Parameters
    ----------
    labels : numpy.ndarray
        uint8 ``[height, width]``, 0 for no data.
    hectares : float
        The unit.
    area : PixelArea
        Area of the pixels.
    progress : Progress
        Called for every 10,000 patches.

    Returns
    -------
    tuple of numpy.ndarray and MinimumArea
        The new map, and what changed.

    Examples
    --------
    >>> land = np.array([[1, 1, 1, 0], [1, 2, 1, 3]], np.uint8)
    >>> pixel = PixelArea(np.full((1, 1), 10_000.0), (2, 4), 100, 100, "made up")
    >>> merged, said = merge_small(land, 2, pixel)
    >>> merged.tolist()
    [[1, 1, 1, 0], [1, 1, 1, 1]]
    >>> said.patches, said.changed_hectares
    (2, 2.0)
    """
    runs = _find_runs(labels, area)
    patch = _connect(runs)
    count = int(patch.max()) + 1 if len(patch) else 0
    meters = np.bincount(patch, runs.meters, count).astype(np.float64)
    classes = np.zeros(count, np.uint8)
    classes[patch] = runs.values
    into, merged, left = _merge(patch, runs, meters, classes, 10_000 * hectares, progress)
    values = classes[into][patch]
    changed = float(runs.meters[(values != runs.values)].sum())
    mapped = float(runs.meters[runs.values != NODATA].sum())
    result = _paint(runs, values, labels.shape)
    said = MinimumArea(hectares, merged, changed / 10_000, changed / mapped if mapped else 0.0, left)
    return result, said


@dataclass(frozen=True)
class _Runs:
    """Pixels of one value next to each other, in rows that stand for all equal ones that follow.

    Attributes
    ----------
    tops, tall : numpy.ndarray
        First row of each group of equal rows, and how many there are.
    row, start, stop : numpy.ndarray
        Of each run: its group of rows, and its columns.
    values, meters : numpy.ndarray
        Its value and area.
    across, down : float
        Meters of a pixel.
    """

    tops: Ints
    tall: Ints
    row: Ints
    start: Ints
    stop: Ints
    values: Labels
    meters: npt.NDArray[np.float64]
    across: float
    down: float


def _find_runs(labels: Labels, area: PixelArea) -> _Runs:
    height, width = labels.shape
    tops = [0] + [row for row in range(1, height) if not np.array_equal(labels[row], labels[row - 1])]
    tall = np.diff([*tops, height])
    rows, starts, values, meters = [], [], [], []
    block = np.arange(width) // area.block[1]
    for group, (top, count) in enumerate(zip(tops, tall.tolist(), strict=True)):
        line = labels[top]
        begins = np.concatenate([[0], np.flatnonzero(line[1:] != line[:-1]) + 1])
        down = area.blocks[(top + np.arange(count)) // area.block[0]].sum(axis=0)
        rows.append(np.full(len(begins), group))
        starts.append(begins)
        values.append(line[begins])
        meters.append(np.add.reduceat(down[block], begins))
    row, start = np.concatenate(rows), np.concatenate(starts)
    stop = np.append(start[1:], width)
    stop[stop == 0] = width  # the last run of each row
    return _Runs(
        np.array(tops), tall, row, start, stop, np.concatenate(values), np.concatenate(meters), area.across, area.down
    )


def _neighbors(runs: _Runs) -> tuple[Ints, Ints, npt.NDArray[np.float64]]:
    """Pairs of runs that share a border, and its length in meters: beside each other, and below each other."""
    beside = np.flatnonzero(runs.row[1:] == runs.row[:-1])
    # The runs of the next row that begin or go on below a run.
    stride = int(runs.stop.max()) + 1
    keys = runs.row * stride + runs.start
    first = np.searchsorted(keys, (runs.row + 1) * stride + runs.start, "right") - 1
    last = np.searchsorted(keys, (runs.row + 1) * stride + runs.stop - 1, "right") - 1
    counts = np.where(runs.row < runs.row[-1], last - first + 1, 0)
    above = np.arange(len(keys)).repeat(counts)
    below = first.repeat(counts) + np.arange(len(above)) - (np.cumsum(counts) - counts).repeat(counts)
    shared = np.minimum(runs.stop[above], runs.stop[below]) - np.maximum(runs.start[above], runs.start[below])
    lengths = [runs.tall[runs.row[beside]] * runs.down, shared * runs.across]
    return np.concatenate([beside, above]), np.concatenate([beside + 1, below]), np.concatenate(lengths)


def _connect(runs: _Runs) -> Ints:
    """The number of the patch of each run."""
    one, other, _ = _neighbors(runs)
    same = runs.values[one] == runs.values[other]
    one, other = one[same], other[same]
    parent = np.arange(len(runs.values))
    while True:
        low = np.minimum(parent[one], parent[other])
        before = parent.copy()
        # Both the runs and what stands for them so far learn of the lowest number.
        for end in (one, other):
            np.minimum.at(parent, before[end], low)
            np.minimum.at(parent, end, low)
        while True:
            nearer = parent[parent]
            if (nearer == parent).all():
                break
            parent = nearer
        if (parent == before).all():
            break
    return np.unique(parent, return_inverse=True)[1].reshape(-1)


def _merge(
    patch: Ints, runs: _Runs, meters: npt.NDArray[np.float64], classes: Labels, smallest: float, progress: Progress
) -> tuple[Ints, int, int]:
    """Into which patch each one is merged, how many were, and how many are too small and stayed."""
    one, other, length = _neighbors(runs)
    one, other = patch[one], patch[other]
    between = (one != other) & (classes[one] != NODATA) & (classes[other] != NODATA)
    one, other, length = one[between], other[between], length[between]
    low, high = np.minimum(one, other), np.maximum(one, other)
    pairs, number = np.unique(low * len(meters) + high, return_inverse=True)
    lengths = np.bincount(number.reshape(-1), length, len(pairs)).tolist()
    borders: dict[int, dict[int, float]] = {}
    for a, b, shared in zip((pairs // len(meters)).tolist(), (pairs % len(meters)).tolist(), lengths, strict=True):
        borders.setdefault(a, {})[b] = shared
        borders.setdefault(b, {})[a] = shared
    sizes, kinds, parent = meters.tolist(), classes.tolist(), list(range(len(meters)))
    # Sums of the areas of pixels that make exactly the unit may be a rounding below it.
    limit = smallest * (1 - 1e-9)
    small = np.flatnonzero((meters < limit) & (classes != NODATA)).tolist()
    heap = [(sizes[at], at) for at in small]
    heapq.heapify(heap)
    left, done = 0, 0
    while heap:
        size, at = heapq.heappop(heap)
        if parent[at] != at or size != sizes[at]:
            continue  # merged, or grown since
        done += 1
        if done % _EVERY == 0:
            progress("merging small patches", min(done, len(small)), len(small))
        around = borders.get(at)
        if not around:
            left += 1
            continue
        chosen = max(around, key=lambda patch: (around[patch], sizes[patch], -patch))
        # With its class it joins all neighbors that have it; the one with the longest list of neighbors keeps it.
        alike = sorted(patch for patch in around if kinds[patch] == kinds[chosen])
        to = max(alike, key=lambda patch: len(borders[patch]))
        for joined in alike:
            if joined != to:
                _join(joined, to, borders, sizes, parent)
        _join(at, to, borders, sizes, parent)
        if sizes[to] < limit:
            heapq.heappush(heap, (sizes[to], to))
    if done >= _EVERY:
        progress("merging small patches", len(small), len(small))
    for at in range(len(parent)):
        root = at
        while parent[root] != root:
            root = parent[root]
        while parent[at] != root:
            parent[at], at = root, parent[at]  # noqa: PLW2901 walks up to the root
    return np.array(parent, np.int64), len(small) - left, left


def _join(one: int, to: int, borders: dict[int, dict[int, float]], sizes: list[float], parent: list[int]) -> None:
    """Make a patch part of another one."""
    parent[one] = to
    sizes[to] += sizes[one]
    kept = borders.setdefault(to, {})
    for patch, length in borders.pop(one, {}).items():
        other = borders.get(patch)
        if other is not None:
            other.pop(one, None)
        if patch == to:
            continue
        kept[patch] = kept.get(patch, 0.0) + length
        if other is not None:
            other[to] = kept[patch]
    kept.pop(one, None)


def _paint(runs: _Runs, values: Labels, shape: tuple[int, ...]) -> Labels:
    """The map with new values of its runs."""
    result = np.empty(shape, np.uint8)
    ends = np.searchsorted(runs.row, np.arange(len(runs.tops) + 1))
    for group, (top, count) in enumerate(zip(runs.tops.tolist(), runs.tall.tolist(), strict=True)):
        part = slice(ends[group], ends[group + 1])
        result[top : top + count] = values[part].repeat(runs.stop[part] - runs.start[part])
    return result
