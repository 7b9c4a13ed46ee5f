from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from swath.data import build_index, cached_pixels, color_features, split_index
from swath.errors import ModelFileError
from swath.evaluation.baselines import baseline_predictions, color_predictions, fit_baselines
from swath.imagery import RGB
from swath.model.record import Baselines, ColorBaseline
from tests.tiny import CLASSES, color_baseline, patches


def some(n: int, *, seed: int = 0, classes=CLASSES) -> tuple[np.ndarray, np.ndarray]:
    """Pixels and labels of `n` patches per class."""
    return np.concatenate([patches(name, n, seed=seed) for name in classes]), np.repeat(np.arange(len(classes)), n)


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
    pixels = np.concatenate([patches(name, 15) for name in CLASSES])
    truth = np.repeat(np.arange(len(CLASSES)), 15)
    features = color_features(pixels)
    scaler = StandardScaler().fit(features)
    fitted = LogisticRegression(max_iter=500).fit(scaler.transform(features), truth)
    stored = ColorBaseline(
        features=color_baseline().color.features,
        center=tuple(scaler.mean_.tolist()),
        scale=tuple(scaler.scale_.tolist()),
        weights=tuple(tuple(row) for row in fitted.coef_.tolist()),
        bias=tuple(fitted.intercept_.tolist()),
    )
    new = color_features(np.concatenate([patches(name, 15, seed=5) for name in CLASSES]))
    np.testing.assert_array_equal(color_predictions(stored, new), fitted.predict(scaler.transform(new)))


@pytest.mark.parametrize("classes", [CLASSES, CLASSES[:2]])
def test_colors_separate_patches_after_a_round_trip_through_the_record(classes):
    train, new = (some(n, classes=classes, seed=seed) for n, seed in ((20, 0), (10, 1)))
    fitted = fit_baselines(*train, bands=RGB, classes=classes)
    assert len(fitted.color.weights) == len(fitted.color.bias) == len(classes)
    again = type(fitted).model_validate_json(fitted.model_dump_json())
    answers = baseline_predictions(again, new[0], bands=RGB, classes=classes)
    accuracy = {name: float((np.asarray(a) == new[1]).mean()) for name, a in answers.items()}
    assert max(accuracy.values()) > 0.8
    assert min(accuracy.values()) == pytest.approx(1 / len(classes))


def test_the_majority_is_the_most_frequent_class():
    pixels, labels = some(4)
    labels[:5] = 2
    assert fit_baselines(pixels, labels, bands=RGB, classes=CLASSES).majority == "River"


def test_a_band_without_variation_does_no_harm():
    pixels, labels = some(6)
    pixels[:, 1] = 50
    fitted = fit_baselines(pixels, labels, bands=RGB, classes=CLASSES)
    assert np.isfinite(fitted.color.weights).all()
    assert min(fitted.color.scale) > 0


@pytest.mark.slow
def test_on_real_patches_its_predictions_are_those_of_scikit_learn():
    index = split_index(build_index("eurosat-mini"))
    classes = sorted(set(index.labels))
    parts = [index.where(split) for split in ("train", "test")]
    (train, y), (test, _) = (
        (np.array(cached_pixels(p)), np.array([classes.index(label) for label in p.labels])) for p in parts
    )
    fitted = fit_baselines(train, y, bands=RGB, classes=classes)
    scaler = StandardScaler().fit(color_features(train))
    theirs = LogisticRegression(max_iter=1000).fit(scaler.transform(color_features(train)), y)
    ours = baseline_predictions(fitted, test, bands=RGB, classes=classes)["color"]
    assert (ours == theirs.predict(scaler.transform(color_features(test)))).mean() > 0.99


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
    with pytest.raises(ModelFileError, match="is damaged"):
        ask(changed(**fields), patches("Forest", 1))


def test_statistics_of_another_version_are_refused():
    with pytest.raises(ModelFileError, match="does not compute; train the model again"):
        ask(changed(features=("hue",)), patches("Forest", 1))
