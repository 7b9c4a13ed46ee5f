"""Near duplicates of an index, and how groups are joined.

:func:`near_duplicates` finds the same picture in another file (:mod:`swath.data.matching` decides what is the same).
Patches that share a part of their ground are :mod:`swath.data.overlap`'s.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from swath.data.cache import cached_pixels
from swath.data.index import PatchIndex
from swath.data.matching import SIDE, similar_rows
from swath.data.rows import comparison_bands, first_of_each, level_scale
from swath.progress import Progress, silent

SAME, GROUND = "same-", "ground-"  # how names begin of groups that were found: of equal content, and of shared ground
FOUND_GROUPS = (SAME, GROUND)
N = TypeVar("N", bound=Hashable)


class Forest(Generic[N]):
    """Union-find: :meth:`find` gives the same node for all that are connected."""

    def __init__(self) -> None:
        self._parent: dict[N, N] = {}

    def find(self, node: N) -> N:
        """The node that stands for all connected with this one."""
        self._parent.setdefault(node, node)
        while self._parent[node] != node:
            self._parent[node] = self._parent[self._parent[node]]
            node = self._parent[node]
        return node

    def tie(self, a: N, b: N) -> None:
        """Connect two nodes."""
        self._parent[self.find(a)] = self.find(b)


def merge_groups(groups: Sequence[str | None], contents: Sequence[str]) -> list[str | None]:
    """Put patches of identical content in one group, joining the groups they were in.

    Parameters
    ----------
    groups : sequence of str or None
        Group of each patch as its source gives it.
    contents : sequence of str
        Identity of each patch's content, such as its SHA-256.

    Returns
    -------
    list of str or None
        ``None`` for a patch that has no group and no twin. Joined groups take the first of their
        names in alphabetical order; a group that has no name takes one from its content.
    """
    # A forest over groups ("g") and contents ("c"): each patch ties its group to its content.
    forest: Forest[tuple[str, str]] = Forest()
    copies = Counter(contents)
    for group, content in zip(groups, contents, strict=True):
        if group is not None:
            forest.tie(("c", content), ("g", group))
    names: dict[tuple[str, str], str] = {}
    for group in sorted({group for group in groups if group is not None}):
        names.setdefault(forest.find(("g", group)), group)
    result: list[str | None] = []
    for content in contents:
        home = forest.find(("c", content))
        if home not in names and copies[content] > 1:
            names[home] = f"{SAME}{content[:16]}"
        result.append(names.get(home))
    return result


def linked(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Give all names that pairs connect one name: the first of theirs in alphabetical order.

    Parameters
    ----------
    pairs : iterable of (str, str)
        Such as contents of near duplicates.

    Returns
    -------
    dict of str to str
        The common name of each name in `pairs`.
    """
    forest: Forest[str] = Forest()
    seen: set[str] = set()
    for a, b in pairs:
        forest.tie(a, b)
        seen.update((a, b))
    first: dict[str, str] = {}
    return {name: first.setdefault(forest.find(name), name) for name in sorted(seen)}


@dataclass(frozen=True, order=True)
class DuplicatePair:
    """Two patches of different bytes with the same content.

    Attributes
    ----------
    first, second : str
        Paths, in alphabetical order.
    similarity : float
        1 for the same content; see :func:`swath.data.matching.aligned`.
    difference : float
        Root mean square difference of their pixels, 8-bit levels, at 64 by 64 pixels, band means
        made equal.
    """

    first: str
    second: str
    similarity: float
    difference: float


def near_duplicates(index: PatchIndex, *, progress: Progress = silent) -> tuple[DuplicatePair, ...]:
    """Find patches that show the same picture although their files differ.

    Patches of identical bytes are compared once, by the first of their paths. Time grows with the
    square of the number of patches: about 8 s and 0.5 GiB for 21,600 on one core.

    Parameters
    ----------
    index : PatchIndex
        Patches are decoded through the cache; see :func:`swath.data.cached_pixels`.
    progress : Progress
        Called with stages ``"decode"``, ``"compare"`` and ``"align"``.

    Returns
    -------
    tuple of DuplicatePair
        In order of paths. Patches with the same pixels are each paired with the first of them.

    Raises
    ------
    DataError, OutputError
        As :func:`swath.data.cached_pixels`.
    """
    if not len(index):
        return ()
    pixels = cached_pixels(index, bands=comparison_bands(index), size=SIDE, progress=progress)
    scale = level_scale(pixels)
    pairs = similar_rows(pixels, first_of_each(index), scale=scale, progress=progress)
    paths = index.paths
    found = []
    for a, b, alike, apart in pairs:
        first, second = sorted((paths[a], paths[b]))
        found.append(DuplicatePair(first, second, round(alike, 3), round(apart, 2)))
    return tuple(sorted(found))
