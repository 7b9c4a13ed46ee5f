"""Blend windows into cells, paint finished cells as pixels, count them and write them."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from swath.mapping.grid import Grid
from swath.mapping.legend import Totals
from swath.mapping.strips import Strip
from swath.mapping.summary import SceneStatistics
from swath.mapping.writer import NO_CONFIDENCE, NODATA, RowWriter
from swath.model import Record
from swath.model.record import NONE, leading

Rows = npt.NDArray[np.uint8]


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


class Painter:
    """Takes classified strips from top to bottom.

    Parameters
    ----------
    grid : Grid
        Windows and cells.
    record : Record
        Of the model: its classes, and how it decides between them.
    labels, confidences : RowWriter
        Rasters of the scene's size.
    cells : RowWriter, optional
        Raster of probabilities, one pixel a cell.
    ood : RowWriter, optional
        Raster of the scene's size for what is not like the training data; strips then tell it as one class more.
    totals, watch : Totals, Watch
        Called for every row.
    """

    def __init__(
        self,
        grid: Grid,
        record: Record,
        *,
        labels: RowWriter,
        confidences: RowWriter,
        cells: RowWriter | None,
        ood: RowWriter | None = None,
        totals: Totals,
        watch: SceneStatistics,
    ) -> None:
        self._grid, self._labels, self._confidences, self._cells = grid, labels, confidences, cells
        self._totals, self._watch = totals, watch
        self._ood = ood
        self._record, self._blend = record, Blend(grid, len(record.classes) + (ood is not None))

    def add(
        self, strip: Strip, probabilities: npt.NDArray[np.float32], classified: npt.NDArray[np.bool_]
    ) -> None:
        """Add the windows of a strip: ``[rows, windows, K]``, and which of them were classified."""
        self._watch.add(strip)
        for values, done in zip(probabilities, classified, strict=True):
            for rows in self._blend.add(values, done):
                self._write(strip, rows)

    def _write(self, strip: Strip, rows: CellRows) -> None:
        if self._ood is not None:
            rows, share = replace(rows, mean=rows.mean[:-1]), rows.mean[-1]
        start, painted, sure = self._paint(strip, rows)
        self._totals.add(start, painted)
        self._labels.write(painted[None])
        self._confidences.write(sure[None])
        if self._ood is not None:
            strange = np.repeat(share > 0.5, self._grid.cell)[: self._grid.cols.length].astype(np.uint8)
            label_matrix = np.where(painted == NODATA, np.uint8(NO_CONFIDENCE), strange)
            self._totals.add_ood(label_matrix)
            self._ood.write(label_matrix[None])
        if self._cells is not None:
            cells = np.where(rows.covered, rows.mean, np.float32("nan"))
            self._cells.write(np.repeat(cells[:, None], rows.stop - rows.start, axis=1))

    def _paint(self, strip: Strip, rows: CellRows) -> tuple[int, Rows, Rows]:
        """First row, class numbers and confidences ``[rows, width]``."""
        grid = self._grid
        start, stop = rows.start * grid.cell, min(rows.stop * grid.cell, grid.rows.length)
        width, left = grid.cols.length, -grid.cols.first
        valid = strip.valid[start - strip.start : stop - strip.start, left : left + width]
        chosen, certainty = decide(self._record, rows.mean)
        best = np.where(rows.covered, chosen + 1, NODATA).astype(np.uint8)
        sure = np.where(rows.covered, np.rint(100 * certainty), 0).astype(np.uint8)
        painted = np.repeat(best, grid.cell)[:width]
        certain = np.repeat(sure, grid.cell)[:width]
        if valid.all():  # all rows are the same one
            return start, np.broadcast_to(painted, valid.shape), np.broadcast_to(certain, valid.shape)
        return (
            start,
            np.where(valid, painted, np.uint8(NODATA)),
            np.where(valid, certain, np.uint8(NO_CONFIDENCE)),
        )


def decide(
    record: Record, mean: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """What to paint, by the task and the thresholds of a model, and how sure that is.

    Parameters
    ----------
    record : Record
        Of the model.
    mean : numpy.ndarray
        float32 ``[K, cells]`` probabilities.

    Returns
    -------
    tuple of numpy.ndarray
        Class numbers ``[cells]``, K for "none of these"; and the probability of the class painted, for
        none of these what the most probable class leaves of 1.
    """
    chosen = leading(record, mean.T)
    nothing = chosen == NONE
    certainty = np.take_along_axis(mean, np.where(nothing, mean.argmax(axis=0), chosen)[None], axis=0)[0]
    return np.where(nothing, len(mean), chosen), np.where(nothing, 1 - certainty, certainty)
