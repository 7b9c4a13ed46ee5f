from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swath.model.ood import PackedArray


@given(st.integers(1, 3), st.integers(0, 99), st.floats(1e-6, 1e6))
def test_packed_arrays_come_back_within_half_a_step(dimensions, seed, size):
    rng = np.random.default_rng(seed)
    array = size * rng.normal(0, 1, rng.integers(1, 6, dimensions))
    back = PackedArray.pack(array).unpack()
    step = np.abs(array).max(axis=-1, keepdims=True) / 127
    assert back.shape == array.shape
    assert (np.abs(back - array) <= 0.51 * step).all()


def test_an_array_of_zeros():
    assert (PackedArray.pack(np.zeros((2, 3))).unpack() == 0).all()


def test_damage_is_found():
    packed = PackedArray.pack(np.ones((2, 3)))
    for changed in (
        packed.model_copy(update={"shape": (3, 3)}),
        packed.model_copy(update={"values": "AAAA"}),
        packed.model_copy(update={"shape": (2**30, 3)}),
        packed.model_copy(update={"values": packed.scale}),
    ):
        with pytest.raises(ValueError, match="statistics"):
            changed.unpack()
