"""From cells to rows of pixels: which class is painted, how sure that is, and how much each class covers.

The painter takes classified strips from top to bottom, blends their windows into cells, decides on a class per cell by
the model's task and thresholds, and hands finished rows to the writer. Totals are counted on the way, so nothing has
to look at a written raster.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from swath.mapping.area import PixelArea
from swath.mapping.grid import Blend, CellRows, Grid
from swath.mapping.legend import LegendEntry
from swath.mapping.strips import Strip
from swath.mapping.writer import NO_CONFIDENCE, NODATA, LayerWriter
from swath.mapping.zones import ZoneTotals
from swath.model import Record
from swath.model.record import NONE, ClassInfo, predicted_class

NONE_OF_THESE = "none of these"  # painted where a multi-label model gives no label
_NONE_COLOR = "C8C8C8"
Rows = npt.NDArray[np.uint8]


class Painter:
    """Takes classified strips from top to bottom.

    Parameters
    ----------
    grid : Grid
        Windows and cells.
    record : Record
        Of the model: its classes, and how it decides between them.
    writers : mapping of str to LayerWriter
        Take the rows of ``classes``, ``confidence`` and, where there are such layers, of ``ood`` and ``probabilities``,
        the mean probabilities of each cell. For ``ood`` strips come with one more value per window, 1 where it is
        unlike the training data.
    totals : Totals
        Counts every row.
    """

    def __init__(self, grid: Grid, record: Record, writers: Mapping[str, LayerWriter], totals: Totals) -> None:
        self._grid, self._record, self._writers, self._totals = grid, record, writers, totals
        self._blend = Blend(grid, len(record.classes) + ("ood" in writers))

    def add(self, strip: Strip, probabilities: npt.NDArray[np.float32], classified: npt.NDArray[np.bool_]) -> None:
        """Add the windows of a strip: ``[rows, windows, K]``, and which of them were classified."""
        for values, done in zip(probabilities, classified, strict=True):
            for rows in self._blend.add(values, done):
                self._paint(strip, rows)

    def _paint(self, strip: Strip, rows: CellRows) -> None:
        grid = self._grid
        start, stop = rows.start * grid.cell, min(rows.stop * grid.cell, grid.rows.length)
        width, left = grid.cols.length, -grid.cols.first
        valid = strip.valid[start - strip.start : stop - strip.start, left : left + width]
        whole = bool(valid.all())

        def pixels(cells: npt.NDArray[np.generic], nodata: int) -> Rows:
            """One row of cells as rows of pixels; a view where all of them are the same."""
            row = np.repeat(cells.astype(np.uint8), grid.cell)[:width]
            return np.broadcast_to(row, valid.shape) if whole else np.where(valid, row, np.uint8(nodata))

        if "ood" in self._writers:
            most = rows.mean[-1] > 0.5  # of the windows over a cell
            rows = replace(rows, mean=rows.mean[:-1])
        chosen, certainty = decide(self._record, rows.mean)
        labels = pixels(np.where(rows.covered, chosen + 1, NODATA), NODATA)
        self._totals.add(start, labels)
        self._writers["classes"].write(labels[None])
        confidence = pixels(np.where(rows.covered, np.rint(100 * certainty), 0), NO_CONFIDENCE)
        self._writers["confidence"].write(confidence[None])
        if "ood" in self._writers:
            mask = np.where(labels == NODATA, np.uint8(NO_CONFIDENCE), pixels(most, 0))
            self._totals.add_ood(labels, mask)
            self._writers["ood"].write(mask[None])
        if "probabilities" in self._writers:
            cells = np.where(rows.covered, rows.mean, np.float32("nan"))
            self._writers["probabilities"].write(np.repeat(cells[:, None], rows.stop - rows.start, axis=1))


def decide(record: Record, mean: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Which class to paint, by the task and the thresholds of a model, and how sure that is.

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
    chosen = predicted_class(record, mean.T)
    nothing = chosen == NONE
    certainty = np.take_along_axis(mean, np.where(nothing, mean.argmax(axis=0), chosen)[None], axis=0)[0]
    return np.where(nothing, len(mean), chosen), np.where(nothing, 1 - certainty, certainty)


def painted_classes(record: Record) -> tuple[ClassInfo, ...]:
    """What a map of this model may show: its classes and, for a multi-label model, none of them."""
    if record.task != "multi-label":
        return record.classes
    none = ClassInfo(value=len(record.classes), name=NONE_OF_THESE, color_hint=_NONE_COLOR)
    return (*record.classes, none)


class Totals:
    """Counts class numbers row by row.

    Parameters
    ----------
    classes : sequence of ClassInfo
        Class i is stored as i + 1.
    area : PixelArea, optional
        Area of the pixels, block by block.
    width : int
        Pixels of a row.
    ood : bool
        Whether what is unlike the training data is counted, too.
    zones : ZoneTotals, optional
        Counts the same rows by zone.
    """

    def __init__(
        self,
        classes: Sequence[ClassInfo],
        area: PixelArea | None,
        *,
        width: int,
        ood: bool = False,
        zones: ZoneTotals | None = None,
    ) -> None:
        self._classes, self._area, self._zones = classes, area, zones
        self._pixels = np.zeros(len(classes) + 1, np.int64)
        self._meters = np.zeros(len(classes) + 1)
        self._ood = np.zeros(len(classes) + 1, np.int64) if ood else None
        self._nowhere = 0
        # By column, where the counts of its block begin.
        across = width if area is None else area.block[1]
        self._places = np.arange(width, dtype=np.intp) // across * len(self._pixels)

    def add(self, start: int, labels: Rows) -> None:
        """Count `labels` ``[rows, width]``, the map from row `start` on."""
        if self._zones is not None:
            self._zones.add(start, labels)
        values, rows = len(self._pixels), len(labels)
        down = 1 if self._area is None else self._area.block[0]
        blocks = (start + np.arange(rows)) // down if self._area is not None else np.zeros(rows, np.intp)
        columns = int(self._places[-1]) // values + 1
        if labels.strides[0] == 0:  # one row, repeated
            one = np.bincount(labels[0] + self._places, minlength=columns * values).reshape(1, columns, values)
            for block, repeated in zip(*np.unique(blocks, return_counts=True), strict=True):
                self._count(int(block), one * repeated)
            return
        held = int(blocks[-1] - blocks[0]) + 1
        places = labels + self._places + ((blocks - blocks[0]) * columns * values)[:, None]
        counts = np.bincount(places.ravel(), minlength=held * columns * values)
        self._count(int(blocks[0]), counts.reshape(held, columns, values))

    def _count(self, block: int, counts: npt.NDArray[np.int64]) -> None:
        """Add the counts ``[n, m, values]`` of whole rows of blocks."""
        self._pixels += counts.sum(axis=(0, 1))
        if self._area is not None:
            area = self._area.blocks[block : block + len(counts)]
            self._meters += np.einsum("nm,nmk->k", area, counts)
            self._nowhere += int(counts[:, :, 1:].sum(axis=-1)[area == 0].sum())

    def add_ood(self, labels: Rows, mask: Rows) -> None:
        """Count `labels` ``[rows, width]`` by class where `mask` is 1: unlike the training data."""
        if self._ood is not None:
            self._ood += np.bincount(labels[mask == 1], minlength=len(self._pixels))

    @property
    def ood_share(self) -> float | None:
        """Part of the mapped pixels that is unlike the training data, 0-1; None where that is not counted."""
        return None if self._ood is None else int(self._ood[1:].sum()) / max(self.mapped, 1)

    @property
    def nodata(self) -> int:
        """Pixels without a class."""
        return int(self._pixels[0])

    @property
    def mapped(self) -> int:
        """Pixels with a class."""
        return int(self._pixels[1:].sum())

    @property
    def nowhere(self) -> int:
        """Mapped pixels whose size is unknown, since the projection leads to no place on the ground there."""
        return self._nowhere

    def legend(self) -> tuple[LegendEntry, ...]:
        """One entry per class, in the model's order."""
        mapped = max(self.mapped, 1)
        sized = self._area is not None and not self._nowhere
        ood = self._ood
        return tuple(
            LegendEntry(
                value=info.value + 1,
                color=info.color_hint,
                name=info.name,
                pixels=int(pixels),
                share=int(pixels) / mapped,
                hectares=float(meters) / 10_000 if sized else None,
                ood=None if ood is None else int(ood[info.value + 1]) / max(int(pixels), 1),
            )
            for info, pixels, meters in zip(self._classes, self._pixels[1:], self._meters[1:], strict=True)
        )
