"""Choosing bands: by colour, by name, or by position where nothing is named."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from swath.errors import DataError
from swath.imagery.header import numbered_bands
from swath.imagery.names import find_band
from swath.imagery.picture import RGB, Picture


def as_rgb(picture: Picture) -> Picture:
    """Take red, green and blue from a picture; grey becomes three equal bands, alpha is dropped.

    Parameters
    ----------
    picture : Picture
        8-bit or 16-bit, with bands that include ``red``, ``green`` and ``blue``, or ``grey``.

    Returns
    -------
    Picture
        ``[3, H, W]`` of the same type; the picture itself if it is RGB already.

    Raises
    ------
    DataError
        If it has neither grey nor RGB bands, or its values are not 8 or 16 bits unsigned.
    """
    if picture.pixels.dtype not in (np.uint8, np.uint16):
        raise DataError(
            f"{picture.pixels.dtype} values cannot serve as red, green and blue",
            fix="convert the picture to uint8 or uint16",
        )
    if picture.bands == RGB:
        return picture
    places = [find_band(picture.bands, band) for band in RGB]
    if None not in places:
        pixels = picture.pixels[[place for place in places if place is not None]]
    elif "grey" in picture.bands:
        grey = picture.bands.index("grey")
        pixels = np.repeat(picture.pixels[grey : grey + 1], 3, axis=0)
    else:
        raise DataError(
            f"bands {', '.join(picture.bands)} hold neither grey nor red, green and blue",
            fix="name the file's bands (a GeoTIFF's band descriptions), or for a scene use swath map --bands",
        )
    return Picture(pixels, RGB, picture.units, picture.mode)


def select_bands(picture: Picture, bands: Sequence[str]) -> npt.NDArray[Any]:
    """Take the bands a model wants, in its order.

    Bands nobody has named (``band_1``...) are taken by position if there are as many as wanted.
    Red, green and blue are taken as :func:`as_rgb` does, so a grey picture will serve. All else goes by
    name, whatever its case, or by a name under which it is published, such as ``B04`` for red.

    Parameters
    ----------
    picture : Picture
        Any decoded picture.
    bands : sequence of str
        Names of the bands wanted.

    Returns
    -------
    numpy.ndarray
        ``[len(bands), H, W]`` of the picture's type; may share the picture's memory.

    Raises
    ------
    DataError
        If a band is missing.
    """
    wanted = tuple(band.lower() for band in bands)
    if picture.bands == numbered_bands(len(wanted)):
        return picture.pixels
    if wanted == RGB:
        return as_rgb(picture).pixels
    places = [find_band(picture.bands, band) for band in wanted]
    missing = [band for band, place in zip(wanted, places, strict=True) if place is None]
    if missing:
        raise DataError(
            f"bands {', '.join(picture.bands)} lack {', '.join(missing)}",
            fix="name the file's bands (a GeoTIFF's band descriptions) or use a model for the bands it has",
        )
    return picture.pixels[[place for place in places if place is not None]]
