from __future__ import annotations

import threading
import time

import pytest

from swath.data.threads import MAX_THREADS, in_order
from swath.progress import silent


def test_results_come_in_order_and_cover_every_row():
    def work(rows):
        time.sleep(0.002 if rows.start % 3 == 0 else 0)  # some finish late
        return list(rows)

    found = [row for part in in_order(work, 23, chunk=2, stage="s", progress=silent) for row in part]
    assert found == list(range(23))


def test_progress_counts_rows_not_chunks():
    seen = []
    list(in_order(len, 5, chunk=2, stage="s", progress=lambda *a, **k: seen.append(a)))
    assert seen == [("s", 0, 5), ("s", 2, 5), ("s", 4, 5), ("s", 5, 5)]


def test_no_rows_is_no_work():
    assert list(in_order(len, 0, stage="s", progress=silent)) == []


def test_a_slow_consumer_never_makes_results_pile_up():
    started = []
    results = in_order(lambda rows: started.append(rows.start), 1000, chunk=1, stage="s", progress=silent)
    next(results)
    time.sleep(0.05)
    assert len(started) <= 2 * MAX_THREADS + 2
    results.close()


def test_an_error_is_raised_here_and_calls_off_the_rest():
    done = []
    lock = threading.Lock()

    def work(rows):
        if rows.start == 3:
            raise ValueError("row 3")
        with lock:
            done.append(rows.start)

    with pytest.raises(ValueError, match="row 3"):
        list(in_order(work, 1000, chunk=1, stage="s", progress=silent))
    assert len(done) < 100
