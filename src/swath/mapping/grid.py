"""Where the windows lie and which pixels share them: pure arithmetic.

Along each axis windows of `patch` pixels start every `stride` pixels, the first one `patch - stride`
pixels before the scene. So when the stride divides the patch every pixel, those at the edges too, lies in
exactly ``patch / stride`` windows; otherwise in at least ``patch // stride``. Pixels past an edge are
mirror images of those inside.

The start of every window, and its end, is a multiple of ``gcd(patch, stride)``. Pixels between two such
multiples (a *cell*) lie in the same windows, so they share one result: everything is computed a cell, not
a pixel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from swath.errors import SettingError


@dataclass(frozen=True)
class Axis:
    """Windows and cells along one axis of a scene.

    Attributes
    ----------
    length : int
        Pixels of the scene.
    patch, stride : int
        Pixels of a window, and from one window to the next.
    """

    length: int
    patch: int
    stride: int

    @property
    def cell(self) -> int:
        """Pixels of a cell; the last cell of the scene may be cut short."""
        return math.gcd(self.patch, self.stride)

    @property
    def first(self) -> int:
        """Pixel at which the first window starts, zero or less."""
        return self.stride - self.patch

    @property
    def windows(self) -> int:
        """Number of windows."""
        return math.ceil((self.length - self.first) / self.stride)

    @property
    def cells(self) -> int:
        """Cells that hold pixels of the scene."""
        return math.ceil(self.length / self.cell)

    @property
    def cells_before(self) -> int:
        """Cells of the first window that lie before the scene."""
        return -self.first // self.cell

    @property
    def cells_a_window(self) -> int:
        """Cells of a window."""
        return self.patch // self.cell

    @property
    def cells_a_step(self) -> int:
        """Cells from one window to the next."""
        return self.stride // self.cell

    def span(self, windows: int) -> int:
        """Pixels that `windows` neighboring windows cover."""
        return (windows - 1) * self.stride + self.patch

    def source(self, start: int, stop: int) -> npt.NDArray[np.intp]:
        """Pixels of the scene that stand at positions `start`..`stop`, mirrored at the edges.

        The edge pixel itself is not repeated, as in numpy's ``reflect``; a scene smaller than what is
        asked for is mirrored as often as needed, and one of a single pixel repeats it.
        """
        positions = np.arange(start, stop)
        if self.length == 1:
            return np.zeros_like(positions)
        period = 2 * (self.length - 1)
        folded = positions % period
        return np.minimum(folded, period - folded)


@dataclass(frozen=True)
class Grid:
    """Windows and cells of a scene: one axis down its rows, one along its columns."""

    rows: Axis
    cols: Axis

    @property
    def patch(self) -> int:
        """Side of a window, pixels."""
        return self.rows.patch

    @property
    def stride(self) -> int:
        """Pixels from one window to the next."""
        return self.rows.stride

    @property
    def cell(self) -> int:
        """Side of a cell, pixels."""
        return self.rows.cell

    @property
    def windows(self) -> int:
        """Number of windows."""
        return self.rows.windows * self.cols.windows


def make_grid(height: int, width: int, *, patch: int, stride: int) -> Grid:
    """Lay windows over a scene.

    Raises
    ------
    SettingError
        If the stride is not between 1 and the patch: a longer one would leave pixels without a class.
    """
    if not 1 <= stride <= patch:
        raise SettingError(
            f"a stride of {stride} pixels does not fit the model's patches of {patch}",
            fix=f"give --stride a number from 1 to {patch}",
        )
    return Grid(Axis(height, patch, stride), Axis(width, patch, stride))
