"""Where patches lie: blocks on the globe that a split keeps whole, and whether a split is optimistic.

Adjacent patches are similar. A random split puts neighbors into train and test, and the test then partly measures
memory: on EuroSAT's own patches macro-F1 was 0.954 by a random split and 0.910 by a spatial one. Blocks keep
neighbors together, except along the borders of blocks (Roberts et al. 2017, Ecography 40, 913-929).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from swath.data.duplicates import merge_groups
from swath.data.index import PatchIndex
from swath.data.named import NAMED
from swath.errors import DataError, SettingError

EARTH = 6371.0  # mean radius, km
CLOSE = 10.0  # km: land this near is spatially autocorrelated
SHARE = 0.1  # of held-out patches with a training patch closer than that, above which a split is optimistic
OPTIMISTIC_BIAS = "optimistic"
GROUPS_WHOLE = "groups kept whole"  # in the protocol of every split that does not depend on places
BLOCKS_WHOLE = "km kept whole"  # in the protocol of a split by blocks
BLOCK_KM = 10.0
MOST = 2_000  # held-out patches whose neighbors are searched; drawn with seed 0
_BLOCK = 256


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
            fix="index a CSV with columns lon and lat, or split with --by random or --by group",
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
    are all made of blocks is never called optimistic.
    """
    if BLOCKS_WHOLE in index.split_protocol and GROUPS_WHOLE not in index.split_protocol:
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


def _on_sphere(lon: npt.NDArray[np.float64], lat: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Unit vectors ``[N, 3]``; rows without a place are not numbers."""
    x, y = np.radians(lon), np.radians(lat)
    return np.stack([np.cos(y) * np.cos(x), np.cos(y) * np.sin(x), np.sin(y)], axis=1)


def kilometers(lon1: float, lat1: float, lon2: float, lat2: float) -> float:
    """Distance of two places on the great circle, kilometers (haversine formula)."""
    turn = math.sin(math.radians(lat2 - lat1) / 2) ** 2
    turn += math.cos(math.radians(lat1)) * math.cos(math.radians(lat2)) * math.sin(math.radians(lon2 - lon1) / 2) ** 2
    return 2 * EARTH * math.asin(math.sqrt(min(1.0, turn)))
