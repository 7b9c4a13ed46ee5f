from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from swath.evaluation import confusion_matrix, measure
from swath.evaluation.plots import ClassScores, class_picture, confusion_picture, curves_picture, sample_grid
from swath.imagery import RGB
from tests.tiny import CLASSES, patches

from .cases import HOSTILE, answers

ODD = (HOSTILE, r"$\frac{ cost $$", "森林 " + "long " * 30)


def opened(png: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(png)) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


def clipped(picture: np.ndarray, *, sides: int = 4) -> bool:
    """Whether anything is drawn on the outermost pixels."""
    edges = (picture[0], picture[-1], picture[:, 0], picture[:, -1])[:sides]
    return any((edge < 250).any() for edge in edges)


@pytest.mark.parametrize("classes", [2, 10, 30])
def test_nothing_of_the_confusion_matrix_is_cut_off(classes):
    truth, predicted = answers(500, right=0.8, classes=classes)
    confusion = confusion_matrix(truth, predicted, classes=classes)
    names = [f"Herbaceous vegetation {k}" for k in range(classes)]
    picture = opened(confusion_picture(confusion, names))
    assert not clipped(picture)
    assert max(picture.shape) < 3000


@pytest.mark.slow
def test_very_many_classes_make_a_picture_of_bounded_size():
    png = confusion_picture(np.eye(200, dtype=np.int64), [str(k) for k in range(200)])
    assert max(opened(png).shape) < 6000


def test_colors_follow_the_share_of_the_true_class():
    # 5 of 5 is as dark as 500 of 500, and 250 of 500 is lighter.
    confusion = np.array([[500, 0, 0], [0, 5, 0], [250, 0, 250]])
    picture = opened(confusion_picture(confusion, ["a", "b", "c"])).reshape(-1, 3)
    colors, counts = np.unique(picture, axis=0, return_counts=True)
    large = {tuple(c.tolist()): n for c, n in zip(colors, counts, strict=True) if n > 2000}
    dark = [n for (red, _, blue), n in large.items() if red < 30 and blue > 80]
    middle = [n for (red, _, blue), n in large.items() if 80 < red < 130 and blue > 150]
    assert len(dark) == len(middle) == 1
    assert dark[0] == pytest.approx(middle[0], rel=0.1)


def test_the_class_picture_grows_with_its_classes_and_leaves_out_the_unknown():
    heights = {}
    for name, rows in {"three": 3, "two": 2}.items():
        truth, predicted = answers(90, right=0.8, classes=rows)
        metrics = measure(confusion_matrix(truth, predicted, classes=3), "abc")
        picture = opened(class_picture(metrics))
        assert not clipped(picture, sides=3)
        heights[name] = picture.shape[0]
    assert heights["three"] > heights["two"]


def test_odd_names_are_drawn_as_they_are():
    truth, predicted = answers(90, right=0.8)
    confusion = confusion_matrix(truth, predicted, classes=3)
    drawn = (
        confusion_picture(confusion, ODD),
        class_picture(measure(confusion, ODD)),
        sample_grid(patches("Forest", 3), ODD, bands=RGB, each=1),
    )
    assert all(opened(png).std() > 0 for png in drawn)


def test_the_sample_grid_shows_each_class_in_its_row():
    pixels = np.concatenate([patches(name, 3) for name in CLASSES])
    labels = [name for name in CLASSES for _ in range(3)]
    picture = opened(sample_grid(pixels, labels, bands=RGB, each=5))
    rows = np.array_split(picture, len(CLASSES))
    for name, row in zip(CLASSES, rows, strict=True):
        land = row[row.min(axis=2) < 160]
        colors = np.median(land[np.ptp(land, axis=1) > 5], axis=0)
        wanted = np.median(patches(name, 3), axis=(0, 2, 3))
        assert np.abs(colors - wanted).max() < 25


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
