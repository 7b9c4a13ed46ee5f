from __future__ import annotations

import threading
import time

import pytest

from swath.data.rows import MAX_THREADS, map_rows
from swath.progress import silent


def test_results_come_map_rows_and_cover_every_row():
    def work(row):
        time.sleep(0.002 if row % 3 == 0 else 0)  # some finish late
        return row

    assert list(map_rows(work, 23, chunk=2, stage="s", progress=silent)) == list(range(23))


def test_progress_counts_rows_not_chunks():
    seen = []
    list(map_rows(str, 5, chunk=2, stage="s", progress=lambda *a, **k: seen.append(a)))
    assert seen == [("s", 0, 5), ("s", 2, 5), ("s", 4, 5), ("s", 5, 5)]


def test_no_rows_is_no_work():
    assert list(map_rows(str, 0, stage="s", progress=silent)) == []


def test_a_slow_consumer_never_makes_results_pile_up():
    started = []
    results = map_rows(started.append, 1000, chunk=1, stage="s", progress=silent)
    next(results)
    time.sleep(0.05)
    assert len(started) <= 2 * MAX_THREADS + 2
    results.close()


def test_an_error_is_raised_here_and_calls_off_the_rest():
    done = []
    lock = threading.Lock()

    def work(row):
        if row == 3:
            raise ValueError("row 3")
        with lock:
            done.append(row)

    with pytest.raises(ValueError, match="row 3"):
        list(map_rows(work, 1000, chunk=1, stage="s", progress=silent))
    assert len(done) < 100
