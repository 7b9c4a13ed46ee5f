"""Blend windows into cells, paint finished cells as pixels, count them and write them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from swath.mapping.blend import Blend, CellRows
from swath.mapping.checks import Watch
from swath.mapping.grid import Grid
from swath.mapping.strips import Strip
from swath.mapping.totals import Totals
from swath.mapping.writer import NO_CONFIDENCE, NODATA, RowWriter

Rows = npt.NDArray[np.uint8]


class Painter:
    """Takes classified strips from top to bottom.

    Parameters
    ----------
    grid : Grid
        Windows and cells.
    classes : int
        K.
    labels, confidences : RowWriter
        Rasters of the scene's size.
    cells : RowWriter, optional
        Raster of probabilities, one pixel a cell.
    totals, watch : Totals, Watch
        Told of every row.
    """

    def __init__(
        self,
        grid: Grid,
        classes: int,
        *,
        labels: RowWriter,
        confidences: RowWriter,
        cells: RowWriter | None,
        totals: Totals,
        watch: Watch,
    ) -> None:
        self._grid, self._labels, self._confidences, self._cells = grid, labels, confidences, cells
        self._totals, self._watch = totals, watch
        self._blend = Blend(grid, classes)

    def add(
        self, strip: Strip, probabilities: npt.NDArray[np.float32], classified: npt.NDArray[np.bool_]
    ) -> None:
        """Add the windows of a strip: ``[rows, windows, K]``, and which of them were classified."""
        self._watch.add(strip)
        for values, done in zip(probabilities, classified, strict=True):
            for rows in self._blend.add(values, done):
                self._write(strip, rows)

    def _write(self, strip: Strip, rows: CellRows) -> None:
        start, painted, sure = self._paint(strip, rows)
        self._totals.add(start, painted)
        self._labels.write(painted[None])
        self._confidences.write(sure[None])
        if self._cells is not None:
            cells = np.where(rows.covered, rows.mean, np.float32("nan"))
            self._cells.write(np.repeat(cells[:, None], rows.stop - rows.start, axis=1))

    def _paint(self, strip: Strip, rows: CellRows) -> tuple[int, Rows, Rows]:
        """First row, class numbers and confidences ``[rows, width]``."""
        grid = self._grid
        start, stop = rows.start * grid.cell, min(rows.stop * grid.cell, grid.rows.length)
        width, left = grid.cols.length, -grid.cols.first
        valid = strip.valid[start - strip.start : stop - strip.start, left : left + width]
        best = np.where(rows.covered, rows.mean.argmax(axis=0) + 1, NODATA).astype(np.uint8)
        sure = np.rint(100 * rows.mean.max(axis=0)).astype(np.uint8)
        painted = np.repeat(best, grid.cell)[:width]
        certain = np.repeat(sure, grid.cell)[:width]
        if valid.all():  # all rows are the same one
            return start, np.broadcast_to(painted, valid.shape), np.broadcast_to(certain, valid.shape)
        return (
            start,
            np.where(valid, painted, np.uint8(NODATA)),
            np.where(valid, certain, np.uint8(NO_CONFIDENCE)),
        )
