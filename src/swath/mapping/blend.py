"""Average the probabilities of windows that overlap, keeping only the rows that are not finished yet.

All cells in one row of cells lie under the same rows of windows, so a row of windows is kept as one sum
for each cell column and class. A row of cells is the sum of the few rows of windows over it, at most
``ceil(patch / stride)``: memory grows with the width of the scene and not with its height.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from swath.mapping.grid import Grid


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
        held = -(-grid.rows.cells_a_window // grid.rows.cells_a_step)
        self._held: deque[npt.NDArray[np.float32]] = deque(maxlen=held)

    @property
    def nbytes(self) -> int:
        """Bytes held between two rows of windows."""
        return sum(row.nbytes for row in self._held)

    def add(
        self, probabilities: npt.NDArray[np.float32], classified: npt.NDArray[np.bool_]
    ) -> list[CellRows]:
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
        a_window, a_step = rows.cells_a_window, rows.cells_a_step
        # Of the step's rows of cells, the first few may lie under one row of windows more than the rest.
        rest = a_window % a_step
        top = number * a_step - rows.cells_before
        groups = [(top, top + rest, a_window // a_step + 1), (top + rest, top + a_step, a_window // a_step)]
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
        step, last = cols.cells_a_step, (cols.windows - 1) * cols.cells_a_step
        values = np.empty((self._classes + 1, cols.windows), np.float32)
        values[:-1] = np.where(classified, probabilities.T, 0)
        values[-1] = classified
        sums = np.zeros((self._classes + 1, last + cols.cells_a_window), np.float32)
        for offset in range(cols.cells_a_window):
            sums[:, offset : offset + last + 1 : step] += values
        return sums[:, cols.cells_before : cols.cells_before + cols.cells]

    def _finish(self, start: int, stop: int, windows: int) -> CellRows:
        total = np.sum(list(self._held)[-windows:], axis=0)
        count = total[-1]
        return CellRows(start, stop, total[:-1] / np.maximum(count, 1), count > 0)
