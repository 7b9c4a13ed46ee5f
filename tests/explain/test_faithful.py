from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import auc

from swath.errors import SettingError
from swath.explain import Evidence, class_evidence, upsample
from swath.explain.faithful import Faithfulness, area_under, center_heat, curves, deletion, faithfulness, random_heat
from tests.tiny import CLASSES, patches

from .models import tiny_classifier

FOREST = CLASSES.index("Forest")


@pytest.fixture(scope="module")
def classifier():
    return tiny_classifier()


@pytest.fixture(scope="module")
def islands():
    """Patches of sea with a rectangle of forest, and where it is."""
    pixels, forest = patches("SeaLake", 6, seed=5), patches("Forest", 6, seed=6)
    place = np.zeros((6, 64, 64), np.float32)
    for i in range(6):
        top, left = 8 * (i % 3), 8 * (5 - i)
        where = (i, slice(None), slice(top, top + 32), slice(left, left + 24))
        pixels[where] = forest[where]
        place[i, top : top + 32, left : left + 24] = 1
    return pixels, place


def test_curves_begin_and_end_where_they_must(classifier, islands):
    pixels, place = islands
    numbers = np.full(6, FOREST)
    found = curves(classifier, pixels, place, numbers, steps=8)
    whole = classifier.run(pixels)["probabilities"][:, FOREST]
    np.testing.assert_allclose(found.deletion[:, 0], whole, atol=1e-6)
    np.testing.assert_allclose(found.insertion[:, -1], whole, atol=1e-6)
    assert np.ptp(found.deletion[:, -1]) < 1e-6  # nothing is left of any patch
    assert found.deletion.shape == found.insertion.shape == (6, 9)


def test_the_true_place_beats_its_opposite_on_both_curves(classifier, islands):
    pixels, place = islands
    numbers = np.full(6, FOREST)
    right, wrong = (curves(classifier, pixels, heat, numbers) for heat in (place, -place))
    assert (area_under(right.deletion) < area_under(wrong.deletion)).all()
    assert (area_under(right.insertion) > area_under(wrong.insertion)).all()


def test_half_a_deletion_hides_the_hotter_half(classifier):
    """Two steps by hand: the left half is hot and goes first."""
    pixels = patches("River", 1)
    heat = np.zeros((1, 64, 64), np.float32)
    heat[:, :, :32] = 1
    found = deletion(classifier, pixels, heat, np.array([FOREST]), steps=2)
    hidden = pixels.copy()
    hidden[..., :32] = np.rint(classifier.record.input.channel_mean).astype(np.uint8)[:, None, None]
    wanted = classifier.run(hidden)["probabilities"][:, FOREST]
    np.testing.assert_allclose(found[:, 1], wanted, atol=1e-6)


@settings(max_examples=50)
@given(st.integers(1, 30), st.integers(0, 1000))
def test_areas_equal_sklearns(steps, seed):
    values = np.random.default_rng(seed).random((3, steps + 1)).astype(np.float32)
    shares = np.linspace(0, 1, steps + 1)
    wanted = [auc(shares, row) for row in values.astype(np.float64)]
    np.testing.assert_allclose(area_under(values), wanted, atol=1e-9)


def test_random_maps_are_as_coarse_as_the_grid_and_repeat():
    one = random_heat(3, (4, 4), (64, 64), seed=1)
    assert one.shape == (3, 64, 64)
    np.testing.assert_array_equal(one, random_heat(3, (4, 4), (64, 64), seed=1))
    assert not np.array_equal(one, random_heat(3, (4, 4), (64, 64), seed=2))
    small = one[:, 8::16, 8::16]
    assert np.corrcoef(one[:, :, 1:].ravel(), one[:, :, :-1].ravel())[0, 1] > 0.95
    assert abs(np.corrcoef(small[0].ravel(), small[1].ravel())[0, 1]) < 0.9


def test_the_center_is_hottest_in_the_middle():
    heat = center_heat(2, (32, 64))
    row, column = np.unravel_index(heat[0].argmax(), (32, 64))
    assert (row in (15, 16), column in (31, 32)) == (True, True)
    np.testing.assert_allclose(heat[0], heat[0, ::-1, ::-1], atol=1e-6)


def test_a_true_map_holds_and_its_opposite_fails(classifier, islands):
    pixels, _ = islands
    evidence = class_evidence(classifier, pixels, classes=["Forest"] * 6)
    found = faithfulness(classifier, pixels, evidence)
    assert all(f.holds for f in found)
    assert all(f.sentence.startswith("map holds: ") for f in found)
    turned = Evidence(-evidence.maps, evidence.explained, evidence.labels, evidence.confidence)
    lies = faithfulness(classifier, pixels, turned)
    assert not any(f.holds for f in lies)
    assert all("MAP FAILS, do not read it" in f.sentence for f in lies)
    assert all(a.deletion < b.deletion and a.beaten > b.beaten for a, b in zip(found, lies, strict=True))


def test_a_map_that_says_nothing_fails(classifier):
    """All of a black picture is alike, so no place of it is the reason."""
    black = np.zeros((1, 3, 64, 64), np.uint8)
    evidence = class_evidence(classifier, black)
    assert not faithfulness(classifier, black, evidence)[0].holds


def test_pictures_of_other_sizes_are_checked_at_the_models_own(classifier, islands):
    pixels = np.kron(islands[0], np.ones((1, 1, 3, 3), np.uint8))
    evidence = class_evidence(classifier, pixels, classes=["Forest"] * 6)
    assert sum(f.holds for f in faithfulness(classifier, pixels, evidence)) >= 5


@pytest.mark.parametrize(("beaten", "holds"), [(19, True), (18, True), (17, False), (0, False)])
def test_the_bar_is_18_of_19(beaten, holds):
    assert Faithfulness(0.2, 0.5, beaten, 19).holds is holds


def test_maps_of_another_size_are_refused(classifier):
    with pytest.raises(SettingError, match="bring the maps to the pictures' size"):
        curves(classifier, patches("River", 1), np.zeros((1, 8, 8), np.float32), np.array([0]))
    with pytest.raises(SettingError, match="0 steps"):
        curves(classifier, patches("River", 1), np.zeros((1, 64, 64), np.float32), np.array([0]), steps=0)
    assert upsample(np.zeros((1, 2, 2), np.float32), height=4, width=4).shape == (1, 4, 4)
