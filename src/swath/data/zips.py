"""Read access to a zip archive that may have been made to do harm."""

from __future__ import annotations

import stat
import struct
import threading
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from swath.data.readers import MAX_FILE_BYTES, MissingPatchError, PatchReader, is_hidden, safe_name
from swath.errors import DataError

MAX_MEMBERS = 5_000_000
# Deflate reaches 1032:1 on zeros; images never come near it, and small files can do no harm.
MAX_RATIO = 200
RATIO_FREE_BYTES = 16 * 2**20
_LOCAL_HEADER = struct.Struct("<4s22xHH")  # signature, ..., length of name, length of extra field
_ENCRYPTED = 0x1


class ZipReader(PatchReader):
    """A zip archive: its directory is read and checked once, members are then read by position.

    One handle behind a lock serves all threads: a read takes microseconds, and unpacking and
    decoding, which take longer, happen outside the lock.

    Raises
    ------
    DataError
        If the archive is damaged, or unsafe as :func:`swath.data.open_patches` lists.
    """

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self._members = _checked_members(root)
        self._lock = threading.Lock()
        self._file = root.open("rb")

    def names(self) -> list[str]:
        """Names of all members; see :class:`PatchReader`."""
        return sorted(
            name for name in self._members if not any(is_hidden(part) for part in PurePosixPath(name).parts)
        )

    def read(self, path: str) -> bytes:
        """Bytes of one member, its checksum verified; see :class:`PatchReader`."""
        member = self._members.get(path)
        if member is None:
            raise MissingPatchError(f"{self.root} has no member {path}")
        data = self._packed(member)
        if data is not None and member.compress_type == zipfile.ZIP_DEFLATED:
            data = _inflated(data, member.file_size)
        if data is None or len(data) != member.file_size or zlib.crc32(data) != member.CRC:
            raise DataError(f"{self.root} is damaged at {path}", fix="copy or download it again")
        return data

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


def _checked_members(root: Path) -> dict[str, zipfile.ZipInfo]:
    """Members of an archive by plain name, refusing whatever :func:`swath.data.open_patches` lists."""
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
        raise DataError(f"{root} is unsafe: its members overlap", fix="pack it anew")
    members: dict[str, zipfile.ZipInfo] = {}
    for info in infos:
        told = _name(info)
        if info.is_dir() and not told.strip("./"):  # the folder itself, as some packers list it
            continue
        name = safe_name(told)
        if name is None:
            raise DataError(
                f"{root} is unsafe: member {info.orig_filename!r} leads outside the archive",
                fix="pack it anew",
            )
        fault = _fault(info)
        if fault is not None:
            raise DataError(f"{root} is unsafe: member {name} {fault}", fix="pack it anew without that")
        if name in members:
            raise DataError(f"{root} is unsafe: it has two members named {name}", fix="pack it anew")
        if not info.is_dir():
            members[name] = info
    return members


def _name(info: zipfile.ZipInfo) -> str:
    """Its name: many packers write UTF-8 without the flag that says so, which is read as the old PC's letters."""
    if info.flag_bits & 0x800:
        return info.orig_filename
    try:
        return info.orig_filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return info.orig_filename


def _fault(info: zipfile.ZipInfo) -> str | None:
    """Say what is wrong with one member, if anything."""
    too_dense = info.file_size > RATIO_FREE_BYTES and info.file_size > MAX_RATIO * info.compress_size
    faults = {
        "is a link": stat.S_ISLNK(info.external_attr >> 16),
        "is encrypted": bool(info.flag_bits & _ENCRYPTED),
        "is packed by a method other than store and deflate": info.compress_type
        not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED),
        f"unpacks to more than {MAX_FILE_BYTES // 2**20} MiB": info.file_size > MAX_FILE_BYTES,
        f"unpacks to more than {MAX_RATIO} times its packed size": too_dense,
    }
    return next((fault for fault, present in faults.items() if present), None)
