from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax, logsumexp

from swath.errors import SettingError
from swath.explain.evidence import _covers, canvas, log_odds, occlusion_evidence
from swath.explain.faithful import faithfulness
from swath.inference import load
from tests.tiny import CLASSES, MEAN, input_spec, patches, write_tiny_model

from .models import tiny_classifier


@pytest.fixture(scope="module")
def classifier():
    return tiny_classifier(temperature=2.0)


def test_the_cover_that_takes_the_answer_is_the_place_of_the_class(classifier):
    pixels = patches("River", 2)
    pixels[0, :, 40:56, 8:24] = patches("SeaLake", 1)[0, :, 40:56, 8:24]
    evidence = occlusion_evidence(classifier, pixels[:1], classes=["SeaLake"])
    assert evidence.maps.shape == (1, 8, 8)
    row, column = np.unravel_index(evidence.maps[0].argmax(), (8, 8))
    assert 5 <= row <= 6
    assert 1 <= column <= 2
    assert evidence.method == "occlusion"


def test_a_model_without_head_and_activations_can_be_explained():
    for lacks in ("head", "activations"):
        other = tiny_classifier(lacks=lacks)
        evidence = occlusion_evidence(other, patches("Forest", 3))
        assert evidence.labels == tuple(other.predict(patches("Forest", 3)).labels)
        assert evidence.explained == evidence.labels
        # Green land covered with the mean of all land: every place spoke for the answer.
        assert evidence.maps.min() > 0


def test_a_cell_is_the_mean_loss_of_the_covers_that_hide_it(classifier):
    """One cover, made by hand."""
    pixels = patches("River", 1, seed=3)
    evidence = occlusion_evidence(classifier, pixels, cells=2, cover=1)
    before = log_odds(classifier.run(pixels, wanted=("logits",))["logits"], np.array([2]), classifier)
    hidden = pixels.copy()
    hidden[:, :, :32, 32:] = np.rint(MEAN).astype(np.uint8)[None, :, None, None]
    after = log_odds(classifier.run(hidden, wanted=("logits",))["logits"], np.array([2]), classifier)
    assert evidence.explained == ("River",)
    np.testing.assert_allclose(evidence.maps[0, 0, 1], before[0] - after[0], rtol=1e-5)


@pytest.mark.parametrize("shape", [(64, 64), (30, 100), (5, 3)])
def test_pictures_of_any_size_are_covered_once_and_evenly(classifier, shape):
    pixels = np.random.default_rng(0).integers(1, 256, (2, 3, *shape), dtype=np.uint8)
    maps = occlusion_evidence(classifier, pixels).maps
    assert maps.shape == (2, min(8, shape[0]), min(8, shape[1]))
    assert np.isfinite(maps).all()


@settings(max_examples=40)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 4))
def test_every_cell_is_hidden_equally_often(rows, columns, cover):
    times = np.zeros((rows, columns), int)
    for place in _covers((rows, columns), cover):
        times[place] += 1
    assert (times == cover**2).all()


@settings(max_examples=40)
@given(st.integers(2, 6), st.integers(0, 1000), st.floats(0.3, 3), st.floats(0.1, 40))
def test_log_odds_equal_scipys(classes, seed, temperature, spread):
    logits = np.random.default_rng(seed).normal(0, spread, (5, classes)).astype(np.float32)
    numbers = np.arange(5) % classes
    model = tiny_classifier(temperature=1.0)
    object.__setattr__(model, "record", model.record.model_copy(update={"temperature": temperature}))
    log_p = log_softmax(logits.astype(np.float64) / temperature, axis=1)
    others = np.array([logsumexp(np.delete(row, k)) for row, k in zip(log_p, numbers, strict=True)])
    wanted = log_p[np.arange(5), numbers] - others
    np.testing.assert_allclose(log_odds(logits, numbers, model), wanted, rtol=1e-5, atol=1e-5)


def test_log_odds_of_one_logit_are_for_one_class_and_against_the_other(classifier):
    binary = tiny_classifier()
    binary.record = binary.record.model_copy(update={"task": "binary"})
    logits = np.array([[2.0], [2.0]], np.float32)
    np.testing.assert_array_equal(log_odds(logits, np.array([1, 0]), binary), [2, -2])
    binary.record = binary.record.model_copy(update={"task": "multi-label", "temperature": 2.0})
    np.testing.assert_array_equal(
        log_odds(np.array([[1.0, 6.0], [4.0, 0.0]], np.float32), np.array([1, 0]), binary), [3, 2]
    )


@pytest.mark.parametrize(
    ("task", "names"), [("binary", ("Forest", "SeaLake")), ("multi-label", ("Forest", "River", "SeaLake"))]
)
def test_models_of_every_task_are_explained(tmp_path, task, names):
    model = load(write_tiny_model(tmp_path / "m.onnx", names, task=task), engine="onnxruntime", threads=1)
    pixels = patches("SeaLake", 2)
    pixels[:, :, :16, :16] = patches("Forest", 2)[:, :, :16, :16]
    evidence = occlusion_evidence(model, pixels, classes=["Forest"] * 2)
    assert evidence.labels == tuple(model.predict(pixels).named)
    assert (evidence.maps[:, :2, :2].mean(axis=(1, 2)) > evidence.maps[:, 3:, 3:].mean(axis=(1, 2))).all()
    checked = faithfulness(model, pixels, evidence)
    assert [f.of for f in checked] == [19, 19]


def test_canvases_hold_what_they_say():
    pixels = patches("Forest", 2)
    spec = input_spec()
    assert (canvas(pixels, "training", spec)[1, :, 5, 7] == np.rint(MEAN)).all()
    own = canvas(pixels, "patch", spec)
    np.testing.assert_allclose(own[0, :, 0, 0], pixels[0].mean(axis=(1, 2)), atol=0.5)
    blurred = canvas(pixels, "blur", spec)
    assert blurred.dtype == np.uint8
    assert blurred[0, 0].std() < pixels[0, 0].std() / 2
    flat = np.full((1, 3, 20, 33), 77, np.uint8)
    assert (canvas(flat, "blur", spec) == 77).all()  # nothing darkens at the edges


def test_a_cover_must_leave_something(classifier):
    with pytest.raises(SettingError, match="cover of 8 of 8 cells"):
        occlusion_evidence(classifier, patches("River", 1), cover=8)
    with pytest.raises(SettingError, match="did you mean River"):
        occlusion_evidence(classifier, patches("River", 1), classes=["Rivers"])
    assert len(occlusion_evidence(classifier, patches("River", 1)[:0]).maps) == 0
    assert set(CLASSES) == set(classifier.record.class_names)
