"""One fetch of a file at a time: two programs that write into one part would spoil it."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from swath.errors import OutputError
from swath.progress import Progress, silent


@contextlib.contextmanager
def exclusive(part: Path, *, size: int, progress: Progress = silent) -> Iterator[None]:
    """Keep a partial file to this block; wait for another program that has it.

    What the other one fetched meanwhile is for the block to look for. ``<part>.lock`` is there only as long.

    Parameters
    ----------
    part : Path
        The file that is fetched into; its folder must be there.
    size : int
        Bytes of the whole file, for `progress`.
    progress : Progress
        Called once with stage ``"download"`` if there is another to wait for.

    Raises
    ------
    OutputError
        If the folder cannot be written, or its disk knows no locks.
    """
    lock = part.with_name(f"{part.name}.lock")
    while True:
        with _opened(lock) as file:
            _acquire(file, lock, size, progress)
            if not _is_at(file, lock):  # the program waited for has removed it: another may hold a new one
                continue
            try:
                yield
            finally:
                lock.unlink(missing_ok=True)
            return


def _opened(lock: Path) -> IO[bytes]:
    try:
        return lock.open("ab")
    except OSError as error:
        raise OutputError(
            f"cannot write {lock} ({error.strerror})", fix="choose a place you can write to"
        ) from error


def _acquire(file: IO[bytes], lock: Path, size: int, progress: Progress) -> None:
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("download", 0, size, note="waiting: another program fetches the same file")
            fcntl.flock(file, fcntl.LOCK_EX)
    except OSError as error:
        raise OutputError(
            f"cannot lock {lock} ({error.strerror})", fix="choose a place on another disk"
        ) from error


def _is_at(file: IO[bytes], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
