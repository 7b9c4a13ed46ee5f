"""Changes of value that are the same wherever in a patch they happen: haze, gain, offset, gamma."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

REFERENCE = 490.0  # nanometres, the blue band of Sentinel-2, whose scattering counts as one
# Centres in nanometres, by the names pictures use and by Sentinel-2's own.
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
    """How strongly each band scatters beside blue: ``(490 nm / wavelength) ** exponent``.

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
