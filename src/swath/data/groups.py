"""Join patches that must stay on one side of a split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence


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
    parent: dict[tuple[str, str], tuple[str, str]] = {}

    def find(node: tuple[str, str]) -> tuple[str, str]:
        parent.setdefault(node, node)
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    copies = Counter(contents)
    for group, content in zip(groups, contents, strict=True):
        here = find(("c", content))
        if group is not None:
            parent[here] = find(("g", group))
    names: dict[tuple[str, str], str] = {}
    for group in sorted({group for group in groups if group is not None}):
        names.setdefault(find(("g", group)), group)
    result: list[str | None] = []
    for content in contents:
        home = find(("c", content))
        if home not in names and copies[content] > 1:
            names[home] = f"same-{content[:16]}"
        result.append(names.get(home))
    return result
