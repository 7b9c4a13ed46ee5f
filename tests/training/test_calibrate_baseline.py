from __future__ import annotations

import numpy as np
import pytest

from swath.evaluation.baselines import baseline_predictions
from swath.imagery import RGB
from swath.training.calibrate import fit_baselines
from tests.tiny import CLASSES

from .runs import some


@pytest.mark.parametrize("classes", [CLASSES, CLASSES[:2]])
def test_colors_tell_patches_apart_after_a_round_trip_through_the_record(classes):
    train, new = some(20, classes=classes), some(10, seed=1, classes=classes)
    fitted = fit_baselines(train.pixels, train.labels, bands=RGB, classes=classes)
    assert len(fitted.color.weights) == len(fitted.color.bias) == len(classes)
    again = type(fitted).model_validate_json(fitted.model_dump_json())
    answers = baseline_predictions(again, new.pixels, bands=RGB, classes=classes)
    accuracy = {name: float((np.asarray(a) == new.labels).mean()) for name, a in answers.items()}
    assert max(accuracy.values()) > 0.8
    assert min(accuracy.values()) == pytest.approx(1 / len(classes))


def test_the_majority_is_the_most_frequent_class():
    train = some(4)
    labels = train.labels.copy()
    labels[:5] = 2
    assert fit_baselines(train.pixels, labels, bands=RGB, classes=CLASSES).majority == "River"


def test_a_band_without_variation_does_no_harm():
    train = some(6)
    train.pixels[:, 1] = 50
    fitted = fit_baselines(train.pixels, train.labels, bands=RGB, classes=CLASSES)
    assert np.isfinite(fitted.color.weights).all()
    assert min(fitted.color.scale) > 0
