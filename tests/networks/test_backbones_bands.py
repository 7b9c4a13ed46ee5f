from __future__ import annotations

import logging

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import conv2d

from swath.networks import adapt_first_layer

sides = st.integers(1, 14)


@given(channels=sides, bands=sides)
def test_an_image_of_equal_bands_gives_what_it_gave(channels, bands):
    weight = torch.randn(5, channels, 3, 3, dtype=torch.float64)
    adapted = adapt_first_layer(weight, bands)
    assert adapted.shape == (5, bands, 3, 3)
    gray = torch.randn(2, 1, 6, 6, dtype=torch.float64)
    before = conv2d(gray.expand(-1, channels, -1, -1), weight)
    assert torch.allclose(conv2d(gray.expand(-1, bands, -1, -1), adapted), before)


@given(channels=st.integers(1, 4), times=st.integers(2, 4))
def test_whole_repeats_are_scaled_by_channels_over_bands(channels, times):
    weight = torch.randn(2, channels, 1, 1)
    adapted = adapt_first_layer(weight, channels * times)
    assert torch.allclose(adapted, weight.repeat(1, times, 1, 1) / times)


def test_thirteen_bands_take_rgb_in_turn():
    weight = torch.tensor([20.0, 4.0, 8.0]).view(1, 3, 1, 1)
    adapted = adapt_first_layer(weight, 13).flatten().tolist()
    assert adapted == [4.0, 1.0, 2.0] * 4 + [4.0]  # red serves five bands, green and blue four each


def test_one_band_takes_the_sum_of_rgb():
    weight = torch.tensor([1.0, 2.0, 3.0]).view(1, 3, 1, 1)
    assert adapt_first_layer(weight, 1).flatten().tolist() == [6.0]
    assert adapt_first_layer(weight, 2).flatten().tolist() == [4.0, 2.0]


@pytest.mark.parametrize("bands", [1, 3, 13])
def test_it_is_said_in_the_log_where_anything_changes(bands, caplog):
    weight = torch.ones(1, 3, 1, 1)
    with caplog.at_level(logging.WARNING, "swath"):
        adapted = adapt_first_layer(weight, bands)
    assert (adapted is weight) == (bands == 3)
    assert [f"for {bands} bands" in r.message for r in caplog.records] == [True] * (bands != 3)
