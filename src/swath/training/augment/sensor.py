"""The sensor-shift policy: patches as another sensor, atmosphere or rendering would record them.

A network trained on top-of-atmosphere pictures fails on surface-reflectance ones of the same land: blue is
darker there by a third, red brighter. The policy draws such shifts at random: haze added or removed,
a gain for the patch and for each band, an offset, gamma, a softer point spread, coarser sampling, noise, JPEG.
Some patches stay unchanged, which keeps the accuracy on the training sensor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

import numpy as np
import torch
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from swath.training.augment.mixing import as_stored, share_of

REFERENCE = 490.0  # nanometers, the blue band of Sentinel-2, whose scattering counts as one
# Centers in nanometers, by the names pictures use and by Sentinel-2's own.
WAVELENGTHS = {
    "coastal": 443.0,
    "blue": 490.0,
    "green": 560.0,
    "red": 665.0,
    "rededge": 705.0,
    "nir": 842.0,
    "b01": 443.0,
    "b02": 490.0,
    "b03": 560.0,
    "b04": 665.0,
    "b05": 705.0,
    "b06": 740.0,
    "b07": 783.0,
    "b08": 842.0,
    "b8a": 865.0,
    "b09": 945.0,
    "b10": 1375.0,
    "b11": 1610.0,
    "b12": 2190.0,
}
KEPT = 0.3  # share of patches that stay unchanged
# How far each change goes at strength 1, and the share of the changed patches that it is made to. What is a share of
# brightness is one of the top value; sd is a standard deviation.
DEPTH = 0.5  # largest optical depth at 490 nm of haze added or removed
VEIL = (0.4, 0.8)  # brightness of the haze
GAIN, BAND_GAIN, GAMMA = 0.15, 0.2, 0.2  # sd of the logarithms of a patch's gain, of a band's own, and of gamma
OFFSET = 0.04  # sd of a band's brightness
SOFT, BLUR = 0.35, 1.2  # share of patches that lose resolution; largest Gaussian sd, pixels
COARSER = 3.0  # by how much, at most, the pixel size grows before it is brought back: 3 takes 10 m to 40 m
NOISY, NOISE = 0.2, 0.03  # share of patches with noise; its largest sd, of brightness
PACKED, QUALITY = 0.12, 65.0  # share of patches that go through JPEG; how far below 95 its quality may lie


@dataclass(frozen=True)
class Tones:
    """``(value * slope + shift) ** gamma``, held between 0 and 1, for each band of each patch.

    Attributes
    ----------
    slope, shift, gamma : torch.Tensor
        Float ``[n, bands]``.
    """

    slope: torch.Tensor
    shift: torch.Tensor
    gamma: torch.Tensor

    def apply(self, shares: torch.Tensor) -> torch.Tensor:
        """Change values ``[n, bands, M]``, given as shares of the top value."""
        moved = shares * self.slope[..., None] + self.shift[..., None]
        return moved.clamp_(0, 1).pow_(self.gamma[..., None])


def haze(depth: torch.Tensor, veil: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Slope and shift of haze with optical depth `depth`, or of its removal where that is below 0.

    Haze dims what is seen and adds a veil, ``value * t + A * (1 - t)`` with ``t = exp(-depth)``
    (Koschmieder's law as in He, Sun and Tang 2011, "Single image haze removal using dark channel prior",
    eq. 1); removal solves that for the value.

    Parameters
    ----------
    depth : torch.Tensor
        ``[n, bands]``.
    veil : torch.Tensor
        A, brightness of the veil as a share of the top value, ``[n, 1]`` or ``[n, bands]``.

    Returns
    -------
    tuple of torch.Tensor
        ``slope, shift``, each ``[n, bands]``: what is seen is ``value * slope + shift``.
    """
    kept = torch.exp(-depth.abs())
    added = veil * (1 - kept)
    put_on = depth >= 0
    return torch.where(put_on, kept, 1 / kept), torch.where(put_on, added, -added / kept)


def relative_scattering(bands: Sequence[str], exponent: torch.Tensor) -> torch.Tensor:
    """How strongly each band scatters relative to blue: ``(490 nm / wavelength) ** exponent``.

    The exponent is 4 in very clear air and 0.5 in thick haze (Chavez 1988, "An improved dark-object
    subtraction technique", table 2).

    Parameters
    ----------
    bands : sequence of str
        Names such as ``red`` or ``B04``, any case; an unknown one counts as green does.
    exponent : torch.Tensor
        ``[n, 1]``.

    Returns
    -------
    torch.Tensor
        ``[n, bands]``.
    """
    ratios = torch.tensor([REFERENCE / WAVELENGTHS.get(band.lower(), WAVELENGTHS["green"]) for band in bands])
    return ratios**exponent


def optics(size: int, spread: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """Matrices ``M`` such that ``M @ patch @ M.T`` is blurred, sampled coarser, and brought back to size.

    Gaussian blur, then reduction with a triangle filter as wide as the reduction, then linear interpolation:
    all linear and separable, so their product does all three at once. Weights at the edges are made to sum to
    one, as :func:`swath.imagery.resize` does.

    Parameters
    ----------
    size : int
        Side of the patches, pixels.
    spread : torch.Tensor
        Standard deviations of the Gaussian, pixels, ``[n]``; 0 does not blur.
    factor : torch.Tensor
        How many times larger the coarse pixels are, ``[n]``, at least 1; 1 does not resample.

    Returns
    -------
    torch.Tensor
        Float ``[n, size, size]``; every row sums to one.
    """
    place = torch.arange(size, dtype=torch.float32)
    distance = place[:, None] - place
    blur = _normalized(torch.exp(-0.5 * (distance / spread.clamp(min=1e-3)[:, None, None]) ** 2))
    count = (size / factor).round().clamp(min=1)[:, None, None]
    step = size / count
    row = place[:, None]
    center = (row + 0.5) * step - 0.5  # of coarse pixels; those beyond the last one get no weight below
    down = _normalized((1 - (place - center).abs() / step).clamp(min=0))
    seen = ((row + 0.5) / step - 0.5).clamp(min=0).minimum(count - 1)
    up = (1 - (seen - place).abs()).clamp(min=0) * (place < count)
    return up @ down @ blur


def _normalized(weights: torch.Tensor) -> torch.Tensor:
    # Rows of coarse pixels that do not exist are all zero and stay so.
    return weights / weights.sum(-1, keepdim=True).clamp(min=1e-12)


def jpeg(pixels: torch.Tensor, qualities: Sequence[int]) -> torch.Tensor:
    """Pack patches as JPEG with chroma at half the resolution, and unpack them again.

    Parameters
    ----------
    pixels : torch.Tensor
        uint8 ``[n, 1 or 3, P, P]``: gray, or red, green and blue.
    qualities : sequence of int
        Of each patch, 1 to 95, on the scale of the Independent JPEG Group.

    Returns
    -------
    torch.Tensor
        Same shape and type.
    """
    packed = torch.empty_like(pixels)
    for patch, target, quality in zip(pixels, packed, qualities, strict=True):
        planes = patch[0] if len(patch) == 1 else patch.permute(1, 2, 0)
        stream = BytesIO()
        image = Image.fromarray(np.ascontiguousarray(planes.numpy()))
        image.save(stream, "JPEG", quality=quality, subsampling="4:2:0" if len(patch) == 3 else -1)
        stream.seek(0)
        seen = torch.from_numpy(np.array(JpegImageFile(stream)))
        target.copy_(seen[None] if seen.ndim == 2 else seen.permute(2, 0, 1))
    return packed


def sensor_shift(
    pixels: torch.Tensor,
    strength: float,
    *,
    generator: torch.Generator,
    top: float,
    bands: Sequence[str] = (),
    kept: float = KEPT,
) -> torch.Tensor:
    """Change patches as another sensor would: haze, gain, gamma, blur, resampling, noise, JPEG.

    Parameters
    ----------
    pixels : torch.Tensor
        ``[N, bands, P, P]`` in stored units, uint8, uint16 or float; left untouched.
    strength : float
        0 changes nothing, 1 is another sensor; every range grows with it in proportion.
    generator : torch.Generator
        Source of all randomness.
    top : float
        The value that is white, such as 255; results lie between 0 and it.
    bands : sequence of str
        Names of the bands, which say how strongly haze scatters in each; without them, or under other
        names, all scatter alike. JPEG comes to patches of one or three bands only.
    kept : float
        Share of patches left unchanged.

    Returns
    -------
    torch.Tensor
        ``[N, bands, P, P]``, same dtype; `pixels` itself at strength 0.
    """
    if strength == 0 or not len(pixels):
        return pixels
    if pixels.dtype == torch.uint16:  # torch reads from such tensors but does not write into them
        wide = sensor_shift(pixels.int(), strength, generator=generator, top=top, bands=bands, kept=kept)
        return wide.to(torch.uint16)
    chosen = share_of(len(pixels), 1 - kept, generator)
    if not len(chosen):
        return pixels
    changed = pixels.index_select(0, chosen)
    tones = _draw_tones(len(chosen), pixels.shape[1], bands, strength, generator)
    changed = _toned(changed, tones, top=top)
    changes = [(SOFT, _softened), (NOISY, _noisy), *([(PACKED, _packed)] if pixels.shape[1] in (1, 3) else [])]
    for share, change in changes:
        part = share_of(len(changed), share, generator)
        values = change(changed.index_select(0, part).float(), strength, generator, top)
        changed.index_copy_(0, part, as_stored(values, changed.dtype, top=top))
    return pixels.clone().index_copy_(0, chosen, changed)


def _draw_tones(n: int, count: int, bands: Sequence[str], strength: float, generator: torch.Generator) -> Tones:
    """What happens to the values of each band of each patch, wherever they lie in it."""

    def normal(sd: float, *shape: int) -> torch.Tensor:
        return sd * strength * torch.randn(n, *shape, generator=generator)

    def uniform(low: float, high: float) -> torch.Tensor:
        return low + (high - low) * torch.rand(n, 1, generator=generator)

    depth = uniform(-DEPTH * strength, DEPTH * strength)  # below 0: removed
    weights = relative_scattering(bands or ["?"] * count, uniform(0.5, 4))
    slope, shift = haze(depth * weights, uniform(*VEIL))
    gain = (normal(GAIN, 1) + normal(BAND_GAIN, count)).exp()
    offset = normal(OFFSET, count)
    return Tones(slope * gain, shift * gain + offset, normal(GAMMA, 1).exp().expand(n, count))


def _toned(pixels: torch.Tensor, tones: Tones, *, top: float) -> torch.Tensor:
    """Apply tones to patches as stored: through a table of all 256 values where there are no more."""
    n, count = pixels.shape[:2]
    if pixels.dtype != torch.uint8:
        values = tones.apply(pixels.flatten(2).float().div_(top)).mul_(top)
        return as_stored(values, pixels.dtype, top=top).view(pixels.shape)
    levels = torch.arange(256, dtype=torch.float32).div_(top).expand(n, count, 256)
    table = as_stored(tones.apply(levels).mul_(top), torch.uint8, top=top)
    return table.gather(2, pixels.flatten(2).long()).view(pixels.shape)


def _softened(values: torch.Tensor, strength: float, generator: torch.Generator, _top: float) -> torch.Tensor:
    """Patches blurred, and half of them sampled more coarsely: a soft picture is not always a coarse one."""
    spread = BLUR * strength * torch.rand(len(values), generator=generator)
    factor = 1 + COARSER * strength * torch.rand(len(values), generator=generator)
    factor = torch.where(torch.rand(len(values), generator=generator) < 0.5, factor, 1.0)
    both = optics(values.shape[-1], spread, factor)[:, None]
    return both @ values @ both.mT


def _noisy(values: torch.Tensor, strength: float, generator: torch.Generator, top: float) -> torch.Tensor:
    """Patches with normal noise."""
    sd = NOISE * strength * top * torch.rand(len(values), 1, 1, 1, generator=generator)
    return values.addcmul(sd, torch.randn(values.shape, generator=generator))


def _packed(values: torch.Tensor, strength: float, generator: torch.Generator, top: float) -> torch.Tensor:
    """Patches that went through JPEG; what is not 8 bit is scaled to it and back."""
    qualities = 95 - QUALITY * strength * torch.rand(len(values), generator=generator)
    scale = 255 / top
    packed = jpeg(as_stored(values * scale, torch.uint8, top=255), qualities.round().int().tolist())
    return packed.float() / scale
