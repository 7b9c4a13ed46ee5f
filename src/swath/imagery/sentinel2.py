"""How products of Sentinel-2 show the same ground: what the air adds, and which white a picture was drawn with.

Numbers (DN) are reflectance times 10,000, at the top of the atmosphere (L1C) or of the surface (L2A), where the air has
been taken off. Within one scene the one is a line of the other, band by band: the air dims what the ground reflects and
adds light of its own (Vermote et al. 1997, IEEE TGRS 35, 675-686). A true-color picture draws one of them in 8 bits,
from black at 0 to a white that whoever exported it has chosen. The pictures of EuroSAT are L1C from 0 to 2750, drawn as
1 to 255 (Helber et al. 2019). All functions take numbers, arrays and tensors alike.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from swath.imagery.header import RGB
from swath.imagery.rescaling import Rescaling

Level = Literal["l1c", "l2a"]
EUROSAT_WHITE = 2750.0  # DN
# L1C = slope * L2A + offset in DN, for red, green, blue. Least squares over four pairs of chips (r 0.97 to 1.00) give
# slopes of 0.76-0.81, 0.63-0.71, 0.60-0.67 and offsets of 279-460, 484-755, 743-1092; the usual line is about the mean.
# In clear air offsets are lower: those that make EuroSAT's forests those of surface reflectance.
SLOPE = (0.78, 0.68, 0.64)
OFFSET = (400.0, 620.0, 950.0)
CLEAR_OFFSET = (210.0, 450.0, 655.0)
_LEVELS = 254 / EUROSAT_WHITE  # of EuroSAT's pictures per DN
ADDED = 1000.0  # DN, to all numbers from processing baseline 04.00 on
TCI_WHITE = {"l1c": 3558.0, "l2a": 2000.0}  # DN, of the true-color pictures that come with products
_LEVEL = re.compile(r"(?<![A-Z0-9])(?:S2[ABC]?_?)?(?:MSI)?(L1C|L2A)(?![A-Z0-9])", re.IGNORECASE)
_PICTURE = re.compile(r"(?<![A-Z0-9])TCI(?![A-Z0-9])", re.IGNORECASE)
_BASELINE = re.compile(r"_N(\d\d)(\d\d)_")


@dataclass(frozen=True)
class Product:
    """What is said of a scene: by its name and its tags.

    Attributes
    ----------
    level : str or None
        ``"l1c"`` or ``"l2a"``.
    picture : bool
        Whether it is the true-color picture of a product.
    added : bool or None
        Whether 1000 was added to all numbers; None if nothing says so.
    source : str
        What says so: ``"name or tags"``, or ``"metadata"`` of a whole product.
    title, sensor, baseline, acquired : str or None
        Name of the product, its satellite, the processing baseline (of Landsat, the collection) and the time, as
        ISO 8601 has it.
    """

    level: Level | None = None
    picture: bool = False
    added: bool | None = None
    source: str = "name or tags"
    title: str | None = None
    sensor: str | None = None
    baseline: str | None = None
    acquired: str | None = None


def find_product(texts: Iterable[str]) -> Product:
    """Read what names and tags say of a product of Sentinel-2; the first that says something counts.

    Examples
    --------
    >>> found = find_product(["S2A_MSIL2A_20220519T101601_N0400_R065_T32TQM_20220519T180902_TCI_10m.jp2"])
    >>> found.level, found.picture, found.added
    ('l2a', True, True)
    """
    said = list(texts)
    level, picture, baseline = (
        next((found for text in said if (found := pattern.search(text))), None)
        for pattern in (_LEVEL, _PICTURE, _BASELINE)
    )
    known: Level | None = None
    if level is not None:
        known = "l1c" if level[1].upper() == "L1C" else "l2a"
    return Product(known, picture is not None, None if baseline is None else int(baseline[1]) >= 4)


@dataclass(frozen=True)
class Drawing:
    """How a scene was drawn.

    Attributes
    ----------
    level : str
        ``"l1c"``, with the air, or ``"l2a"``, without.
    white : float or None
        DN that an 8-bit picture shows as 255; None for the numbers themselves.
    air : float
        Of ``l2a``, the air that has been taken off: 0 (clear) to 1 (usual).
    added : bool
        Whether 1000 was added to the numbers.
    """

    level: Level
    white: float | None = None
    air: float = 1.0
    added: bool = False

    def rescaling(self, bands: Sequence[str]) -> Rescaling:
        """What makes the values of such a scene those of EuroSAT's pictures.

        Examples
        --------
        >>> numbers = Drawing("l1c").rescaling(["red"])  # 0 becomes 1, and 2750 becomes 255
        >>> numbers.offset, round(numbers.gain[0] * 2750 + numbers.offset[0], 6)
        ((1.0,), 255.0)
        """
        lines = []
        for band in map(RGB.index, bands):
            slope, offset = 1.0, 0.0
            if self.level == "l2a":
                slope, clear = SLOPE[band], CLEAR_OFFSET[band]
                offset = clear + self.air * (OFFSET[band] - clear)
            # Numbers are what a picture would show whose white is its highest value.
            lines.append(from_surface_picture(255.0 if self.white is None else self.white, slope, offset))
        gain, shift = zip(*lines, strict=True)
        return Rescaling(gain, shift).of(1.0, -ADDED if self.added else 0.0)


def surface_picture(white: Any, slope: Any, offset: Any) -> tuple[Any, Any]:
    """Gain and shift that make EuroSAT's values those of a true-color picture of surface reflectance.

    Parameters
    ----------
    white : float or array
        DN of surface reflectance that the picture draws as 255.
    slope, offset : float or array
        Of the air, ``L1C = slope * L2A + offset``.

    Returns
    -------
    tuple
        ``gain, shift``: the picture's value is ``value * gain + shift``, from 0 to 255.

    Examples
    --------
    >>> gain, shift = surface_picture(2000.0, 0.78, 400.0)
    >>> round(gain, 2), round(shift, 1)
    (1.77, -67.2)
    """
    gain = 255 / white / slope / _LEVELS
    return gain, -gain - 255 / white * offset / slope


def from_surface_picture(white: Any, slope: Any, offset: Any) -> tuple[Any, Any]:
    """Gain and shift that make the values of such a picture EuroSAT's: the inverse of :func:`surface_picture`.

    Examples
    --------
    >>> gain, shift = surface_picture(2000.0, 0.78, 400.0)
    >>> back, add = from_surface_picture(2000.0, 0.78, 400.0)
    >>> round(back * (100 * gain + shift) + add, 6)
    100.0
    """
    return slope * white / 255 * _LEVELS, 1 + _LEVELS * offset
