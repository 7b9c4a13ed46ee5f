from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from swath.training.augment.sensor import Tones, haze, relative_scattering


def test_haze_by_hand():
    # t = exp(-ln 2) = 1/2, so a value of 0.4 under a veil of 0.6 becomes 0.4 / 2 + 0.6 / 2.
    slope, shift = haze(torch.tensor([[math.log(2)]]), torch.tensor([[0.6]]))
    assert float(slope) == pytest.approx(0.5)
    assert float(0.4 * slope + shift) == pytest.approx(0.5)


@given(depth=st.floats(0.001, 2), veil=st.floats(0, 1), value=st.floats(0, 1))
def test_taking_haze_off_undoes_putting_it_on(depth, veil, value):
    depths = torch.tensor([[depth], [-depth]], dtype=torch.float64)
    slope, shift = haze(depths, torch.full((2, 1), veil, dtype=torch.float64))
    hazy = value * slope[0] + shift[0]
    assert float(hazy) == pytest.approx(value * math.exp(-depth) + veil * (1 - math.exp(-depth)), abs=1e-9)
    assert float(hazy * slope[1] + shift[1]) == pytest.approx(value, abs=1e-6)


def test_no_haze_changes_nothing():
    slope, shift = haze(torch.zeros(2, 3), torch.full((2, 1), 0.7))
    assert torch.equal(slope, torch.ones(2, 3))
    assert torch.equal(shift, torch.zeros(2, 3))


def test_blue_scatters_most_and_in_clear_air_by_the_fourth_power():
    weights = relative_scattering(("red", "GREEN", "Blue", "B8A"), torch.tensor([[4.0], [1.0]]))
    assert weights[0].tolist() == pytest.approx([(490 / w) ** 4 for w in (665, 560, 490, 865)])
    assert weights[1].tolist() == pytest.approx([490 / w for w in (665, 560, 490, 865)])


def test_bands_of_unknown_names_scatter_alike():
    weights = relative_scattering(("band_1", "band_2"), torch.tensor([[2.5]]))
    assert float(weights[0, 0]) == float(weights[0, 1])


def test_gain_offset_and_gamma_by_hand():
    tones = Tones(torch.tensor([[2.0, 1.0]]), torch.tensor([[0.1, -0.5]]), torch.tensor([[0.5, 1.0]]))
    shares = torch.tensor([[[0.075, 0.5], [0.75, 0.2]]])
    given = shares.clone()
    changed = tones.apply(shares)
    assert torch.equal(shares, given)
    # (0.075 * 2 + 0.1) ** 0.5 = 0.5; 0.5 * 2 + 0.1 is held at 1; 0.75 - 0.5; 0.2 - 0.5 is held at 0.
    assert changed.flatten().tolist() == pytest.approx([0.5, 1, 0.25, 0])
