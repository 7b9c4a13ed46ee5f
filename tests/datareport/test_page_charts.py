from __future__ import annotations

import numpy as np

from swath.datareport.facts import Embedding
from swath.datareport.page import embedding_chart, histograms_chart, places_chart
from tests.drawings import both, outside


def test_classes_and_bands_that_begin_with_an_underscore_are_named():
    found = Embedding(np.arange(4), np.eye(4)[:, :2], (0.6, 0.4), "color statistics")
    dots = embedding_chart(found, ["_old", "new", "_old", "new"])
    lines = histograms_chart(np.zeros((3, 2, 4, 4), np.uint8), {"_old": np.arange(3)}, ["_a", "b"])
    for chart, names in ((dots, {"_old", "new"}), (lines, {"_old", "_a", "b"})):
        for drawing in both(chart):
            assert names <= set(drawing.words)
            assert outside(drawing) == []


def test_of_very_many_classes_the_commonest_have_colors():
    labels = [f"c{k:02}" for k in range(12)] * 2 + ["rare"]
    places = np.random.default_rng(0).random((25, 2))
    wide, _ = both(embedding_chart(Embedding(np.arange(25), places, (0.6, 0.4), "colors"), labels))
    assert {f"c{k:02}" for k in range(12)} | {"other classes"} <= set(wide.words)
    assert "rare" not in wide.words


def test_places_keep_the_shape_of_the_land():
    tall = places_chart([(10.0, 40.0, "train"), (10.5, 45.0, "test"), (10.2, 44.0, None)])
    broad = places_chart([(0.0, 40.0, "train"), (20.0, 41.0, "test")])
    for (one, _), words in ((both(tall), {"train", "test", "in no split"}), (both(broad), {"train", "test"})):
        assert words <= set(one.words)
    assert both(tall)[0].height > both(broad)[0].height
