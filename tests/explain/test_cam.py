from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from swath.errors import SettingError, SwathError
from swath.explain import activation_maps, class_evidence, upsample
from swath.explain.cam import BATCH

from .fakes import CLASSES, PooledColours


def patches(n: int = 5, side: int = 16, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, 3, side, side), dtype=np.uint8)


@pytest.mark.parametrize("name", CLASSES)
def test_mean_of_map_plus_bias_is_the_logit(name):
    classifier, pixels = PooledColours(), patches()
    maps = activation_maps(classifier, pixels, classes=[name] * len(pixels))
    k = CLASSES.index(name)
    logits = classifier.run(pixels, wanted=("logits",))["logits"][:, k]
    assert maps.shape == (5, 16, 16)
    assert maps.dtype == np.float32
    np.testing.assert_allclose(maps.mean(axis=(1, 2)) + classifier.head[1][k], logits, atol=1e-4)


def test_the_predicted_class_is_explained_by_default():
    classifier, pixels = PooledColours(), patches(40)
    evidence = class_evidence(classifier, pixels)
    best = classifier.run(pixels)["probabilities"]
    assert evidence.explained == evidence.labels == tuple(CLASSES[k] for k in best.argmax(axis=1))
    np.testing.assert_array_equal(evidence.confidence, best.max(axis=1))


def test_evidence_lies_where_the_colour_is():
    classifier = PooledColours()
    classifier.head = (np.array([[0, 1, 0], [0, 0, 1], [1, 0, 0]], np.float32), np.zeros(3, np.float32))
    pixels = np.zeros((1, 3, 16, 16), np.uint8)
    pixels[0, 1, :8, 8:] = 200
    heat = activation_maps(classifier, pixels, classes=["Forest"])[0]
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    assert row < 8 <= column
    assert heat[8:, :8].max() == 0


def test_many_images_go_in_small_batches_and_keep_their_order():
    classifier, pixels = PooledColours(), patches(BATCH + 3, side=8)
    evidence = class_evidence(classifier, pixels)
    assert classifier.batches == [BATCH, 3]
    alone = class_evidence(classifier, pixels[-1:])
    np.testing.assert_array_equal(evidence.maps[-1], alone.maps[0])


@pytest.mark.parametrize("lacks", ["head", "activations"])
def test_a_model_without_maps_says_so(lacks):
    classifier = PooledColours(with_activations=lacks != "activations")
    if lacks == "head":
        classifier.head = None
    with pytest.raises(SwathError, match="'pooled' has no class activation maps"):
        activation_maps(classifier, patches())


@pytest.mark.parametrize(
    ("name", "hint"), [("forrest", "did you mean Forest"), ("xyz", "Forest, River, SeaLake")]
)
def test_unknown_class_names_the_nearest(name, hint):
    with pytest.raises(SettingError, match=f"no class '{name}'.*{hint}"):
        class_evidence(PooledColours(), patches(1), classes=[name])


def test_one_class_an_image():
    with pytest.raises(SettingError, match="2 class names for 5 images"):
        class_evidence(PooledColours(), patches(), classes=["Forest", "River"])


def test_no_image_gives_no_map():
    assert activation_maps(PooledColours(), patches(0)).shape == (0, 16, 16)


@given(st.integers(1, 8), st.integers(1, 8), st.integers(1, 9), st.integers(0, 1000))
def test_whole_enlargements_keep_the_mean_and_never_extrapolate(height, width, times, seed):
    maps = np.random.default_rng(seed).normal(size=(2, height, width)).astype(np.float32)
    large = upsample(maps, height=height * times, width=width * times)
    assert large.shape == (2, height * times, width * times)
    np.testing.assert_allclose(large.mean(axis=(1, 2)), maps.mean(axis=(1, 2)), atol=1e-5)
    assert large.max() <= maps.max() + 1e-5
    assert large.min() >= maps.min() - 1e-5


@given(st.integers(2, 9), st.integers(9, 40), st.integers(0, 1000))
def test_upsampling_equals_pillow(side, target, seed):
    small = np.random.default_rng(seed).normal(size=(1, side, side)).astype(np.float32)
    pillow = np.asarray(Image.fromarray(small[0]).resize((target, target), Image.Resampling.BILINEAR))
    np.testing.assert_allclose(upsample(small, height=target, width=target)[0], pillow, atol=1e-5)
