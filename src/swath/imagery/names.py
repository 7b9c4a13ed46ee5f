"""Names of bands: under which a band is published, and which of a file's bands goes by one."""

from __future__ import annotations

import re
from collections.abc import Sequence

# Names under which data providers publish a band, beside the band's own name. "B" numbers are those of
# Sentinel-2, which for blue, green and red are Landsat 8's too.
_ALIASES = {
    "blue": ("b", "visblue", "b2"),
    "green": ("g", "visgreen", "b3"),
    "red": ("r", "visred", "b4"),
    "nir": ("nearinfrared", "b8"),
}
_BARE = re.compile("b[1-9]", re.IGNORECASE)
_MEANING = {alias: band for band, aliases in _ALIASES.items() for alias in (band, *aliases)}


def plain_name(name: str) -> str:
    """A band's name without case, marks and leading zeros: ``B04`` is ``b4``."""
    letters = "".join(c for c in name.lower() if c.isalnum())
    return re.sub(r"^b0+(?=[1-9])", "b", letters)


def is_known(name: str) -> bool:
    """Whether a name says which band it is."""
    return plain_name(name) in _MEANING


def find_band(names: Sequence[str | None], band: str, *, bare: bool = False) -> int | None:
    """Place of the one band that goes by a name or its aliases; None if there is none, or more than one.

    ``B04`` is red, as Sentinel-2 names it. ``B4`` may as well be any sensor's fourth band, so such bare numbers count
    with `bare` alone, for callers that tell the user how they were read.
    """
    plain, key = [plain_name(name or "") for name in names], plain_name(band)
    hits = [i for i, name in enumerate(plain) if name == key]
    if not hits:
        known = [bare or not _BARE.fullmatch(name or "") for name in names]
        hits = [i for i, name in enumerate(plain) if known[i] and name in _ALIASES.get(key, ())]
    return hits[0] if len(hits) == 1 else None
