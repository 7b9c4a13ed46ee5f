"""Colours of classes on maps, chosen once at training and carried in the record."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

from swath.model.record import ClassInfo

# Land-cover names people already read by colour: water blue, forest green, built red.
_KNOWN = {
    "AnnualCrop": "E8C547",
    "Forest": "1B6B3A",
    "HerbaceousVegetation": "9CB84B",
    "Highway": "5B5B66",
    "Industrial": "A23E8C",
    "Pasture": "C7E59B",
    "PermanentCrop": "D98032",
    "Residential": "D7392E",
    "River": "4FB3E0",
    "SeaLake": "14539A",
}
_GOLDEN_ANGLE = 0.61803398875


def class_infos(names: Sequence[str]) -> tuple[ClassInfo, ...]:
    """Number and colour classes; names without a known colour get well-spread hues."""
    return tuple(
        ClassInfo(value=i, name=name, color_hint=_KNOWN.get(name, _spread(i))) for i, name in enumerate(names)
    )


def _spread(place: int) -> str:
    red, green, blue = colorsys.hsv_to_rgb(place * _GOLDEN_ANGLE % 1, 0.65, (0.9, 0.6)[place % 2])
    return f"{round(red * 255):02X}{round(green * 255):02X}{round(blue * 255):02X}"
