from __future__ import annotations

import numpy as np
import pytest

from swath.mapping.area import PixelArea
from swath.mapping.paint import Totals
from swath.model.record import class_infos


def test_pixels_and_hectares_add_up_over_strips():
    labels = np.random.default_rng(0).integers(0, 4, (50, 30), dtype=np.uint8)
    rows = np.linspace(100, 200, 50)
    totals = Totals(class_infos(("a", "b", "c")), PixelArea(rows, 10, 10, "made up"))
    for start in range(0, 50, 7):
        totals.add(start, labels[start : start + 7])
    for number, total in enumerate(totals.legend(), start=1):
        hits = labels == number
        assert total.pixels == hits.sum()
        assert total.share == pytest.approx(hits.sum() / (labels > 0).sum())
        assert total.hectares == pytest.approx((hits * rows[:, None]).sum() / 10_000)
    assert totals.nodata == (labels == 0).sum()
    assert totals.nodata + totals.mapped == labels.size


def test_a_row_that_is_repeated_counts_as_often():
    row = np.random.default_rng(0).integers(0, 4, 30, dtype=np.uint8)
    area = PixelArea(np.linspace(100, 200, 50), 10, 10, "made up")
    once, all_rows = Totals(class_infos(("a", "b", "c")), area), Totals(class_infos(("a", "b", "c")), area)
    once.add(7, np.broadcast_to(row, (20, 30)))
    all_rows.add(7, np.repeat(row[None], 20, axis=0))
    for found, expected in zip(once.legend(), all_rows.legend(), strict=True):
        assert (found.pixels, found.share) == (expected.pixels, expected.share)
        assert found.hectares == pytest.approx(expected.hectares)


def test_an_empty_map_has_no_shares_and_an_unplaced_one_no_hectares():
    totals = Totals(class_infos(("a", "b")), None)
    totals.add(0, np.zeros((3, 3), np.uint8))
    assert [(c.share, c.hectares) for c in totals.legend()] == [(0, None)] * 2
