"""The suite: which shifts, how strong each is at its five levels, and which a model can be put through."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from swath.evaluation.stress import shifts
from swath.evaluation.stress.shifts import Patches
from swath.imagery.degrade import MIN_SIDE

LEVELS = (1, 2, 3, 4, 5)
_BLOCK = 256  # patches changed at a time

Change = Callable[[Patches, float, np.random.Generator], Patches]


@dataclass(frozen=True)
class Shift:
    """One change.

    Attributes
    ----------
    name : str
        Key in files.
    change : callable
        From patches, a strength and a source of randomness to patches.
    strengths : tuple of float
        Of levels 1 to 5.
    unit : str
        What a strength is, with ``{}`` where its value goes.
    what : str
        What it stands for, in a few words.
    """

    name: str
    change: Change
    strengths: tuple[float, float, float, float, float]
    unit: str
    what: str

    def at(self, patches: Patches, level: int, *, seed: int = 0) -> Patches:
        """Change patches ``[N, bands, P, P]``; level 0 gives them back.

        The same seed and patches give the same pixels; clouds and shadows also depend on how many patches share a block
        of 256 with them.
        """
        if level == 0 or not len(patches):
            return patches
        strength = self.strengths[level - 1]
        key = zlib.crc32(self.name.encode())
        parts = []
        for start in range(0, len(patches), _BLOCK):
            # The level is no part of the seed: a patch is changed the same way, only more.
            rng = np.random.default_rng([seed, key, start])
            parts.append(self.change(patches[start : start + _BLOCK], strength, rng))
        return np.concatenate(parts)

    def told(self, level: int) -> str:
        """What the level stands for, such as ``20 m``."""
        return self.unit.format(f"{self.strengths[level - 1]:g}")


SUITE = (
    Shift(
        "atmosphere",
        shifts.atmosphere,
        (0.2, 0.4, 0.6, 0.8, 1.0),
        "{} of the way",
        "surface reflectance in place of top of atmosphere",
    ),
    Shift("gain", shifts.gain, (0.04, 0.08, 0.12, 0.16, 0.2), "± {}", "brighter or darker"),
    Shift("gamma", shifts.gamma, (1.1, 1.2, 1.35, 1.5, 1.75), "{} or its inverse", "another contrast curve"),
    Shift("haze", shifts.haze, (0.08, 0.16, 0.24, 0.32, 0.4), "{} of the light", "a grey veil"),
    Shift("blur", shifts.blur, (0.5, 0.8, 1.2, 1.6, 2.2), "sd {} pixels", "a softer lens"),
    Shift("resample", shifts.resample, (1.5, 2.0, 2.5, 3.0, 4.0), "{} x wider pixels", "a coarser sensor"),
    Shift("jpeg", shifts.jpeg, (90, 75, 60, 45, 30), "quality {}", "compression"),
    Shift("noise", shifts.noise, (2, 5, 8, 12, 18), "sd {} of 255", "a noisy sensor"),
    Shift("band_swap", shifts.band_swap, (0.2, 0.4, 0.6, 0.8, 1.0), "{} swapped", "red and blue swapped"),
    Shift(
        "translation",
        shifts.translation,
        (1 / 32, 1 / 16, 1 / 8, 3 / 16, 1 / 4),
        "{} of a side",
        "cut out elsewhere",
    ),
    Shift("rotation", shifts.rotation, (5, 10, 20, 30, 45), "{} degrees", "another orbit"),
    Shift("clouds", shifts.clouds, (0.05, 0.1, 0.2, 0.3, 0.45), "{} covered", "clouds"),
    Shift("shadows", shifts.shadows, (0.05, 0.1, 0.2, 0.35, 0.5), "{} covered", "shadows of clouds"),
)
_COLOURS = ("atmosphere", "band_swap")


def usable(bands: Sequence[str], side: int) -> tuple[tuple[Shift, ...], dict[str, str]]:
    """Shifts that patches of these bands and this side can be put through, and why not the others."""
    skipped: dict[str, str] = {}
    if not shifts.is_rgb(bands):
        skipped |= dict.fromkeys(_COLOURS, "defined for red, green and blue only")
    if len(bands) not in (1, 3):
        skipped["jpeg"] = "JPEG holds one band or three"
    if side / max(find_shift("resample").strengths) < MIN_SIDE:
        skipped["resample"] = f"patches of {side} pixels are too small"
    return tuple(shift for shift in SUITE if shift.name not in skipped), skipped


def find_shift(name: str) -> Shift:
    """The shift of this name."""
    return next(shift for shift in SUITE if shift.name == name)
