"""What input weights were trained on, and whether the pixels at hand are that."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from swath.config import Settings
from swath.errors import DataError
from swath.imagery import RGB

BYTE = 255.0  # largest number of an 8-bit picture
FURTHEST = 10.0  # a channel whose mean is so many deviations from the expected one has another scale


class Expectation(Settings):
    """The input that weights were trained on.

    A stored pixel ``x`` of band ``b`` entered the network as ``(x / scale - mean[b]) / sd[b]``.
    """

    bands: tuple[str, ...] = Field(default=RGB, min_length=1)
    data_type: Literal["uint8", "uint16"] = "uint8"
    scale: float = Field(default=BYTE, gt=0, description="stored number that becomes 1.0")
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    sd: tuple[Annotated[float, Field(gt=0)], ...] = (0.229, 0.224, 0.225)

    @field_validator("bands")
    @classmethod
    def _lower(cls, bands: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(band.lower() for band in bands)

    @model_validator(mode="after")
    def _same_length(self) -> Expectation:
        if not len(self.bands) == len(self.mean) == len(self.sd):
            raise ValueError(f"mean and sd need one number per band ({len(self.bands)})")
        return self

    def normalization(
        self, bands: Sequence[str] | None = None
    ) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation of each band, in units of stored pixels.

        Parameters
        ----------
        bands : sequence of str, optional
            Bands of the input, by default the expected ones. A band the weights never saw takes the average
            over those they did.
        """
        places = [self.bands.index(b) if b in self.bands else None for b in bands or self.bands]
        mean, sd = (
            tuple(self.scale * (sum(v) / len(v) if at is None else v[at]) for at in places)
            for v in (self.mean, self.sd)
        )
        return mean, sd


def check_expectation(
    expects: Expectation,
    *,
    bands: Sequence[str],
    data_type: str,
    largest: float,
    channel_mean: Sequence[float],
    source: str = "the weights",
) -> None:
    """Refuse pixels that weights were not made for.

    Another number of bands, or bands of other names, are no mismatch: the first layer is adapted to them.

    Parameters
    ----------
    expects : Expectation
        What the weights expect.
    bands : sequence of str
        Bands of the patches, in their order.
    data_type : str
        ``uint8`` or ``uint16``: how they are stored.
    largest : float
        Largest number in the training patches.
    channel_mean : sequence of float
        Mean of each band over the training patches, in stored units.
    source : str
        Name of the weights for messages.

    Raises
    ------
    DataError
        If the bands are in another order, or the numbers are on another scale.
    """
    given = tuple(bands)
    if given != expects.bands and sorted(given) == sorted(expects.bands):
        raise DataError(
            f"{source} expect the bands {','.join(expects.bands)}, and the patches come as {','.join(given)}",
            fix=f"--set 'bands=[{', '.join(expects.bands)}]'",
        )
    problem = _scale_problem(expects, data_type, largest)
    if problem is not None:
        raise DataError(f"{source} expect {_wanted(expects)}, {problem[0]}", fix=problem[1])
    for band, value, mean, sd in zip(given, channel_mean, *expects.normalization(given), strict=True):
        if not math.isfinite(value) or abs(value - mean) > FURTHEST * sd:
            raise DataError(
                f"{source} expect {_wanted(expects)} with a mean of {mean:.4g} in band {band}, and the patches "
                f"have {value:.4g}, {abs(value - mean) / sd:.0f} standard deviations away",
                fix="give the patches on the scale the weights expect, or train with --weights none",
            )


def _scale_problem(expects: Expectation, data_type: str, largest: float) -> tuple[str, str] | None:
    """What is wrong with the scale of the pixels, and its remedy; ``None`` if nothing is evident."""
    wide = expects.data_type == "uint16"
    if largest <= 1:
        return (
            f"and no pixel is above {largest:g}: these look divided already",
            "give the pixels as stored, the network scales them itself",
        )
    if wide and data_type == "uint8":
        return (
            "and the patches are 8-bit pictures",
            "use patches of the 16-bit numbers, or weights made from pictures such as imagenet",
        )
    if wide and largest <= BYTE:
        return (
            f"and no pixel is above {largest:g}: these look like 8-bit pictures stored in 16 bits",
            "use patches of the 16-bit numbers, or weights made from pictures such as imagenet",
        )
    if not wide and largest > BYTE:
        return (
            f"and pixels reach {largest:g}: these look like 16-bit reflectance",
            "render the patches to 8 bits first (swath.imagery.render_reflectance), or use weights made from "
            "reflectance such as torchgeo:ResNet18_Weights.SENTINEL2_RGB_MOCO",
        )
    return None


def _wanted(expects: Expectation) -> str:
    if expects.data_type == "uint8":
        return "8-bit pictures (0-255)"
    return f"16-bit numbers ({expects.scale:g} is 1.0)" if expects.scale > 1 else "16-bit numbers"
