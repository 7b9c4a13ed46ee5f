from __future__ import annotations

import numpy as np
import pytest

from swath.datareport.embedding import Embedding
from swath.datareport.pictures import BINS, draw_embedding, draw_histograms


@pytest.fixture
def drawn(monkeypatch):
    """The figures that were saved."""
    figures = []
    monkeypatch.setattr("swath.datareport.pictures.save", lambda figure, path, dpi: figures.append(figure))
    return figures


def named(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_classes_and_bands_that_begin_with_an_underscore_are_named(drawn, tmp_path):
    found = Embedding(np.arange(4), np.eye(4)[:, :2], (0.6, 0.4), "color statistics")
    draw_embedding(tmp_path / "dots.png", found, ["_old", "new", "_old", "new"])
    draw_histograms(tmp_path / "h.png", {"_old": np.ones((2, BINS), np.int64)}, ["_a", "b"], top=256)
    assert [named(figure) for figure in drawn] == [["_old", "new"], ["_a", "b"]]
