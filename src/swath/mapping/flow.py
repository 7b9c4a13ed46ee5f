"""Two threads beside the one that runs the engine: one that reads ahead, one that writes behind.

Decoding, compressing and the engine all let go of Python's lock, so they overlap. Both queues are bounded:
whoever is too far ahead waits. An error on either thread is raised on the engine's, and when a block ends,
however it ends, its thread has stopped.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
_END = object()


@contextlib.contextmanager
def ahead(items: Iterator[T], *, depth: int) -> Iterator[Iterator[T]]:
    """Make the next `depth` items on a thread while the current one is used.

    Parameters
    ----------
    items : iterator
        Runs on the thread; an error it raises is raised where its item is asked for.
    depth : int
        Items that may wait, 1 or more.

    Yields
    ------
    iterator
        The same items.
    """
    with _one_thread("swath reader") as submit:
        waiting: deque[Future[object]] = deque()

        def taken() -> Iterator[T]:
            for _ in range(depth):
                waiting.append(submit(lambda: next(items, _END)))
            while (item := waiting.popleft().result()) is not _END:
                waiting.append(submit(lambda: next(items, _END)))
                yield item  # type: ignore[misc]  # all that is not the end is an item

        yield taken()


@contextlib.contextmanager
def behind(*, depth: int) -> Iterator[Callable[[Callable[[], None]], None]]:
    """Yield a function that runs jobs on a thread, one after the other, in order.

    It waits while `depth` jobs are waiting. When the block ends well all jobs are done; if it raises, those
    that have not begun are dropped. An error of a job is raised at a later call, or at the end.
    """
    with _one_thread("swath writer") as submit:
        waiting: deque[Future[object]] = deque()

        def later(job: Callable[[], None]) -> None:
            while waiting and (len(waiting) >= depth or waiting[0].done()):
                waiting.popleft().result()
            waiting.append(submit(job))

        yield later
        while waiting:
            waiting.popleft().result()


@contextlib.contextmanager
def _one_thread(name: str) -> Iterator[Callable[[Callable[[], object]], Future[object]]]:
    pool = ThreadPoolExecutor(1, thread_name_prefix=name)
    try:
        yield pool.submit
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
