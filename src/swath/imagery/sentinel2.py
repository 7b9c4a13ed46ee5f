"""How products of Sentinel-2 show the same ground: what the air adds, and which white a picture was drawn with.

Numbers (DN) are reflectance times 10,000, at the top of the atmosphere (L1C) or of the surface (L2A), where the air has
been taken off. Within one scene the one is a line of the other, band by band: the air dims what the ground reflects and
adds light of its own (Vermote et al. 1997, IEEE TGRS 35, 675-686). A true-color picture draws one of them in 8 bits,
from black at 0 to a white that whoever exported it has chosen. The pictures of EuroSAT are L1C from 0 to 2750, drawn as
1 to 255 (Helber et al. 2019). All functions take numbers, arrays and tensors alike.
"""

from __future__ import annotations

from typing import Any

EUROSAT_WHITE = 2750.0  # DN
# L1C = slope * L2A + offset in DN, for red, green, blue. Least squares over four pairs of chips (r 0.97 to 1.00) give
# slopes of 0.76-0.81, 0.63-0.71, 0.60-0.67 and offsets of 279-460, 484-755, 743-1092; the usual line is about the mean.
# In clear air offsets are lower: those that make EuroSAT's forests those of surface reflectance.
SLOPE = (0.78, 0.68, 0.64)
OFFSET = (400.0, 620.0, 950.0)
CLEAR_OFFSET = (210.0, 450.0, 655.0)
_LEVELS = 254 / EUROSAT_WHITE  # of EuroSAT's pictures per DN


def surface_picture(white: Any, slope: Any, offset: Any) -> tuple[Any, Any]:
    """Gain and shift that make EuroSAT's values those of a true-color picture of surface reflectance.

    Parameters
    ----------
    white : float or array
        DN of surface reflectance that the picture draws as 255.
    slope, offset : float or array
        Of the air, ``L1C = slope * L2A + offset``.

    Returns
    -------
    tuple
        ``gain, shift``: the picture's value is ``value * gain + shift``, from 0 to 255.

    Examples
    --------
    >>> gain, shift = surface_picture(2000.0, 0.78, 400.0)
    >>> round(gain, 2), round(shift, 1)
    (1.77, -67.2)
    """
    gain = 255 / white / slope / _LEVELS
    return gain, -gain - 255 / white * offset / slope


def from_surface_picture(white: Any, slope: Any, offset: Any) -> tuple[Any, Any]:
    """Gain and shift that make the values of such a picture EuroSAT's: the inverse of :func:`surface_picture`.

    Examples
    --------
    >>> gain, shift = surface_picture(2000.0, 0.78, 400.0)
    >>> back, add = from_surface_picture(2000.0, 0.78, 400.0)
    >>> round(back * (100 * gain + shift) + add, 6)
    100.0
    """
    return slope * white / 255 * _LEVELS, 1 + _LEVELS * offset
