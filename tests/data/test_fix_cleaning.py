from __future__ import annotations

from collections import defaultdict

from hypothesis import given, settings
from hypothesis import strategies as st

from swath.data.fix import gathered, resolve

from .makers import table_index

rows = st.lists(
    st.tuples(st.sampled_from("AB"), st.sampled_from("wxyz"), st.sampled_from(["train", "val", "test", None])),
    min_size=1,
    max_size=20,
)


@given(rows)
@settings(max_examples=60)
def test_each_content_stays_once_unless_its_labels_differ(drawn):
    index = table_index([r[0] for r in drawn], splits=[r[2] for r in drawn])
    contents = [r[1] for r in drawn]
    stay, dropped = resolve(index, range(len(drawn)), contents)
    assert sorted([index.paths[row] for row in stay] + [one.path for one in dropped]) == sorted(index.paths)
    labels = defaultdict(set)
    for label, content, _ in drawn:
        labels[content].add(label)
    assert sorted(contents[row] for row in stay) == sorted(c for c in labels if len(labels[c]) == 1)
    order = ["test", "val", "train", None]
    for row in stay:
        twins = [drawn[k][2] for k in range(len(drawn)) if contents[k] == contents[row]]
        assert order.index(drawn[row][2]) == min(order.index(side) for side in twins)


@given(
    st.lists(st.tuples(st.sampled_from(["g", "h", None]), st.sampled_from(["train", "val", "test", None])), max_size=20)
)
@settings(max_examples=60)
def test_groups_come_together_and_nothing_else_moves(drawn):
    index = table_index(["A"] * len(drawn), groups=[d[0] for d in drawn], splits=[d[1] for d in drawn])
    made, moved = gathered(index)
    sides = defaultdict(set)
    after = made.table["split"].to_pylist()
    for (group, _), side in zip(drawn, after, strict=True):
        if side is not None:
            sides[group].add(side)
    assert all(len(found) == 1 for group, found in sides.items() if group)
    changed = {path for path, d, side in zip(index.paths, drawn, after, strict=True) if d[1] != side}
    assert changed == {one.path for one in moved}
    assert ("moved to the split of their group" in made.split_protocol) == bool(moved)
