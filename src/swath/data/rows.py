"""Work on the rows of an index in a few threads, with results in row order and few of them waiting.

Decoders, encoders and hashes release the interpreter lock, so threads use several cores. Indexing, the pixel cache,
the data report and every command that writes patches go through their rows here.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from swath.data.archives import open_patches
from swath.data.index import PatchIndex
from swath.errors import DataError
from swath.imagery import RGB, Picture, decode
from swath.progress import Progress

R = TypeVar("R")
MAX_THREADS = 8


def map_rows(work: Callable[[int], R], rows: int, *, chunk: int = 64, stage: str, progress: Progress) -> Iterator[R]:
    """Call `work` on every row number in threads and yield what it returns, in row order.

    At most two chunks per thread wait to be fetched, so a slow consumer never makes results pile up.

    Parameters
    ----------
    work : callable
        Given a row number. What it raises is raised here, and the rest is canceled.
    rows : int
        Number of rows, ``0 .. rows - 1``.
    chunk : int
        Rows that one thread takes at a time.
    stage, progress
        Reported after each chunk.
    """

    def work_on(part: range) -> list[R]:
        return [work(row) for row in part]

    threads = min(MAX_THREADS, os.cpu_count() or 1)
    waiting: deque[tuple[range, Future[list[R]]]] = deque()
    parts = iter([range(start, min(start + chunk, rows)) for start in range(0, rows, chunk)])
    progress(stage, 0, rows)
    with ThreadPoolExecutor(threads) as pool:
        try:
            while True:
                while len(waiting) <= 2 * threads and (part := next(parts, None)) is not None:
                    waiting.append((part, pool.submit(work_on, part)))
                if not waiting:
                    return
                part, future = waiting.popleft()
                results = future.result()
                progress(stage, part.stop, rows)
                yield from results
        finally:
            for _, future in waiting:
                future.cancel()


def map_patches(
    index: PatchIndex, work: Callable[[bytes, int], R], *, chunk: int = 64, stage: str, progress: Progress
) -> Iterator[R]:
    """Read every patch and yield ``work(content, row)`` in row order; see :func:`map_rows`.

    Raises
    ------
    DataError
        If a patch is gone or has changed since it was indexed.
    """
    paths, contents = index.paths, index.column("sha256")
    with open_patches(index.root) as reader:

        def read(row: int) -> R:
            return work(reader.read_unchanged(paths[row], contents[row]), row)

        yield from map_rows(read, len(index), chunk=chunk, stage=stage, progress=progress)


def decode_patch(data: bytes, path: str) -> Picture:
    """Decode a patch, which must be of 8 or 16 bits.

    Raises
    ------
    DataError
        If it is not, or as :func:`swath.imagery.decode`.
    """
    picture = decode(data, name=path)
    if picture.pixels.dtype not in (np.uint8, np.uint16):
        raise DataError(f"{path} holds {picture.pixels.dtype}; patches are 8 or 16 bit", fix="convert the patches")
    return picture


def first_bands(index: PatchIndex) -> tuple[str, ...]:
    """Names of the bands of the first patch, alpha left out."""
    with open_patches(index.root) as reader:
        bands = decode(reader.read(index.paths[0]), name=index.paths[0]).bands
    return tuple(band for band in bands if band != "alpha")


def comparison_bands(index: PatchIndex) -> tuple[str, ...]:
    """Bands to compare patches by: red, green and blue, or else all of the first patch but alpha."""
    bands = first_bands(index)
    return RGB if "gray" in bands or set(RGB) <= set(bands) else bands


def level_scale(pixels: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]) -> float:
    """Factor that brings values to 8-bit levels: 16-bit data seldom use their whole range."""
    if pixels.dtype == np.uint8:
        return 1.0
    return float(256 / (1 << int(pixels.max()).bit_length()))


def first_of_each(index: PatchIndex) -> list[int]:
    """Rows of the first path of each content, in order of path."""
    contents = index.column("sha256")
    first: dict[str, int] = {}
    for row in sorted(range(len(index)), key=index.paths.__getitem__):
        first.setdefault(contents[row], row)
    return list(first.values())
