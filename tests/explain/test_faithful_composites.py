from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swath.errors import DataError, SettingError
from swath.explain import class_evidence, composites, explainer, share_inside
from swath.explain.faithful import VARIANTS
from tests.tiny import CLASSES, patch

from .models import tiny_classifier

# Nearly pure colors, so that a quarter's mean color tells its class.
PIXELS = np.stack([patch(c, seed=i, spread=2).transpose(2, 0, 1) for c in CLASSES for i in range(6)])
LABELS = np.repeat(np.arange(len(CLASSES)), 6)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_class_is_in_its_quadrant_and_nowhere_else(variant):
    sewn = composites(PIXELS, LABELS, count=24, variant=variant, seed=1)
    assert sewn.pixels.shape == (24, 3, 64, 64)
    assert sorted(sewn.numbers.tolist()) == sorted(LABELS.tolist())  # every patch is looked for once
    assert set(sewn.quadrants.tolist()) == {0, 1, 2, 3}
    centers = np.stack([PIXELS[k == LABELS].mean(axis=(0, 2, 3)) for k in range(4)])
    quarters = sewn.pixels.reshape(24, 3, 2, 32, 2, 32).mean(axis=(3, 5)).reshape(24, 3, 4)
    for quarter, number, quadrant in zip(quarters, sewn.numbers, sewn.quadrants, strict=True):
        nearest = ((quarter.T[:, None] - centers) ** 2).sum(axis=2).argmin(axis=1)
        assert nearest[quadrant] == number
        assert (np.delete(nearest, quadrant) != number).all()


def test_crops_are_the_middles_as_they_are():
    sewn = composites(PIXELS, LABELS, count=1, variant="crops", seed=3)
    top, left = 32 * (sewn.quadrants[0] // 2), 32 * (sewn.quadrants[0] % 2)
    middle = sewn.pixels[0, :, top : top + 32, left : left + 32]
    assert any(np.array_equal(middle, patch[:, 16:48, 16:48]) for patch in PIXELS)


def test_the_same_seed_gives_the_same_composites():
    one, same, other = (composites(PIXELS, LABELS, count=9, seed=s) for s in (4, 4, 5))
    np.testing.assert_array_equal(one.pixels, same.pixels)
    assert not np.array_equal(one.pixels, other.pixels)


@settings(max_examples=40)
@given(st.integers(0, 3), st.integers(1, 3), st.floats(0.1, 100))
def test_all_mass_in_one_quadrant_is_found_there(quadrant, grid, strength):
    maps = np.zeros((1, 4 * grid, 4 * grid), np.float32)
    # Away from the quadrant's edge, so that interpolation does not carry it over.
    row, column = (4 * grid - 1) * (quadrant // 2), (4 * grid - 1) * (quadrant % 2)
    maps[0, row, column] = strength
    shares = [share_inside(maps, np.array([q]), side=64)[0] for q in range(4)]
    assert shares[quadrant] == pytest.approx(1)
    assert sum(shares) == pytest.approx(1)


def test_a_flat_map_has_a_quarter_and_a_negative_one_nothing():
    flat = np.ones((1, 4, 4), np.float32)
    assert share_inside(flat, np.array([2]), side=64)[0] == pytest.approx(0.25)
    assert share_inside(-flat, np.array([2]), side=64)[0] == 0


def test_a_true_map_finds_the_class():
    classifier = tiny_classifier()
    sewn = composites(PIXELS, LABELS, count=24, seed=0)
    maps = class_evidence(classifier, sewn.pixels, classes=[CLASSES[k] for k in sewn.numbers]).maps
    assert share_inside(maps, sewn.quadrants, side=64).mean() > 0.45


def test_one_class_cannot_be_told_from_others():
    with pytest.raises(DataError, match="two classes or more"):
        composites(PIXELS[:6], LABELS[:6], count=2)
    with pytest.raises(DataError, match="33 x 33 pixels cannot be quartered"):
        composites(PIXELS[:, :, :33, :33], LABELS, count=2)


def test_an_unknown_method_names_the_known():
    with pytest.raises(SettingError, match="'lime'; use one of cam, occlusion or grad-cam"):
        explainer(tiny_classifier(), "lime")
