"""The value every decoder returns: an array with stated bands and units."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

RGB = ("red", "green", "blue")


@dataclass(frozen=True)
class Picture:
    """Decoded pixels, exactly as stored, in the order ``[bands, height, width]``.

    Attributes
    ----------
    pixels : numpy.ndarray
        ``[bands, H, W]``; uint8 or uint16 for pictures, any real dtype for ``.npy`` and GeoTIFF.
    bands : tuple of str
        One name a band: ``red``, ``green``, ``blue``, ``grey``, ``alpha``, ``nir``, or ``band_1``...
    units : str
        ``"display"`` for 8-bit pictures made to be looked at, ``"digital number"`` otherwise.
    mode : str
        How the file stored it, for audits: ``RGB``, ``CMYK``, ``P``, ``I;16``, ``uint16 x 4``...
    """

    pixels: npt.NDArray[Any]
    bands: tuple[str, ...]
    units: str
    mode: str

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
