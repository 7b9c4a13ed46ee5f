"""Writing that never leaves half a file, or half a set of files, under its final name.

Outputs are checked before any work is done and written in a hidden folder next to their target, ``.<name>.partial``,
which one run at a time holds, by a lock that ends with its process. When all are complete and on disk they are moved
to their names. What a killed run left is dealt with by the next run for the same target: a set that was complete is
moved, anything else is removed.
"""

from __future__ import annotations

import contextlib
import csv
import ctypes
import errno
import functools
import json
import logging
import os
import re
import shutil
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from swath.errors import OutputError
from swath.machine import home_folder

_log = logging.getLogger("swath")
NO_ROOM = "make room there or choose a place on another disk, then run the command again (a training with --resume)"
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
# No space, a quota, a limit on the size of files, or a disk that turned read-only.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
_REMOTE = re.compile(r"[a-z][a-z0-9+.-]+:/|[/\\]vsi", re.IGNORECASE)
_LOCK, _JOURNAL, _NEW, _OLD = "lock", "moves.json", "new", "old"
# What GDAL and GIS programs keep next to a raster and read with it, by what is appended to its name or its stem.
_APPENDED, _REPLACED = (".aux.xml", ".msk", ".msk.ovr", ".ovr"), (".tfw", ".tifw", ".wld")
_CALLS = frozenset("(|!&;,")  # what calls a function or names a cell of another sheet
_EXCHANGE = 2  # renameat2(2)
_POLL = 0.2  # seconds between two looks at what another run writes


def check_output(path: Path, *, overwrite: bool = False) -> None:
    """Refuse an output that exists or cannot be written, before any work is done.

    Raises
    ------
    OutputError
        If `path` exists and `overwrite` is false, is a folder, a link or no ordinary file, is no local path, or its
        folder is not writable.
    """
    if _REMOTE.match(str(path)):
        raise OutputError(f"{path} is not on this machine's disks", fix="write a local file and copy it there")
    if path.is_symlink():
        raise OutputError(
            f"{path} is a link, and a file moved to its name would replace it", fix=f"write to {path.resolve()} instead"
        )
    if path.is_dir():
        raise OutputError(f"{path} is a folder", fix="give the name of a file")
    if path.exists() and not stat.S_ISREG(path.stat().st_mode):
        raise OutputError(f"{path} is a pipe or a device", fix="give the name of a file")
    if path.exists() and not overwrite:
        raise OutputError(f"{path} exists already", fix="choose another name or pass --overwrite")
    _make_folder(path.parent)


def check_folder(path: Path, *, overwrite: bool = False, keep: Sequence[Path] = ()) -> None:
    """Refuse an output folder that exists or cannot be written, before any work is done.

    Parameters
    ----------
    path, overwrite, keep
        As for :func:`atomic_folder`.

    Raises
    ------
    OutputError
        If `path` exists (and is not an empty folder) without `overwrite`, cannot be written, or holds
        something to keep.
    """
    if _REMOTE.match(str(path)):
        raise OutputError(f"{path} is not on this machine's disks", fix="write a local folder and copy it there")
    if path.exists() and not path.is_dir():
        raise OutputError(f"{path} is a file", fix="give the name of a folder")
    for kept in (Path.cwd(), home_folder(), *keep):
        if path.exists() and kept.resolve().is_relative_to(path.resolve()):
            raise OutputError(f"{path} is not replaced, because it holds {kept}", fix="give the name of a new folder")
    if path.is_dir() and any(path.iterdir()) and not overwrite:
        raise OutputError(
            f"{path} exists already and is not empty",
            fix="choose another name, or pass --overwrite to throw away all it holds",
        )
    _make_folder(path.parent)


@contextlib.contextmanager
def atomic_file(
    path: Path, *, overwrite: bool = False, waiting: Callable[[Path], None] | None = None
) -> Iterator[Path]:
    """Yield a path to write, of the same name; move it to `path` if the block ends well and has written it.

    Parameters
    ----------
    path : pathlib.Path
        The final file.
    overwrite : bool
        Replace a file that exists.
    waiting : callable, optional
        Wait for another run that is writing this file, however it ends, and call this every 0.2 s meanwhile with the
        path that the other run writes; the file may be there when the block begins. By default a second run is refused.

    Raises
    ------
    OutputError
        As :func:`check_output`, or if another run is writing this file and it is not waited for, or the disk is full.
    """
    with atomic_files([path], overwrite=overwrite, waiting=waiting) as paths:
        yield paths[path]


@contextlib.contextmanager
def atomic_files(
    targets: Sequence[Path],
    *,
    overwrite: bool = False,
    obsolete: Sequence[Path] = (),
    waiting: Callable[[Path], None] | None = None,
) -> Iterator[dict[Path, Path]]:
    """Yield a path to write for each target, of the same name; move all of them if the block ends well.

    A target for which nothing was written is left out. While a set is replaced, the old files are removed before any
    new one arrives, the first of them first, and the first of the new ones arrives last: where it is, the others belong
    to it, and old and new files are never there together.
    Masks, overviews and statistics that a GIS program has left next to a raster go with the raster they describe.

    Parameters
    ----------
    targets : sequence of pathlib.Path
        The final files.
    overwrite : bool
        Replace files that exist.
    obsolete : sequence of pathlib.Path
        Files of an older set that the new one does not have, to be removed with it if `overwrite`.
    waiting : callable, optional
        As for :func:`atomic_file`.

    Raises
    ------
    OutputError
        As :func:`check_output`, or if another run is writing one of these files, or the disk is full.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(_with_room(targets[0]))
        folders: dict[Path, Path] = {}
        for target in targets:
            if target.parent not in folders:  # named after a target of their own, in each folder
                check_output(target, overwrite=True)
                folders[target.parent] = stack.enter_context(_workspace(target, waiting))
        for target in (*targets, *_sidecars(targets)):
            check_output(target, overwrite=overwrite)
        paths = {target: folders[target.parent] / target.name for target in targets}
        yield paths
        written = [target for target in targets if paths[target].exists()]
        for target in written:
            paths[target].chmod(0o644)
            _to_disk(paths[target])
        moves = [(paths[target], target) for target in reversed(written)]
        stale = [path for path in (*_sidecars(written), *(obsolete if overwrite else ())) if path.exists()]
        if len(moves) == 1 and not stale:
            moves[0][0].replace(moves[0][1])
        elif moves:
            _journal(folders[targets[0].parent], moves, [*(path for path in written if path.exists()), *stale])
        for folder in folders:
            _to_disk(folder)


@contextlib.contextmanager
def atomic_folder(path: Path, *, overwrite: bool = False, keep: Sequence[Path] = ()) -> Iterator[Path]:
    """Yield a folder to fill; move it to `path` if the block ends well.

    Parameters
    ----------
    path : pathlib.Path
        The folder to make. With `overwrite` all it held before is thrown away.
    overwrite : bool
        Replace a folder that is not empty.
    keep : sequence of pathlib.Path
        What must not be thrown away with it, such as the inputs; the working and home folders never are.

    Raises
    ------
    OutputError
        As :func:`check_folder`, or if another run is writing this folder.
    """
    check_folder(path, overwrite=overwrite, keep=keep)
    place = path.resolve() if path.is_dir() else path  # a link to a folder stays a link
    with _with_room(path), _workspace(place) as folder:
        check_folder(path, overwrite=overwrite, keep=keep)
        new = folder / _NEW
        new.mkdir()
        yield new
        for part in new.rglob("*"):
            if part.is_file():
                _to_disk(part)
        try:
            if not place.exists():
                new.replace(place)
            elif not _exchange(new, place):
                _journal(folder, [(place, folder / _OLD), (new, place)], [])
        except OSError as error:
            if not place.exists() and (folder / _OLD).exists():
                (folder / _OLD).replace(place)
            raise OutputError(
                f"cannot replace {path} ({error.strerror})", fix="give the name of a new folder"
            ) from error
        _to_disk(place.parent)


@contextlib.contextmanager
def one_run(path: Path) -> Iterator[None]:
    """Refuse a second run that writes into the folder `path`, file by file, while the block runs.

    Raises
    ------
    OutputError
        If another run holds it, or the folder it lies in cannot be written.
    """
    _make_folder(path.parent)
    with _workspace(path.resolve() if path.is_dir() else path):
        yield


def write_text(path: Path, text: str) -> None:
    """Write text in UTF-8 in place of what was at `path`."""
    with atomic_file(path, overwrite=True) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a table as CSV in UTF-8, a line per row, with cells as :func:`as_cell` has them."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(map(as_cell, header))
        writer.writerows(map(as_cell, row) for row in rows)


@contextlib.contextmanager
def _with_room(path: Path) -> Iterator[None]:
    """Name the place and the remedy where a disk, a quota or a limit on sizes is full."""
    try:
        yield
    except OSError as error:
        # Writing into an open file names no file, and some libraries give the number in their text alone.
        number = error.errno or next((n for n in _FULL if f"[errno {n}]" in str(error).lower()), None)
        if number not in _FULL:
            raise
        raise OutputError(f"cannot write {_final(path)} ({os.strerror(number)})", fix=NO_ROOM) from error


def _final(path: Path) -> Path:
    """Where a path inside the workspaces of other outputs ends when all is complete."""
    parts: list[str] = []
    for part in path.parts:
        if parts and (named := re.fullmatch(r"\.(.+)\.partial", parts[-1])):
            parts[-1:] = [named[1]] if part == _NEW else [part]
        else:
            parts.append(part)
    return Path(*parts)


def as_cell(value: Any) -> Any:
    """A value for a table that may be opened in a spreadsheet, which would run text that looks like a formula.

    Such text gets an apostrophe in front, as OWASP's advice on CSV injection has it. Numbers stay, and so does text
    such as ``-12.5_33.png``, which begins with a sign and holds nothing that a formula needs.

    Examples
    --------
    >>> [as_cell(value) for value in ("Forest", "=1+1", "-2+3|x", "-12.5_33.png", -1.5)]
    ['Forest', "'=1+1", "'-2+3|x", '-12.5_33.png', -1.5]
    """
    if not isinstance(value, str) or not value:
        return value
    formula = value[0] in "=@\t\r" or (value[0] in "+-" and not _CALLS.isdisjoint(value))
    return f"'{value}" if formula else value


def from_cell(text: str) -> str:
    """The text that :func:`as_cell` has made a cell of."""
    return text[1:] if text[:1] == "'" and as_cell(text[1:]) == text else text


@contextlib.contextmanager
def _workspace(target: Path, waiting: Callable[[Path], None] | None = None) -> Iterator[Path]:
    """Yield an empty hidden folder next to `target` that no other run uses; remove it at the end."""
    folder = target.parent / f".{target.name}.partial"
    lock = _hold(folder, target, waiting)
    try:
        _resume(folder)
        yield folder
    finally:
        # Without its lock file a folder is free: nobody else may make it again before all of it is gone.
        for part in folder.iterdir() if folder.is_dir() else ():
            if part.name != _LOCK:
                _remove(part)
        shutil.rmtree(folder, ignore_errors=True)
        lock.release()
        if os.name == "nt":  # where a file that is open cannot be removed
            shutil.rmtree(folder, ignore_errors=True)


def sweep(folder: Path) -> None:
    """Remove what killed runs left in a folder, also of outputs that no later run writes again."""
    for left in folder.glob(".*.partial"):
        with contextlib.suppress(OutputError, OSError), _workspace(folder / left.name[1:].removesuffix(".partial")):
            pass


def _hold(folder: Path, target: Path, waiting: Callable[[Path], None] | None) -> FileLock:
    """Lock a workspace; while another run holds it, wait or refuse."""
    lock = FileLock(folder / _LOCK, timeout=0, fallback_to_soft=False)  # a soft lock outlives a killed run
    while True:
        try:
            folder.mkdir(exist_ok=True)
            lock.acquire()
        except Timeout:
            if waiting is not None:
                waiting(folder / target.name)
                time.sleep(_POLL)
                continue
            raise OutputError(
                f"{target} is being written by another run", fix="wait until it has ended, or choose another name"
            ) from None
        except OSError as error:
            if folder.is_dir() and has_no_locks(error, folder.parent):
                return lock
            if isinstance(error, FileNotFoundError) and not folder.is_dir() and folder.parent.is_dir():
                continue  # the run that held it has just removed it
            raise OutputError(
                f"cannot make the folder {folder} ({error.strerror})", fix="choose a folder you can write to"
            ) from error
        if (folder / _LOCK).exists():
            return lock
        lock.release()


def has_no_locks(error: OSError, folder: Path) -> bool:
    """Whether a lock failed because the file system has none, which is said once; runs then go on without."""
    if error.errno in _NO_LOCKS:
        _tell_unlocked(folder)
    return error.errno in _NO_LOCKS


@functools.cache
def _tell_unlocked(folder: Path) -> None:
    """Say once that runs cannot be kept apart here."""
    _log.warning("the file system of %s has no locks: do not start two runs with one output there", folder)


def _journal(folder: Path, moves: Sequence[tuple[Path, Path]], stale: Sequence[Path]) -> None:
    """Remove what is stale and move a complete set, so that it ends moved even if this process is killed on the way."""
    content = {
        "remove": [str(path.absolute()) for path in stale],
        "move": [[str(path.absolute()) for path in move] for move in moves],
    }
    draft = folder / f"{_JOURNAL}.draft"
    draft.write_text(json.dumps(content), encoding="utf-8")
    _to_disk(draft)
    draft.replace(folder / _JOURNAL)
    _carry_out(content)


def _carry_out(content: Mapping[str, Any]) -> None:
    arrived = {target for source, target in content["move"] if not Path(source).exists()}
    for path in content["remove"]:
        if path not in arrived:
            Path(path).unlink(missing_ok=True)
    for source, target in content["move"]:
        if Path(source).exists():
            Path(source).replace(target)


def _resume(folder: Path) -> None:
    """Finish what a killed run had begun to move, and empty the folder of everything else it left."""
    journal = folder / _JOURNAL
    if journal.is_file():
        with contextlib.suppress(ValueError, KeyError, TypeError, OSError):
            content = json.loads(journal.read_text(encoding="utf-8"))
            known = all(_belongs(Path(source), Path(target)) for source, target in content["move"])
            known &= all(Path(path).parent == folder.absolute().parent for path in content["remove"])
            # The last move comes last: once it is made, all of them are.
            if known and Path(content["move"][-1][0]).exists():
                _carry_out(content)
    for part in folder.iterdir():
        if part.name != _LOCK:
            _remove(part)


def _belongs(source: Path, target: Path) -> bool:
    """Whether a move is one between a workspace and the folder it lies in."""
    return any(
        inner.parent.name.endswith(".partial") and inner.parent.parent == outer.parent
        for inner, outer in ((source, target), (target, source))
    )


def _exchange(first: Path, second: Path) -> bool:
    """Let two paths swap their names at once; False where the system cannot."""
    try:
        swap = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError, TypeError):
        return False
    here = -100  # AT_FDCWD
    return bool(swap(here, os.fsencode(first), here, os.fsencode(second), _EXCHANGE) == 0)


def _sidecars(targets: Sequence[Path]) -> list[Path]:
    """Files next to rasters that describe them and are not of their set."""
    found = []
    for target in targets:
        if target.suffix.lower() in {".tif", ".tiff"}:
            beside = [target.with_name(target.name + end) for end in _APPENDED]
            beside += [target.with_suffix(end) for end in _REPLACED]
            found += [path for path in beside if path.exists() and path not in targets]
    return found


def _to_disk(path: Path) -> None:
    """Have the system write a file or the names in a folder to the disk: a rename may reach it before they do."""
    try:
        handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_WRONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:  # some file systems cannot; others find only now that there is no room
        if error.errno in (*_FULL, errno.EIO):
            raise OutputError(f"cannot write {_final(path)} ({error.strerror})", fix=NO_ROOM) from error


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"cannot make the folder {folder} ({error.strerror})", fix="choose a folder you can write to"
        ) from error
    if not os.access(folder, os.W_OK):
        raise OutputError(f"cannot write into {folder}", fix="choose a folder you can write to")
