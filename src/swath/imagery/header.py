"""What a file says about its pixels before they are decoded, and the limits put on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from swath.errors import DataError
from swath.imagery.picture import RGB, Picture

MAX_BYTES_A_PIXEL = 32
"""Room for 16 bands of 16 bits; the memory limit is this many bytes times the pixel limit."""

MAX_BANDS = 1024
"""More than any sensor has; readers take time that grows with the square of the bands."""

_MODES = {
    ("uint8", ("grey",)): "L",
    ("uint8", ("grey", "alpha")): "LA",
    ("uint8", RGB): "RGB",
    ("uint8", (*RGB, "alpha")): "RGBA",
    ("uint16", ("grey",)): "I;16",
}


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


def check_size(
    width: int, height: int, *, name: str, max_pixels: int, bands: int = 1, dtype: str = "uint8"
) -> None:
    """Refuse a picture that is too large, from what its header says.

    Raises
    ------
    DataError
        If it has more than `max_pixels` pixels or 1,024 bands, or its decoded bands would take more than
        `max_pixels` times 32 bytes.
    """
    if bands > MAX_BANDS:
        raise DataError(
            f"{name} says it has {bands} bands, above the limit of {MAX_BANDS}", fix="keep fewer bands"
        )
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
    """Names for bands nobody has named: ``band_1``, ``band_2``..."""
    return tuple(f"band_{number}" for number in range(1, count + 1))


def mode_name(dtype: str, bands: tuple[str, ...]) -> str:
    """Pillow's name for the mode where it has one, else for instance ``uint16 x 4``."""
    return _MODES.get((dtype, bands), f"{dtype} x {len(bands)}")


def units_of(dtype: str) -> str:
    """``"display"`` for 8-bit pictures made to be looked at, ``"digital number"`` otherwise."""
    return "display" if dtype == "uint8" else "digital number"
