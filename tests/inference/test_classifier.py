from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import swath
from swath.data import cached_pixels
from swath.errors import DataError
from swath.inference import classifier as module
from swath.inference.engines import describe
from tests.tiny import CLASSES, patch, patches, tiny_graph, write_tiny_model


@pytest.fixture(scope="module")
def classifier(tiny_model):
    return swath.load(tiny_model, threads=1)


@pytest.fixture(scope="module")
def pixels():
    return np.concatenate([patches(c, 3) for c in CLASSES])


def test_it_gets_its_own_classes_mostly_right(classifier, tiny_index):
    predictions = classifier.predict(cached_pixels(tiny_index))
    right = np.mean([a == b for a, b in zip(predictions.labels, tiny_index.labels, strict=True)])
    assert 0.85 < right < 1
    assert predictions.classes == CLASSES
    np.testing.assert_allclose(predictions.probabilities.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(predictions.confidence, predictions.probabilities.max(axis=1))


@given(st.integers(1, 40))
@settings(max_examples=20)
def test_the_batch_does_not_change_the_answer(classifier, pixels, batch_size):
    whole = classifier.run(pixels)["probabilities"]
    named = [(str(i), p) for i, p in enumerate(pixels)]
    parts = list(classifier.stream(named, batch_size=batch_size))
    assert [path for part in parts for path in part.paths] == [name for name, _ in named]
    assert max(map(len, parts)) == min(batch_size, len(pixels))
    got = np.concatenate([part.probabilities for part in parts])
    np.testing.assert_allclose(got, whole, atol=1e-6)


def test_sizes_may_differ_and_keep_their_order(classifier):
    images = [
        patch(c, seed=i, size=size).transpose(2, 0, 1)
        for i, (c, size) in enumerate(zip(CLASSES * 2, (64, 64, 96, 32, 64, 200, 200, 64), strict=True))
    ]
    together = classifier.predict(images).probabilities
    alone = np.concatenate([classifier.predict(image).probabilities for image in images])
    np.testing.assert_allclose(together, alone, atol=1e-6)


def test_large_pictures_go_in_small_batches(classifier, monkeypatch):
    monkeypatch.setattr(module, "HELD_BYTES", 3 * 100 * 100 * 2)
    images = [(str(i), np.full((3, 100, 100), 90, np.uint8)) for i in range(5)]
    assert [len(part) for part in classifier.stream(images)] == [2, 2, 1]


def test_progress_counts_up_to_the_number_of_images(classifier, pixels):
    seen = []
    classifier.predict(list(pixels), progress=lambda *a, **k: seen.append(a))
    assert seen[-1] == ("classify", len(pixels), len(pixels))
    seen.clear()
    list(
        classifier.stream(
            [(str(i), p) for i, p in enumerate(pixels)],
            batch_size=5,
            total=len(pixels),
            progress=lambda *a, **k: seen.append(a),
        )
    )
    assert seen == [("classify", 5, 12), ("classify", 10, 12), ("classify", 12, 12)]


def test_other_outputs_can_be_had(classifier, pixels):
    outputs = classifier.run(pixels, wanted=("features", "activations", "logits"))
    assert {k: v.shape for k, v in outputs.items()} == {
        "features": (12, 6),
        "activations": (12, 6, 8, 8),
        "logits": (12, 4),
    }
    with pytest.raises(DataError, match="model 'tiny' has no output 'embedding'"):
        classifier.run(pixels, wanted=("embedding",))


@pytest.mark.parametrize(
    ("shape", "dtype", "message"),
    [
        ((2, 64, 64, 3), np.uint8, r"\(2, 64, 64, 3\), model 'tiny' takes \[N, 3, H, W\] \(red, green, blue\)"),
        ((3, 64, 64), np.uint8, "shape"),
        ((0, 3, 64, 64), np.uint8, "shape"),
        ((1, 3, 64, 64), np.uint16, "pixels are uint16, model 'tiny' takes uint8"),
        ((1, 3, 64, 64), np.float32, "pixels are float32"),
    ],
)
def test_pixels_that_do_not_fit(classifier, shape, dtype, message):
    with pytest.raises(DataError, match=message):
        classifier.run(np.zeros(shape, dtype))


def test_its_repr_says_what_it_is(classifier):
    text = repr(classifier)
    for part in ("tiny", "4 classes", "Forest", "uint8 red, green, blue", "64 x 64 px", classifier.engine):
        assert part in text


def test_no_image(classifier):
    with pytest.raises(DataError, match="no image to classify"):
        classifier.predict([])


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_another_graph_can_run_on_the_same_engine(tiny_model, pixels, engine):
    loaded = swath.load(tiny_model, engine=engine, threads=1)
    other = loaded.same_engine(tiny_graph(temperature=2.0))
    assert describe(other) == loaded.engine
    got = other.run(pixels, ("logits",))["logits"]
    np.testing.assert_allclose(got, loaded.run(pixels, wanted=("logits",))["logits"], atol=1e-4)


def test_a_binary_model_decides_by_its_threshold(tmp_path):
    names = ("Forest", "River")
    images = np.concatenate([patches(c, 4) for c in names])
    plain = swath.load(write_tiny_model(tmp_path / "a.onnx", names, task="binary"), threads=1).predict(images)
    p = plain.probabilities[:, 1]
    low = float(np.sort(p)[1:3].mean())  # two patches below it
    path = write_tiny_model(tmp_path / "b.onnx", names, task="binary", thresholds={"River": low})
    found = swath.load(path, threads=1).predict(images)
    expected = np.where(p >= low, "River", "Forest")
    assert found.labels == expected.tolist()
    assert found.labels.count("Forest") == 2
    assert found.label_sets == [(label,) for label in expected]
    np.testing.assert_array_equal(found.confidence, np.where(p >= low, p, found.probabilities[:, 0]))
    assert (found.confidence < 0.5).any()  # called River, though Forest is more probable


def test_a_multi_label_model_gives_sets_of_labels(tmp_path):
    thresholds = dict.fromkeys(CLASSES[1:], 0.999)
    model = swath.load(write_tiny_model(tmp_path / "m.onnx", task="multi-label", thresholds=thresholds), threads=1)
    probabilities = np.array([[0.5, 0.1, 0.9991, 0.2], [0.4, 0.99, 0.1, 0.1]], np.float32)
    found = model.decide(probabilities)
    assert found.label_sets == [("Forest", "River"), ()]
    assert found.labels == ["Forest;River", ""]
    assert found.named == ["Forest;River", "(no label)"]
    np.testing.assert_array_equal(found.confidence, probabilities.max(axis=1))
    assert found.top(1) == [[("River", float(probabilities[0, 2]))], [("Residential", float(probabilities[1, 1]))]]
