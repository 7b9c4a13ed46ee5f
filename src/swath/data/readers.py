"""Read access to the files beneath a root, and to a plain folder as the simplest root."""

from __future__ import annotations

import os
import re
import stat
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from swath.errors import DataError
from swath.imagery import SUFFIXES

MAX_FILE_BYTES = 2**30  # of one image, unpacked
_DRIVE = re.compile(r"[A-Za-z]:([\\/]|$)")


class MissingPatchError(DataError):
    """A file that was named is not there."""


class PatchReader(ABC):
    """Read access to the files beneath one root; a context manager, usable from several threads."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @abstractmethod
    def names(self) -> list[str]:
        """Names of all files but hidden ones, relative to the root with forward slashes, sorted."""

    @abstractmethod
    def read(self, path: str) -> bytes:
        """Bytes of one file.

        Raises
        ------
        MissingPatchError
            If there is no such file.
        DataError
            If the name leads outside the root, or the file is too large or damaged.
        """

    def close(self) -> None:  # noqa: B027  (a folder has nothing to close)
        """Let go of open files."""

    def __enter__(self) -> PatchReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class FolderReader(PatchReader):
    """A folder; links in it are followed, since whoever made the folder put them there."""

    def names(self) -> list[str]:
        """Names of all files; see :class:`PatchReader`."""
        found: list[str] = []
        _walk(self.root, "", (), found.append)
        return sorted(found)

    def read(self, path: str) -> bytes:
        """Bytes of one file; see :class:`PatchReader`."""
        if safe_name(path) != path:
            raise DataError(f"{path!r} is not a plain path within {self.root}")
        return read_file(self.root / path)


def safe_name(name: str) -> str | None:
    """Plain form of a relative path (``a/b.jpg``), or ``None`` if it could lead outside its root."""
    plain = PurePosixPath(name.replace("\\", "/"))
    if not plain.parts or plain.is_absolute() or ".." in plain.parts or "\0" in name:
        return None
    # "./C:" is plain only once its dot is gone: the drive is looked for in what will be used.
    return None if _DRIVE.match(plain.as_posix()) else plain.as_posix()


def is_image_name(name: str) -> bool:
    """Whether the suffix of `name` is one of an image."""
    return PurePosixPath(name).suffix.lower() in SUFFIXES


def is_hidden(part: str) -> bool:
    """Whether a file or folder of that name is housekeeping of an operating system."""
    return part.startswith(".") or part == "__MACOSX"


def is_folder(path: Path) -> bool:
    """Tell a folder from a file that can be read.

    Raises
    ------
    MissingPatchError
        If there is nothing at `path`.
    DataError
        If it is neither, or cannot be read.
    """
    try:
        mode = path.stat().st_mode
        if stat.S_ISREG(mode):
            with path.open("rb"):
                return False
    except FileNotFoundError:
        raise MissingPatchError(f"there is no file or folder {path}") from None
    except OSError as error:
        raise DataError(f"cannot read {path} ({error.strerror})") from error
    if not stat.S_ISDIR(mode):
        raise DataError(f"{path} is neither a file nor a folder")
    return True


def read_file(path: Path) -> bytes:
    """Bytes of a regular file of at most :data:`MAX_FILE_BYTES`.

    Raises
    ------
    MissingPatchError
        If there is no such file.
    DataError
        If it is no regular file, too large, or cannot be read.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise DataError(f"{path} is not a file")
        if status.st_size > MAX_FILE_BYTES:
            raise DataError(f"{path} is larger than {MAX_FILE_BYTES // 2**20} MiB", fix="cut it into patches")
        return path.read_bytes()
    except FileNotFoundError:
        raise MissingPatchError(f"there is no file {path}") from None
    except OSError as error:
        raise DataError(f"cannot read {path} ({error.strerror})") from error


def _walk(
    folder: Path, prefix: str, above: tuple[tuple[int, int], ...], found: Callable[[str], None]
) -> None:
    """Report files beneath `folder`; links are followed, but never back into a folder above."""
    try:
        status = folder.stat()
        here = (status.st_dev, status.st_ino)
        if here in above:
            return
        with os.scandir(folder) as entries:
            listed = [(entry.name, entry.is_dir(), entry.is_file()) for entry in entries]
    except OSError as error:
        raise DataError(f"cannot list {folder} ({error.strerror})") from error
    for name, has_files, is_file in listed:
        if is_hidden(name):
            continue
        if "\\" in name or not name.isprintable():  # undecodable bytes are not printable either
            raise DataError(f"a name in {folder} has unusual characters: {name!r}", fix="rename it")
        if has_files:
            _walk(folder / name, f"{prefix}{name}/", (*above, here), found)
        elif is_file:
            found(prefix + name)
