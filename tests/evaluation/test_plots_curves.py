from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from swath.evaluation.plots import ClassScores, curves_picture

from .cases import HOSTILE


def ranked(name: str, *, color: str = "1F6F8B", n: int = 500, share: float = 0.1) -> ClassScores:
    random = np.random.default_rng(0)
    truth = random.random(n) < share
    return ClassScores(name, color, truth, 1 / (1 + np.exp(2 - random.normal(size=n) - 3 * truth)), 0.4)


def colored(png: bytes, color) -> int:
    with Image.open(io.BytesIO(png)) as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    return int((np.abs(pixels - np.array(color)).sum(axis=2) < 12).sum())


def test_each_class_is_drawn_in_its_color():
    assert colored(curves_picture([ranked("Dump")]), (0x1F, 0x6F, 0x8B)) > 1000
    two = curves_picture([ranked("Dump"), ranked(HOSTILE, color="AA0000", share=0.5)])
    assert colored(two, (0xAA, 0, 0)) > 500
    with Image.open(io.BytesIO(two)) as picture:
        assert picture.width > picture.height


def test_many_labels_and_odd_ones_can_be_drawn():
    always = ClassScores("always", "00AA00", np.ones(9, bool), np.linspace(0, 1, 9), 0.5)
    many = curves_picture([always, *(ranked(f"label {i} $x$") for i in range(40))])
    with Image.open(io.BytesIO(many)) as picture:
        assert picture.width < 3000


@pytest.fixture
def drawn(monkeypatch):
    """The figures that were saved."""
    figures = []
    monkeypatch.setattr("swath.evaluation.plots.to_png", lambda figure, dpi: figures.append(figure))
    return figures


@pytest.mark.parametrize("labels", [1, 8])
def test_a_class_that_begins_with_an_underscore_is_named(drawn, labels):
    curves_picture([ranked(f"_{k}") for k in range(labels)])
    legends = [axis.get_legend() for axis in drawn[0].axes] if labels == 1 else drawn[0].legends
    for legend in legends:
        assert [text.get_text()[:2] for text in legend.get_texts()] == [f"_{k}" for k in range(labels)]


@pytest.mark.filterwarnings("error")
def test_a_split_of_positives_alone_has_no_empty_legend(drawn):
    always = ClassScores("always", "00AA00", np.ones(9, bool), np.linspace(0, 1, 9), 0.5)
    curves_picture([always])
    assert [axis.get_legend() is None for axis in drawn[0].axes] == [False, True]
