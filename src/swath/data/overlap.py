"""Which patches share ground: cut from one scene so that they overlap, at any shift.

Copies of a whole patch are :mod:`swath.data.matching`'s; here two patches need only have a part of the ground in common.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class OverlapPair:
    """Two patches that show some of the same ground.

    Attributes
    ----------
    first, second : str
        Paths, in alphabetical order.
    share : float
        Part of the smaller patch's ground that both show, above 0 to 1.
    evidence : str
        How that is known: ``"content"`` or ``"footprint"``.
    similarity : float
        Correlation of fine detail over the shared ground, at most 1; 1 where footprints say it.
    """

    first: str
    second: str
    share: float
    evidence: str
    similarity: float
