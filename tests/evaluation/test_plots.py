from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from swath.evaluation import confusion_matrix, measure
from swath.evaluation.calibration import measure_calibration
from swath.evaluation.plots import (
    ClassScores,
    class_chart,
    confusion_chart,
    curves_chart,
    history_chart,
    patch_strip,
    reliability_chart,
    sample_strips,
)
from swath.imagery import RGB
from tests.drawings import Drawing, both, outside
from tests.tiny import CLASSES, patches

from .cases import HOSTILE, answers

ODD = (HOSTILE, r"$\frac{ cost $$", "森林 " + "long " * 30)


@pytest.mark.parametrize("classes", [2, 10, 30])
def test_nothing_of_the_confusion_matrix_is_cut_off(classes):
    truth, predicted = answers(500, right=0.8, classes=classes)
    confusion = confusion_matrix(truth, predicted, classes=classes)
    chart = confusion_chart(confusion, [f"Herbaceous vegetation {k}" for k in range(classes)])
    for drawing in both(chart):
        assert outside(drawing) == []
        assert min(text.size for text in drawing.texts) >= 11
        numbers = [int(word) for word in drawing.words if word.isdigit()]
        assert sum(numbers) == 500  # every patch is written somewhere


def test_very_many_classes_are_drawn_in_part_and_the_chart_says_so():
    chart = confusion_chart(np.diag(np.arange(1, 201)), [f"class {k}" for k in range(200)])
    assert "60 commonest classes; 140 others" in chart.caption
    assert Drawing(chart.wide).width < 3000
    assert "class 199" in Drawing(chart.wide).words
    assert "class 3" not in Drawing(chart.wide).words


def test_colors_follow_the_share_of_the_true_class():
    # 5 of 5 is as dark as 500 of 500, and 250 of 500 is lighter.
    chart = confusion_chart(np.array([[500, 0, 0], [0, 5, 0], [250, 0, 250]]), ["a", "b", "c"])
    cells = [float(cell.get("fill-opacity", 1)) for cell in Drawing(chart.wide).all("rect")]
    assert cells == [1, 0, 0, 0, 1, 0, 0.5, 0, 0.5]


def test_the_class_chart_grows_with_its_classes_and_leaves_out_the_unknown():
    heights = {}
    for rows in (3, 2):
        truth, predicted = answers(90, right=0.8, classes=rows)
        drawing, narrow = both(class_chart(measure(confusion_matrix(truth, predicted, classes=3), "abc")))
        assert outside(drawing) == outside(narrow) == []
        heights[rows] = drawing.height
        assert [word for word in drawing.words if word[1:2] == " " and word[0] in "abc"] == [
            word for word in drawing.words if word.endswith(")") and word[0] in "abc"
        ]
    assert heights[3] > heights[2]


def test_odd_names_are_drawn_as_they_are():
    truth, predicted = answers(90, right=0.8)
    confusion = confusion_matrix(truth, predicted, classes=3)
    for chart in (confusion_chart(confusion, ODD), class_chart(measure(confusion, ODD))):
        for drawing in both(chart):
            assert any("frac" in word for word in drawing.words)
            assert outside(drawing) == []
    strips = sample_strips(patches("Forest", 3), ODD, bands=RGB, each=1)
    assert len(strips) == 3


def test_the_samples_show_each_class_in_its_strip():
    pixels = np.concatenate([patches(name, 3) for name in CLASSES])
    strips = sample_strips(pixels, [name for name in CLASSES for _ in range(3)], bands=RGB, each=5)
    assert [strip.caption for strip in strips] == sorted(CLASSES)
    for strip in strips:
        with Image.open(io.BytesIO(strip.source)) as picture:
            land = np.asarray(picture)
        shown = land[..., 3] > 0
        assert 0.5 < shown.mean() < 0.65  # three of five places
        wanted = np.median(patches(strip.caption, 3), axis=(0, 2, 3))
        assert np.abs(np.median(land[shown][:, :3], axis=0) - wanted).max() < 25


def test_a_strip_is_clear_between_its_patches():
    patch = np.full((8, 8, 3), 90, np.uint8)
    with Image.open(io.BytesIO(patch_strip([patch, patch], "two", "").source)) as picture:
        alpha = np.asarray(picture)[..., 3]
    assert (alpha[:, :8] == 255).all()
    assert (alpha[:, 8:12] == 0).all()


def ranked(name: str, *, color: str = "1F6F8B", n: int = 500, share: float = 0.1) -> ClassScores:
    random = np.random.default_rng(0)
    truth = random.random(n) < share
    return ClassScores(name, color, truth, 1 / (1 + np.exp(2 - random.normal(size=n) - 3 * truth)), 0.4)


def test_each_class_is_drawn_in_its_color():
    wide, narrow = both(curves_chart([ranked("Dump"), ranked(HOSTILE, color="AA0000", share=0.5)]))
    for drawing in (wide, narrow):
        colors = [path.get("stroke") for path in drawing.all("path")]
        assert colors.count("#1F6F8B") == colors.count("#AA0000") >= 4  # two curves, two dots, two entries
        assert outside(drawing) == []
    assert narrow.height > wide.height


def test_many_labels_are_drawn_and_the_weakest_are_named():
    always = ClassScores("always", "00AA00", np.ones(9, bool), np.linspace(0, 1, 9), 0.5)
    wide, narrow = both(curves_chart([always, *(ranked(f"label {i} $x$") for i in range(40))]))
    assert sum("AP" in word for word in wide.words) == 24
    assert outside(wide) == outside(narrow) == []


@pytest.mark.parametrize("labels", [1, 8])
def test_a_class_that_begins_with_an_underscore_is_named(labels):
    wide, _ = both(curves_chart([ranked(f"_{k}") for k in range(labels)]))
    for kind in ("AP", "AUROC"):
        assert sorted(word[:2] for word in wide.words if kind in word) == [f"_{k}" for k in range(labels)]


def test_a_split_of_positives_alone_has_no_roc_curve():
    always = ClassScores("always", "00AA00", np.ones(9, bool), np.linspace(0, 1, 9), 0.5)
    wide, _ = both(curves_chart([always]))
    assert not [word for word in wide.words if "AUROC" in word]


def test_reliability_and_risk_fit_both_widths():
    random = np.random.default_rng(0)
    confidence = random.uniform(0.4, 1, 300)
    right = random.random(300) < confidence
    probabilities = np.stack([confidence, 1 - confidence], axis=1)
    calibration = measure_calibration(np.where(right, 0, 1), probabilities)
    chart = reliability_chart(calibration, right, confidence)
    for drawing in both(chart):
        assert outside(drawing) == []
        assert min(text.size for text in drawing.texts) >= 11
    assert chart == reliability_chart(calibration, right, confidence)


def history(epochs: int, column: str = "accuracy", **changes: float) -> list[dict[str, float]]:
    return [
        {
            "epoch": k + 1.0,
            "train_loss": 2.0 / (k + 1),
            "val_loss": 2.1 / (k + 1),
            f"train_{column}": 1 - 0.5 / (k + 1),
            f"val_{column}": 1 - 0.6 / (k + 1),
            **changes,
        }
        for k in range(epochs)
    ]


@pytest.mark.parametrize("epochs", [1, 2, 400])
def test_curves_of_any_length_are_drawn_and_name_the_epoch_kept(epochs):
    for drawing in both(history_chart(history(epochs), kept=epochs - 1)):
        assert outside(drawing) == []
        assert f"kept {100 * (1 - 0.6 / epochs):.1f} %" in " ".join(drawing.words)


def test_the_score_is_named_by_its_task_and_a_start_that_stays_is_said():
    rows = history(3, "average_precision")
    rows[0] |= {"epoch": 0.0, "train_loss": float("nan"), "train_average_precision": float("nan")}
    wide, _ = both(history_chart(rows, kept=0))
    text = " ".join(wide.words)
    assert "average precision, %" in text
    assert "the start as it was" in text
    assert outside(wide) == []
