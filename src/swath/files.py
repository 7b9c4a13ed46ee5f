"""Writing that never leaves half a file behind under its final name, and naming what a file is instead of itself.

Outputs are checked before any work is done, written under a temporary name, and renamed when they are whole.
:func:`mistaken_content` recognizes what downloads and repositories leave in the place of a file.
"""

from __future__ import annotations

import contextlib
import csv
import errno
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from swath.errors import OutputError

NO_ROOM = "make room there or choose a place on another disk, then run the command again (a training with --resume)"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # no space, a quota, or a limit on the size of files
SNIFFED_BYTES = 4096
_AGAIN = "download the file itself"
_CONTAINERS = {
    b"\x1f\x8b": ("gzip", "unpack it first: gunzip FILE"),
    b"BZh": ("bzip2", "unpack it first: bunzip2 FILE"),
    b"\xfd7zXZ\x00": ("xz", "unpack it first: unxz FILE"),
    b"\x28\xb5\x2f\xfd": ("zstd", "unpack it first: unzstd FILE"),
    b"7z\xbc\xaf\x27\x1c": ("7-Zip", "unpack it first"),
    b"Rar!\x1a\x07": ("RAR", "unpack it first"),
}
_TEXTS = (  # how it begins, what it is, and what to do
    (
        r"version https://git-lfs\.github\.com/spec",
        "a Git LFS pointer, not the file itself",
        "run git lfs pull in its repository",
    ),
    (
        r"(\.\./)*(\.git|/)annex/objects/",
        "a git-annex pointer, not the file itself",
        "run git annex get in its repository",
    ),
    (r"outs:.*md5:", "a DVC pointer, not the file itself", "run dvc pull in its repository"),
    (
        r"(<!--.*?-->\s*)?(<\?xml[^>]*>\s*)?<(!doctype html|html|head|body|script|title)\b",
        "a web page (HTML), such as a page to log in or of an error",
        _AGAIN,
    ),
    (r"<", "XML text of a server or a program", _AGAIN),
    (r"[{\[]", "JSON text of a server or a program", _AGAIN),
)

_PATH = re.compile(r"[ -~]*[/\\][ -~]*\.[A-Za-z0-9]{2,5}\s*")


def mistaken_content(head: bytes) -> tuple[str, str] | None:
    """What the first bytes of a file show it to be, where it is no file of numbers at all.

    Parameters
    ----------
    head : bytes
        The first :data:`SNIFFED_BYTES`, or all there are.

    Returns
    -------
    tuple of (str, str) or None
        What it is, to follow the file's name, and what to do; ``None`` if it is none of these.

    Examples
    --------
    >>> mistaken_content(b"version https://git-lfs.github.com/spec/v1\\noid sha256:ab\\nsize 9")
    ('is a Git LFS pointer, not the file itself', 'run git lfs pull in its repository')
    """
    if not head:
        return "is an empty file", _AGAIN + " again"
    for mark, (kind, fix) in _CONTAINERS.items():
        if head.startswith(mark):
            return f"is packed with {kind}", fix
    if head[257:262] == b"ustar":
        return "is a tar archive", "unpack it first: tar xf FILE"
    text = _as_text(head)
    if text is None:
        return None
    start = text.lstrip().lower()
    found = next(((what, fix) for sign, what, fix in _TEXTS if re.match(sign, start, re.DOTALL)), None)
    if found is None and _PATH.fullmatch(text):
        return "holds a path, as a link does that was copied as text", "copy the file it names"
    what, fix = found or ("text", _AGAIN)
    shown = "" if "," in what else f": {' '.join(text.split())[:60]}"
    return f"is {what}{shown}", fix


def _as_text(head: bytes) -> str | None:
    """The bytes as text if they are, in UTF-8 or in UTF-16 with a byte order mark; else None."""
    encoding = "utf-16" if head.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        text = head.decode(encoding)
    except UnicodeDecodeError as error:
        if len(head) < SNIFFED_BYTES or error.start < len(head) - 4:
            return None
        text = head[: error.start].decode(encoding)  # cut in the middle of a letter
    return text if text.strip() and all(c.isprintable() or c in "\r\n\t\f\v" for c in text) else None


def check_output(path: Path, *, overwrite: bool = False) -> None:
    """Refuse an output that exists or cannot be written, before any work is done.

    Raises
    ------
    OutputError
        If `path` exists and `overwrite` is false, is a folder, or its folder is not writable.
    """
    if path.is_dir():
        raise OutputError(f"{path} is a folder", fix="give the name of a file")
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
    if path.exists() and not path.is_dir():
        raise OutputError(f"{path} is a file", fix="give the name of a folder")
    for kept in (Path.cwd(), Path.home(), *keep):
        if path.exists() and kept.resolve().is_relative_to(path.resolve()):
            raise OutputError(f"{path} is not replaced, because it holds {kept}", fix="give the name of a new folder")
    if path.is_dir() and any(path.iterdir()) and not overwrite:
        raise OutputError(
            f"{path} exists already and is not empty",
            fix="choose another name, or pass --overwrite to throw away all it holds",
        )
    _make_folder(path.parent)


@contextlib.contextmanager
def atomic_file(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Yield a temporary path next to `path`; rename it to `path` if the block ends well.

    The temporary name keeps the suffix (writers that look at it keep working), starts with a dot,
    and is removed if the block raises. A killed process can leave only the temporary file.

    Raises
    ------
    OutputError
        As :func:`check_output`, or if the disk is full.
    """
    check_output(path, overwrite=overwrite)
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}.", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        # Writing into an open file names no file, and some libraries give the number in their text alone.
        number = error.errno or next((n for n in _FULL if f"[errno {n}]" in str(error).lower()), None)
        if number not in _FULL:
            raise
        raise OutputError(f"cannot write {path} ({os.strerror(number)})", fix=NO_ROOM) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write text in UTF-8 under a temporary name and rename it to `path`, in place of what was there."""
    with atomic_file(path, overwrite=True) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextlib.contextmanager
def atomic_folder(path: Path, *, overwrite: bool = False, keep: Sequence[Path] = ()) -> Iterator[Path]:
    """Yield a temporary folder next to `path`; rename it to `path` if the block ends well.

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
        As :func:`check_folder`.
    """
    check_folder(path, overwrite=overwrite, keep=keep)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    temporary.chmod(0o755)
    try:
        yield temporary
        _swap(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _swap(new: Path, path: Path) -> None:
    """Put the folder `new` in the place of `path`; the old one is removed when the new one is there."""
    if not path.exists():
        new.replace(path)
        return
    place = path.resolve()  # a link to a folder stays a link
    try:
        old = Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=place.parent))
        place.replace(old)
    except OSError as error:
        raise OutputError(f"cannot replace {path} ({error.strerror})", fix="give the name of a new folder") from error
    try:
        shutil.move(new, place)  # a link may lead to another disk
    except OSError:
        old.replace(place)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"cannot make the folder {folder} ({error.strerror})", fix="choose a folder you can write to"
        ) from error
    if not os.access(folder, os.W_OK):
        raise OutputError(f"cannot write into {folder}", fix="choose a folder you can write to")


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a table as CSV in UTF-8, a line per row."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
