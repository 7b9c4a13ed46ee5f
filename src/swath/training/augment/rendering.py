"""Patches of EuroSAT as other products of the same sensor draw them.

People's scenes are seldom drawn as EuroSAT's patches were. Most are true-color pictures of surface reflectance, with an
air that is gone and a white of their exporter's choice, or such pictures after a usual air has been put back with a
white that could only be estimated. The policy draws all of these through the physics of :mod:`swath.imagery.sentinel2`,
all three bands together and with the rounding to 8 bits that the picture had.
"""

from __future__ import annotations

import torch

from swath.imagery import sentinel2
from swath.training.augment.mixing import share_of

# Shares of the changed patches: as the picture has it; after the usual line has been put back; the rest is a picture of
# L1C with another white.
RAW, PUT_BACK = 0.35, 0.4
HAZE = (-0.3, 1.3)  # where between clear air (0) and the usual one (1) an air lies
OFFSET_SD, SLOPE_SD = 25.0, 0.05  # DN of a band's own; of the logarithm
WHITE = (1800.0, 4200.0)  # DN, even in the logarithm
WHITE_SD = 0.12  # of the logarithm of an estimated white
GAMMA_SHARE, GAMMA_SD = 0.25, 0.15  # share of pictures with a contrast curve; sd of its logarithm


def other_rendering(pixels: torch.Tensor, share: float, *, generator: torch.Generator) -> torch.Tensor:
    """Draw patches as other products would show them.

    Parameters
    ----------
    pixels : torch.Tensor
        uint8 ``[N, 3, P, P]``, red, green and blue, drawn as EuroSAT's are; left untouched.
    share : float
        Of the patches, 0 to 1, that are drawn otherwise.
    generator : torch.Generator
        Source of all randomness.

    Returns
    -------
    torch.Tensor
        uint8 ``[N, 3, P, P]``; `pixels` itself at share 0.
    """
    if share == 0 or not len(pixels):
        return pixels
    chosen = share_of(len(pixels), share, generator)
    n = len(chosen)
    if not n:
        return pixels
    levels = torch.arange(256, dtype=torch.float32)

    def uniform(low: float, high: float) -> torch.Tensor:
        return low + (high - low) * torch.rand(n, 1, generator=generator)

    def normal(sd: float, bands: int) -> torch.Tensor:
        return sd * torch.randn(n, bands, generator=generator)

    clear, usual = torch.tensor(sentinel2.CLEAR_OFFSET), torch.tensor(sentinel2.OFFSET)
    slope = torch.tensor(sentinel2.SLOPE)
    low, high = (torch.tensor(limit).log().item() for limit in WHITE)
    white = uniform(low, high).exp()
    air = clear + uniform(*HAZE) * (usual - clear) + normal(OFFSET_SD, 3)
    gain, shift = sentinel2.surface_picture(white, slope * normal(SLOPE_SD, 3).exp(), air)
    kind = torch.rand(n, 1, generator=generator)
    # A picture of L1C is one through air that neither dims nor adds.
    plain = sentinel2.surface_picture(white, torch.ones(3), torch.zeros(3))
    top = kind >= RAW + PUT_BACK
    drawn = _picture(levels, torch.where(top, plain[0], gain), torch.where(top, plain[1], shift))
    curved = torch.where(uniform(0, 1) < GAMMA_SHARE, normal(GAMMA_SD, 1).exp(), 1.0)[..., None]
    drawn = (255 * (drawn / 255) ** curved).round_()
    back = sentinel2.from_surface_picture(white * normal(WHITE_SD, 1).exp(), slope, usual)
    restored = (drawn * back[0][..., None] + back[1].expand(n, 3)[..., None]).clamp_(1, 255).round_()
    put_back = ((kind >= RAW) & ~top)[..., None]
    table = torch.where(put_back, restored, drawn).to(torch.uint8)
    changed = table.gather(2, pixels.index_select(0, chosen).flatten(2).long())
    return pixels.clone().index_copy_(0, chosen, changed.view(n, *pixels.shape[1:]))


def _picture(levels: torch.Tensor, gain: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
    """All 256 values through a line for each patch and band ``[n, 3]``, in 8 bits; 0 is left to no data."""
    return (levels * gain[..., None] + shift[..., None]).clamp_(1, 255).round_()
