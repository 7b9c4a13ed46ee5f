"""The EXIF / TIFF orientation tag: find it, and turn pixels upright."""

from __future__ import annotations

import struct
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

_TAG = 274
_SHORT = 3
_MOST_ENTRIES = 4096  # a first directory has tens of entries; more is a damaged or hostile file

# What to do to the stored pixels, in this order (EXIF 2.32, tag Orientation).
_TRANSPOSED = frozenset((5, 6, 7, 8))
_ROWS_REVERSED = frozenset((3, 4, 7, 8))
_COLUMNS_REVERSED = frozenset((2, 3, 6, 7))


def orientation_tag(stream: BinaryIO) -> int:
    """Orientation (1 to 8) stated by the first directory of a TIFF structure at the start of `stream`.

    Both a TIFF file and the body of an EXIF block are such a structure (TIFF 6.0 section 2, BigTIFF,
    EXIF 2.32 section 4.6.4). No tag, a value outside 1 to 8 or a damaged directory all mean 1: pixels
    are shown as they are stored, which is what viewers do.
    """
    head = stream.read(16)
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    if order is None:
        return 1
    try:
        big = struct.unpack_from(f"{order}H", head, 2)[0] == 43
        start = struct.unpack_from(f"{order}{'Q' if big else 'I'}", head, 8 if big else 4)[0]
        stream.seek(start)
        count = struct.unpack(f"{order}{'Q' if big else 'H'}", stream.read(8 if big else 2))[0]
        size, value_at = (20, 12) if big else (12, 8)
        for _ in range(min(count, _MOST_ENTRIES)):
            entry = stream.read(size)
            tag, kind = struct.unpack_from(f"{order}HH", entry)
            if tag == _TAG and kind == _SHORT:
                value = struct.unpack_from(f"{order}H", entry, value_at)[0]
                return int(value) if 1 <= value <= 8 else 1
    except (struct.error, OverflowError, ValueError, OSError):
        return 1
    return 1


def upright(pixels: npt.NDArray[Any], orientation: int) -> npt.NDArray[Any]:
    """Turn ``[..., H, W]`` pixels the way `orientation` says; rows and columns swap for 5 to 8.

    Returns a view; `orientation` 1 returns `pixels` itself.
    """
    if orientation in _TRANSPOSED:
        pixels = np.swapaxes(pixels, -2, -1)
    if orientation in _ROWS_REVERSED:
        pixels = pixels[..., ::-1, :]
    if orientation in _COLUMNS_REVERSED:
        pixels = pixels[..., ::-1]
    return pixels


def upright_size(width: int, height: int, orientation: int) -> tuple[int, int]:
    """``(width, height)`` after :func:`upright`."""
    return (height, width) if orientation in _TRANSPOSED else (width, height)
