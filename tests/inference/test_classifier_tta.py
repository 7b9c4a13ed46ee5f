from __future__ import annotations

import numpy as np
import pytest

import swath
from swath.errors import SettingError
from swath.imagery import resize


@pytest.fixture(scope="module")
def pixels():
    """Soft blobs of any color, nothing alike when turned."""
    coarse = np.random.default_rng(0).integers(0, 200, (6, 3, 6, 6)).astype(np.uint8)
    return np.stack([resize(p, 64) for p in coarse])


def by_hand(pixels):
    """All eight: four quarter turns, and four of the mirrored patch."""
    return [np.ascontiguousarray(np.rot90(p, k, (2, 3))) for p in (pixels, pixels[..., ::-1]) for k in range(4)]


def test_probabilities_are_the_mean_over_the_views(pixels):
    one = swath.load("eurosat", engine="onnxruntime", threads=1)
    each = [one.predict(view).probabilities for view in by_hand(pixels)]
    assert np.ptp(each, axis=0).max() > 0.001  # the views do differ
    for tta in (4, 8):
        found = swath.load("eurosat", engine="onnxruntime", threads=1, tta=tta).predict(pixels)
        np.testing.assert_allclose(found.probabilities, np.mean(each[:tta], axis=0), atol=1e-5)
        assert found.labels == [found.classes[n] for n in found.probabilities.argmax(1)]


def test_eight_views_do_not_mind_how_a_patch_lies(pixels):
    classifier = swath.load("eurosat", engine="onnxruntime", threads=1, tta=8)
    expected = classifier.predict(pixels).probabilities
    for view in by_hand(pixels):
        np.testing.assert_allclose(classifier.predict(view).probabilities, expected, atol=1e-5)


def test_how_strange_a_patch_is_follows_from_it_as_it_is():
    noise = np.random.default_rng(0).integers(0, 256, (2, 3, 64, 64)).astype(np.uint8)
    one, several = (swath.load("eurosat", engine="onnxruntime", threads=1, tta=tta).answer(noise) for tta in (1, 4))
    np.testing.assert_allclose(several.ood_score, one.ood_score, rtol=1e-5)
    assert several.is_ood.all()


def test_the_views_are_named():
    assert swath.load("eurosat", tta=8).engine.endswith(", 8 views")
    assert "view" not in swath.load("eurosat").engine


@pytest.mark.parametrize("tta", [0, 2, 16])
def test_other_numbers_of_views_are_refused(tta):
    with pytest.raises(SettingError, match=f"{tta} views.*give 1, 4 .*8"):
        swath.load("eurosat", tta=tta)
