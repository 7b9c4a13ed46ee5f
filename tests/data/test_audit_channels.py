from __future__ import annotations

import numpy as np
import pytest

from swath.data.audit import measure_channels


def test_mean_and_spread_are_those_of_all_pixels():
    pixels = np.random.default_rng(0).integers(0, 255, (1100, 2, 4, 4), np.uint8)
    labels = ["A"] * 600 + ["B"] * 500
    found = measure_channels(pixels, labels, bands=("red", "nir"))
    assert found.mean == pytest.approx(pixels.mean(axis=(0, 2, 3)), abs=1e-3)
    assert found.sd == pytest.approx(pixels.std(axis=(0, 2, 3)), abs=1e-3)
    assert found.by_class["B"] == pytest.approx(pixels[600:].mean(axis=(0, 2, 3)), abs=1e-3)
    assert (found.bands, found.patches, found.side) == (("red", "nir"), 1100, 4)


def test_a_large_set_is_sampled_the_same_way_each_time():
    pixels = np.arange(200, dtype=np.uint8)[:, None, None, None].repeat(4, 2).repeat(4, 3)
    labels = ["A"] * 200
    one = measure_channels(pixels, labels, bands=("gray",), limit=50)
    assert one == measure_channels(pixels, labels, bands=("gray",), limit=50)
    assert one.patches == 50
    assert one.mean[0] == pytest.approx(99.5, abs=20)
    assert one.mean[0] != measure_channels(pixels, labels, bands=("gray",)).mean[0]
