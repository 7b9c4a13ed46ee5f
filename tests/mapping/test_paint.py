from __future__ import annotations

import numpy as np
import pytest

from swath.mapping import make_grid
from swath.mapping.area import PixelArea
from swath.mapping.paint import NONE_OF_THESE, Painter, Totals, painted_classes
from swath.mapping.strips import Strip
from swath.mapping.writer import ArrayWriter, map_layers
from swath.model import Record
from swath.model.record import class_infos


def model(task="single-label", **thresholds):
    """What a painter asks of a record with three classes, or two for a binary model."""
    names = ("a", "b") if task == "binary" else ("a", "b", "c")
    return Record.model_construct(task=task, classes=class_infos(names), thresholds=thresholds)


def paint(valid, probabilities, *, size, patch, stride, classified=None, record=None):
    """Paint a scene that is one strip high; returns labels, confidences, cells and totals."""
    grid = make_grid(*size, patch=patch, stride=stride)
    record = record or model()
    classes = painted_classes(record)
    totals = Totals(classes, None, width=size[1])
    layers = map_layers(grid, classes, ood=False, probabilities=record.class_names)
    writers = {layer.name: ArrayWriter(layer) for layer in layers}
    painter = Painter(grid, record, writers, totals)
    rows, cols = grid.rows, grid.cols
    wide = np.zeros((rows.span(rows.windows), cols.span(cols.windows)), bool)
    wide[-rows.first : -rows.first + rows.length, -cols.first : -cols.first + cols.length] = valid
    strip = Strip(0, rows.windows, rows.first, np.ones((3, *wide.shape), np.uint8), wide)
    done = np.ones(probabilities.shape[:2], bool) if classified is None else classified
    painter.add(strip, probabilities, done)
    return *(writer.array for writer in writers.values()), totals


def test_cells_become_pixels_and_gaps_stay_empty():
    values = np.zeros((2, 3, 3), np.float32)
    values[0, :, 0], values[1, :, 2] = 0.6, 0.9
    values[0, :, 1], values[1, :, 1] = 0.4, 0.1
    valid = np.ones((7, 10), bool)
    valid[1, 2] = valid[6] = False
    labels, sure, cells, totals = paint(valid, values, size=(7, 10), patch=4, stride=4)
    expected = np.repeat([1, 1, 1, 1, 3, 3, 3], 10).reshape(7, 10)
    np.testing.assert_array_equal(labels[0], np.where(valid, expected, 0))
    np.testing.assert_array_equal(sure[0], np.where(valid, np.where(expected == 1, 60, 90), 255))
    np.testing.assert_allclose(cells, values.transpose(2, 0, 1))
    assert totals.nodata == 11
    assert [c.pixels for c in totals.legend()] == [39, 0, 20]


@pytest.mark.parametrize("stride", [4, 2])
def test_windows_that_were_not_classified_leave_holes(stride):
    grid = make_grid(8, 8, patch=4, stride=stride)
    shape = (grid.rows.windows, grid.cols.windows)
    values = np.full((*shape, 3), 1 / 3, np.float32)
    done = np.zeros(shape, bool)
    done[0] = True
    labels, _, cells, _ = paint(np.ones((8, 8), bool), values, size=(8, 8), patch=4, stride=stride, classified=done)
    bottom = stride if stride < 4 else 4  # the first row of windows ends here
    assert (labels[0, :bottom] == 1).all()
    assert not labels[0, bottom:].any()
    assert np.isnan(cells[:, bottom // grid.cell :]).all()


def test_a_binary_map_is_decided_by_the_threshold_and_not_by_the_larger_half():
    p = np.array([0.1, 0.29, 0.3, 0.8], np.float32)
    values = np.stack([1 - p, p], axis=-1)[None]
    labels, sure, _, totals = paint(
        np.ones((4, 16), bool), values, size=(4, 16), patch=4, stride=4, record=model("binary", b=0.295)
    )
    np.testing.assert_array_equal(labels[0, 0, ::4], [1, 1, 2, 2])
    np.testing.assert_array_equal(sure[0, 0, ::4], [90, 71, 30, 80])
    assert {total.name: total.pixels for total in totals.legend()} == {"a": 32, "b": 32}


def test_a_multi_label_map_shows_the_most_probable_label_that_counts_or_none_of_these():
    values = np.array([[[0.6, 0.7, 0.1], [0.6, 0.4, 0.1], [0.2, 0.1, 0.2], [0.55, 0.9, 0.95]]], np.float32)
    record = model("multi-label", b=0.8, c=0.99)
    labels, sure, cells, totals = paint(np.ones((4, 16), bool), values, size=(4, 16), patch=4, stride=4, record=record)
    np.testing.assert_array_equal(labels[0, 0, ::4], [1, 1, 4, 2])
    np.testing.assert_array_equal(sure[0, 0, ::4], [60, 60, 80, 90])  # of none: what the likeliest leaves
    assert len(cells) == 3  # probabilities are of classes only
    assert totals.legend()[-1].name == NONE_OF_THESE
    assert totals.legend()[-1].pixels == 16


def test_windows_that_were_not_classified_have_no_confidence_in_having_no_label():
    values = np.zeros((1, 2, 3), np.float32)
    done = np.array([[True, False]])
    labels, sure, _, _ = paint(
        np.ones((4, 8), bool), values, size=(4, 8), patch=4, stride=4, classified=done, record=model("multi-label")
    )
    np.testing.assert_array_equal(labels[0, 0], [4] * 4 + [0] * 4)
    np.testing.assert_array_equal(sure[0, 0], [100] * 4 + [0] * 4)


def test_pixels_and_hectares_add_up_over_strips():
    labels = np.random.default_rng(0).integers(0, 4, (50, 30), dtype=np.uint8)
    blocks = np.linspace(100, 200, 12).reshape(4, 3)
    rows = np.repeat(np.repeat(blocks, 13, axis=0)[:50], 11, axis=1)[:, :30]
    totals = Totals(class_infos(("a", "b", "c")), PixelArea(blocks, (13, 11), 10, 10, "made up"), width=30)
    for start in range(0, 50, 7):
        totals.add(start, labels[start : start + 7])
    for number, total in enumerate(totals.legend(), start=1):
        hits = labels == number
        assert total.pixels == hits.sum()
        assert total.share == pytest.approx(hits.sum() / (labels > 0).sum())
        assert total.hectares == pytest.approx((hits * rows).sum() / 10_000)
    assert totals.nodata == (labels == 0).sum()
    assert totals.nodata + totals.mapped == labels.size


def test_a_row_that_is_repeated_counts_as_often():
    row = np.random.default_rng(0).integers(0, 4, 30, dtype=np.uint8)
    area = PixelArea(np.linspace(100, 200, 12).reshape(4, 3), (13, 11), 10, 10, "made up")
    once, all_rows = (Totals(class_infos(("a", "b", "c")), area, width=30) for _ in range(2))
    once.add(7, np.broadcast_to(row, (20, 30)))
    all_rows.add(7, np.repeat(row[None], 20, axis=0))
    for found, expected in zip(once.legend(), all_rows.legend(), strict=True):
        assert (found.pixels, found.share) == (expected.pixels, expected.share)
        assert found.hectares == pytest.approx(expected.hectares)


def test_an_empty_map_has_no_shares_and_an_unplaced_one_no_hectares():
    totals = Totals(class_infos(("a", "b")), None, width=3)
    totals.add(0, np.zeros((3, 3), np.uint8))
    assert [(c.share, c.hectares) for c in totals.legend()] == [(0, None)] * 2
