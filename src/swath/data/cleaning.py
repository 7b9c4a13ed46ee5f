"""What to leave out of a data set and what to keep together: decisions on the rows of an index."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace as with_fields

import pyarrow as pa

from swath.data.index import SCHEMA, SPLITS, PatchIndex

# A copy that is held out stays held out: dropping it from train leaves old test results comparable.
_KEEP_FIRST = ("test", "val", "train", None)


@dataclass(frozen=True)
class Dropped:
    """A patch left out, and why: ``copy`` of the path `of`, or ``contradiction`` with it."""

    path: str
    why: str
    of: str


@dataclass(frozen=True)
class Moved:
    """A patch that went to the split most of its group is in."""

    path: str
    before: str | None
    after: str | None


def resolve(
    index: PatchIndex, rows: Sequence[int], contents: Sequence[str]
) -> tuple[list[int], list[Dropped]]:
    """Decide which of `rows` stay, given what each contains.

    Parameters
    ----------
    index : PatchIndex
        Its labels, splits and paths are looked at.
    rows : sequence of int
        Rows to choose from.
    contents : sequence of str
        Identity of the content of each of `rows`, such as its SHA-256.

    Returns
    -------
    tuple of list of int and list of Dropped
        Of each content the one row that stays, none where its copies carry different labels; and the rest
        with the reason.
    """
    labels = list(
        zip(index.table["label"].to_pylist(), map(str, index.table["labels"].to_pylist()), strict=True)
    )
    splits = index.table["split"].to_pylist()
    alike: dict[str, list[int]] = defaultdict(list)
    for row, content in zip(rows, contents, strict=True):
        alike[content].append(row)
    stay: list[int] = []
    dropped: list[Dropped] = []
    for members in alike.values():
        first, *others = sorted(members, key=lambda r: (_KEEP_FIRST.index(splits[r]), index.paths[r]))
        contradicted = len({labels[row] for row in members}) > 1
        if contradicted:
            dropped.append(Dropped(index.paths[first], "contradiction", index.paths[others[0]]))
        else:
            stay.append(first)
        why = "contradiction" if contradicted else "copy"
        dropped += [Dropped(index.paths[row], why, index.paths[first]) for row in others]
    return sorted(stay), dropped


def gathered(index: PatchIndex) -> tuple[PatchIndex, tuple[Moved, ...]]:
    """Bring each group that lies in several splits to the one most of its patches are in."""
    splits: list[str | None] = index.table["split"].to_pylist()
    members: dict[str, list[int]] = defaultdict(list)
    for row, group in enumerate(index.table["group"].to_pylist()):
        if group is not None:
            members[group].append(row)
    moved: list[Moved] = []
    for rows in members.values():
        counts = Counter(splits[row] for row in rows if splits[row] is not None)
        if len(counts) < 2:
            continue
        home = max((split for split in SPLITS if counts[split]), key=counts.__getitem__)
        for row in rows:
            if splits[row] not in (home, None):
                moved.append(Moved(index.paths[row], splits[row], home))
                splits[row] = home
    if not moved:
        return index, ()
    field = SCHEMA.field("split")
    table = index.table.set_column(SCHEMA.get_field_index("split"), field, pa.array(splits, field.type))
    protocol = (
        f"{index.split_protocol or 'as given'}; {len(moved):,} patches moved to the split of their group"
    )
    return with_fields(index, table=table, split_protocol=protocol), tuple(moved)
