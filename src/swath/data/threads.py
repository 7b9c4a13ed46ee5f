"""Work on the rows of an index in a few threads, with results in order and little in flight."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from swath.progress import Progress

R = TypeVar("R")
MAX_THREADS = 8


def in_order(
    work: Callable[[range], R], rows: int, *, chunk: int = 64, stage: str, progress: Progress
) -> Iterator[R]:
    """Call `work` on consecutive ranges of rows in threads and yield what it returns, in row order.

    Decoders release the interpreter lock, so threads use several cores; at most two chunks a thread
    wait to be fetched, so a slow consumer never makes results pile up.

    Parameters
    ----------
    work : callable
        Given a range of row numbers. What it raises is raised here, and the rest is called off.
    rows : int
        Number of rows; ranges cover ``0 .. rows - 1``.
    chunk : int
        Rows a range.
    stage, progress
        Reported after each chunk.
    """
    threads = min(MAX_THREADS, os.cpu_count() or 1)
    waiting: deque[tuple[range, Future[R]]] = deque()
    progress(stage, 0, rows)
    with ThreadPoolExecutor(threads) as pool:
        try:
            for start in range(0, rows, chunk):
                part = range(start, min(start + chunk, rows))
                waiting.append((part, pool.submit(work, part)))
                if len(waiting) > 2 * threads:
                    yield _next(waiting, rows, stage, progress)
            while waiting:
                yield _next(waiting, rows, stage, progress)
        finally:
            for _, future in waiting:
                future.cancel()


def _next(waiting: deque[tuple[range, Future[R]]], rows: int, stage: str, progress: Progress) -> R:
    part, future = waiting.popleft()
    result = future.result()
    progress(stage, part.stop, rows)
    return result
