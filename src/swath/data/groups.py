"""Join patches that must stay on one side of a split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from typing import Generic, TypeVar

N = TypeVar("N", bound=Hashable)


class _Forest(Generic[N]):
    """Nodes tied to one another; :meth:`find` gives the same node for all that hang together."""

    def __init__(self) -> None:
        self._parent: dict[N, N] = {}

    def find(self, node: N) -> N:
        self._parent.setdefault(node, node)
        while self._parent[node] != node:
            self._parent[node] = self._parent[self._parent[node]]
            node = self._parent[node]
        return node

    def tie(self, a: N, b: N) -> None:
        self._parent[self.find(a)] = self.find(b)


def joined_groups(groups: Sequence[str | None], contents: Sequence[str]) -> list[str | None]:
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
    forest: _Forest[tuple[str, str]] = _Forest()
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
            names[home] = f"same-{content[:16]}"
        result.append(names.get(home))
    return result


def linked(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Give all that hang together through pairs one name: the first of theirs in alphabetical order.

    Parameters
    ----------
    pairs : iterable of (str, str)
        Such as contents of near duplicates.

    Returns
    -------
    dict of str to str
        Each name that occurs in `pairs`, and the one it goes by.
    """
    forest: _Forest[str] = _Forest()
    seen: set[str] = set()
    for a, b in pairs:
        forest.tie(a, b)
        seen.update((a, b))
    first: dict[str, str] = {}
    return {name: first.setdefault(forest.find(name), name) for name in sorted(seen)}
