from __future__ import annotations

import numpy as np
import pytest

from swath.data.statistics import texture_features
from swath.errors import DataError


@pytest.mark.parametrize(("bands", "dtype"), [(1, np.uint8), (3, np.uint8), (4, np.uint16)])
def test_shape_and_finite_even_on_flat_patches(bands, dtype):
    pixels = np.zeros((3, bands, 64, 40), dtype)
    pixels[1] = np.iinfo(dtype).max
    pixels[2] = np.random.default_rng(0).integers(0, 255, (bands, 64, 40))
    found = texture_features(pixels)
    assert found.shape == (3, 11 * bands - 1)
    assert np.isfinite(found).all()
    assert texture_features(pixels[:0]).shape == (0, 11 * bands - 1)


def test_contrast_at_the_scale_where_it_is():
    rng = np.random.default_rng(1)
    fine = rng.integers(0, 200, (1, 1, 64, 64))
    coarse = np.kron(rng.integers(0, 200, (1, 1, 16, 16)), np.ones((4, 4), int))
    first, second = texture_features(np.concatenate([fine, coarse]).astype(np.uint8))
    levels = slice(1, None, 2)  # log standard deviations of the one band's details, from fine to coarse
    assert first[levels][0] > second[levels][0] + 3
    assert second[levels][2] > first[levels][2] + 1
    assert np.log(fine.std() / 2) == pytest.approx(first[levels][0], abs=0.1)  # a mean of four, 1/2 as wide


def test_bands_that_vary_together_and_apart():
    rng = np.random.default_rng(2)
    one = rng.integers(0, 200, (64, 64))
    patch = np.stack([one, one + 20, 220 - one])[None].astype(np.uint8)
    found = texture_features(patch)[0]
    assert found[6:8] == pytest.approx([1.0, -1.0], abs=1e-3)


def test_order_of_patches_and_blocks_does_not_matter(monkeypatch):
    pixels = np.random.default_rng(3).integers(0, 255, (7, 3, 32, 32)).astype(np.uint8)
    whole = texture_features(pixels)
    monkeypatch.setattr("swath.data.statistics._BLOCK_VALUES", 2 * 3 * 32 * 32)
    assert texture_features(pixels) == pytest.approx(whole)


def test_patches_that_are_too_small():
    with pytest.raises(DataError, match="16 x 16"):
        texture_features(np.zeros((1, 3, 15, 64), np.uint8))
