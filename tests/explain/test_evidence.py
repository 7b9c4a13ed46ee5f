from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from swath.errors import SettingError, SwathError
from swath.explain import activation_maps, class_evidence, upsample
from swath.explain.evidence import BATCH, explained_classes
from swath.inference import Classifier, load
from tests.tiny import CLASSES, patches, write_tiny_model

from .models import tiny_classifier

few = settings(max_examples=50)


@pytest.fixture(scope="module")
def classifier(tiny_model) -> Classifier:
    return load(tiny_model, threads=1)


def noise(n: int, height: int = 64, width: int = 64) -> np.ndarray:
    return np.random.default_rng(1).integers(1, 256, (n, 3, height, width), dtype=np.uint8)


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_mean_of_a_map_plus_bias_is_the_logit(name, temperature):
    classifier = tiny_classifier(temperature=temperature)
    pixels = np.concatenate([noise(3), *(patches(c, 2) for c in CLASSES)])
    evidence = class_evidence(classifier, pixels, classes=[name] * len(pixels))
    k = CLASSES.index(name)
    logits = classifier.run(pixels, wanted=("logits",))["logits"][:, k]
    mean = evidence.maps.mean(axis=(1, 2), dtype=np.float64)
    np.testing.assert_allclose(mean + classifier.head[1][k], logits, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(("height", "width"), [(64, 64), (128, 192), (31, 100), (5, 7)])
def test_maps_have_the_size_of_the_input_whatever_it_is(classifier, height, width):
    pixels = noise(2, height, width)
    maps = activation_maps(classifier, pixels, classes=["Forest", "River"])
    assert maps.shape == (2, height, width)
    assert maps.dtype == np.float32
    # The logit is split exactly on the network's own grid, and so it is on whole enlargements of it.
    small = class_evidence(classifier, pixels, classes=["Forest", "River"]).maps
    logits = classifier.run(pixels, wanted=("logits",))["logits"]
    bias = classifier.head[1]
    wanted = [logits[0, 0] - bias[0], logits[1, 2] - bias[2]]
    np.testing.assert_allclose(small.mean(axis=(1, 2)), wanted, rtol=1e-4, atol=1e-3)
    if height % 8 == 0 and width % 8 == 0:
        np.testing.assert_allclose(maps.mean(axis=(1, 2)), wanted, rtol=1e-4, atol=1e-3)


def test_the_predicted_class_is_explained_by_default(classifier):
    pixels = np.concatenate([patches(c, 3) for c in CLASSES])
    evidence = class_evidence(classifier, pixels)
    answer = classifier.predict(pixels)
    assert list(evidence.explained) == list(evidence.labels) == answer.labels
    np.testing.assert_array_equal(evidence.confidence, answer.confidence)


def test_another_class_changes_the_map_but_not_the_answer(classifier):
    pixels = patches("Forest", 2)
    evidence = class_evidence(classifier, pixels, classes=["River", "SeaLake"])
    assert evidence.explained == ("River", "SeaLake")
    assert evidence.labels == tuple(classifier.predict(pixels).labels)


def test_evidence_lies_where_the_class_is(classifier):
    pixels = patches("Residential", 1)
    pixels[0, :, :24, 40:] = patches("Forest", 1)[0, :, :24, 40:]
    heat = activation_maps(classifier, pixels, classes=["Forest"])[0]
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    assert row < 24
    assert column >= 40
    assert heat[4:20, 44:60].min() > heat[32:, :32].max()


def test_many_images_go_in_small_batches_and_keep_their_order(classifier, monkeypatch):
    seen = []
    run = classifier.run
    monkeypatch.setattr(classifier, "run", lambda p, **options: (seen.append(len(p)), run(p, **options))[1])
    pixels = noise(BATCH + 3, 8, 8)
    evidence = class_evidence(classifier, pixels)
    assert seen == [BATCH, 3]
    alone = class_evidence(classifier, pixels[-1:])
    np.testing.assert_allclose(evidence.maps[-1], alone.maps[0], rtol=1e-4, atol=1e-4)
    assert evidence.labels[-1:] == alone.labels


@pytest.mark.parametrize("lacks", ["head", "activations"])
def test_a_model_without_maps_says_so(lacks):
    with pytest.raises(SwathError, match=r"'tiny' has no class activation maps.*; use --method occlusion, or"):
        activation_maps(tiny_classifier(lacks=lacks), noise(1))


@pytest.mark.parametrize(
    ("name", "hint"),
    [("forrest", "did you mean Forest"), ("xyz", "the model's classes: Forest, Residential, River, SeaLake")],
)
def test_an_unknown_class_names_the_nearest(classifier, name, hint):
    with pytest.raises(SettingError, match=f"no class '{name}'.*{hint}"):
        class_evidence(classifier, noise(1), classes=[name])


def test_one_class_an_image(classifier):
    with pytest.raises(SettingError, match="2 class names for 5 images"):
        class_evidence(classifier, noise(5), classes=["Forest", "River"])


def test_no_image_gives_no_map(classifier):
    assert activation_maps(classifier, noise(0)).shape == (0, 64, 64)


@few
@given(st.integers(1, 8), st.integers(1, 8), st.integers(1, 9), st.integers(0, 1000))
def test_whole_enlargements_keep_the_mean_and_never_extrapolate(height, width, times, seed):
    maps = np.random.default_rng(seed).normal(size=(2, height, width)).astype(np.float32)
    large = upsample(maps, height=height * times, width=width * times)
    assert large.shape == (2, height * times, width * times)
    np.testing.assert_allclose(large.mean(axis=(1, 2)), maps.mean(axis=(1, 2)), atol=1e-5)
    assert large.max() <= maps.max() + 1e-5
    assert large.min() >= maps.min() - 1e-5


@few
@given(st.integers(2, 9), st.integers(9, 40), st.integers(0, 1000))
def test_upsampling_equals_pillow(side, target, seed):
    small = np.random.default_rng(seed).normal(size=(1, side, side)).astype(np.float32)
    pillow = np.asarray(Image.fromarray(small[0]).resize((target, target), Image.Resampling.BILINEAR))
    np.testing.assert_allclose(upsample(small, height=target, width=target)[0], pillow, atol=1e-5)


def test_a_binary_map_of_the_negative_class_is_the_other_sign(tmp_path):
    names = ("Forest", "River")
    classifier = load(write_tiny_model(tmp_path / "b.onnx", names, task="binary"), threads=1)
    pixels = np.concatenate([patches(c, 2) for c in names])
    river, forest = (class_evidence(classifier, pixels, classes=[c] * 4) for c in ("River", "Forest"))
    np.testing.assert_allclose(river.maps, -forest.maps, atol=1e-6)
    logits = classifier.run(pixels, wanted=("logits",))["logits"][:, 0]
    np.testing.assert_allclose(river.maps.mean(axis=(1, 2)) + classifier.head[1][0], logits, atol=1e-3)
    shown = class_evidence(classifier, pixels)
    assert shown.explained == shown.labels == tuple(classifier.predict(pixels).labels)


def test_of_several_labels_the_most_probable_one_that_counts_is_explained(tmp_path):
    thresholds = {"Forest": 0.9}
    path = write_tiny_model(tmp_path / "m.onnx", task="multi-label", thresholds=thresholds)
    classifier = load(path, threads=1)
    p = np.array([[0.8, 0.1, 0.6, 0.1], [0.95, 0.1, 0.6, 0.1], [0.3, 0.1, 0.2, 0.1]], np.float32)
    assert explained_classes(classifier.record, p).tolist() == [2, 0, 0]
    evidence = class_evidence(classifier, patches("River", 2))
    assert evidence.explained == ("River", "River")
    assert all("River" in label.split(";") for label in evidence.labels)
