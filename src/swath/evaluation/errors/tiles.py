"""Small pictures for a page: a patch, and beside it where the network saw evidence for and against."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from swath.explain import upsample
from swath.explain.figures import displayed
from swath.explain.overlay import overlay_colours, scale_limit

PANEL = 112  # pixels a side
_GAP = 4


def tile(
    pixels: npt.NDArray[Any], *, bands: Sequence[str], maps: Sequence[npt.NDArray[np.float32]] = ()
) -> bytes:
    """Draw one patch and its evidence maps side by side.

    Each map has its own scale, from blue (against) over clear to red (for), as everywhere in swath.

    Parameters
    ----------
    pixels : numpy.ndarray
        ``[bands, H, W]``.
    bands : sequence of str
        One name a band.
    maps : sequence of numpy.ndarray
        ``[h, w]`` float32 each.

    Returns
    -------
    bytes
        A JPEG.
    """
    shown = Image.fromarray(displayed(pixels, bands, limit=PANEL))
    width = max(1, round(PANEL * shown.width / max(shown.size)))
    height = max(1, round(PANEL * shown.height / max(shown.size)))
    land = np.asarray(shown.resize((width, height), Image.Resampling.NEAREST))
    panels = [land, *(_over(land, evidence) for evidence in maps)]
    gap = np.full((height, _GAP, 3), 255, np.uint8)
    pieces = [piece for panel in panels for piece in (panel, gap)][:-1]
    stream = io.BytesIO()
    Image.fromarray(np.concatenate(pieces, axis=1)).save(stream, "JPEG", quality=88, subsampling=0)
    return stream.getvalue()


def _over(land: npt.NDArray[np.uint8], evidence: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Lay the colours of a map over a picture."""
    full = upsample(evidence[None], height=land.shape[0], width=land.shape[1])[0]
    colours = overlay_colours()((full / scale_limit(evidence) + 1) / 2)
    opacity = colours[:, :, 3:]
    return np.asarray(np.rint(land * (1 - opacity) + 255 * colours[:, :, :3] * opacity), np.uint8)
