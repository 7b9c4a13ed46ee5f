"""Whether a scene has the colors a model was trained on, and the correction where it has not.

The decision for ``--match-colors auto|on|off``, from a sample of the scene's pixels and the model's record; the
arithmetic is in :mod:`swath.imagery.color_match`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from swath.errors import DataError, SettingError
from swath.imagery.color_match import ENOUGH, Comparison, Correction, Quantiles, compare, match
from swath.model.record import InputSpec

Mode = Literal["auto", "on", "off"]
IMAGES = 256  # sampled, of however many there are
_EACH = 64 * 64  # pixels sampled of an image: a single large picture is no scene either


@dataclass(frozen=True)
class ColorMatch:
    """What was found and decided.

    Attributes
    ----------
    asked : str
        ``"auto"``, ``"on"`` or ``"off"``.
    comparison : Comparison or None
        None if the model file holds no quantiles of its training patches, or no pixel is clear.
    correction : Correction or None
        Applied to the pixels; None for none.
    sentence : str
        What was found and done, in one sentence without a full stop.
    warning : str or None
        What the user should know; None if the scene is like the training patches.
    """

    asked: Mode
    comparison: Comparison | None
    correction: Correction | None
    sentence: str
    warning: str | None = None

    @property
    def compared(self) -> bool:
        """Whether enough was seen to say if the scene is like the training patches."""
        return self.comparison is not None and self.comparison.pixels >= ENOUGH

    def record(self) -> dict[str, Any]:
        """The same as plain values, for JSON."""
        found = None
        if self.comparison is not None:
            found = asdict(self.comparison)
            found["outside"] = [round(share, 4) for share in self.comparison.outside]
            found["below"] = [round(share, 4) for share in self.comparison.below]
        done = None if self.correction is None else asdict(self.correction)
        return {
            "asked": self.asked,
            "applied": done is not None,
            "correction": done,
            "scene": found,
            "finding": self.sentence,
        }


def check_mode(mode: str) -> Mode:
    """Take `mode` for one of the three.

    Raises
    ------
    SettingError
        If it is none of them.
    """
    for known in get_args(Mode):
        if mode == known:
            return known  # type: ignore[no-any-return]  # get_args has no types
    raise SettingError(f"--match-colors {mode}", fix="give auto, on or off")


def compare_scene(
    pixels: npt.NDArray[Any], spec: InputSpec, *, mode: str = "auto", what: str = "the scene"
) -> ColorMatch:
    """Compare a scene with the training patches and decide whether to correct it.

    ``auto`` corrects where more than 20 % of the pixels of a band lie outside the training range. It takes
    102,400 clear pixels (25 patches) to say so: fewer are no scene, and are left unchanged without a warning.

    Parameters
    ----------
    pixels : numpy.ndarray
        ``[bands, n]``: a sample spread over the whole scene, in the model's data type.
    spec : InputSpec
        What the model expects.
    mode : str
        ``"auto"``, ``"on"`` or ``"off"``.
    what : str
        What messages call the scene.

    Raises
    ------
    SettingError
        If `mode` is none of these, or is ``"on"`` and the model file holds no quantiles.
    DataError
        If `mode` is ``"on"`` and no pixel is clear.
    """
    asked = check_mode(mode)
    if spec.channel_quantiles is None:
        if asked == "on":
            raise SettingError(
                "the model file holds no quantiles of its training patches, so colors cannot be matched",
                fix="train the model again with this version, or leave out --match-colors on",
            )
        return ColorMatch(asked, None, None, "not compared: the model file holds no quantiles")
    training = Quantiles(spec.channel_quantiles.levels, spec.channel_quantiles.values)
    found = compare(pixels, training)
    if found is None:
        if asked == "on":
            raise DataError(
                f"{what} has no pixel that is clear and holds data, so colors cannot be matched",
                fix="leave out --match-colors on",
            )
        return ColorMatch(asked, None, None, "not compared: no pixel is clear and holds data")
    finding = _found(found, spec.bands, what)
    if found.pixels < ENOUGH and asked != "on":
        return ColorMatch(asked, found, None, f"left unchanged: too few pixels to compare ({found.pixels:,})")
    if asked == "on" or (asked == "auto" and found.far):
        correction = match(found.quantiles, training)
        done = "; ".join(
            f"{band}: gain {gain:.2f}, offset {offset:+.0f}"
            for band, gain, offset in zip(spec.bands, correction.gain, correction.offset, strict=True)
        )
        matched = f"colors were matched to the training images ({done})"
        warning = f"{finding}, so {matched}" if found.far else None
        return ColorMatch(asked, found, correction, f"{matched}: {finding}", warning)
    if not found.far:
        return ColorMatch(asked, found, None, f"left unchanged: {finding}")
    return ColorMatch(asked, found, None, f"left unchanged: {finding}", f"{finding}: try --match-colors on")


def sample_images(
    images: Iterable[tuple[str, bytes]], pixels_of: Callable[[bytes, str], npt.NDArray[Any]]
) -> list[npt.NDArray[Any]]:
    """Up to 4,096 pixels ``[bands, n]`` of each image, evenly spread over it.

    Parameters
    ----------
    images : iterable of (str, bytes)
        Names and undecoded images.
    pixels_of : callable
        Gives an image's pixels ``[bands, H, W]``; images that it refuses with a DataError are passed over,
        as whatever reads them next reports what is wrong.
    """
    parts = []
    for name, data in images:
        try:
            pixels = pixels_of(data, name)
        except DataError:
            continue
        flat = pixels.reshape(len(pixels), -1)
        parts.append(flat[:, :: -(-flat.shape[1] // _EACH)])
    return parts


def _found(found: Comparison, bands: tuple[str, ...], what: str) -> str:
    """The band that lies furthest outside, in words."""
    worst = int(np.argmax(found.outside))
    share, below = found.outside[worst], found.below[worst]
    side = "below" if below > 0.9 * share else "above" if below < 0.1 * share else "outside"
    return f"{100 * share:.0f} % of {what}'s {bands[worst]} values lie {side} those of the training images"
