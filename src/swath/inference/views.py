"""A patch turned and mirrored: land has no up, so a model may look at it several ways and take the mean answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from swath.errors import SettingError

VIEWS = (1, 4, 8)


def check_views(views: int) -> int:
    """`views`, if patches can be shown in so many ways.

    Raises
    ------
    SettingError
        If not.
    """
    if views not in VIEWS:
        raise SettingError(
            f"{views} views of a patch",
            fix="give 1 (as it is), 4 (turned by quarters) or 8 (and mirrored too)",
        )
    return views


def other_views(pixels: npt.NDArray[Any], views: int) -> Iterator[npt.NDArray[Any]]:
    """The other ``views - 1`` ways to look at patches ``[N, bands, H, W]``; H and W change places in half of them."""
    for view in range(1, views):
        mirrored = pixels[..., ::-1] if view >= 4 else pixels
        yield np.ascontiguousarray(np.rot90(mirrored, view % 4, axes=(2, 3)))
