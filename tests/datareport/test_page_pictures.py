from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from swath.datareport.facts import Embedding
from swath.datareport.page import _ending, embedding_picture, histograms_picture, sheet_picture


@pytest.fixture
def drawn(monkeypatch):
    """The figures that were drawn."""
    figures = []
    monkeypatch.setattr("swath.datareport.page.to_png", lambda figure, dpi=110: figures.append(figure) or b"")
    return figures


def named(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_classes_and_bands_that_begin_with_an_underscore_are_named(drawn):
    found = Embedding(np.arange(4), np.eye(4)[:, :2], (0.6, 0.4), "color statistics")
    embedding_picture(found, ["_old", "new", "_old", "new"])
    histograms_picture(np.zeros((3, 2, 4, 4), np.uint8), {"_old": np.arange(3)}, ["_a", "b"])
    assert [named(figure) for figure in drawn] == [["_old", "new"], ["_a", "b"]]


def test_of_very_many_classes_the_commonest_have_colors(drawn):
    labels = [f"c{k:02}" for k in range(12)] * 2 + ["rare"]
    places = np.random.default_rng(0).random((25, 2))
    embedding_picture(Embedding(np.arange(25), places, (0.6, 0.4), "colors"), labels)
    assert named(drawn[0]) == [*(f"c{k:02}" for k in range(12)), "other classes"]


@pytest.mark.parametrize(("count", "columns", "size"), [(1, 4, (96, 134)), (5, 4, (408, 268))])
def test_a_sheet_has_room_for_all_tiles(count, columns, size):
    tiles = [np.full((96, 96, 3), 40 * k, np.uint8) for k in range(count)]
    picture = sheet_picture(tiles, ["$x$\nb_{"] * count, columns=columns)
    with Image.open(io.BytesIO(picture)) as opened:
        assert opened.size == size


def test_long_captions_keep_the_end_of_a_path():
    assert _ending("set/Forest/Forest_1234.jpg", 16) == "…Forest_1234.jpg"
    assert _ending("HerbaceousVegetation", 10) == "Herbaceou…"
    assert _ending("short", 10) == "short"
