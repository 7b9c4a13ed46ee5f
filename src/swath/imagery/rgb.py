"""Bands and their values: choosing bands by color, by name, or by position where none is named, and rescaling
reflectance to 8 bits.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from swath.errors import DataError, SettingError
from swath.imagery.header import RGB, Picture, numbered_bands
from swath.imagery.sentinel2 import EUROSAT_WHITE

# Names under which data providers publish a band, besides the band's own name. "B" numbers are those of
# Sentinel-2, which for blue, green and red are Landsat 8's too.
_ALIASES = {
    "blue": ("b", "visblue", "b2"),
    "green": ("g", "visgreen", "b3"),
    "red": ("r", "visred", "b4"),
    "nir": ("nearinfrared", "b8"),
}
# Landsat 4 to 7 number them otherwise, and their surface reflectance has no band 6.
_THEMATIC_MAPPER = {"blue": ("b1",), "green": ("b2",), "red": ("b3",), "nir": ("b4",)}
_THEMATIC_MAPPER_BANDS = {"b1", "b2", "b3", "b4", "b5", "b7"}
_NUMBER = re.compile("b[0-9]{1,2}a?")
_BARE = re.compile("b[1-9]", re.IGNORECASE)
_NUMBERED = re.compile(r"band_[1-9]\d*")
_MEANING = {alias: band for band, aliases in _ALIASES.items() for alias in (band, *aliases)}
# Words next to a band's name that make it another band, or no band at all.
_OTHERWISE = {
    "edge",
    "coastal",
    "deep",
    "narrow",
    "near",
    "ratio",
    "index",
    "std",
    "stdev",
    "var",
    "count",
    "qa",
    "mask",
}


class BandError(DataError):
    """A picture does not have the bands that are wanted of it."""


def unnamed_count(bands: Sequence[str]) -> int | None:
    """Number of bands of a picture whose bands have no names (``band_1``...), alpha left out; else None."""
    others = [band for band in bands if band != "alpha"]
    return len(others) if others and all(map(is_numbered, others)) else None


def is_numbered(band: str) -> bool:
    """Whether a band goes by its number in the file alone, ``band_1`` and so on."""
    return _NUMBERED.fullmatch(band) is not None


def plain_name(name: str) -> str:
    """A band's name without case, marks and leading zeros: ``B04`` is ``b4``."""
    letters = "".join(c for c in name.lower() if c.isalnum())
    return re.sub(r"^b0+(?=[1-9])", "b", letters)


def band_word(name: str) -> str:
    """The part of a name that says which band it is: ``B04`` of ``S2A_T32TQM_B04_10m``; else the whole name.

    Composites, exports and processors write products, statistics and resolutions around it: ``SR_B4``,
    ``B4_median``, ``reflectance_blue``.
    """
    if plain_name(name) in _MEANING:
        return name
    words = [word for word in re.split(r"[\W_]+", name) if len(word) > 1]
    known = [word for word in words if plain_name(word) in _MEANING or _NUMBER.fullmatch(plain_name(word))]
    meanings = {_MEANING.get(plain_name(word), plain_name(word)) for word in known}
    return known[0] if len(meanings) == 1 and _OTHERWISE.isdisjoint(map(str.lower, words)) else name


def is_known(name: str) -> bool:
    """Whether a name says which band it is."""
    return plain_name(band_word(name)) in _MEANING


def named_band(text: str) -> str | None:
    """The band that a text such as a file's name is of, as it is written there; None if it names none.

    Examples
    --------
    >>> named_band("T32TQM_B8A_20m"), named_band("scene_red"), named_band("T32TQM_TCI_10m")
    ('B8A', 'red', None)
    """
    word = band_word(text)
    plain = plain_name(word)
    return word if plain in _MEANING or _NUMBER.fullmatch(plain) else None


def bare_number(name: str) -> bool:
    """Whether a name says no more than the number of a band, which sensors give differently: ``B4``, ``SR_B4``."""
    return _BARE.fullmatch(band_word(name)) is not None


def find_band(names: Sequence[str | None], band: str, *, bare: bool = False) -> int | None:
    """Place of the one band that goes by a name or its aliases; None if there is none, or more than one.

    ``B04`` is red, as Sentinel-2 names it. ``B4`` may as well be any sensor's fourth band, so such bare numbers count
    with `bare` alone, for callers that report how they were read.
    """
    key = plain_name(band)
    hits = [i for i, name in enumerate(names) if plain_name(name or "") == key]
    if not hits:
        plain = [plain_name(band_word(name or "")) for name in names]
        known = [bare or not bare_number(name or "") for name in names]
        aliases = (key, *(_THEMATIC_MAPPER if thematic_mapper(names) else _ALIASES).get(key, ()))
        hits = [i for i, name in enumerate(plain) if known[i] and name in aliases]
    return hits[0] if len(hits) == 1 else None


def thematic_mapper(names: Sequence[str | None]) -> bool:
    """Whether bands are those of the surface reflectance of Landsat 4 to 7, whose numbers mean other colors."""
    reflectances = [name for name in names if re.fullmatch(r"sr_b\d", (name or "").lower())]
    return {plain_name(band_word(name or "")[-2:]) for name in reflectances} == _THEMATIC_MAPPER_BANDS


def as_rgb(picture: Picture) -> Picture:
    """Select red, green and blue of a picture; gray becomes three equal bands, alpha is dropped.

    Parameters
    ----------
    picture : Picture
        8-bit or 16-bit, with bands that include ``red``, ``green`` and ``blue``, or ``gray``.

    Returns
    -------
    Picture
        ``[3, H, W]`` of the same type; the picture itself if it is RGB already.

    Raises
    ------
    DataError
        If it has neither gray nor RGB bands, or its values are not 8 or 16 bits unsigned.
    """
    if picture.pixels.dtype not in (np.uint8, np.uint16):
        raise DataError(
            f"{picture.pixels.dtype} values cannot be used as red, green and blue",
            fix="convert the picture to uint8 or uint16",
        )
    if picture.bands == RGB:
        return picture
    places = [find_band(picture.bands, band) for band in RGB]
    if None not in places:
        pixels = picture.pixels[[place for place in places if place is not None]]
    elif "gray" in picture.bands:
        gray = picture.bands.index("gray")
        pixels = np.repeat(picture.pixels[gray : gray + 1], 3, axis=0)
    else:
        raise BandError(
            f"bands {_listed(picture.bands)} hold neither gray nor red, green and blue",
            fix="name the file's bands (a GeoTIFF's band descriptions), or for a scene use swath map --bands",
        )
    return Picture(pixels, RGB, picture.units, picture.mode)


def select_bands(picture: Picture, bands: Sequence[str], *, of: int | None = None) -> npt.NDArray[Any]:
    """Select the bands of a model, in its order.

    Bands without names (``band_1``...) are taken by number if `bands` are numbers, and by position if as many named
    bands are wanted as there are.
    Red, green and blue are taken as :func:`as_rgb` does, so a gray picture is accepted. All others are found by
    name, whatever its case, or by a name under which it is published, such as ``B04`` for red.

    Parameters
    ----------
    picture : Picture
        Any decoded picture.
    bands : sequence of str
        Names of the bands to select.
    of : int, optional
        Number of bands that files without band names must have: numbers of bands mean nothing in others.

    Returns
    -------
    numpy.ndarray
        ``[len(bands), H, W]`` of the picture's type; may share the picture's memory.

    Raises
    ------
    DataError
        If a band is missing, or a picture without band names has not `of` bands.
    """
    wanted = tuple(band.lower() for band in bands)
    count = unnamed_count(picture.bands)
    if of is not None and count not in (None, of):
        raise BandError(
            f"it has {count} bands without names, and {', '.join(wanted)} are meant in files of {of}",
            fix=f"give files of {of} bands, or name the bands in all files (a GeoTIFF's band descriptions)",
        )
    if picture.bands == numbered_bands(len(wanted)) and not any(map(is_numbered, wanted)):
        return picture.pixels
    if wanted == RGB:
        return as_rgb(picture).pixels
    places = [find_band(picture.bands, band) for band in wanted]
    missing = [band for band, place in zip(wanted, places, strict=True) if place is None]
    if missing:
        raise BandError(
            f"bands {_listed(picture.bands)} lack {', '.join(missing)}",
            fix="name the file's bands (a GeoTIFF's band descriptions) or use a model for the bands it has",
        )
    return picture.pixels[[place for place in places if place is not None]]


def _listed(bands: Sequence[str]) -> str:
    """Names of bands in a message: of unnamed ones the first and the last."""
    count = unnamed_count(bands)
    return f"band_1 to band_{count}" if count and count > 4 else ", ".join(bands)


def rescale_reflectance(
    pixels: npt.NDArray[Any], *, low: float = 0, high: float = EUROSAT_WHITE, nodata: float | None = 0
) -> npt.NDArray[np.uint8]:
    """Clip values to `low`..`high` and rescale them linearly to 1..255; 0 is no data.

    The defaults are EuroSAT's own rendering of Sentinel-2 L1C reflectance x 10 000 (Helber et al.
    2019). A value ``v`` becomes ``1 + 254 (v - low) / (high - low)``, computed in float64 and rounded
    to the nearest integer, halves upwards as GDAL does (with the defaults no integer meets a half).

    Parameters
    ----------
    pixels : numpy.ndarray
        Any shape, any real type.
    low, high : float
        Values that become 1 and 255, in the units of `pixels`.
    nodata : float or None
        Value that becomes 0, band by band; None if every value is data. NaN always becomes 0.

    Returns
    -------
    numpy.ndarray
        uint8, the shape of `pixels`.

    Raises
    ------
    SettingError
        If `high` is not above `low`.
    """
    if not high > low:
        raise SettingError(f"cannot rescale values from {low} to {high}", fix="give a high above the low")
    if pixels.dtype in (np.uint8, np.uint16):
        rescaled: npt.NDArray[np.uint8] = _table(pixels.dtype.name, low, high, nodata)[pixels]
        return rescaled
    return _stretch(pixels, low, high, nodata)


@functools.lru_cache(maxsize=8)
def _table(dtype: str, low: float, high: float, nodata: float | None) -> npt.NDArray[np.uint8]:
    """Every value the type can hold, rescaled: a scene then takes one look-up per pixel."""
    values = np.arange(np.iinfo(dtype).max + 1)
    return _stretch(values, low, high, nodata)


def _stretch(values: npt.NDArray[Any], low: float, high: float, nodata: float | None) -> npt.NDArray[np.uint8]:
    with np.errstate(invalid="ignore"):  # of a NaN in a damaged file
        exact = values.astype(np.float64)
    empty = np.isnan(exact)
    if nodata is not None:
        empty |= exact == nodata
    exact[empty] = low
    stretched = 1 + (np.clip(exact, low, high) - low) * (254 / (high - low))
    rescaled = np.floor(stretched + 0.5).astype(np.uint8)
    rescaled[empty] = 0
    return rescaled
