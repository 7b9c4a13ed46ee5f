"""One line per band that makes a scene's stored values those that a model takes: gain, offset, rounding, no data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Rescaling:
    """``gain * value + offset`` for each band, rounded, from 1 to the largest value of `data_type`; 0 is no data.

    Attributes
    ----------
    gain, offset : tuple of float
        One for each band.
    data_type : str
        ``"uint8"`` or ``"uint16"``: of the results.

    Examples
    --------
    >>> Rescaling.between(0, 2750, bands=3).apply(np.full((3, 1, 1), 2750, np.uint16)).ravel().tolist()
    [255, 255, 255]
    """

    gain: tuple[float, ...]
    offset: tuple[float, ...]
    data_type: str = "uint8"

    @classmethod
    def between(cls, low: float, high: float, *, bands: int) -> Rescaling:
        """The line on which `low` becomes 1 and `high` 255, as :func:`swath.imagery.rescale_reflectance` has it."""
        gain = 254 / (high - low)
        return cls((gain,) * bands, (1 - gain * low,) * bands)

    def of(self, scale: float, offset: float) -> Rescaling:
        """The same for values that become this one's by ``scale * value + offset``."""
        moved = tuple(add + gain * offset for gain, add in zip(self.gain, self.offset, strict=True))
        return Rescaling(tuple(scale * gain for gain in self.gain), moved, self.data_type)

    def then(self, gain: Sequence[float], offset: Sequence[float]) -> Rescaling:
        """This one and then another line."""
        after = tuple(zip(gain, offset, self.gain, self.offset, strict=True))
        return Rescaling(tuple(g * own for g, _, own, _ in after), tuple(g * add + o for g, o, _, add in after))

    @np.errstate(over="ignore", invalid="ignore")  # what means no data may be as large as numbers go, or signaling NaN
    def apply(
        self, pixels: npt.NDArray[Any], valid: npt.NDArray[np.bool_] | np.bool_ | None = None
    ) -> npt.NDArray[Any]:
        """Rescale pixels; whole numbers through a table of all the values there are.

        Parameters
        ----------
        pixels : numpy.ndarray
            ``[bands, H, W]``.
        valid : numpy.ndarray, optional
            ``[H, W]`` or ``[bands, H, W]`` bool, False where pixels are no data: these stay as they are in pictures
            of the same type, and become 0 in others. By default those that are 0 in all bands.

        Returns
        -------
        numpy.ndarray
            ``[bands, H, W]`` of `data_type`.
        """
        rescaled = np.empty(pixels.shape, self.data_type)
        for band, (gain, offset) in enumerate(zip(self.gain, self.offset, strict=True)):
            values = pixels[band]
            if pixels.dtype in (np.uint8, np.uint16):
                every = np.arange(np.iinfo(pixels.dtype).max + 1)
                np.take(self._line(every, gain, offset), values, out=rescaled[band])
            else:
                rescaled[band] = self._line(np.nan_to_num(values.astype(np.float64)), gain, offset)
        there = pixels.any(axis=0) if valid is None else valid
        if not there.all():
            left = pixels if pixels.dtype == rescaled.dtype else np.zeros((), rescaled.dtype)
            rescaled = np.where(there, rescaled, left)
        return rescaled

    def _line(self, values: npt.NDArray[Any], gain: float, offset: float) -> npt.NDArray[Any]:
        exact = np.floor(gain * values + offset + 0.5)
        return np.asarray(np.clip(exact, 1, np.iinfo(self.data_type).max), self.data_type)
