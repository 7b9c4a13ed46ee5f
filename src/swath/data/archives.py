"""Read files of a folder or a zip archive.

Archives come from anywhere, so :func:`open_patches` checks their directory before anything is read; a folder is
trusted, but names from an index must not lead outside it.
"""

from __future__ import annotations

import hashlib
import os
import stat
import struct
import threading
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from swath.data.encodings import ENCODINGS, guess_encoding
from swath.data.filenames import (
    BROKEN,
    EMPTY,
    MAX_DEPTH,
    SPECIAL,
    SYSTEM,
    Listing,
    is_image_name,
    is_system,
    is_unusual,
    safe_name,
)
from swath.errors import DataError, MissingFileError

MAX_MEMBERS = 5_000_000
# Deflate reaches 1032:1 on zeros; images never come near it, and small files can do no harm.
MAX_RATIO = 200
RATIO_FREE_BYTES = 16 * 2**20
_LOCAL_HEADER = struct.Struct("<4s22xHH")  # signature, ..., length of name, length of extra field
_ENCRYPTED = 0x1
MAX_FILE_BYTES = 2**30  # of one image, unpacked
_UTF8 = 0x800


class PatchReader(ABC):
    """Read access to the files beneath one root; a context manager, safe with several threads."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @abstractmethod
    def listing(self) -> Listing:
        """List all files, those that are never opened with the reason; none is opened."""

    def names(self) -> list[str]:
        """Names of the files that can be read, relative to the root with forward slashes, sorted."""
        return list(self.listing().names)

    @abstractmethod
    def read(self, path: str) -> bytes:
        """Bytes of one file.

        Raises
        ------
        MissingFileError
            If there is no such file.
        DataError
            If the name leads outside the root, or the file is too large or damaged.
        """

    def read_unchanged(self, path: str, sha256: str) -> bytes:
        """Bytes of one file that an index lists with this hexadecimal SHA-256.

        Raises
        ------
        DataError
            As :meth:`read`, or if the file has changed since it was indexed.
        """
        data = self.read(path)
        if hashlib.sha256(data).hexdigest() != sha256:
            raise DataError(f"{path} has changed since it was indexed", fix="run swath data index again")
        return data

    def close(self) -> None:  # noqa: B027  (a folder has nothing to close)
        """Close open files."""

    def __enter__(self) -> PatchReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class ZipReader(PatchReader):
    """A zip archive: its directory is read and checked once, members are then read by position.

    One handle behind a lock serves all threads: a read takes microseconds, and unpacking and
    decoding, which take longer, happen outside the lock.

    Parameters
    ----------
    root : Path
        The archive.
    encoding : str, optional
        One of :data:`swath.data.encodings.ENCODINGS`, for names of which the archive does not say it. By default it is
        guessed from all of them. A file listed by its name in another of these encodings is found all the same.

    Raises
    ------
    DataError
        If the archive is damaged, or unsafe as :func:`swath.data.open_patches` lists.
    """

    def __init__(self, root: Path, encoding: str | None = None) -> None:
        super().__init__(root)
        directory = _checked_members(root, encoding)
        self._members, self._folders, self._unmarked = directory.members, directory.folders, directory.unmarked
        self.guessed = directory.encoding if encoding is None and directory.encoding != "utf-8" else None
        self._lock = threading.Lock()
        self._file = root.open("rb")

    def listing(self) -> Listing:
        """All members; see :class:`PatchReader`."""
        names, left_out = [], []
        for name in self._members:
            if not any(map(is_system, name.split("/"))):
                names.append(name)
            elif is_image_name(name):
                left_out.append((name, SYSTEM))
        used = {str(parent) for name in (*self._members, *self._folders) for parent in PurePosixPath(name).parents}
        empty = [one for one in self._folders if one not in used and not any(map(is_system, one.split("/")))]
        return Listing(tuple(sorted(names)), tuple(sorted(left_out)), tuple(sorted(empty)))

    def read(self, path: str) -> bytes:
        """Bytes of one member, its checksum verified; see :class:`PatchReader`."""
        member = self._members.get(path) or self._by_other_encoding(path)
        if member is None:
            raise MissingFileError(f"{self.root} has no member {path}")
        try:
            data = self._packed(member)
        except OSError as error:
            raise DataError(f"cannot read {path} of {self.root} ({error.strerror})") from error
        if data is not None and member.compress_type == zipfile.ZIP_DEFLATED:
            data = _inflated(data, member.file_size)
        if data is None or len(data) != member.file_size or zlib.crc32(data) != member.CRC:
            raise DataError(f"{self.root} is damaged at {path}", fix="copy or download it again")
        return data

    def _by_other_encoding(self, path: str) -> zipfile.ZipInfo | None:
        for encoding in ENCODINGS if self._unmarked else ():
            try:
                found = self._unmarked.get(path.encode(encoding))
            except UnicodeEncodeError:
                continue
            if found is not None:
                return found
        return None

    def close(self) -> None:
        """Close the archive."""
        self._file.close()

    def _packed(self, member: zipfile.ZipInfo) -> bytes | None:
        """Packed bytes of a member; ``None`` if they are not where the directory says."""
        fixed = _LOCAL_HEADER.size
        # The extra field here may be longer than in the directory: read a little more than expected.
        guess = fixed + 4 * len(member.orig_filename) + len(member.extra) + 64 + member.compress_size
        with self._lock:
            self._file.seek(member.header_offset)
            block = self._file.read(guess)
            if len(block) < fixed:
                return None
            signature, name_length, extra_length = _LOCAL_HEADER.unpack_from(block)
            start = fixed + name_length + extra_length
            end = start + member.compress_size
            if end > len(block):
                block += self._file.read(end - len(block))
        return block[start:end] if signature == b"PK\x03\x04" and len(block) >= end else None


def _inflated(packed: bytes, size: int) -> bytes | None:
    """Unpack at most one byte more than `size`."""
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, size + 1)
    except zlib.error:
        return None


@dataclass(frozen=True)
class _Directory:
    """Members of an archive by plain name, its folders, and members whose names are in no stated encoding, by those."""

    members: dict[str, zipfile.ZipInfo]
    folders: tuple[str, ...]
    unmarked: dict[bytes, zipfile.ZipInfo]
    encoding: str


def _checked_members(root: Path, encoding: str | None) -> _Directory:
    """Read the directory of an archive, refusing whatever :func:`swath.data.open_patches` lists."""
    try:
        with zipfile.ZipFile(root) as archive:
            infos = archive.infolist()
    except OSError as error:
        raise DataError(f"cannot read {root} ({error.strerror})") from error
    except (zipfile.BadZipFile, NotImplementedError, struct.error, ValueError) as error:
        raise DataError(f"{root} is not a zip archive, or is damaged ({error})") from error
    if len(infos) > MAX_MEMBERS:
        raise DataError(f"{root} has {len(infos)} members; at most {MAX_MEMBERS} are read")
    # Members that share bytes unpack to more than an archive of its size could hold.
    if sum(info.compress_size for info in infos) > root.stat().st_size:
        raise DataError(f"{root} is unsafe: its members overlap", fix="pack it again")
    unmarked = {raw: info for info in infos if (raw := _raw_name(info)) is not None}
    if encoding is None:
        encoding = guess_encoding(list(unmarked))
    members: dict[str, zipfile.ZipInfo] = {}
    folders: set[str] = set()
    for info in infos:
        name = _plain_name(info, encoding, root)
        if _is_folder(info):
            folders |= {name} - {""}
        elif name in members:
            raise DataError(f"{root} is unsafe: it has two members named {name}", fix="pack it again")
        else:
            members[name] = info
    return _Directory(members, tuple(folders), unmarked, encoding or "utf-8")


def _is_folder(info: zipfile.ZipInfo) -> bool:
    """Whether a member is a folder; a name may be empty, where ``ZipInfo.is_dir`` raises IndexError."""
    return info.filename.endswith("/")


def _plain_name(info: zipfile.ZipInfo, encoding: str | None, root: Path) -> str:
    """Checked name of a member; empty for the folder itself, as some packers list it."""
    given = _decoded_name(info, encoding, root)
    if _is_folder(info) and not given.strip("./"):
        return ""
    name = safe_name(given)
    if name is None:
        raise DataError(
            f"{root} is unsafe: member {info.orig_filename!r} leads outside the archive", fix="pack it again"
        )
    if is_unusual(name):
        raise DataError(f"a name in {root} has unusual characters: {name!r}", fix="rename it, and pack it again")
    mismatch = _mismatch(info)
    if mismatch is not None:
        raise DataError(f"{root} is unsafe: member {name} {mismatch}", fix="pack it again without that")
    if name.count("/") > MAX_DEPTH:
        raise DataError(f"{root} holds a name of more than {MAX_DEPTH} folders: {name[:40]}...", fix="pack it again")
    return name


def _raw_name(info: zipfile.ZipInfo) -> bytes | None:
    """Name of a member as its bytes, if they are not all ASCII and no encoding is stated for them.

    Many packers write UTF-8 or the code page of their system without saying so, which zipfile reads as code page 437.
    """
    if info.flag_bits & _UTF8 or info.orig_filename.isascii():
        return None
    try:
        return info.orig_filename.encode("cp437")
    except UnicodeEncodeError:
        return None


def _decoded_name(info: zipfile.ZipInfo, encoding: str | None, root: Path) -> str:
    """Name of a member; `encoding` is that of names which do not say it.

    Raises
    ------
    DataError
        If it is not in `encoding`, or that is not known.
    """
    raw = _raw_name(info)
    if raw is None:
        return info.orig_filename
    try:
        return raw.decode(encoding or "ascii")
    except UnicodeDecodeError:
        what = f"is not in {encoding}" if encoding else "is in no encoding that could be guessed"
        raise DataError(
            f"the name {raw!r} in {root} {what}",
            fix="give another with swath data index --zip-encoding, or pack it again with names in UTF-8",
        ) from None


def _mismatch(info: zipfile.ZipInfo) -> str | None:
    """What makes a member unsafe, if anything."""
    too_dense = info.file_size > RATIO_FREE_BYTES and info.file_size > MAX_RATIO * info.compress_size
    problems = {
        "is a link": stat.S_ISLNK(info.external_attr >> 16),
        "is encrypted": bool(info.flag_bits & _ENCRYPTED),
        "is packed by a method other than store and deflate": info.compress_type
        not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED),
        f"unpacks to more than {MAX_FILE_BYTES // 2**20} MiB": info.file_size > MAX_FILE_BYTES,
        f"unpacks to more than {MAX_RATIO} times its packed size": too_dense,
    }
    return next((mismatch for mismatch, present in problems.items() if present), None)


class FolderReader(PatchReader):
    """A folder; links in it are followed, since whoever made the folder put them there."""

    def listing(self) -> Listing:
        """All files; see :class:`PatchReader`."""
        names: list[str] = []
        left_out: list[tuple[str, str]] = []
        empty: list[str] = []
        for name, reason in _walk(self.root, "", ()):
            if reason is None:
                names.append(name)
            elif reason == EMPTY:
                empty.append(name)
            else:
                left_out.append((name, reason))
        return Listing(tuple(sorted(names)), tuple(sorted(left_out)), tuple(sorted(empty)))

    def read(self, path: str) -> bytes:
        """Bytes of one file; see :class:`PatchReader`."""
        if safe_name(path) != path:
            raise DataError(f"{path!r} is not a plain path within {self.root}")
        return read_file(self.root / path)


def is_folder(path: Path) -> bool:
    """Whether a path is a folder rather than a readable file.

    Raises
    ------
    MissingFileError
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
        raise MissingFileError(f"there is no file or folder {path}") from None
    except OSError as error:
        raise DataError(f"cannot read {path} ({error.strerror})") from error
    if not stat.S_ISDIR(mode):
        raise DataError(f"{path} is neither a file nor a folder")
    return True


def read_file(path: Path) -> bytes:
    """Bytes of a regular file of at most :data:`MAX_FILE_BYTES`.

    Raises
    ------
    MissingFileError
        If there is no such file.
    DataError
        If it is no regular file, too large, or cannot be read.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise DataError(f"{path} is not a file")
        if status.st_size > MAX_FILE_BYTES:
            raise DataError(f"{path} is larger than {MAX_FILE_BYTES // 2**20} MiB", fix="split it into patches")
        return path.read_bytes()
    except FileNotFoundError:
        raise MissingFileError(f"there is no file {path}") from None
    except OSError as error:
        raise DataError(f"cannot read {path} ({error.strerror})") from error


def _walk(folder: Path, prefix: str, above: tuple[tuple[int, int], ...]) -> Iterator[tuple[str, str | None]]:
    """Names of files beneath `folder`, with the reason of those never to be opened, and of empty folders.

    Links are followed, but never back into a folder above.
    """
    if len(above) > MAX_DEPTH:
        raise DataError(f"{folder} lies more than {MAX_DEPTH} folders deep", fix="give a folder further down")
    try:
        status = folder.stat()
        here = (status.st_dev, status.st_ino)
        if here in above:
            return
        with os.scandir(folder) as entries:
            listed = [(entry.name, entry.is_dir(), entry.is_file(), entry.is_symlink()) for entry in entries]
    except OSError as error:
        raise DataError(f"cannot list {folder} ({error.strerror})") from error
    if not listed:
        yield prefix.rstrip("/"), EMPTY
    for name, has_files, is_file, is_link in sorted(listed):
        if is_system(name):
            yield from ((hidden, SYSTEM) for hidden in _hidden_images(folder / name, prefix + name, has_files))
            continue
        if "\\" in name or is_unusual(name):  # undecodable bytes are unusual, too
            raise DataError(f"a name in {folder} has unusual characters: {name!r}", fix="rename it")
        if has_files:
            yield from _walk(folder / name, f"{prefix}{name}/", (*above, here))
        elif is_file:
            yield prefix + name, None
        else:
            yield prefix + name, BROKEN if is_link and not (folder / name).exists() else SPECIAL


def _hidden_images(path: Path, name: str, has_files: bool) -> Iterator[str]:
    """Names of images in a folder, or of the file, that a system made; links in it are not followed."""
    if not has_files:
        yield from [name] if is_image_name(name) else []
        return
    for folder, _, files in os.walk(path):
        inner = Path(folder).relative_to(path.parent).as_posix()
        yield from (f"{name[: -len(path.name)]}{inner}/{file}" for file in files if is_image_name(file))


def open_patches(root: Path, *, zip_encoding: str | None = None) -> PatchReader:
    """Open a folder or zip archive of patches.

    Parameters
    ----------
    root : Path
        The folder or archive.
    zip_encoding : str, optional
        Encoding of the names in an archive that does not say it; by default it is guessed.

    Raises
    ------
    DataError
        If `root` is neither, or the archive is damaged or unsafe: members with ``..``, absolute
        paths or drive letters, links, encrypted members, members that overlap or share a name, or
        that unpack to more than 1 GiB or (above 16 MiB) more than 200 times their packed size.
    """
    return FolderReader(root) if is_folder(root) else ZipReader(root, zip_encoding)


def guessed_names(reader: PatchReader) -> list[str]:
    """Say so if the names of an archive are in a guessed encoding."""
    guessed = reader.guessed if isinstance(reader, ZipReader) else None
    if guessed is None:
        return []
    return [
        f"{reader.root} does not say how its names are encoded; they were read as {guessed}, which is a guess: if they "
        "look wrong, give swath data index --zip-encoding"
    ]
