from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swath.data.matching import REACH, aligned, spectra

from .test_matching_similarity import TURNS, scene


def alike(a, b):
    both = np.concatenate([a, b])
    first, second = spectra(both, np.arange(len(a))), spectra(both, np.arange(len(a), len(both)))
    return aligned(first, second)


@pytest.mark.parametrize("turn", TURNS.values(), ids=TURNS)
def test_all_eight_positions_are_the_same_picture(turn):
    patch = scene(1)
    both, fine, unturned = alike(patch, np.ascontiguousarray(turn(patch)))[0]
    assert (both, fine) == (pytest.approx(1, abs=1e-4), pytest.approx(1, abs=1e-4))
    assert (unturned > 0.99) == (turn(patch)[0] == patch[0]).all()


@given(st.integers(0, 10_000), st.integers(-REACH, REACH), st.integers(-REACH, REACH), st.integers(0, 7))
@settings(max_examples=40)
def test_a_shift_is_the_same_place(seed, down, right, turn):
    wide = np.kron(np.random.default_rng(seed).integers(60, 160, (1, 3, 20, 20)), np.ones((4, 4)))
    patch = wide[..., 8:72, 8:72].astype(np.uint8)
    moved = wide[..., 8 + down : 72 + down, 8 + right : 72 + right].astype(np.uint8)
    both, fine, _ = alike(patch, np.ascontiguousarray(list(TURNS.values())[turn](moved)))[0]
    assert both > 0.8
    assert fine > 0.75


def test_different_scenes_are_not_alike():
    found = alike(scene(2, n=30), scene(3, n=30))
    assert found.shape == (30, 3)
    assert found[:, 0].max() < 0.55
    assert found[:, 1].max() < 0.5
    assert (found[:, 2] <= found[:, 0] + 1e-6).all()


def test_one_color_is_like_nothing():
    flat = np.full((1, 3, 64, 64), 40, np.uint8)
    assert alike(flat, flat).max() == 0


def test_blocks_of_rows_are_the_same_as_one(monkeypatch):
    pixels = scene(6, n=7)
    whole = spectra(pixels, np.arange(7))
    monkeypatch.setattr("swath.data.matching._BLOCK", 3)
    parts = spectra(pixels, np.arange(7))
    assert np.allclose(whole.fine, parts.fine)
    assert np.allclose(whole.take(np.array([5, 2])).coarse, parts.coarse[[5, 2]])
