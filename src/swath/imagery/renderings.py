"""Patches of EuroSAT as other products of the same sensor draw them, at random.

People's scenes are seldom drawn as EuroSAT's patches were. Most are true-color pictures of surface reflectance, with an
air that is gone and a white of their exporter's choice, or such pictures after a usual air has been put back with a
white that could only be estimated. All of these are drawn through the physics of :mod:`swath.imagery.sentinel2`, all
three bands together and with the rounding to 8 bits that the picture had. Training draws its patches so, and the
statistics that detect patches unlike the training data are fitted on such patches.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from swath.imagery import sentinel2

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
# Kinds, and their shares of the patches that are drawn otherwise.
TRUE_COLOR, AIR_PUT_BACK, OTHER_WHITE = "true color of the surface", "air put back", "another white"
SHARES = {TRUE_COLOR: 0.35, AIR_PUT_BACK: 0.4, OTHER_WHITE: 0.25}
AS_STORED = "as stored"
HAZE = (-0.3, 1.3)  # where between clear air (0) and the usual one (1) an air lies
OFFSET_SD, SLOPE_SD = 25.0, 0.05  # DN of a band's own; of the logarithm
WHITE = (1800.0, 4200.0)  # DN, even in the logarithm
WHITE_SD = 0.12  # of the logarithm of an estimated white
GAMMA_SHARE, GAMMA_SD = 0.25, 0.15  # share of pictures with a contrast curve; sd of its logarithm


def draw_tables(n: int, rng: np.random.Generator, *, kind: str | None = None) -> Pixels:
    """What the 256 values of each band become in `n` renderings drawn at random.

    Parameters
    ----------
    n : int
        How many.
    rng : numpy.random.Generator
        Source of all randomness.
    kind : str, optional
        A key of :data:`SHARES`; by default each rendering is of one of them, by its share.

    Returns
    -------
    numpy.ndarray
        uint8 ``[n, 3, 256]`` for red, green and blue, from 1 to 255: 0 is left to no data.

    Examples
    --------
    >>> import numpy as np
    >>> draw_tables(2, np.random.default_rng(0)).shape
    (2, 3, 256)
    """
    kinds = rng.choice(list(SHARES), n, p=list(SHARES.values())) if kind is None else np.full(n, kind)
    slope, usual, clear = (np.array(v) for v in (sentinel2.SLOPE, sentinel2.OFFSET, sentinel2.CLEAR_OFFSET))
    white = np.exp(rng.uniform(math.log(WHITE[0]), math.log(WHITE[1]), (n, 1)))
    air = clear + rng.uniform(*HAZE, (n, 1)) * (usual - clear) + rng.normal(0, OFFSET_SD, (n, 3))
    own_slope = slope * np.exp(rng.normal(0, SLOPE_SD, (n, 3)))
    top = (kinds == OTHER_WHITE)[:, None]
    # A picture of the top of the atmosphere is one through air that neither dims nor adds.
    gain, shift = sentinel2.surface_picture(white, np.where(top, 1, own_slope), np.where(top, 0, air))
    drawn = np.rint(_line(np.arange(256), gain, shift))
    curve = np.where(rng.random((n, 1)) < GAMMA_SHARE, np.exp(rng.normal(0, GAMMA_SD, (n, 1))), 1)[..., None]
    drawn = np.maximum(np.rint(255 * (drawn / np.float32(255)) ** curve.astype(np.float32)), 1)
    estimated = white * np.exp(rng.normal(0, WHITE_SD, (n, 1)))
    restored = np.rint(_line(drawn, *sentinel2.from_surface_picture(estimated, slope, usual)))
    return np.where((kinds == AIR_PUT_BACK)[:, None, None], restored, drawn).astype(np.uint8)


def through_tables(pixels: npt.NDArray[Any], tables: Pixels) -> Pixels:
    """Patches ``[N, 3, P, P]`` uint8 with the values of ``[N, 3, 256]`` tables in place of theirs."""
    changed = np.empty(pixels.shape, np.uint8)
    bands = np.arange(pixels.shape[1])[:, None, None]
    for patch, table, into in zip(pixels, tables, changed, strict=True):
        into[:] = table[bands, patch]
    return changed


def some_rerendered(pixels: Pixels, share: float, *, seed: int = 0) -> Pixels:
    """Patches ``[N, 3, P, P]`` of which a random `share` is drawn otherwise, as in training; the rest as stored."""
    rng = np.random.default_rng(seed)
    chosen = np.flatnonzero(rng.random(len(pixels)) < share)
    changed = np.array(pixels)
    changed[chosen] = through_tables(changed[chosen], draw_tables(len(chosen), rng))
    return changed


def every_kind(pixels: Pixels, *, seed: int = 0) -> dict[str, Pixels]:
    """All patches in a rendering of each kind of :data:`SHARES`, by kind."""
    rng = np.random.default_rng(seed)
    return {kind: through_tables(pixels, draw_tables(len(pixels), rng, kind=kind)) for kind in SHARES}


def _line(values: npt.NDArray[Any], gain: npt.NDArray[Any], shift: npt.NDArray[Any]) -> Floats:
    """Values ``[256]`` or ``[n, 3, 256]`` through a line for each picture and band, within 1 to 255."""
    slope, offset = (np.asarray(part, np.float32)[..., None] for part in (gain, shift))
    return np.asarray(np.clip(values.astype(np.float32) * slope + offset, 1, 255), np.float32)
