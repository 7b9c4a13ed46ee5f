"""The sensor-shift policy: patches as another sensor, atmosphere or rendering would have shown them.

A network trained on top-of-atmosphere pictures fails on surface-reflectance ones of the same land: blue is
darker there by a third, red brighter. The policy draws such shifts at random: haze put on or taken off,
a gain for the patch and for each band, an offset, gamma, a softer point spread, coarser sampling, noise, JPEG.
Some patches stay as they are, so that accuracy on the training sensor holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from swath.training.augment.optics import optics
from swath.training.augment.packing import jpeg
from swath.training.augment.storing import as_stored, share_of
from swath.training.augment.tones import Tones, haze, relative_scattering

KEPT = 0.3  # share of patches that stay as they are


@dataclass(frozen=True)
class Policy:
    """How far each change goes at strength 1, and the share of the changed patches it comes to.

    Attributes
    ----------
    depth : float
        Largest optical depth at 490 nm of haze added or removed.
    veil : tuple of float
        Range of the veil's brightness, as a share of the top value.
    gain, band_gain, gamma : float
        Standard deviations of the logarithms of a patch's gain, of a band's own, and of gamma.
    offset : float
        Standard deviation of a band's offset, as a share of the top value.
    soft, blur, coarser : float
        Share of patches that lose resolution; largest Gaussian sd in pixels; by how much, at most, the
        pixel size grows before it is brought back: 3 takes 10 m to 40 m.
    noisy, noise : float
        Share of patches with noise; its largest standard deviation, as a share of the top value.
    packed, quality : float
        Share of patches that go through JPEG; how far below 95 its quality may lie.
    """

    depth: float = 0.5
    veil: tuple[float, float] = (0.4, 0.8)
    gain: float = 0.15
    band_gain: float = 0.2
    gamma: float = 0.2
    offset: float = 0.04
    soft: float = 0.35
    blur: float = 1.2
    coarser: float = 3.0
    noisy: float = 0.2
    noise: float = 0.03
    packed: float = 0.12
    quality: float = 65.0


SENSOR_SHIFT = Policy()


def sensor_shift(
    pixels: torch.Tensor,
    strength: float,
    *,
    generator: torch.Generator,
    top: float,
    bands: Sequence[str] = (),
    kept: float = KEPT,
) -> torch.Tensor:
    """Show each patch as another sensor would: haze, gain, gamma, blur, resampling, noise, JPEG.

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
        Share of patches left as they are.

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
    _soften(changed, strength, generator=generator, top=top)
    _add_noise(changed, strength, generator=generator, top=top)
    if pixels.shape[1] in (1, 3):
        _pack(changed, strength, generator=generator, top=top)
    return pixels.clone().index_copy_(0, chosen, changed)


def _draw_tones(
    n: int, count: int, bands: Sequence[str], strength: float, generator: torch.Generator
) -> Tones:
    """What happens to the values of each band of each patch, wherever they lie in it."""
    policy = SENSOR_SHIFT

    def normal(sd: float, *shape: int) -> torch.Tensor:
        return sd * strength * torch.randn(n, *shape, generator=generator)

    def uniform(low: float, high: float) -> torch.Tensor:
        return low + (high - low) * torch.rand(n, 1, generator=generator)

    depth = uniform(-policy.depth * strength, policy.depth * strength)  # below 0: taken off
    weights = relative_scattering(bands or ["?"] * count, uniform(0.5, 4))
    slope, shift = haze(depth * weights, uniform(*policy.veil))
    gain = (normal(policy.gain, 1) + normal(policy.band_gain, count)).exp()
    offset = normal(policy.offset, count)
    return Tones(slope * gain, shift * gain + offset, normal(policy.gamma, 1).exp().expand(n, count))


def _toned(pixels: torch.Tensor, tones: Tones, *, top: float) -> torch.Tensor:
    """Apply tones to patches as stored: through a table of all 256 values where there are no more."""
    n, count = pixels.shape[:2]
    if pixels.dtype != torch.uint8:
        values = tones.apply(pixels.flatten(2).float().div_(top)).mul_(top)
        return as_stored(values, pixels.dtype, top=top).view(pixels.shape)
    levels = torch.arange(256, dtype=torch.float32).div_(top).expand(n, count, 256)
    table = as_stored(tones.apply(levels).mul_(top), torch.uint8, top=top)
    return table.gather(2, pixels.flatten(2).long()).view(pixels.shape)


def _soften(pixels: torch.Tensor, strength: float, *, generator: torch.Generator, top: float) -> None:
    """Blur some of the patches, and sample half of those more coarsely, in place."""
    policy = SENSOR_SHIFT
    part = share_of(len(pixels), policy.soft, generator)
    spread = policy.blur * strength * torch.rand(len(part), generator=generator)
    factor = 1 + policy.coarser * strength * torch.rand(len(part), generator=generator)
    # The other half keep their sampling: a soft picture is not always a coarse one.
    factor = torch.where(torch.rand(len(part), generator=generator) < 0.5, factor, 1.0)
    both = optics(pixels.shape[-1], spread, factor)[:, None]
    seen = both @ pixels.index_select(0, part).float() @ both.mT
    pixels.index_copy_(0, part, as_stored(seen, pixels.dtype, top=top))


def _add_noise(pixels: torch.Tensor, strength: float, *, generator: torch.Generator, top: float) -> None:
    """Add normal noise to some of the patches, in place."""
    policy = SENSOR_SHIFT
    part = share_of(len(pixels), policy.noisy, generator)
    values = pixels.index_select(0, part).float()
    sd = policy.noise * strength * top * torch.rand(len(part), 1, 1, 1, generator=generator)
    seen = values.addcmul(sd, torch.randn(values.shape, generator=generator))
    pixels.index_copy_(0, part, as_stored(seen, pixels.dtype, top=top))


def _pack(pixels: torch.Tensor, strength: float, *, generator: torch.Generator, top: float) -> None:
    """Put some of the patches through JPEG, in place; what is not 8 bit is scaled to it and back."""
    policy = SENSOR_SHIFT
    part = share_of(len(pixels), policy.packed, generator)
    qualities = 95 - policy.quality * strength * torch.rand(len(part), generator=generator)
    scale = 255 / top
    bytes_ = as_stored(pixels.index_select(0, part).float() * scale, torch.uint8, top=255)
    packed = jpeg(bytes_, qualities.round().int().tolist()).float() / scale
    pixels.index_copy_(0, part, as_stored(packed, pixels.dtype, top=top))
