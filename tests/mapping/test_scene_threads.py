from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from swath.mapping.scene import ahead, behind


def test_items_come_in_order_from_one_other_thread():
    threads = set()

    def items():
        for number in range(50):
            threads.add(threading.get_ident())
            yield number

    with ahead(items(), depth=3) as found:
        assert list(found) == list(range(50))
    assert len(threads) == 1
    assert threading.get_ident() not in threads


def test_the_reader_is_never_further_ahead_than_asked_for():
    made, most = [], 0

    def items():
        for number in range(20):
            made.append(number)
            yield number

    with ahead(items(), depth=2) as found:
        for used, _ in enumerate(found, start=1):
            time.sleep(0.001)
            most = max(most, len(made) - used)
    assert 1 <= most <= 2


def test_an_error_comes_where_its_item_would():
    def items():
        yield 1
        raise ValueError("broken")

    with ahead(items(), depth=4) as found:
        assert next(found) == 1
        with pytest.raises(ValueError, match="broken"):
            next(found)


def test_stopping_early_stops_the_reader():
    def items():
        number = 0
        while True:
            yield (number := number + 1)

    def use():
        with ahead(items(), depth=2) as found:
            next(found)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        use()
    assert not [t for t in threading.enumerate() if t.name.startswith("swath reader")]


def test_jobs_run_in_order_on_one_other_thread_and_all_of_them():
    done, threads = [], set()

    def job(number):
        threads.add(threading.get_ident())
        time.sleep(0.001)
        done.append(number)

    with behind(depth=2) as later:
        for number in range(30):
            later(lambda number=number: job(number))
            assert number + 1 - len(done) <= 3, "two wait and one is under way"
    assert done == list(range(30))
    assert len(threads) == 1
    assert threading.get_ident() not in threads


def test_a_job_that_fails_stops_the_work():
    def fail():
        raise OSError("no space")

    started = []

    def use():
        with behind(depth=1) as later:
            for number in range(1000):
                later(fail)
                started.append(number)

    with pytest.raises(OSError, match="no space"):
        use()
    assert len(started) < 5


def test_the_last_job_may_fail_too():
    with pytest.raises(KeyError), behind(depth=4) as later:
        later(lambda: {}.pop("nothing"))


def test_after_an_error_jobs_that_wait_are_dropped(monkeypatch):
    done, started, go = [], threading.Event(), threading.Event()
    shutdown = ThreadPoolExecutor.shutdown

    def released(pool, **options):
        """The job under way ends once those behind it are dropped."""
        shutdown(pool, **options | {"wait": False})
        go.set()
        shutdown(pool, **options)

    monkeypatch.setattr(ThreadPoolExecutor, "shutdown", released)

    def first():
        started.set()
        assert go.wait(60)
        done.append(0)

    def work():
        with behind(depth=5) as later:
            later(first)
            for number in range(1, 5):
                later(lambda number=number: done.append(number))
            assert started.wait(60)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == [0]
    assert not [t for t in threading.enumerate() if t.name.startswith("swath writer")]
