"""Which patches share ground: cut from one scene so that they overlap, at any shift.

Copies of a whole patch are the subject of :mod:`swath.data.matching`; here two patches need only have a part of the
ground in common. Three steps, each on far fewer pairs than the one before:

1. Every patch gets some fifty keypoints, peaks of its band-passed gray that are no edges, and a descriptor of the 13 by
   13 pixels about each (Lowe 2004, IJCV 60, 91-110, without scale and rotation).
2. Descriptors that agree, in color too, propose a shift for their two patches. Only those of the same or neighboring
   cells are compared, so that no pair of patches is looked at in vain (an inverted file; Sivic and Zisserman 2003).
3. At the shift proposed and its neighbors the overlap itself is compared: fine detail, gray levels, and mean color must
   all agree. Different land with a similar field corner fails at one of them.

Turned, rescaled and differently rendered overlaps are not found (whole copies of these kinds are, by
:mod:`swath.data.matching`), nor is flat water, which shows nothing to recognize. Thresholds were chosen on EuroSAT's
16,200 train patches and on patches cut from six scenes; ``benchmarks/overlap.py`` measures them on others.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from swath.data.cache import Pixels, cached_pixels, cached_table
from swath.data.duplicates import GROUND, SAME, DuplicatePair, Forest, linked, merge_groups, near_duplicates
from swath.data.index import PatchIndex
from swath.data.matching import SIDE
from swath.data.rows import comparison_bands, first_of_each, level_scale
from swath.data.spatial import footprint_overlaps
from swath.progress import Progress, silent

METHOD = "overlap-1"  # raise the number when other pairs are found: what was found before is in the cache
FINE, COARSE = 1.0, 3.0  # pixels: standard deviations of the two Gaussians whose difference is the band-passed gray
KEYPOINTS = 64  # of a patch at most, the strongest
PEAK_RADIUS = 2  # pixels about a keypoint in which no other value is larger
LEAST = 0.25  # 8-bit levels: band-passed gray of a keypoint at least
EDGE = 10.0  # principal curvatures: squared sum over product; a peak on a line or an edge has more (4 for a round one)
HALF = 6  # pixels about a keypoint that its descriptor covers
WAVES = 6  # cosine coefficients along rows and columns
AGREE = 0.85  # product of two descriptors of unit length
NEAR_COLOR = 8.0  # 8-bit levels, in any band, about two keypoints
HOMES = 3  # cells of each descriptor
CELL = 16_384  # members of a cell that are compared with one another; a larger one is taken in pieces
PARTNERS = 16  # matches of a keypoint within a cell at most, the best: copies by the thousand need no more
# What the overlap itself must reach. The margin keeps out what only one patch could filter with all neighbors.
MARGIN = 3  # pixels
WORTH_A_LOOK = 0.35  # correlation of fine detail at the shift proposed
DETAIL_ALIKE, GRAY_ALIKE = 0.75, 0.80  # correlation of fine detail, and of gray levels
SMALL, SMALL_ALIKE = 0.25, 0.90  # share of the ground below which the fine detail must agree better: chance is larger
COLOR_ALIKE = 1.5  # 8-bit levels: difference of the mean over the overlap, in any band
LEAST_SIDE = 2 * (HALF + 1) + 1  # pixels: a keypoint with all it is described by
_BLOCK = 256
_CHUNK = 4096
_STAGE, _MATCH, _CHECK = "describe", "match", "check overlap"
_FOUND = pa.schema({"first": pa.string(), "second": pa.string(), "share": pa.float64(), "similarity": pa.float64()})
Floats = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, order=True)
class OverlapPair:
    """Two patches that show some of the same ground.

    Attributes
    ----------
    first, second : str
        Paths, in alphabetical order.
    share : float
        Part of a patch's ground that both show, above 0 to 1.
    evidence : str
        How that is known: ``"content"`` or ``"footprint"``.
    similarity : float
        Correlation of fine detail over the shared ground, at most 1; 1 where footprints say it.
    """

    first: str
    second: str
    share: float
    evidence: str
    similarity: float


def find_overlaps(index: PatchIndex, *, progress: Progress = silent) -> tuple[OverlapPair, ...]:
    """Find patches that share ground: by their footprints where both have one, else by content.

    By content overlaps are found at any shift, unturned and at one scale. All patches are brought to 64 by 64 pixels;
    those of identical bytes are compared once, by the first of their paths. Time grows a little faster than the number
    of patches; for numbers see ``docs/data.md``. What is found is kept in the cache, and patches of the same contents
    in the same order are not searched again.

    Parameters
    ----------
    index : PatchIndex
        Patches are decoded through the cache; see :func:`swath.data.cached_pixels`.
    progress : Progress
        Called with stages ``"overlap"`` of footprints, and ``"decode"``, ``"describe"``, ``"match"`` and
        ``"check overlap"`` of contents.

    Returns
    -------
    tuple of OverlapPair
        In order of paths. Near duplicates that are not turned are among them, with a share near 1.

    Raises
    ------
    DataError, OutputError
        As :func:`swath.data.cached_pixels` and :func:`swath.data.spatial.footprint_overlaps`.
    """
    if not len(index):
        return ()
    paths = index.paths
    outlines: list[bytes | None] = index.column("footprint")
    placed = {path for path, outline in zip(paths, outlines, strict=True) if outline is not None}
    found = [
        OverlapPair(min(paths[a], paths[b]), max(paths[a], paths[b]), round(share, 3), "footprint", 1.0)
        for a, b, share in footprint_overlaps(outlines, progress=progress)
    ]
    if len(placed) < len(index):
        pairs = _overlaps_by_content(index, progress)
        found += [pair for pair in pairs if not {pair.first, pair.second} <= placed]
    return tuple(sorted(found))


def _overlaps_by_content(index: PatchIndex, progress: Progress) -> Iterator[OverlapPair]:
    """Overlaps that patches show, whether or not they have footprints; from the cache if it holds them."""
    bands = comparison_bands(index)
    pixels, rows = cached_pixels(index, bands=bands, size=SIDE, progress=progress), first_of_each(index)
    paths, contents = index.paths, index.column("sha256")

    def search() -> pa.Table:
        found = overlapping_rows(pixels, rows, scale=level_scale(pixels), progress=progress)
        pairs = [(contents[a], contents[b], share, alike) for a, b, share, alike in found]
        return pa.Table.from_pylist([dict(zip(_FOUND.names, pair, strict=True)) for pair in pairs], schema=_FOUND)

    path = {contents[row]: paths[row] for row in rows}
    table = cached_table(index, search, kind=METHOD, bands=bands, size=SIDE)
    for a, b, share, alike in zip(*(column.to_pylist() for column in table.columns), strict=True):
        first, second = sorted((path[a], path[b]))
        yield OverlapPair(first, second, round(share, 3), "content", round(alike, 3))


def group_duplicates(index: PatchIndex, *, resplit: bool = False, progress: Progress = silent) -> PatchIndex:
    """Join the groups of patches that are copies or share ground, so that no split can separate them.

    Parameters
    ----------
    index : PatchIndex
        Its groups stay whole.
    resplit : bool
        Whether the splits that it has will be replaced. Otherwise overlaps across them join no groups, since published
        splits stay as they are; :func:`swath.data.audit` reports them.
    progress : Progress
        As of :func:`swath.data.near_duplicates` and :func:`find_overlaps`.

    Raises
    ------
    DataError, OutputError
        As :func:`swath.data.near_duplicates`.
    """
    near = near_duplicates(index, progress=progress)
    overlaps = find_overlaps(index, progress=progress)
    if not resplit:
        overlaps = within_splits(index, near, overlaps)
    return index.with_columns({"group": groups_with(index, near, overlaps)})


def groups_with(
    index: PatchIndex, near: Iterable[DuplicatePair], overlaps: Iterable[OverlapPair] = ()
) -> list[str | None]:
    """Group of each patch when exact copies and these pairs are joined to the groups there are."""
    contents: list[str] = index.column("sha256")
    of = dict(zip(index.paths, contents, strict=True))
    alike = {(of[pair.first], of[pair.second]) for pair in near}
    ground = {(of[pair.first], of[pair.second]) for pair in overlaps} - alike
    same = linked([*alike, *ground])
    groups = merge_groups(index.column("group"), [same.get(c, c) for c in contents])
    # A group of more than copies is not called by their name.
    sharing = {content for pair in ground for content in pair}
    wide = {group for group, content in zip(groups, contents, strict=True) if content in sharing}
    return [GROUND + g[len(SAME) :] if g is not None and g in wide and g.startswith(SAME) else g for g in groups]


def within_splits(
    index: PatchIndex, near: Iterable[DuplicatePair], overlaps: Iterable[OverlapPair]
) -> tuple[OverlapPair, ...]:
    """Overlaps but those that would put patches of different splits into one group; the largest come first."""
    contents: list[str] = index.column("sha256")
    homes = [group or content for group, content in zip(groups_with(index, near), contents, strict=True)]
    home = dict(zip(index.paths, homes, strict=True))
    sides: dict[str, set[str]] = defaultdict(set)
    for name, split in zip(homes, index.column("split"), strict=True):
        if split is not None:
            sides[name].add(split)
    forest: Forest[str] = Forest()
    kept = []
    for pair in sorted(overlaps, key=lambda pair: (-pair.share, pair)):
        a, b = forest.find(home[pair.first]), forest.find(home[pair.second])
        both = sides[a] | sides[b]
        if a != b and len(both) > max(1, len(sides[a]), len(sides[b])):
            continue
        forest.tie(a, b)
        sides[forest.find(a)] = both
        kept.append(pair)
    return tuple(kept)


def overlapping_rows(
    pixels: Pixels, rows: Sequence[int], *, scale: float = 1.0, progress: Progress = silent
) -> list[tuple[int, int, float, float]]:
    """Find rows of pixels that share ground.

    Parameters
    ----------
    pixels : numpy.ndarray
        ``[N, bands, 64, 64]``, uint8 or uint16; may be mapped from disk.
    rows : sequence of int
        Rows to compare.
    scale : float
        Factor that brings values to 8-bit levels.
    progress : Progress
        Called with stages ``"describe"``, ``"match"`` and ``"check overlap"``.

    Returns
    -------
    list of tuple
        Two rows, the share of their ground that both show, and the correlation of its fine detail.
    """
    chosen = np.asarray(rows, dtype=np.intp)
    keypoints, detail = _describe(pixels, chosen, scale, progress)
    proposed = _proposed(keypoints, progress)
    found = _best_shift(proposed, detail, progress)
    shifts, alike = _confirmed(*found, pixels, chosen, scale)
    share = (SIDE - np.abs(shifts[:, 2])) * (SIDE - np.abs(shifts[:, 3])) / SIDE**2
    sure = (share >= SMALL) | (alike >= SMALL_ALIKE)
    shifts, alike, share = shifts[sure], alike[sure], share[sure]
    a, b = chosen[shifts[:, 0]], chosen[shifts[:, 1]]
    return list(zip(a.tolist(), b.tolist(), share.tolist(), alike.tolist(), strict=True))


@dataclass(frozen=True)
class Keypoints:
    """M places in N patches, in order of patch.

    Attributes
    ----------
    patch, down, right : numpy.ndarray
        ``[M]``: number of the patch, and pixels from its upper left corner.
    descriptor : numpy.ndarray
        ``[M, D]`` float16, of unit length.
    color : numpy.ndarray
        ``[M, bands]`` float32: mean about the place, 8-bit levels.
    patches : int
        How many patches there are, N.
    """

    patch: npt.NDArray[np.int32]
    down: npt.NDArray[np.int16]
    right: npt.NDArray[np.int16]
    descriptor: npt.NDArray[np.float16]
    color: Floats
    patches: int

    def __len__(self) -> int:
        return len(self.patch)


def _describe(
    pixels: Pixels, rows: npt.NDArray[np.intp], scale: float, progress: Progress
) -> tuple[Keypoints, npt.NDArray[np.float16]]:
    """Keypoints of all rows, and their band-passed gray ``[N, 64, 64]``."""
    detail = np.empty((len(rows), SIDE, SIDE), np.float16)
    fine, coarse, waves = _gaussian(FINE), _gaussian(COARSE), _window_waves()
    parts: list[tuple[Any, ...]] = []
    progress(_STAGE, 0, len(rows))
    for start in range(0, len(rows), _BLOCK):
        stop = min(start + _BLOCK, len(rows))
        values = pixels[rows[start:stop]].astype(np.float32) * np.float32(scale)
        blurred = _blurred(values, coarse)
        passed = _blurred(values.mean(axis=1), fine) - blurred.mean(axis=1)
        detail[start:stop] = passed
        patch, down, right = _peaks(passed)
        windows = np.lib.stride_tricks.sliding_window_view(passed, (2 * HALF + 1,) * 2, axis=(1, 2))
        described = windows[patch, down - HALF, right - HALF].reshape(len(patch), (2 * HALF + 1) ** 2) @ waves
        described /= np.maximum(np.linalg.norm(described, axis=1, keepdims=True), 1e-9)
        parts.append(
            (
                (patch + start).astype(np.int32),
                down.astype(np.int16),
                right.astype(np.int16),
                described.astype(np.float16),
                blurred.transpose(0, 2, 3, 1)[patch, down, right],
            )
        )
        progress(_STAGE, stop, len(rows))
    columns: list[Any] = [np.concatenate(column) for column in zip(*parts, strict=True)]
    patch, down, right, descriptor, color = columns
    return Keypoints(patch, down, right, descriptor, color, patches=len(rows)), detail


def _gaussian(sigma: float) -> Floats:
    """Matrix ``[64, 64]`` that blurs along one axis; what lies outside the patch counts nothing."""
    place = np.arange(SIDE)
    weights = np.exp(-0.5 * np.square((place[:, None] - place[None]) / sigma))
    weights[weights < 1e-6] = 0  # products with numbers too small for their type take 25 times longer
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float32)


def _blurred(values: Floats, matrix: Floats) -> Floats:
    """Blur the last two axes; one large product each is much faster than one for each patch."""
    for _ in range(2):
        values = np.ascontiguousarray((values.reshape(-1, SIDE) @ matrix.T).reshape(values.shape).swapaxes(-1, -2))
    return values


def _window_waves() -> Floats:
    """Cosine coefficients of a window, tapered to its border, fine ones raised: ``[13 * 13, D]``."""
    width = 2 * HALF + 1
    place, order = np.arange(width)[None], np.arange(WAVES)[:, None]
    taper = np.exp(-0.5 * np.square((place - HALF) / (0.7 * HALF)))
    waves = np.cos(np.pi * (place + 0.5) * order / width) * taper
    number = np.hypot(order, order.T)
    both = np.einsum("ia,jb->ijab", waves, waves) * np.sqrt(number)[..., None, None]
    kept = both[(number > 0) & (number < WAVES)]
    return np.ascontiguousarray(kept.reshape(len(kept), -1).T, dtype=np.float32)


def _peaks(passed: Floats) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Patch, row and column of the strongest bright and dark peaks, in order of patch."""
    size = np.abs(passed)
    inner = (slice(None), slice(HALF, SIDE - HALF), slice(HALF, SIDE - HALF))
    peak = (size == _largest_near(size))[inner] & (size[inner] > LEAST)
    patch, down, right = np.nonzero(peak)
    down, right = down + HALF, right + HALF
    flat, place = passed.ravel(), (patch * SIDE + down) * SIDE + right
    middle = flat[place]
    vertical = flat[place + SIDE] + flat[place - SIDE] - 2 * middle
    horizontal = flat[place + 1] + flat[place - 1] - 2 * middle
    mixed = (flat[place + SIDE + 1] + flat[place - SIDE - 1] - flat[place + SIDE - 1] - flat[place - SIDE + 1]) / 4
    product = vertical * horizontal - np.square(mixed)
    kept = np.flatnonzero((product > 0) & (np.square(vertical + horizontal) < EDGE * product))
    kept = kept[np.lexsort((-np.abs(middle[kept]), patch[kept]))]
    rank = np.arange(len(kept)) - np.searchsorted(patch[kept], patch[kept])
    kept = kept[rank < KEYPOINTS]
    return patch[kept], down[kept], right[kept]


def _largest_near(values: Floats) -> Floats:
    """Largest value within `PEAK_RADIUS` rows and columns."""
    for axis in (1, 2):
        padded = np.pad(values, [(0, 0) if a != axis else (PEAK_RADIUS, PEAK_RADIUS) for a in range(3)], mode="edge")
        shifted = [
            padded[tuple(slice(s, s + SIDE) if a == axis else slice(None) for a in range(3))]
            for s in range(2 * PEAK_RADIUS + 1)
        ]
        values = np.maximum.reduce(shifted)
    return values


def _proposed(keypoints: Keypoints, progress: Progress) -> Numbers:
    """Pairs of patches with the shift at which some of their keypoints agree: ``[P, 4]``, each once, in order."""
    first, second = _matches(keypoints, progress)
    a, b = keypoints.patch[first], keypoints.patch[second]
    down = keypoints.down[first].astype(np.int64) - keypoints.down[second]
    right = keypoints.right[first].astype(np.int64) - keypoints.right[second]
    swap = a > b
    a, b = np.where(swap, b, a), np.where(swap, a, b)
    sign = np.where(swap, -1, 1)
    key = np.unique(
        ((a * np.int64(keypoints.patches) + b) * 2 * SIDE + sign * down + SIDE) * 2 * SIDE + sign * right + SIDE
    )
    pair, shift = np.divmod(key, 4 * SIDE * SIDE)
    return np.stack(
        [*np.divmod(pair, keypoints.patches), shift // (2 * SIDE) - SIDE, shift % (2 * SIDE) - SIDE], axis=1
    )


def _matches(keypoints: Keypoints, progress: Progress) -> tuple[Numbers, Numbers]:
    """Keypoints of different patches whose descriptors and colors agree."""
    total = len(keypoints)
    found: list[tuple[Numbers, Numbers]] = [(np.empty(0, np.int64), np.empty(0, np.int64))]
    cells = list(_cells(keypoints.descriptor))
    progress(_MATCH, 0, len(cells))
    for number, members in enumerate(cells):
        found.append(_within(keypoints, members))
        if number % 32 == 31 or number + 1 == len(cells):
            progress(_MATCH, number + 1, len(cells))
    first, second = (np.concatenate(side) for side in zip(*found, strict=True))
    # Two descriptors may share several cells.
    both = np.unique(np.minimum(first, second) * total + np.maximum(first, second))
    return both // max(total, 1), both % max(total, 1)


def _cells(descriptors: npt.NDArray[np.float16]) -> Iterator[Numbers]:
    """Numbers of the descriptors in each cell: those for which the same sample descriptor is among the nearest."""
    total = len(descriptors)
    if not total:
        return
    count = max(1, int(1.6 * total**0.5))  # so that finding the cells costs about as much as comparing within them
    samples = descriptors[:: max(1, total // count)].astype(np.float32)
    homes = min(HOMES, len(samples))
    own = np.empty((homes, total), np.int32)
    for start in range(0, total, _CHUNK):
        alike = descriptors[start : start + _CHUNK].astype(np.float32) @ samples.T
        everyone = np.arange(len(alike))
        for home in own:
            home[start : start + _CHUNK] = nearest = alike.argmax(axis=1)
            alike[everyone, nearest] = -2
    order = np.argsort(own.ravel(), kind="stable")
    bounds = np.searchsorted(own.ravel()[order], np.arange(len(samples) + 1))
    for start, stop in itertools.pairwise(bounds):
        for piece in range(start, stop, CELL):
            yield order[piece : min(piece + CELL, stop)] % total


def _within(keypoints: Keypoints, members: Numbers) -> tuple[Numbers, Numbers]:
    """Members of one cell that agree."""
    descriptors = keypoints.descriptor[members].astype(np.float32)
    patch, color = keypoints.patch[members], keypoints.color[members]
    found = []
    for start in range(0, len(members), _BLOCK):
        alike = descriptors[start : start + _BLOCK] @ descriptors[start:].T
        i, j = np.divmod(np.flatnonzero(alike >= AGREE), alike.shape[1])
        sure = alike[i, j]
        i, j = i + start, j + start
        kept = (i < j) & (patch[i] != patch[j])
        i, j, sure = i[kept], j[kept], sure[kept]
        kept = np.abs(color[i] - color[j]).max(axis=1) <= NEAR_COLOR
        i, j, sure = i[kept], j[kept], sure[kept]
        if len(i) > PARTNERS:
            order = np.lexsort((-sure, i))
            i, j = i[order], j[order]
            kept = np.arange(len(i)) - np.searchsorted(i, i) < PARTNERS
            i, j = i[kept], j[kept]
        found.append((members[i], members[j]))
    first, second = (np.concatenate(side) for side in zip(*found, strict=True))
    return first, second


def _best_shift(proposed: Numbers, detail: npt.NDArray[np.float16], progress: Progress) -> tuple[Numbers, Floats]:
    """Each pair worth it with the shift at which its fine detail agrees best, and how well."""
    alike = _correlation(proposed, detail, progress)
    proposed, alike = proposed[alike >= WORTH_A_LOOK], alike[alike >= WORTH_A_LOOK]
    tried, values = [proposed], [alike]
    for down, right in np.ndindex(3, 3):
        if (down, right) != (1, 1):
            tried.append(proposed + np.array([0, 0, down - 1, right - 1]))
            values.append(_correlation(tried[-1], detail, silent))
    shifts, alike = np.concatenate(tried), np.concatenate(values)
    shifts, alike = shifts[alike >= DETAIL_ALIKE], alike[alike >= DETAIL_ALIKE]
    order = np.lexsort((shifts[:, 3], shifts[:, 2], -alike, shifts[:, 1], shifts[:, 0]))
    shifts, alike = shifts[order], alike[order]
    new = np.ones(len(shifts), np.bool_)
    new[1:] = (shifts[1:, :2] != shifts[:-1, :2]).any(axis=1)
    return shifts[new], alike[new]


def _correlation(shifts: Numbers, detail: npt.NDArray[np.float16], progress: Progress) -> Floats:
    """Correlation of the overlap of each pair, less a margin; -1 where hardly anything is left of it."""
    alike = np.full(len(shifts), -1, np.float32)
    progress(_CHECK, 0, len(shifts))
    done = 0
    for part, down, right in _by_shift(shifts):
        if min(SIDE - abs(down), SIDE - abs(right)) >= LEAST_SIDE:
            here = _overlap(detail, down, right, MARGIN)[shifts[part, 0]]
            there = _overlap(detail, -down, -right, MARGIN)[shifts[part, 1]]
            alike[part] = _pearson(here.astype(np.float32), there.astype(np.float32))
        done += len(part)
        progress(_CHECK, done, len(shifts))
    return alike


def _by_shift(shifts: Numbers) -> Iterator[tuple[Numbers, int, int]]:
    """Numbers of pairs that are shifted alike, a block of them at a time: they are cut alike and compared together."""
    key = shifts[:, 2] * 4 * SIDE + shifts[:, 3]
    order = np.argsort(key, kind="stable")
    bounds = np.flatnonzero(np.diff(key[order], prepend=np.nan, append=np.nan))
    for start, stop in itertools.pairwise(bounds if len(key) else ()):
        down, right = (int(v) for v in shifts[order[start], 2:])
        for piece in range(start, stop, _BLOCK):
            yield order[piece : min(piece + _BLOCK, stop)], down, right


def _overlap(values: npt.NDArray[Any], down: int, right: int, margin: int) -> npt.NDArray[Any]:
    """View of the part of ``[..., 64, 64]`` that a patch shifted by so many pixels shows as well."""
    rows = slice(max(down, 0) + margin, SIDE + min(down, 0) - margin)
    columns = slice(max(right, 0) + margin, SIDE + min(right, 0) - margin)
    return values[..., rows, columns]


def _pearson(a: Floats, b: Floats) -> Floats:
    """Correlation of each of ``[P, rows, columns]`` with its partner."""
    a, b = (v.reshape(len(v), -1) - v.mean(axis=(1, 2))[:, None] for v in (a, b))
    energy = np.einsum("ij,ij->i", a, a) * np.einsum("ij,ij->i", b, b)
    return np.asarray(np.einsum("ij,ij->i", a, b) / np.sqrt(np.maximum(energy, 1e-6)), dtype=np.float32)


def _confirmed(
    shifts: Numbers, alike: Floats, pixels: Pixels, rows: npt.NDArray[np.intp], scale: float
) -> tuple[Numbers, Floats]:
    """Pairs whose gray levels and mean colors agree over the overlap too."""
    same = np.zeros(len(shifts), np.bool_)
    for part, down, right in _by_shift(shifts):
        here = _overlap(pixels[rows[shifts[part, 0]]], down, right, 0) * np.float32(scale)
        there = _overlap(pixels[rows[shifts[part, 1]]], -down, -right, 0) * np.float32(scale)
        same[part] = np.abs((here - there).mean(axis=(2, 3))).max(axis=1) <= COLOR_ALIKE
        same[part] &= _pearson(here.mean(axis=1), there.mean(axis=1)) >= GRAY_ALIKE
    return shifts[same], alike[same]
