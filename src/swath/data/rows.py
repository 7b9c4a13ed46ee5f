"""Work on the rows of an index in a few threads, with results in row order and few of them waiting.

Decoders, encoders and hashes release the interpreter lock, so threads use several cores. Indexing, the pixel cache,
the data report and every command that writes patches go through their rows here. Files that are no longer what the
index says are counted by :func:`check_contents`, and no command goes on with them.
"""

from __future__ import annotations

import shlex
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from swath.data.archives import open_patches
from swath.data.index import PatchIndex
from swath.errors import DataError, MissingFileError
from swath.imagery import RGB, Picture, decode
from swath.imagery.rgb import BandError, unnamed_count
from swath.machine import free_cores
from swath.pages.text import counted
from swath.progress import Progress

R = TypeVar("R")
MAX_THREADS = 8
_SHOWN = 3


class _NotAsIndexed(Exception):
    """The first file of some that may be missing, changed or unreadable."""


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

    threads = min(MAX_THREADS, free_cores())
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
        As :func:`check_contents`.
    """
    paths, contents = index.paths, index.column("sha256")
    with open_patches(index.root) as reader:

        def read(row: int) -> R:
            try:
                data = reader.read_unchanged(paths[row], contents[row])
            except DataError as error:
                raise _NotAsIndexed from error
            return work(data, row)

        try:
            yield from map_rows(read, len(index), chunk=chunk, stage=stage, progress=progress)
        except _NotAsIndexed as first:
            check_contents(index, progress=progress)
            raise first.__cause__ or first from None  # the file came back meanwhile


def check_contents(index: PatchIndex, *, rows: Sequence[int] | None = None, progress: Progress) -> None:
    """Read patches and compare their SHA-256 with the index.

    Parameters
    ----------
    index : PatchIndex
        Any.
    rows : sequence of int, optional
        Rows to look at; by default, all.
    progress : Progress
        Called with stage ``"check"``.

    Raises
    ------
    DataError
        If files are missing, have changed or cannot be read: all are counted, and the first are named.
    """
    wanted = range(len(index)) if rows is None else rows
    paths, contents = index.paths, index.column("sha256")
    gone: list[str] = []
    other: list[str] = []
    with open_patches(index.root) as reader:

        def compare(place: int) -> str | None:
            row = wanted[place]
            try:
                reader.read_unchanged(paths[row], contents[row])
            except MissingFileError:
                return "gone"
            except DataError as error:
                return error.problem
            return None

        found = list(map_rows(compare, len(wanted), stage="check", progress=progress))
    for row, problem in zip(wanted, found, strict=True):
        if problem is not None:
            (gone if problem == "gone" else other).append(paths[row])
    if not gone and not other:
        return
    unreadable = next((p for p in found if p not in (None, "gone") and "has changed" not in p), None)
    kinds = {"changed": other, "gone": gone}
    parts = [f"{len(files):,} {kind} ({_first(files)})" for kind, files in kinds.items() if files]
    why = f" ({unreadable})" if unreadable else ""
    file = index.file or "INDEX"
    total = len(gone) + len(other)
    raise DataError(
        f"{counted(total, 'file is', 'files are')} no longer as index '{index.name}' says: {' and '.join(parts)}{why}",
        fix=f"put them back, or index again: swath data index SOURCE --out {shlex.quote(str(file))} --overwrite",
    )


def _first(paths: Sequence[str]) -> str:
    more = len(paths) - _SHOWN
    return ", ".join(paths[:_SHOWN]) + (f" and {more:,} more" if more > 0 else "")


def decode_patch(data: bytes, path: str, *, georeference: bool = False) -> Picture:
    """Decode a patch, which must be of 8 or 16 bits, with its georeference if that is asked for.

    Raises
    ------
    DataError
        If it is not, or as :func:`swath.imagery.decode`.
    """
    picture = decode(data, name=path, georeference=georeference)
    if picture.pixels.dtype not in (np.uint8, np.uint16):
        raise DataError(
            f"{path} holds {picture.pixels.dtype} values, and patches are of 8 or 16 bits without a sign",
            fix="rescale them, as with: gdal_translate -ot UInt16 -scale LOW HIGH 0 65535 IN.tif OUT.tif",
        )
    return picture


def first_bands(index: PatchIndex) -> tuple[str, ...]:
    """Names of the bands of the first patch, alpha left out."""
    return _bands_of(index, [0])[0]


def unnamed_bands(index: PatchIndex) -> int | None:
    """How many bands each file has whose bands have no names; None where no file is of that kind.

    One file of each mode of the index is decoded.

    Raises
    ------
    BandError
        If such files have different numbers of bands: ``band_1`` then means another band in each.
    """
    first: dict[str, int] = {}
    for row, mode in enumerate(index.column("mode")):
        first.setdefault(mode, row)
    rows = list(first.values())
    counts: dict[int, str] = {}
    for row in rows:
        try:
            count = unnamed_count(_bands_of(index, [row])[0])
        except DataError:  # a file that changed since it was indexed: said where patches are read
            continue
        if count is not None:
            counts.setdefault(count, index.paths[row])
    if len(counts) > 1:
        (fewest, one), *_, (most, other) = sorted(counts.items())
        raise BandError(
            f"the patches of index '{index.name}' differ in their bands, which have no names: {one} has {fewest}, "
            f"{other} has {most}",
            fix="index them apart, or name the bands in the files (a GeoTIFF's band descriptions)",
        )
    return next(iter(counts), None)


def _bands_of(index: PatchIndex, rows: Sequence[int]) -> list[tuple[str, ...]]:
    with open_patches(index.root) as reader:
        found = [decode(reader.read(index.paths[row]), name=index.paths[row]).bands for row in rows]
    return [tuple(band for band in bands if band != "alpha") for bands in found]


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
