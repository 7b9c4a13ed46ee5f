"""Decoded pictures, and what the header of a file says about one before it is decoded: size, bands, limits,
orientation.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol

import numpy as np
import numpy.typing as npt

from swath.errors import DataError
from swath.imagery.georeference import Georeference

RGB = ("red", "green", "blue")
MAX_BYTES_A_PIXEL = 32  # 16 bands of 16 bits; the memory limit is this many bytes times the pixel limit
MAX_BANDS = 1024  # more than any sensor has; readers take time that grows with the square of the bands
_MODES = {
    ("uint8", ("gray",)): "L",
    ("uint8", ("gray", "alpha")): "LA",
    ("uint8", RGB): "RGB",
    ("uint8", (*RGB, "alpha")): "RGBA",
    ("uint16", ("gray",)): "I;16",
}
_TAG = 274
_SHORT = 3
_MOST_ENTRIES = 4096  # a first directory has tens of entries; more is a damaged or hostile file
# What to do to the stored pixels, in this order (EXIF 2.32, tag Orientation).
_TRANSPOSED = frozenset((5, 6, 7, 8))
_ROWS_REVERSED = frozenset((3, 4, 7, 8))
_COLUMNS_REVERSED = frozenset((2, 3, 6, 7))


@dataclass(frozen=True)
class Picture:
    """Decoded pixels, exactly as stored, in the order ``[bands, height, width]``.

    Attributes
    ----------
    pixels : numpy.ndarray
        ``[bands, H, W]``; uint8 or uint16 for pictures, any real dtype for ``.npy`` and GeoTIFF.
    bands : tuple of str
        One name per band: ``red``, ``green``, ``blue``, ``gray``, ``alpha``, ``nir``, or ``band_1``...
    units : str
        ``"display"`` for 8-bit pictures made to be looked at, ``"digital number"`` otherwise.
    mode : str
        How the file stored it, for audits: ``RGB``, ``CMYK``, ``P``, ``I;16``, ``uint16 x 4``...
    georeference : Georeference or None
        What the file says of its place, where that was asked for.
    """

    pixels: npt.NDArray[Any]
    bands: tuple[str, ...]
    units: str
    mode: str
    georeference: Georeference | None = None

    def __post_init__(self) -> None:
        if self.pixels.ndim != 3 or len(self.bands) != self.pixels.shape[0]:
            raise ValueError(f"pixels {self.pixels.shape} do not fit {len(self.bands)} bands")

    @property
    def height(self) -> int:
        """Rows of pixels."""
        return int(self.pixels.shape[1])

    @property
    def width(self) -> int:
        """Columns of pixels."""
        return int(self.pixels.shape[2])


@dataclass(frozen=True)
class Header:
    """Size and storage of a picture, read without decoding it.

    Attributes
    ----------
    width, height : int
        Size in pixels once shown upright (after the EXIF orientation).
    bands : tuple of str
        Band names, as :func:`swath.imagery.decode` will give them.
    dtype : str
        NumPy name of the decoded type.
    mode : str
        How the file stores it, as :attr:`Picture.mode`.
    """

    width: int
    height: int
    bands: tuple[str, ...]
    dtype: str
    mode: str


class Reader(Protocol):
    """An opened file: its header is known, its pixels are not decoded yet."""

    @property
    def header(self) -> Header:
        """Size and storage of the picture."""

    def read(self) -> Picture:
        """Decode the pixels."""


def check_size(width: int, height: int, *, name: str, max_pixels: int, bands: int = 1, dtype: str = "uint8") -> None:
    """Refuse a picture that is too large according to its header.

    Raises
    ------
    DataError
        If it has more than `max_pixels` pixels or 1,024 bands, or its decoded bands would take more than
        `max_pixels` times 32 bytes.
    """
    if bands > MAX_BANDS:
        raise DataError(f"{name} says it has {bands} bands, above the limit of {MAX_BANDS}", fix="keep fewer bands")
    if width * height > max_pixels:
        raise DataError(
            f"{name} says it has {width} x {height} pixels, above the limit of {max_pixels}",
            fix="cut it into smaller pictures",
        )
    if width * height * bands * np.dtype(dtype).itemsize > max_pixels * MAX_BYTES_A_PIXEL:
        raise DataError(
            f"{name} says it has {bands} {dtype} bands of {width} x {height} pixels, more memory than is allowed",
            fix="keep fewer bands or cut it into smaller pictures",
        )


def numbered_bands(count: int) -> tuple[str, ...]:
    """Names of bands without a name: ``band_1``, ``band_2``..."""
    return tuple(f"band_{number}" for number in range(1, count + 1))


def mode_name(dtype: str, bands: tuple[str, ...]) -> str:
    """Pillow's name for the mode where it has one, else for instance ``uint16 x 4``."""
    return _MODES.get((dtype, bands), f"{dtype} x {len(bands)}")


def units_of(dtype: str) -> str:
    """``"display"`` for 8-bit pictures made to be looked at, ``"digital number"`` otherwise."""
    return "display" if dtype == "uint8" else "digital number"


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
