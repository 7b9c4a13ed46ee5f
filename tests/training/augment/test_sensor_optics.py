from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from swath.imagery import resize
from swath.training.augment.sensor import optics


def of(size: int, spread: float, factor: float) -> torch.Tensor:
    return optics(size, torch.tensor([spread]), torch.tensor([factor]))[0]


def test_no_blur_and_no_resampling_is_the_identity():
    assert torch.allclose(of(9, 0, 1), torch.eye(9), atol=1e-6)


@given(size=st.integers(2, 40), spread=st.floats(0, 4), factor=st.floats(1, 6))
@settings(max_examples=60)
def test_constant_patches_stay_and_values_keep_their_range(size, spread, factor):
    matrix = of(size, spread, factor)
    assert matrix.shape == (size, size)
    assert float(matrix.min()) >= 0
    assert torch.allclose(matrix.sum(1), torch.ones(size), atol=1e-5)


def test_blur_is_a_gaussian():
    picture = np.random.default_rng(0).random((40, 40)).astype(np.float32)
    matrix = of(40, 1.3, 1).numpy()
    ours, scipys = matrix @ picture @ matrix.T, gaussian_filter(picture, 1.3, truncate=8)
    inner = slice(8, -8)  # the edges are treated otherwise
    assert ours[inner, inner] == pytest.approx(scipys[inner, inner], abs=1e-4)


def test_resampling_is_reducing_and_enlarging():
    picture = np.random.default_rng(1).integers(0, 65_536, (1, 32, 32), np.uint16)
    matrix = of(32, 0, 4).numpy().astype(np.float64)
    back = matrix @ picture[0] @ matrix.T
    expected = resize(resize(picture, 8), 32)[0]
    assert np.abs(back - expected).max() < 2  # each of the two roundings is worth half a unit


def test_each_patch_has_its_own_matrix():
    both = optics(16, torch.tensor([0.0, 2.0]), torch.tensor([1.0, 3.0]))
    assert torch.allclose(both[0], torch.eye(16), atol=1e-6)
    assert torch.allclose(both[1], of(16, 2, 3))
