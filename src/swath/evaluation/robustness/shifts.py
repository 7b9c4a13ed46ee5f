"""Changes that pictures go through between one sensor, season or archive and another, at five strengths.

Pure functions of patches: uint8 ``[N, bands, P, P]`` in and out, a strength (the value that a level stands for)
and a source of randomness that is the same at every level, so that a stronger change is more of the same one.
"""

from __future__ import annotations

import io
import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from swath.imagery import resize, sentinel2
from swath.imagery.header import RGB
from swath.imagery.resize import MIN_SIDE, resample_to_gsd

Patches = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
_AIRLIGHT = 220.0  # brightness of a thick haze, of 255
_CLOUD = 235.0
_SHADE = 0.4  # what a cloud's shadow leaves of the light
_OCTAVES = (2, 4, 8, 16, 32)
# DN of surface reflectance for red, green and blue that a season moves vegetation to: medians of EuroSAT's val patches
# in clear air, of the greenest tenth of the pixels of crops, pastures and grassland, and of permanent crops.
_LUSH, _DRY = (340.0, 640.0, 330.0), (1200.0, 980.0, 735.0)
_GREEN = 0.25  # normalized difference from which a pixel is all vegetation
_OFFICIAL_WHITE = 2000.0  # DN, of the true-color picture that comes with an L2A product
_LATITUDE, _CONVERGENCE = 50.0, 2.0  # degrees, of the middle of Europe: its latitude, and how UTM is rotated there
LEVELS = (1, 2, 3, 4, 5)
_BLOCK = 256  # patches changed at a time
Change = Callable[[Patches, float, np.random.Generator], Patches]
_COLORS = ("surface", "white", "season", "band_swap")


def gain(patches: Patches, strength: float, rng: np.random.Generator) -> Patches:
    """Brighter or darker by `strength` (0.2: 20 %), each patch one way or the other."""
    return _stored(patches * (1 + strength * _signs(len(patches), rng)))


def gamma(patches: Patches, strength: float, rng: np.random.Generator) -> Patches:
    """Values to the power of `strength` or of its inverse, each patch one way or the other."""
    powers = np.float32(strength) ** _signs(len(patches), rng)
    return _stored(255 * (patches / np.float32(255)) ** powers)


def haze(patches: Patches, strength: float, rng: np.random.Generator) -> Patches:
    """A gray veil: ``v (1 - s) + 220 s`` (Koschmieder's law, as in He et al. 2011, IEEE TPAMI 33, 2341-2353)."""
    del rng
    return _stored(patches * np.float32(1 - strength) + np.float32(_AIRLIGHT * strength))


def blur(patches: Patches, strength: float, rng: np.random.Generator) -> Patches:
    """A Gaussian point spread of standard deviation `strength` pixels; edges are mirrored."""
    del rng
    side = patches.shape[-1]
    reach = min(side - 1, math.ceil(3 * strength))
    steps = np.arange(-reach, reach + 1)
    kernel = np.exp(-0.5 * (steps / strength) ** 2)
    weights = np.zeros((side, side), np.float32)
    for row in range(side):
        np.add.at(weights[row], _mirrored(row + steps, side), kernel / kernel.sum())
    return _stored(weights @ patches.astype(np.float32) @ weights.T)


def resample(patches: Patches, strength: float, rng: np.random.Generator) -> Patches:
    """As a sensor with pixels `strength` times as wide would see them, brought back to size."""
    del rng
    coarse = resample_to_gsd(patches, gsd_from=1.0, gsd_to=strength)
    return np.stack([resize(patch, patches.shape[-1]) for patch in coarse])


def jpeg(patches: Patches, strength: float, rng: np.random.Generator) -> Patches:
    """Through JPEG of quality `strength`, colors at half resolution as is usual; one band or three."""
    del rng
    changed = np.empty_like(patches)
    for place, patch in enumerate(patches):
        picture = Image.fromarray(np.ascontiguousarray(patch.transpose(1, 2, 0)).squeeze())
        stream = io.BytesIO()
        picture.save(stream, "JPEG", quality=round(strength))
        pixels = np.asarray(Image.open(stream))
        changed[place] = pixels if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
    return changed


def noise(patches: Patches, strength: float, rng: np.random.Generator) -> Patches:
    """Independent Gaussian noise of standard deviation `strength` of 255 values."""
    drawn = rng.standard_normal(patches.shape, np.float32)
    return _stored(patches + np.float32(strength) * drawn)


def band_swap(patches: Patches, strength: float, rng: np.random.Generator) -> Patches:
    """The bands mixed with themselves in reverse order; at `strength` 1 red and blue have changed places."""
    del rng
    share = np.float32(strength)
    return _stored((1 - share) * patches + share * patches[:, ::-1])


def translation(patches: Patches, strength: float, rng: np.random.Generator) -> Patches:
    """Moved by `strength` of a side, each patch in its own direction; the gap is filled with a mirror image."""
    side = patches.shape[-1]
    angles = rng.uniform(0, 2 * np.pi, len(patches))
    place = np.arange(side)
    changed = np.empty_like(patches)
    for patch, angle, into in zip(patches, angles, changed, strict=True):
        down, across = (round(strength * side * part) for part in (math.sin(angle), math.cos(angle)))
        into[:] = patch[:, _mirrored(place + down, side)[:, None], _mirrored(place + across, side)]
    return changed


def rotation(patches: Patches, strength: float, rng: np.random.Generator) -> Patches:
    """Rotated by `strength` degrees, one way or the other; corners are filled with mirror images."""
    signs = _signs(len(patches), rng)[:, 0, 0, 0]
    changed = np.empty_like(patches)
    for sign in (-1, 1):
        chosen = np.flatnonzero(signs == sign)
        changed[chosen] = _turned(patches[chosen], sign * strength)
    return changed


def clouds(patches: Patches, strength: float, rng: np.random.Generator) -> Patches:
    """White clouds over a share `strength` of each patch, thin at their edges."""
    cover = _cover(len(patches), patches.shape[-1], strength, rng)
    return _stored(patches * (1 - cover) + np.float32(_CLOUD) * cover)


def shadows(patches: Patches, strength: float, rng: np.random.Generator) -> Patches:
    """The shadows of clouds over a share `strength` of each patch."""
    cover = _cover(len(patches), patches.shape[-1], strength, rng)
    return _stored(patches * (np.float32(1) - np.float32(1 - _SHADE) * cover))


def surface(patches: Patches, strength: float, rng: np.random.Generator) -> Patches:
    """From EuroSAT's rendering towards a true-color picture of surface reflectance; all the way at `strength` 1.

    The line of :func:`swath.imagery.sentinel2.surface_picture`, of which `strength` is the share: clear air is taken
    off, and the white goes from EuroSAT's 2750 to the 2000 of the official picture of L2A. At 1 EuroSAT's channel
    means (88, 97, 104) become (112, 108, 90). The air is the clear one: the usual one makes surfaces of EuroSAT's
    patches darker than black, 9 to 36 % of the pixels of a band, this one at most 1 %. For bands red, green, blue.
    """
    del rng
    white = sentinel2.EUROSAT_WHITE + strength * (_OFFICIAL_WHITE - sentinel2.EUROSAT_WHITE)
    slope = 1 + strength * (np.array(sentinel2.SLOPE) - 1)
    return _drawn(patches, *sentinel2.surface_picture(white, slope, strength * np.array(sentinel2.CLEAR_OFFSET)))


def white(patches: Patches, strength: float, rng: np.random.Generator) -> Patches:
    """The same numbers of L1C, of which another one is drawn white: `strength` times EuroSAT's, or as much less."""
    whites = sentinel2.EUROSAT_WHITE * np.float32(strength) ** _signs(len(patches), rng)[:, 0, 0]
    return _drawn(patches, *sentinel2.surface_picture(whites, 1.0, 0.0))


def season(patches: Patches, strength: float, rng: np.random.Generator) -> Patches:
    """Vegetation browned or greened by `strength`, each patch one way or the other; all else stays.

    Surface reflectance of a pixel is mixed with that of dry or of lush vegetation, by `strength` times how green it
    is: the lesser of its normalized differences of green with red (GRVI, above 0 for green vegetation: Motohka et al.
    2010, Remote Sensing 2, 2369-2387) and of green with blue, which clear water lacks; all of it from 0.25. The two
    spectra are an assumption: medians of EuroSAT's own pixels. For bands red, green, blue.
    """
    line = (255.0, np.array(sentinel2.SLOPE), np.array(sentinel2.CLEAR_OFFSET))  # white 255: a level per DN
    gain, shift = (np.asarray(part, np.float32)[:, None, None] for part in sentinel2.surface_picture(*line))
    numbers = patches * gain + shift
    red, green, blue = np.moveaxis(np.maximum(numbers, 1), 1, 0)
    greenness = np.minimum((green - red) / (green + red), (green - blue) / (green + blue))
    share = np.float32(strength) * np.clip(greenness / np.float32(_GREEN), 0, 1)[:, None]
    end = np.where(_signs(len(patches), rng) > 0, *(np.array(e, np.float32)[:, None, None] for e in (_DRY, _LUSH)))
    return _stored(patches + share * (end - numbers) / gain)


def reprojection(patches: Patches, strength: float, rng: np.random.Generator) -> Patches:
    """Exported in degrees with pixels `strength` times as high, and brought back to meters, then JPEG of quality 90.

    Twice resampled, by the nearest pixel or linearly (each patch one or the other): to a grid that is rotated by the
    2 degrees between it and UTM, half a pixel off, and whose pixels at 50 degrees of latitude are cos 50 as wide as
    high; and back.
    """
    side = patches.shape[-1]
    across, center = strength * math.cos(math.radians(_LATITUDE)), (side - 1) / 2
    sine, cosine = math.sin(math.radians(_CONVERGENCE)), math.cos(math.radians(_CONVERGENCE))
    size = [math.ceil(1.2 * side / step) + 2 for step in (strength, across)]
    middle = [(n - 1) / 2 + 0.5 for n in size]  # half a pixel off
    y, x = ((np.arange(n) - m) * step for n, m, step in zip(size, middle, (strength, across), strict=True))
    out = (cosine * y[:, None] + sine * x + center, cosine * x - sine * y[:, None] + center)
    place = np.arange(side) - center
    down, right = cosine * place[:, None] - sine * place, cosine * place + sine * place[:, None]
    back = (down / strength + middle[0], right / across + middle[1])
    nearest = _signs(len(patches), rng)[:, 0, 0, 0] > 0
    changed = np.empty_like(patches)
    for chosen, places in ((nearest, np.rint), (~nearest, np.asarray)):
        exported = _sampled(patches[chosen], *map(places, out))
        changed[chosen] = _sampled(exported, *map(places, back))
    return jpeg(changed, 90, rng)


def _drawn(patches: Patches, gain: Any, shift: Any) -> Patches:
    """Values through a line for each band, or patch and band, in 8 bits; 0 is left to no data."""
    gain, shift = (np.asarray(part, np.float32)[..., None, None] for part in (gain, shift))
    return _stored(np.maximum(patches * gain + shift, 1))


def _stored(values: npt.NDArray[Any]) -> Patches:
    return np.asarray(np.clip(np.rint(values), 0, 255), np.uint8)


def _signs(n: int, rng: np.random.Generator) -> Floats:
    return rng.choice(np.array([-1, 1], np.float32), (n, 1, 1, 1))


def _mirrored(places: npt.NDArray[np.integer], side: int) -> npt.NDArray[np.int64]:
    """Places outside ``0 .. side - 1`` mirrored at the edges, edge pixels once."""
    period = max(1, 2 * (side - 1))
    folded = np.abs(places) % period
    return np.asarray(np.minimum(folded, period - folded), np.int64)


def _turned(patches: Patches, degrees: float) -> Patches:
    """All patches turned by the same angle, by linear interpolation."""
    side = patches.shape[-1]
    place = np.arange(side) - (side - 1) / 2
    sine, cosine = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
    rows = cosine * place[:, None] + sine * place + (side - 1) / 2
    columns = cosine * place - sine * place[:, None] + (side - 1) / 2
    return _sampled(patches, rows, columns)


def _sampled(patches: Patches, rows: npt.NDArray[np.float64], columns: npt.NDArray[np.float64]) -> Patches:
    """Values at places ``[h, w]`` between pixels, by linear interpolation; edges are mirrored."""
    height, width = patches.shape[2:]
    top, left = np.floor(rows).astype(int), np.floor(columns).astype(int)
    down, across = (rows - top).astype(np.float32), (columns - left).astype(np.float32)
    total = np.zeros((*patches.shape[:2], *rows.shape), np.float32)
    for row, part in ((top, 1 - down), (top + 1, down)):
        for column, share in ((left, 1 - across), (left + 1, across)):
            total += patches[:, :, _mirrored(row, height), _mirrored(column, width)] * (part * share)
    return _stored(total)


def _cover(n: int, side: int, share: float, rng: np.random.Generator) -> Floats:
    """How thick clouds are, 0-1, ``[n, 1, side, side]``: half thick or more over just `share` of each patch.

    Fractal noise: random grids of growing resolution, each half as strong as the one before, interpolated
    linearly and cut at the quantile.
    """
    field = np.zeros((n, side, side), np.float32)
    for octave, size in enumerate(_OCTAVES):
        weights = _interpolation(side, size)
        grid = rng.standard_normal((n, size, size), np.float32)
        field += np.float32(0.5**octave) * (weights @ grid @ weights.T)
    cut = np.quantile(field, 1 - share, axis=(1, 2), keepdims=True)
    edge = 0.6 * field.std(axis=(1, 2), keepdims=True)
    thick: Floats = np.clip(0.5 + (field - cut) / edge, 0, 1).astype(np.float32)
    return thick[:, None]


def _interpolation(side: int, size: int) -> Floats:
    """Linear interpolation of `size` values to `side` places, ``[side, size]``."""
    at = np.linspace(0, size - 1, side)
    weights: Floats = np.maximum(0, 1 - np.abs(at[:, None] - np.arange(size))).astype(np.float32)
    return weights


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

    def at(self, patches: Patches, severity: int, *, seed: int = 0) -> Patches:
        """Change patches ``[N, bands, P, P]``; severity 0 returns them unchanged.

        The same seed and patches give the same pixels; clouds and shadows also depend on how many patches share a block
        of 256 with them.
        """
        if severity == 0 or not len(patches):
            return patches
        strength = self.strengths[severity - 1]
        key = zlib.crc32(self.name.encode())
        parts = []
        for start in range(0, len(patches), _BLOCK):
            # The level is no part of the seed: a patch is changed the same way, only more.
            rng = np.random.default_rng([seed, key, start])
            parts.append(self.change(patches[start : start + _BLOCK], strength, rng))
        return np.concatenate(parts)

    def describe(self, severity: int) -> str:
        """What the level stands for, such as ``20 m``."""
        return self.unit.format(f"{self.strengths[severity - 1]:g}")


SUITE = (
    Shift(
        "surface",
        surface,
        (0.2, 0.4, 0.6, 0.8, 1.0),
        "{} of the way",
        "true color of surface reflectance in place of top of atmosphere",
    ),
    Shift("white", white, (1.1, 1.2, 1.3, 1.45, 1.6), "{} times, or as much less", "another white of the export"),
    Shift("season", season, (0.1, 0.2, 0.3, 0.4, 0.5), "by {}", "vegetation greener or browner"),
    Shift("gain", gain, (0.04, 0.08, 0.12, 0.16, 0.2), "± {}", "brighter or darker"),
    Shift("gamma", gamma, (1.1, 1.2, 1.35, 1.5, 1.75), "{} or its inverse", "another contrast curve"),
    Shift("haze", haze, (0.08, 0.16, 0.24, 0.32, 0.4), "{} of the light", "a gray veil"),
    Shift("blur", blur, (0.5, 0.8, 1.2, 1.6, 2.2), "sd {} pixels", "a softer lens"),
    Shift("resample", resample, (1.5, 2.0, 2.5, 3.0, 4.0), "{} x wider pixels", "a coarser sensor"),
    Shift(
        "reprojection", reprojection, (1.0, 1.25, 1.5, 1.75, 2.0), "{} x higher pixels", "exported in degrees, and back"
    ),
    Shift("jpeg", jpeg, (90, 75, 60, 45, 30), "quality {}", "compression"),
    Shift("noise", noise, (2, 5, 8, 12, 18), "sd {} of 255", "a noisy sensor"),
    Shift("band_swap", band_swap, (0.2, 0.4, 0.6, 0.8, 1.0), "{} swapped", "red and blue swapped"),
    Shift("translation", translation, (1 / 32, 1 / 16, 1 / 8, 3 / 16, 1 / 4), "{} of a side", "cut out elsewhere"),
    Shift("rotation", rotation, (5, 10, 20, 30, 45), "{} degrees", "another orbit"),
    Shift("clouds", clouds, (0.05, 0.1, 0.2, 0.3, 0.45), "{} covered", "clouds"),
    Shift("shadows", shadows, (0.05, 0.1, 0.2, 0.35, 0.5), "{} covered", "shadows of clouds"),
)


def usable(bands: Sequence[str], side: int) -> tuple[tuple[Shift, ...], dict[str, str]]:
    """Shifts that patches of these bands and this side can be put through, and why not the others."""
    skipped: dict[str, str] = {}
    if tuple(bands) != RGB:
        skipped |= dict.fromkeys(_COLORS, "defined for red, green and blue only")
    if len(bands) not in (1, 3):
        skipped |= dict.fromkeys(("jpeg", "reprojection"), "JPEG holds one band or three")
    if side / max(find_shift("resample").strengths) < MIN_SIDE:
        skipped["resample"] = f"patches of {side} pixels are too small"
    return tuple(shift for shift in SUITE if shift.name not in skipped), skipped


def find_shift(name: str) -> Shift:
    """The shift of this name."""
    return next(shift for shift in SUITE if shift.name == name)
