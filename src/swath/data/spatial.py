"""Where patches lie: blocks on the globe that a split keeps whole, and whether a split is optimistic.

Adjacent patches are similar. A random split puts neighbors into train and test, and the test then partly measures
memory: on EuroSAT's own patches macro-F1 was 0.954 by a random split and 0.910 by a spatial one. Blocks keep
neighbors together, except along the borders of blocks (Roberts et al. 2017, Ecography 40, 913-929).
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from swath.data.duplicates import FOUND_GROUPS, GROUND, Forest, merge_groups
from swath.data.grouping import groups_by_pattern, join_groups, suggest_pattern
from swath.data.index import PatchIndex
from swath.data.named import NAMED
from swath.errors import DataError, SettingError
from swath.imagery.georeference import decode_footprint
from swath.progress import Progress, silent

EARTH = 6371.0  # mean radius, km
CLOSE = 10.0  # km: land this near is spatially autocorrelated
SHARE = 0.1  # of held-out patches with a training patch closer than that, above which a split is optimistic
OPTIMISTIC_BIAS = "optimistic"
UNKNOWN_ORIGIN = "nothing is known of where these patches come from"
TOO_HIGH = "the score may be far too high"
GROUPS_WHOLE = "groups kept whole"  # in the protocol of every split that does not depend on places
BLOCKS_WHOLE = "km kept whole"  # in the protocol of a split by blocks
LEFT_OUT = "patches overlap held-out ones and are in no split"  # in the protocol of a split that leaves patches out
BLOCK_KM = 10.0
SMALLER_BLOCKS_KM = (5.0, 2.0, 1.0)  # where too few blocks of 10 km hold all classes
MOST = 2_000  # held-out patches whose neighbors are searched; drawn with seed 0
LEAST_SHARE = 0.01  # of the smaller patch; half a pixel of 64 by rounding is less
_BLOCK = 256
_PAIRS = 4_000_000  # pairs of neighbors along longitude looked at at once
_CLIPPED = 100_000  # pairs of outlines clipped at once


@dataclass(frozen=True)
class SpatialAutocorrelation:
    """How near held-out patches lie to training patches.

    Attributes
    ----------
    near, measured : int
        Held-out patches with a training patch within `km`, of how many with coordinates.
    km : float
        That distance, kilometers.
    median_km : float
        Median distance of a held-out patch to the nearest training patch, kilometers.
    """

    near: int
    measured: int
    km: float
    median_km: float


def block_names(lon: Sequence[float | None], lat: Sequence[float | None], *, km: float) -> list[str | None]:
    """Name the block that each place lies in; blocks are about `km` by `km` and never overlap.

    Rows of blocks are bands of latitude `km` high; each row has as many equal columns around the globe
    as are at least `km` wide along its middle, so that blocks keep their size away from the equator.

    Parameters
    ----------
    lon, lat : sequence of float or None
        Degrees; ``None`` where not known.
    km : float
        Side of a block, kilometers.

    Returns
    -------
    list of str or None
        ``None`` where the place is not known.

    Raises
    ------
    SettingError
        If `km` is not between 0.01 and 5,000.
    """
    if not 0.01 <= km <= 5000:
        raise SettingError(f"blocks of {km:g} km", fix="choose --block-km from 0.01 to 5000")
    rows = max(1, math.floor(math.pi * EARTH / km))
    names: list[str | None] = []
    for x, y in zip(lon, lat, strict=True):
        if x is None or y is None:
            names.append(None)
            continue
        row = min(rows - 1, math.floor((y + 90) / 180 * rows))
        middle = math.radians((row + 0.5) * 180 / rows - 90)
        columns = max(1, math.floor(2 * math.pi * EARTH * math.cos(middle) / km))
        column = math.floor(((x + 180) / 360 % 1) * columns)
        names.append(f"block {row} {column}")
    return names


def footprint_overlaps(
    footprints: Sequence[bytes | None], *, least: float = LEAST_SHARE, progress: Progress = silent
) -> list[tuple[int, int, float]]:
    """Find patches that show the same ground, by their footprints, whatever CRS and angle they were cut in.

    Candidates are found by sorting along longitude; the intersection of two outlines is exact (Sutherland and Hodgman
    1974, Communications of the ACM 17, 32-42) in an equal-area projection, up to their densification.

    Parameters
    ----------
    footprints : sequence of bytes or None
        As the column ``footprint`` of an index, N of them.
    least : float
        Smallest share to report. Grids that only touch overlap by less, since their numbers are rounded.
    progress : Progress
        Called with stage ``"overlap"``.

    Returns
    -------
    list of (int, int, float)
        Rows a < b and the share of the smaller patch that both show, in order of rows. Of patches with the very same
        footprint, each is paired with the first of them, with share 1, and only that one with others.

    Raises
    ------
    DataError
        If a footprint is not a WKB polygon in longitude and latitude.
    """
    first: dict[bytes, int] = {}
    found: list[tuple[int, int, float]] = []
    for row, wkb in enumerate(footprints):
        if wkb is not None and first.setdefault(wkb, row) != row:
            found.append((first[wkb], row, 1.0))
    owners, parts = [], []  # a footprint across the 180th meridian has two parts
    for wkb, row in first.items():
        try:
            rings_of_row = decode_footprint(wkb)
        except DataError as error:
            raise DataError(f"row {row + 1} of the index: {error.problem}", fix=error.fix) from None
        for ring in rings_of_row:
            owners.append(row)
            parts.append(_hull(np.stack([ring[:, 0], np.degrees(np.sin(np.radians(ring[:, 1])))], axis=1)))
    if not parts:
        return found
    rings, owner = _padded(parts), np.array(owners)
    areas = np.zeros(len(footprints))
    np.add.at(areas, owner, _areas(rings))
    shared: dict[tuple[int, int], float] = defaultdict(float)
    for one, other in _touching(rings, progress=progress):
        common = _areas(_intersections(rings[one], rings[other]))
        a, b = np.minimum(owner[one], owner[other]), np.maximum(owner[one], owner[other])
        share = common / np.maximum(np.minimum(areas[a], areas[b]), 1e-300)
        for row, partner, value in zip(a.tolist(), b.tolist(), share.tolist(), strict=True):
            if row != partner and value > 0:
                shared[row, partner] += value
    found += [(a, b, min(1.0, share)) for (a, b), share in shared.items() if share >= least]
    return sorted(found)


def _hull(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Convex hull, counterclockwise; three corners and parallelograms are their own (Andrew's monotone chain)."""
    if len(points) <= 3:
        return points
    ordered = sorted(map(tuple, points.tolist()))

    def chain(corners: Sequence[tuple[float, ...]]) -> list[tuple[float, ...]]:
        kept: list[tuple[float, ...]] = []
        for p in corners:
            while len(kept) > 1 and _turn(kept[-2], kept[-1], p) <= 0:
                kept.pop()
            kept.append(p)
        return kept[:-1]

    return np.array([*chain(ordered), *chain(ordered[::-1])])


def _turn(a: Sequence[float], b: Sequence[float], c: Sequence[float]) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _padded(rings: Sequence[npt.NDArray[np.float64]]) -> npt.NDArray[np.float64]:
    """Rings as one array ``[N, corners, 2]``: shorter ones repeat their last corner."""
    most = max(map(len, rings))
    return np.stack([np.concatenate([ring, np.repeat(ring[-1:], most - len(ring), axis=0)]) for ring in rings])


def _areas(rings: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Area of each ring ``[N, corners, 2]``, from its first corner, which keeps the digits of small ones."""
    local = rings - rings[:, :1]
    x, y = local[..., 0], local[..., 1]
    areas: npt.NDArray[np.float64] = np.abs(x * np.roll(y, -1, axis=1) - np.roll(x, -1, axis=1) * y).sum(axis=1) / 2
    return areas


def _touching(
    rings: npt.NDArray[np.float64], *, progress: Progress
) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Pairs of rings whose bounding boxes overlap, some at a time."""
    low, high = rings.min(axis=1), rings.max(axis=1)
    order = np.argsort(low[:, 0], kind="stable")
    low, high = low[order], high[order]
    ends = np.searchsorted(low[:, 0], high[:, 0])
    counts = np.maximum(ends - np.arange(len(order)) - 1, 0)
    start = 0
    progress("overlap", 0, len(order))
    while start < len(order):
        total = np.cumsum(counts[start:])
        stop = start + max(1, int(np.searchsorted(total, _PAIRS)))
        stop = min(stop, len(order))
        one = np.repeat(np.arange(start, stop), counts[start:stop])
        skipped = np.repeat(np.cumsum(counts[start:stop]) - counts[start:stop], counts[start:stop])
        other = one + 1 + np.arange(len(one)) - skipped
        near = (low[one, 1] < high[other, 1]) & (low[other, 1] < high[one, 1])
        one, other = order[one[near]], order[other[near]]
        for begin in range(0, len(one), _CLIPPED):
            yield one[begin : begin + _CLIPPED], other[begin : begin + _CLIPPED]
        start = stop
        progress("overlap", start, len(order))


def _intersections(one: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Intersection of convex rings, pair by pair: ``[P, corners, 2]``, shorter ones repeat a corner."""
    origin = one[:, :1]
    subject, clip = one - origin, other - origin
    for k in range(clip.shape[1]):
        start, end = clip[:, k, None], clip[:, (k + 1) % clip.shape[1], None]
        edge = end - start
        # Positive on the inner side; an edge of no length keeps all.
        side = edge[..., 0] * (subject[..., 1] - start[..., 1]) - edge[..., 1] * (subject[..., 0] - start[..., 0])
        following, next_side = np.roll(subject, -1, axis=1), np.roll(side, -1, axis=1)
        inside, next_inside = side >= 0, next_side >= 0
        crosses = inside != next_inside
        with np.errstate(divide="ignore", invalid="ignore"):
            step = np.where(crosses, side / (side - next_side), 0.0)
        crossing = subject + step[..., None] * (following - subject)
        # Each corner gives itself if inside, then the crossing of its edge if there is one.
        given = np.stack([subject, crossing], axis=2).reshape(len(subject), -1, 2)
        kept = np.stack([inside, crosses], axis=2).reshape(len(subject), -1)
        number = kept.sum(axis=1)
        most = max(1, int(number.max(initial=0)))
        rank = np.argsort(~kept, axis=1, kind="stable")[:, :most]
        # Beyond its last corner a ring repeats it; a ring of none is a point.
        rank = np.take_along_axis(rank, np.minimum(np.arange(most), np.maximum(number, 1)[:, None] - 1), axis=1)
        subject = np.take_along_axis(given, rank[..., None], axis=1)
    return subject


def group_footprints(index: PatchIndex, *, keep: bool = False, progress: Progress = silent) -> PatchIndex:
    """Join patches whose footprints overlap, so that no split can separate ground that both show.

    Parameters
    ----------
    index : PatchIndex
        Its groups stay whole.
    keep : bool
        Whether its splits stay: ground on two sides of them then joins no group; :func:`swath.data.audit` reports it.
    progress : Progress
        As of :func:`footprint_overlaps`.

    Raises
    ------
    DataError
        As :func:`footprint_overlaps`.
    """
    pairs = footprint_overlaps(index.column("footprint"), progress=progress)
    if not pairs:
        return index
    paths, sides = index.paths, index.column("split") if keep else [None] * len(index)
    forest: Forest[str] = Forest()
    side_of: dict[str, str] = {path: side for path, side in zip(paths, sides, strict=True) if side is not None}
    for a, b in sorted(sorted((paths[a], paths[b])) for a, b, _ in pairs):
        first, second = forest.find(a), forest.find(b)
        both = {side_of[root] for root in (first, second) if root in side_of}
        if len(both) < 2:
            forest.tie(first, second)
            side_of.update({forest.find(first): side for side in both})
    names: dict[str, str] = {}  # by the first path, so that they do not depend on the order of rows
    for path in sorted({paths[row] for a, b, _ in pairs for row in (a, b)}):
        names.setdefault(forest.find(path), f"{GROUND}{path}")
    shared = Counter(forest.find(path) for path in paths)
    found = [names[root] if shared[root := forest.find(path)] > 1 else None for path in paths]
    return index.with_columns({"group": join_groups(index.column("group"), found)})


def overlapping_held_out(index: PatchIndex) -> list[int]:
    """Rows to leave out so that no ground is on two sides: train patches that overlap held-out ones, val those of test.

    Raises
    ------
    DataError
        As :func:`footprint_overlaps`.
    """
    outlines, splits = index.column("footprint"), index.column("split")
    rank = {"test": 2, "val": 1, "train": 0}
    stacks: dict[bytes, list[int]] = defaultdict(list)
    for row, outline in enumerate(outlines):
        if outline is not None:
            stacks[outline].append(row)
    highest = {outline: max(rank.get(splits[row], -1) for row in rows) for outline, rows in stacks.items()}
    need = dict(highest)  # patches of one outline stand and fall together
    for a, b, _ in footprint_overlaps(outlines):
        for outline, other in ((outlines[a], outlines[b]), (outlines[b], outlines[a])):
            need[outline] = max(need[outline], highest[other])
    return [row for outline, rows in stacks.items() for row in rows if 0 <= rank.get(splits[row], -1) < need[outline]]


def group_blocks(index: PatchIndex, *, km: float = BLOCK_KM) -> PatchIndex:
    """Join patches of one block, and of groups that reach into it, so that no split can separate them.

    Raises
    ------
    SettingError
        As :func:`block_names`.
    DataError
        If a patch has no coordinates.
    """
    blocks = block_names(index.column("lon"), index.column("lat"), km=km)
    lacking = sum(block is None for block in blocks)
    if lacking:
        raise DataError(
            f"{lacking:,} of {len(index):,} patches of index '{index.name}' have no coordinates to make blocks from",
            fix="index GeoTIFF patches, or a CSV with columns lon and lat, or split with --by auto",
        )
    named = [block for block in blocks if block is not None]
    given: list[str | None] = index.column("group")
    # A patch of no group is in one named by its block, so that every block has a name.
    groups = merge_groups([g or b for g, b in zip(given, named, strict=True)], named)
    return index.with_columns({"group": groups})


def spatial_autocorrelation(index: PatchIndex, *, km: float = CLOSE) -> SpatialAutocorrelation | None:
    """Measure how near held-out patches lie to training patches; ``None`` without coordinates or splits.

    Parameters
    ----------
    index : PatchIndex
        With splits and coordinates. Of more than 2,000 held-out patches that many are drawn.
    km : float
        Distance that counts as near, kilometers on the great circle.
    """
    splits = np.array(index.column("split"), dtype=object)
    lon = np.array(index.column("lon"), dtype=np.float64)
    lat = np.array(index.column("lat"), dtype=np.float64)
    placed = np.isfinite(lon) & np.isfinite(lat)
    train = np.flatnonzero(placed & (splits == "train"))
    held = np.flatnonzero(placed & np.isin(splits, ["val", "test"]))
    if not len(train) or not len(held):
        return None
    if len(held) > MOST:
        held = np.random.default_rng(0).choice(held, MOST, replace=False)
    points = _on_sphere(lon, lat)
    nearest = np.empty(len(held))
    for start in range(0, len(held), _BLOCK):
        part = held[start : start + _BLOCK]
        cosine = (points[part] @ points[train].T).max(axis=1)
        nearest[start : start + _BLOCK] = EARTH * np.arccos(np.clip(cosine, -1, 1))
    return SpatialAutocorrelation(int((nearest <= km).sum()), len(held), km, round(float(np.median(nearest)), 3))


def optimistic_bias(index: PatchIndex) -> str:
    """Why a test on the splits of an index is optimistic; empty where it is not, or that is not known.

    It is where more than a tenth of the held-out patches have a training patch within 10 km, and where the set is
    known to consist of adjacent patches of few scenes although its index has no coordinates. A split whose parts
    are all made of whole blocks of 10 km or more is never called optimistic.
    """
    sides = re.findall(rf"([\d.]+) {BLOCKS_WHOLE}", index.split_protocol)
    borders = GROUPS_WHOLE in index.split_protocol or LEFT_OUT in index.split_protocol
    if sides and min(map(float, sides)) >= CLOSE and not borders:
        return ""
    near = spatial_autocorrelation(index)
    if near is not None:
        if near.near <= SHARE * near.measured:
            return ""
        share = 100 * near.near / near.measured
        return f"{OPTIMISTIC_BIAS}: {share:.0f} % of held-out patches lie within {near.km:g} km of a training patch"
    sources = set(index.table["source"].unique().to_pylist())
    held = {"val", "test"} & set(index.split_counts)
    if held and sources & {known.source for known in NAMED.values() if known.side_by_side}:
        return f"{OPTIMISTIC_BIAS}: patches of one scene lie on both sides"
    return ""


def unknown_origin(index: PatchIndex) -> str:
    """Why nothing can be said of shared ground across the splits of an index; empty where something is known.

    Of a patch something is known if it is in a group, such as its scene, or has a place. Where it is in neither, its
    name may tell its scene: then what matters is whether patches of one scene are in several splits.
    """
    if not {"val", "test"} & set(index.split_counts):
        return ""
    told = zip(index.column("group"), index.column("lon"), strict=True)
    if not any(lon is None and (group is None or group.startswith(FOUND_GROUPS)) for group, lon in told):
        return ""
    suggested = suggest_pattern(index.paths, index.label_sets)
    if suggested is None:
        return f"{UNKNOWN_ORIGIN}: {TOO_HIGH}"
    sides: dict[str, set[str]] = defaultdict(set)
    scenes = groups_by_pattern(index.paths, suggested.pattern).names
    for scene, split in zip(scenes, index.column("split"), strict=True):
        if scene is not None and split is not None:
            sides[scene].add(split)
    crossing = sum(len(found) > 1 for found in sides.values())
    if not crossing:
        return ""
    return (
        f"{crossing:,} of {len(sides):,} {suggested.what}, by the names of patches, are in several splits: {TOO_HIGH}"
    )


def noted_protocol(index: PatchIndex) -> str:
    """Protocol of the splits of an index with what weakens a test on them: bias, or that nothing is known of it."""
    why = optimistic_bias(index) or unknown_origin(index)
    if not why or why in index.split_protocol:
        return index.split_protocol
    return f"{index.split_protocol}; {why}" if index.split_protocol else why


def split_warning(protocol: str) -> str:
    """What a protocol says of tests on its splits being too optimistic; empty where it says nothing of it."""
    for part in protocol.split("; "):
        if part.endswith(TOO_HIGH):
            return part
        if part.startswith(OPTIMISTIC_BIAS):
            return f"the splits are {part}"
    return ""


def _on_sphere(lon: npt.NDArray[np.float64], lat: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Unit vectors ``[N, 3]``; rows without a place are not numbers."""
    x, y = np.radians(lon), np.radians(lat)
    return np.stack([np.cos(y) * np.cos(x), np.cos(y) * np.sin(x), np.sin(y)], axis=1)


def kilometers(lon1: float, lat1: float, lon2: float, lat2: float) -> float:
    """Distance of two places on the great circle, kilometers (haversine formula)."""
    turn = math.sin(math.radians(lat2 - lat1) / 2) ** 2
    turn += math.cos(math.radians(lat1)) * math.cos(math.radians(lat2)) * math.sin(math.radians(lon2 - lon1) / 2) ** 2
    return 2 * EARTH * math.asin(math.sqrt(min(1.0, turn)))
