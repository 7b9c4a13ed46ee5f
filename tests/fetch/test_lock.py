"""One fetch of a file at a time."""

from __future__ import annotations

import threading

import pytest

from swath.errors import OutputError
from swath.fetch import exclusive


def test_the_second_waits_for_the_first_and_nothing_is_left(tmp_path):
    part, order, waiting = tmp_path / "x.part", [], threading.Event()

    def second():
        with exclusive(part, size=7, progress=lambda *a, note="": (order.append((*a, note)), waiting.set())):
            order.append("second")

    with exclusive(part, size=7):
        thread = threading.Thread(target=second)
        thread.start()
        assert waiting.wait(10)
        order.append("first")
    thread.join(10)
    assert order[0][:3] == ("download", 0, 7)
    assert "another program fetches the same file" in order[0][3]
    assert order[1:] == ["first", "second"]
    assert list(tmp_path.iterdir()) == []


def test_many_take_turns(tmp_path):
    inside, most = [], []

    def one():
        for _ in range(20):
            with exclusive(tmp_path / "x.part", size=1):
                inside.append(1)
                most.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert (len(most), max(most)) == (80, 1)


def test_an_error_inside_lets_go(tmp_path):
    with pytest.raises(KeyError), exclusive(tmp_path / "x.part", size=1):
        raise KeyError
    with exclusive(tmp_path / "x.part", size=1):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(OutputError, match="cannot write"), exclusive(tmp_path / "gone" / "x.part", size=1):
        pass
