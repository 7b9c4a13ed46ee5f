"""Colors of classes on maps: those that people already read, and for other names colors that can be told apart.

Two colors are *apart* where readers with normal, protan and deutan vision see a difference of 20 or more (CIE 1976),
or one of 15 or more in lightness alone. How a color looks without one kind of cone is simulated as Machado, Oliveira
and Fernandes do (2009, IEEE TVCG 15, 1291-1298, severity 1).
"""

from __future__ import annotations

import colorsys
import math
import re
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
DIFFERENT, LIGHTER = 20.0, 15.0
POSITIVE, NEGATIVE = "D7301F", "E4E4E4"  # of a binary model: what is looked for is strong and warm, the rest recedes
# Water blue, forest green, built red, as on most land-cover maps; every pair is apart.
_KNOWN = {
    "AnnualCrop": "FDE677",
    "Forest": "175A33",
    "HerbaceousVegetation": "85A865",
    "Highway": "6E717B",
    "Industrial": "7D0966",
    "Pasture": "C2E095",
    "PermanentCrop": "F28F38",
    "Residential": "DC3B1A",
    "River": "4DB2DE",
    "SeaLake": "2059A0",
}
_VISION = (
    np.eye(3),
    np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]),
    np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]),
)
_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
_WHITE = np.array([0.95047, 1.0, 1.08883])
_HUES, _SHADES = 12, ((0.75, 0.95), (0.55, 0.6), (0.35, 1.0), (0.9, 0.35))  # saturation and value
_BLUE = (6, 7, 8)  # of the hues, from cyan to blue: what people read as water
_WATER = {"bay", "canal", "lagoon", "lake", "lakes", "ocean", "pond", "reservoir", "river", "rivers", "sea", "water"}


def class_colors(names: Sequence[str], *, binary: bool = False) -> tuple[str, ...]:
    """A color for each class.

    Parameters
    ----------
    names : sequence of str
        K names.
    binary : bool
        Whether the last of two classes is one that is looked for.

    Returns
    -------
    tuple of str
        K colors, RRGGBB. Names without a known color get the one that is furthest from all others so far; no blue,
        which is read as water, unless they say so or nothing else is apart from the others.

    Examples
    --------
    >>> class_colors(("other land", "dump"), binary=True)
    ('E4E4E4', 'D7301F')
    >>> class_colors(("Forest", "River"))
    ('175A33', '4DB2DE')
    """
    if binary and len(names) == 2:
        return NEGATIVE, POSITIVE
    chosen = {name: _KNOWN[name] for name in names if name in _KNOWN}
    offered = [_rgb(place / _HUES, *shade) for shade in _SHADES for place in range(_HUES)]
    gaps = [min((distance(color, other) for other in chosen.values()), default=math.inf) for color in offered]
    blue = np.array([place in _BLUE for _ in _SHADES for place in range(_HUES)])
    for name in names:
        if name not in chosen:
            land = np.where(blue & (not _is_water(name)), -math.inf, gaps)
            # The first of equals, the same on every machine.
            color = chosen[name] = offered[int(np.argmax(land if land.max() >= 1 else gaps))]
            gaps = [min(gap, distance(other, color)) for gap, other in zip(gaps, offered, strict=True)]
    return tuple(chosen[name] for name in names)


def _is_water(name: str) -> bool:
    """Whether a name has a word for water in it: ``SeaLake`` or ``open_water``."""
    return not _WATER.isdisjoint(word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+", name))


def distance(first: str, second: str) -> float:
    """How far apart two colors are for the reader who sees the least of it: 1 or more is apart.

    Parameters
    ----------
    first, second : str
        RRGGBB.
    """
    seen = []
    for a, b in zip(_seen(first), _seen(second), strict=True):
        seen.append(max(float(np.linalg.norm(a - b)) / DIFFERENT, abs(float(a[0] - b[0])) / LIGHTER))
    return min(seen)


@lru_cache(maxsize=1024)
def _seen(color: str) -> list[Floats]:
    """CIE 1976 L*a*b* of a color with normal, protan and deutan vision."""
    stored = np.array(list(bytes.fromhex(color))) / 255
    linear = np.where(stored <= 0.04045, stored / 12.92, ((stored + 0.055) / 1.055) ** 2.4)
    return [_lab(np.clip(vision @ linear, 0, 1)) for vision in _VISION]


def _lab(linear: Floats) -> Floats:
    relative = _XYZ @ linear / _WHITE
    x, y, z = np.where(relative > 216 / 24389, np.cbrt(relative), (24389 / 27 * relative + 16) / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def _rgb(hue: float, saturation: float, value: float) -> str:
    return "".join(f"{round(part * 255):02X}" for part in colorsys.hsv_to_rgb(hue, saturation, value))
