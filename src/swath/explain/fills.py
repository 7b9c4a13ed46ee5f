"""What stands in for pixels that are taken away.

Nothing in a picture is neutral, so every answer about hidden pixels depends on what hides them. Three
canvases are offered, and each use names its own:

``training``
    The mean colour of the training patches, which the network sees as zeros: no pixel says anything. What
    occlusion (Zeiler and Fergus 2014) and the deletion curve (Petsiuk et al. 2018) use, there as grey.
``blur``
    The picture itself, blurred until only coarse colour is left: no sharp edges that are not in the land,
    which is why Petsiuk et al. start their insertion curve from it.
``patch``
    The mean colour of the picture itself: what is lost is its pattern, not its colour.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from swath.model.record import InputSpec

Fill = Literal["training", "blur", "patch"]

BLUR = 10  # the blur's standard deviation is a tenth of the side: 6 pixels of 64


def canvas(pixels: npt.NDArray[Any], fill: Fill, spec: InputSpec) -> npt.NDArray[Any]:
    """What is seen where `pixels` are hidden.

    Parameters
    ----------
    pixels : numpy.ndarray
        ``[N, bands, H, W]`` uint8 or uint16.
    fill : str
        ``training``, ``blur`` or ``patch``; see this module.
    spec : InputSpec
        Of the model: it holds the mean colour of the training patches.

    Returns
    -------
    numpy.ndarray
        Of the shape and type of `pixels`, in whole numbers as pixels are.
    """
    if fill == "blur":
        rows, columns = (_gaussian(side) for side in pixels.shape[2:])
        values = rows @ pixels.astype(np.float32) @ columns.T
    elif fill == "patch":
        values = pixels.mean(axis=(2, 3), keepdims=True, dtype=np.float32)
    else:
        values = np.array(spec.channel_mean, np.float32)[None, :, None, None]
    whole = np.rint(values).clip(0, np.iinfo(pixels.dtype).max).astype(pixels.dtype)
    return np.broadcast_to(whole, pixels.shape)


def _gaussian(side: int) -> npt.NDArray[np.float32]:
    """Blur matrix ``[side, side]``; its rows sum to 1, at the edges too."""
    place = np.arange(side)
    distance = (place[:, None] - place[None, :]) / max(side / BLUR, 1e-6)
    weight = np.exp(-0.5 * distance**2)
    return np.asarray(weight / weight.sum(axis=1, keepdims=True), np.float32)
