"""Files that a table lists, found where they are: absolute paths, paths of another machine, and names alone."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path, PurePosixPath

from swath.data.filenames import is_image_name, safe_name
from swath.errors import DataError

_CANDIDATES = 50  # files of one name whose place is tried


def relative_to_common(given: Sequence[str], *, start: Path, root: Path | None) -> tuple[Path, list[str]]:
    """Paths, absolute or from `start`, relative to `root` or else the deepest folder that holds all of them.

    Raises
    ------
    DataError
        If they lie on several drives.
    """
    paths = [os.path.abspath(start / path) for path in given]  # noqa: PTH100
    try:
        base = root or Path(os.path.commonpath([os.path.dirname(path) for path in paths]))  # noqa: PTH120
        return base, [
            Path(os.path.relpath(path, base)).as_posix() if name else ""
            for name, path in zip(given, paths, strict=True)
        ]
    except ValueError:
        raise DataError("the paths of the table lie on several drives", fix="copy them into one folder") from None


def is_there(path: Path) -> bool:
    """Whether there is such a file; there is none of a name that no file can have."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def match_paths(
    given: Sequence[str], *, folder: str, names: Collection[str], where: str
) -> tuple[list[str], list[str]]:
    """Find the files that a table lists, relative to their root, where its paths were written elsewhere.

    Where most paths lead nowhere, one of two rules is taken for all: names alone, with their suffix or without, are
    looked for in all folders; in longer paths the beginning is replaced that makes files of them.

    Parameters
    ----------
    given : sequence of str
        Paths as they stand in the table.
    folder : str
        Folder of the table relative to the root.
    names : collection of str
        Files there are, relative to the root.
    where : str
        The table, for messages.

    Returns
    -------
    tuple of list of str and list of str
        A path for each, of no file where none was found; and a note if they were looked for.

    Raises
    ------
    DataError
        If a name fits several files.
    """
    plain = [safe_name(path) or _without_root(path) for path in given]
    # A path that leads nowhere by its form stays as it is: whoever validates it says so.
    direct = [f"{folder}/{path}" if folder and path else path or is_ for path, is_ in zip(plain, given, strict=True)]
    missing = [path for path, at in zip(plain, direct, strict=True) if path and at not in names]
    if 2 * len(missing) <= len(given):
        return direct, []
    ends: dict[str, list[str]] = defaultdict(list)
    for name in names:
        if is_image_name(name):
            last = PurePosixPath(name)
            ends[last.name.casefold()].append(name)
            ends[last.stem.casefold()].append(name)
    if any("/" in path for path in missing):
        found = _rebased(plain, ends, names)
    else:
        found = dict.fromkeys(missing)
        for path in found:
            fitting = sorted(set(ends.get(path.casefold(), ())))
            if len(fitting) > 1:
                raise DataError(
                    f"{where}: {path} fits {len(fitting)} images ({', '.join(fitting[:2])})",
                    fix="give paths relative to the table",
                )
            found[path] = fitting[0] if fitting else None
    paths = [found.get(path) or at for path, at in zip(plain, direct, strict=True)]
    moved = [
        (path, at) for path, at in zip(given, paths, strict=True) if found.get(safe_name(path) or _without_root(path))
    ]
    if not moved:
        return direct, []
    return paths, [f"{len(moved):,} paths of {where} were found elsewhere: {moved[0][0]} is {moved[0][1]}"]


def _rebased(plain: Sequence[str], ends: Mapping[str, Sequence[str]], names: Collection[str]) -> dict[str, str | None]:
    """Files for paths by the one change of their beginning, and suffix, that fits most of them."""
    first = PurePosixPath(next(path for path in plain if "/" in path))
    best: dict[str, str | None] = {}
    for name in sorted(set(ends.get(first.name.casefold(), ())))[:_CANDIDATES]:
        file = PurePosixPath(name)
        suffix = "" if first.suffix.lower() == file.suffix.lower() else file.suffix
        tail = 1
        while tail < min(len(first.parts), len(file.parts)) and first.parts[-tail - 1] == file.parts[-tail - 1]:
            tail += 1
        old, new = first.parts[:-tail], file.parts[:-tail]
        there = "/".join(new) + "/" if new else ""
        gone = "/".join(old) + "/" if old else ""
        moved = {p: there + p.removeprefix(gone) + suffix for p in plain if p.startswith(gone)}
        fits = {p: at for p, at in moved.items() if at in names}
        if len(fits) > len(best):
            best = dict(fits)
    return best


def _without_root(path: str) -> str:
    """An absolute path, of this system or another one, without its root; empty if it leads up or is no such path."""
    plain = path.replace("\\", "/")
    drive = re.match("[A-Za-z]:/", plain)
    if "\0" in plain or not (drive or plain.startswith("/")):
        return ""
    parts = [part for part in plain[drive.end() if drive else 0 :].split("/") if part not in ("", ".")]
    return "" if ".." in parts else "/".join(parts)
