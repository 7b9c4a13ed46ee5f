from __future__ import annotations

import numpy as np
import pytest

from swath.data import color_features
from swath.errors import ModelFileError
from swath.evaluation.baselines import baseline_predictions, color_predictions
from swath.imagery import RGB
from swath.model.record import Baselines, ColorBaseline
from tests.tiny import CLASSES, color_baseline, patches


def ask(baselines: Baselines, pixels: np.ndarray) -> dict[str, np.ndarray]:
    return baseline_predictions(baselines, pixels, bands=RGB, classes=CLASSES)


def test_majority_always_gives_the_one_class():
    found = ask(Baselines(majority="River"), patches("Forest", 4))
    assert list(found) == ["majority"]
    assert found["majority"].tolist() == [CLASSES.index("River")] * 4


def test_color_takes_the_nearest_color():
    pixels = np.concatenate([patches(name, 20) for name in CLASSES])
    truth = np.repeat(np.arange(len(CLASSES)), 20)
    found = ask(color_baseline(CLASSES), pixels)["color"]
    assert found.dtype == np.int64
    assert (found == truth).mean() > 0.7


def test_color_is_the_logistic_regression_it_was_fitted_as():
    linear_model = pytest.importorskip("sklearn.linear_model")
    preprocessing = pytest.importorskip("sklearn.preprocessing")
    pixels = np.concatenate([patches(name, 15) for name in CLASSES])
    truth = np.repeat(np.arange(len(CLASSES)), 15)
    features = color_features(pixels)
    scaler = preprocessing.StandardScaler().fit(features)
    fitted = linear_model.LogisticRegression(max_iter=500).fit(scaler.transform(features), truth)
    stored = ColorBaseline(
        features=color_baseline().color.features,
        center=tuple(scaler.mean_.tolist()),
        scale=tuple(scaler.scale_.tolist()),
        weights=tuple(tuple(row) for row in fitted.coef_.tolist()),
        bias=tuple(fitted.intercept_.tolist()),
    )
    new = color_features(np.concatenate([patches(name, 15, seed=5) for name in CLASSES]))
    np.testing.assert_array_equal(color_predictions(stored, new), fitted.predict(scaler.transform(new)))


def test_a_majority_that_is_no_class_is_refused():
    with pytest.raises(ModelFileError, match="baseline 'Desert' is not one of its classes"):
        ask(Baselines(majority="Desert"), patches("Forest", 1))


def changed(**fields) -> Baselines:
    color = color_baseline(CLASSES).color
    return Baselines(majority="Forest", color=color.model_copy(update=fields))


@pytest.mark.parametrize(
    "fields",
    [
        {"weights": ((0.0, 1.0),) * len(CLASSES)},
        {"bias": (0.0,)},
        {"center": (0.0,)},
        {"scale": (0.0,) * len(color_baseline().color.scale)},
    ],
    ids=["weights", "bias", "center", "scale"],
)
def test_a_damaged_baseline_is_refused(fields):
    with pytest.raises(ModelFileError, match="color baseline is damaged"):
        ask(changed(**fields), patches("Forest", 1))


def test_statistics_of_another_version_are_refused():
    with pytest.raises(ModelFileError, match="does not compute; train the model again"):
        ask(changed(features=("hue",)), patches("Forest", 1))
