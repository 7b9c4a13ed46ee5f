from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from swath.errors import OutputError
from swath.evaluation.plots import ClassScores, curves_picture

from .cases import HOSTILE


def ranked(name: str, *, color: str = "1F6F8B", n: int = 500, share: float = 0.1) -> ClassScores:
    random = np.random.default_rng(0)
    truth = random.random(n) < share
    return ClassScores(name, color, truth, 1 / (1 + np.exp(2 - random.normal(size=n) - 3 * truth)), 0.4)


def colored(path, color) -> int:
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    return int((np.abs(pixels - np.array(color)).sum(axis=2) < 12).sum())


def test_each_class_is_drawn_in_its_color(tmp_path):
    curves_picture(tmp_path / "one.png", [ranked("Dump")])
    assert colored(tmp_path / "one.png", (0x1F, 0x6F, 0x8B)) > 1000
    curves_picture(tmp_path / "two.png", [ranked("Dump"), ranked(HOSTILE, color="AA0000", share=0.5)])
    assert colored(tmp_path / "two.png", (0xAA, 0, 0)) > 500
    with Image.open(tmp_path / "two.png") as picture:
        assert picture.width > picture.height


def test_many_labels_and_odd_ones_can_be_drawn(tmp_path):
    always = ClassScores("always", "00AA00", np.ones(9, bool), np.linspace(0, 1, 9), 0.5)
    curves_picture(tmp_path / "many.png", [always, *(ranked(f"label {i} $x$") for i in range(40))])
    with Image.open(tmp_path / "many.png") as picture:
        assert picture.width < 3000


def test_a_picture_is_kept_unless_asked(tmp_path):
    (tmp_path / "one.png").write_bytes(b"mine")
    with pytest.raises(OutputError):
        curves_picture(tmp_path / "one.png", [ranked("Dump")])
    assert (tmp_path / "one.png").read_bytes() == b"mine"


@pytest.fixture
def drawn(monkeypatch):
    """The figures that were saved."""
    figures = []
    monkeypatch.setattr("swath.evaluation.plots.save", lambda figure, path, dpi: figures.append(figure))
    return figures


@pytest.mark.parametrize("labels", [1, 8])
def test_a_class_that_begins_with_an_underscore_is_named(drawn, labels, tmp_path):
    curves_picture(tmp_path / "c.png", [ranked(f"_{k}") for k in range(labels)])
    legends = [axis.get_legend() for axis in drawn[0].axes] if labels == 1 else drawn[0].legends
    for legend in legends:
        assert [text.get_text()[:2] for text in legend.get_texts()] == [f"_{k}" for k in range(labels)]


@pytest.mark.filterwarnings("error")
def test_a_split_of_positives_alone_has_no_empty_legend(drawn, tmp_path):
    always = ClassScores("always", "00AA00", np.ones(9, bool), np.linspace(0, 1, 9), 0.5)
    curves_picture(tmp_path / "c.png", [always])
    assert [axis.get_legend() is None for axis in drawn[0].axes] == [False, True]
