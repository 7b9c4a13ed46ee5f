from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from swath.data.duplicates import linked, merge_groups


def test_twins_share_a_group_and_the_rest_has_none():
    assert merge_groups([None] * 4, ["aa", "bb", "aa", "cc"]) == ["same-aa", None, "same-aa", None]


def test_twins_join_the_groups_of_their_source():
    groups = ["scene2", "scene1", "scene1", None, "scene3"]
    contents = ["x", "x", "y", "y", "z"]
    assert merge_groups(groups, contents) == ["scene1", "scene1", "scene1", "scene1", "scene3"]


def test_links_reach_as_far_as_the_chain():
    assert linked([("d", "c"), ("b", "c"), ("x", "y")]) == dict(zip("bcdxy", "bbbxx", strict=True))
    assert linked([]) == {}


rows = st.lists(st.tuples(st.sampled_from([None, "g", "h", "i"]), st.sampled_from("abcdef")), max_size=12)


@given(rows)
@settings(max_examples=50)
def test_patches_that_hang_together_and_only_these_share_a_group(rows):
    groups, contents = [g for g, _ in rows], [c for _, c in rows]
    joined = merge_groups(groups, contents)
    # The plain way: let the tie between rows spread until nothing changes.
    home = list(range(len(rows)))
    for _ in rows:
        for i, (g, c) in enumerate(rows):
            for j, (h, d) in enumerate(rows):
                if c == d or (g is not None and g == h):
                    home[i] = home[j] = min(home[i], home[j])
    for i in range(len(rows)):
        for j in range(len(rows)):
            together = joined[i] is not None and joined[i] == joined[j]
            assert together == (home[i] == home[j] and joined[i] is not None)
        alone = home.count(home[i]) == 1
        assert (joined[i] is None) == (alone and groups[i] is None)


@given(rows)
@settings(max_examples=50)
def test_joining_again_changes_nothing(rows):
    contents = [c for _, c in rows]
    once = merge_groups([g for g, _ in rows], contents)
    assert merge_groups(once, contents) == once
