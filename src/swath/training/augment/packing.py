"""What JPEG does to patches: they are packed and unpacked, one by one, by the codec itself."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO

import numpy as np
import torch
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile


def jpeg(pixels: torch.Tensor, qualities: Sequence[int]) -> torch.Tensor:
    """Pack patches as JPEG with chroma at half the resolution, and unpack them again.

    Parameters
    ----------
    pixels : torch.Tensor
        uint8 ``[n, 1 or 3, P, P]``: grey, or red, green and blue.
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
