from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swath.data.filenames import REASONS, LeftOut, is_system, place_of, safe_name, tally, why_left_out

SYSTEM = (
    "@eaDir __MACOSX .DS_Store Thumbs.db .ipynb_checkpoints #recycle .git $RECYCLE.BIN .thumbnails ._1.png @Recycle"
)


@pytest.mark.parametrize("name", [*SYSTEM.split(), "System Volume Information"])
def test_what_systems_leave_next_to_pictures(name):
    assert is_system(name)
    assert is_system(name.upper())


@pytest.mark.parametrize("name", ["Forest", "1.png", "recycle", "a.b", "MACOSX", "_A", "#1"])
def test_what_people_name(name):
    assert not is_system(name)


def test_files_left_out_are_counted_by_reason_and_place():
    found = [
        ("B", "broken links"),
        ("A", "broken links"),
        ("A", "broken links"),
        (".mat", "files of kinds that are not read"),
    ]
    assert tally(found) == (
        LeftOut("broken links", {"A": 2, "B": 1}),
        LeftOut("files of kinds that are not read", {".mat": 1}),
    )
    assert tally([]) == ()
    assert LeftOut("broken links", {str(n): 9 - n for n in range(6)}).line() == (
        "left out, broken links: 39 (0 9, 1 8, 2 7, 3 6 and 2 more)"
    )


@given(st.lists(st.tuples(st.text(max_size=3), st.sampled_from(REASONS)), max_size=30))
def test_every_file_is_counted_once(found):
    counted = tally(found)
    assert sum(one.count for one in counted) == len(found)
    assert len({one.reason for one in counted}) == len(counted)


@given(st.text(max_size=20))
def test_a_safe_name_stays_as_it_is_and_within_its_root(text):
    name = safe_name(text)
    if name is not None:
        assert safe_name(name) == name
        assert not name.startswith("/")
        assert ".." not in name.split("/")
        reason = why_left_out(name)
        assert reason is None or place_of(name, reason)
