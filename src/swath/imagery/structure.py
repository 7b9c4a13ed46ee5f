"""What the structure of a TIFF or JPEG 2000 file shows before GDAL reads it: parts that are not there.

GDAL gives zeros for tiles that a JPEG 2000 file lacks, and libtiff writes on standard error of a directory beyond the
end of a file.
"""

from __future__ import annotations

import os
import struct
from typing import BinaryIO

from swath.errors import DataError

_SIZ, _SOT = 0xFF51, 0xFF90
_BARE = 0xFF4FFF51  # the first two markers of a codestream that is in no box
_MAX_TILES = 65_535
_MAX_BOXES = 10_000


def check_structure(stream: BinaryIO, kind: str, *, name: str) -> None:
    """Refuse a file without some of its parts; rewinds.

    Parameters
    ----------
    stream : file
        Opened for reading, at its beginning.
    kind : str
        As :func:`swath.imagery.decode.kind_of` says; others than ``TIFF`` and ``JPEG 2000`` pass.
    name : str
        Of the file, for messages.

    Raises
    ------
    DataError
        If the first directory of a TIFF is not in it, or a JPEG 2000 file lacks tiles.
    """
    missing = None
    try:
        if kind == "TIFF":
            missing = _missing_directory(stream)
        elif kind == "JPEG 2000":
            missing = _missing_tiles(stream)
    except (struct.error, ZeroDivisionError, ValueError, OverflowError, OSError):
        missing = "its header ends early"
    stream.seek(0)
    if missing is not None:
        raise DataError(f"{name} is a damaged or cut-short {kind} file ({missing})", fix="replace it or leave it out")


def _missing_directory(stream: BinaryIO) -> str | None:
    """TIFF 6.0 section 2, and BigTIFF."""
    head = stream.read(16).ljust(16, b"\0")
    order = "<" if head[:2] == b"II" else ">"
    big = struct.unpack_from(f"{order}H", head, 2)[0] == 43
    start = struct.unpack_from(f"{order}{'Q' if big else 'I'}", head, 8 if big else 4)[0]
    return None if 8 <= start < stream.seek(0, os.SEEK_END) else "its first directory is not in it"


def _missing_tiles(stream: BinaryIO) -> str | None:
    """Count the tiles that have a part in the codestream (ISO/IEC 15444-1, annexes A.4, A.5 and I)."""
    at = _codestream(stream)
    stream.seek(at + 2)
    marker, length = struct.unpack(">HH", stream.read(4))
    if marker != _SIZ:
        return "its codestream does not say its size"
    width, height, _, _, across, down, left, top = struct.unpack_from(">8I", stream.read(length - 2), 2)
    wanted = -(-(width - left) // across) * -(-(height - top) // down)
    at += 4 + length
    found: set[int] = set()
    if not 0 < wanted <= _MAX_TILES:
        return f"it says it has {wanted:,} tiles"
    while len(found) < wanted:
        stream.seek(at)
        segment = stream.read(12)
        if len(segment) < 12:
            break
        marker, length, tile, part = struct.unpack_from(">HHHI", segment)
        if marker == _SOT:
            found.add(tile)
            if not part:  # the last one reaches to the end
                break
            at += max(part, 12)
        elif found:
            break  # the end, or no tile where one should begin
        else:
            at += 2 + max(length, 2)
    return None if len(found) >= wanted else f"it holds {len(found):,} of its {wanted:,} tiles"


def _codestream(stream: BinaryIO) -> int:
    """Where the codestream begins: at once, or in its box."""
    at = 0
    for _ in range(_MAX_BOXES):
        stream.seek(at)
        length, kind, long = struct.unpack(">I4sQ", stream.read(16))
        if length == _BARE:
            return at
        if kind == b"jp2c":
            return at + (16 if length == 1 else 8)
        size = long if length == 1 else length
        if size < 8:
            break
        at += size
    raise ValueError
