"""Where the windows lie, which pixels share them, and the mean of their probabilities there: pure arithmetic.

Along each axis windows of `patch` pixels start every `stride` pixels, the first one `patch - stride`
pixels before the scene. So when the stride divides the patch every pixel, those at the edges too, lies in
exactly ``patch / stride`` windows; otherwise in at least ``patch // stride``. Pixels past an edge are
mirror images of those inside.

The start of every window, and its end, is a multiple of ``gcd(patch, stride)``. Pixels between two such
multiples (a *cell*) lie in the same windows, so they share one result: everything is computed per cell, not
per pixel.
"""

from __future__ import annotations

import math
from collections import deque
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
    def cells_per_window(self) -> int:
        """Cells of a window."""
        return self.patch // self.cell

    @property
    def cells_per_step(self) -> int:
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


def check_stride(stride: int, *, patch: int) -> None:
    """Refuse a stride that leaves pixels without a class.

    Raises
    ------
    SettingError
        If it is not between 1 and the patch.
    """
    if not 1 <= stride <= patch:
        raise SettingError(
            f"a stride of {stride} pixels does not fit the model's patches of {patch}",
            fix=f"give --stride a number from 1 to {patch}",
        )


def make_grid(height: int, width: int, *, patch: int, stride: int) -> Grid:
    """Lay windows over a scene.

    Raises
    ------
    SettingError
        If the stride is not between 1 and the patch: a longer one would leave pixels without a class.
    """
    check_stride(stride, patch=patch)
    return Grid(Axis(height, patch, stride), Axis(width, patch, stride))


@dataclass(frozen=True)
class CellRows:
    """Finished rows of cells, all with the same content.

    Attributes
    ----------
    start, stop : int
        The rows of cells, counted from the top of the scene.
    mean : numpy.ndarray
        float32 ``[K, cells]``, the mean probabilities; 0 where nothing was classified.
    covered : numpy.ndarray
        bool ``[cells]``, True where at least one window was classified.
    """

    start: int
    stop: int
    mean: npt.NDArray[np.float32]
    covered: npt.NDArray[np.bool_]


class Blend:
    """Takes rows of windows from top to bottom and gives rows of cells as soon as they are finished.

    Parameters
    ----------
    grid : Grid
        Windows and cells.
    classes : int
        K.
    """

    def __init__(self, grid: Grid, classes: int) -> None:
        self._grid, self._classes, self._next = grid, classes, 0
        held = -(-grid.rows.cells_per_window // grid.rows.cells_per_step)
        self._held: deque[npt.NDArray[np.float32]] = deque(maxlen=held)

    def add(self, probabilities: npt.NDArray[np.float32], classified: npt.NDArray[np.bool_]) -> list[CellRows]:
        """Add the next row of windows.

        Parameters
        ----------
        probabilities : numpy.ndarray
            float32 ``[windows, K]``.
        classified : numpy.ndarray
            bool ``[windows]``; the probabilities of a window that was not are left out.

        Returns
        -------
        list of CellRows
            The rows of cells that no later window touches: none, one or two groups, in order.
        """
        rows = self._grid.rows
        self._held.append(self._spread(probabilities, classified))
        number, self._next = self._next, self._next + 1
        per_window, per_step = rows.cells_per_window, rows.cells_per_step
        # Of the step's rows of cells, the first few may lie under one row of windows more than the rest.
        rest = per_window % per_step
        top = number * per_step - rows.cells_before
        groups = [(top, top + rest, per_window // per_step + 1), (top + rest, top + per_step, per_window // per_step)]
        return [
            self._finish(max(start, 0), min(stop, rows.cells), windows)
            for start, stop, windows in groups
            if max(start, 0) < min(stop, rows.cells)
        ]

    def _spread(
        self, probabilities: npt.NDArray[np.float32], classified: npt.NDArray[np.bool_]
    ) -> npt.NDArray[np.float32]:
        """Sum a row of windows into cells: ``[K + 1, cells]``, the last row counting windows."""
        cols = self._grid.cols
        step, last = cols.cells_per_step, (cols.windows - 1) * cols.cells_per_step
        values = np.empty((self._classes + 1, cols.windows), np.float32)
        values[:-1] = np.where(classified, probabilities.T, 0)
        values[-1] = classified
        sums = np.zeros((self._classes + 1, last + cols.cells_per_window), np.float32)
        for offset in range(cols.cells_per_window):
            sums[:, offset : offset + last + 1 : step] += values
        return sums[:, cols.cells_before : cols.cells_before + cols.cells]

    def _finish(self, start: int, stop: int, windows: int) -> CellRows:
        total = np.sum(list(self._held)[-windows:], axis=0)
        count = total[-1]
        return CellRows(start, stop, total[:-1] / np.maximum(count, 1), count > 0)
