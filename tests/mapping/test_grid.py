from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swath.errors import SettingError
from swath.mapping import make_grid
from swath.mapping.grid import Axis

axes = st.integers(1, 40).flatmap(
    lambda patch: st.builds(Axis, st.integers(1, 150), st.just(patch), st.integers(1, patch))
)


def covering(axis):
    """How many windows lie over each pixel, counted one window at a time."""
    counts = np.zeros(axis.length, int)
    for number in range(axis.windows):
        start = axis.first + number * axis.stride
        counts[max(start, 0) : max(start + axis.patch, 0)] += 1
    return counts


@settings(max_examples=50)
@given(axes)
def test_every_pixel_is_covered_at_any_size_and_stride(axis):
    counts = covering(axis)
    assert counts.min() >= axis.patch // axis.stride >= 1
    if axis.patch % axis.stride == 0:
        assert set(counts) == {axis.patch // axis.stride}
    assert axis.first + (axis.windows - 1) * axis.stride < axis.length, "the last window holds scene pixels"


@settings(max_examples=50)
@given(axes)
def test_cells_tile_the_windows_and_the_scene(axis):
    assert axis.cells_per_window * axis.cell == axis.patch
    assert axis.cells_per_step * axis.cell == axis.stride
    assert axis.cells_before * axis.cell == -axis.first
    assert (axis.cells - 1) * axis.cell < axis.length <= axis.cells * axis.cell


@settings(max_examples=50)
@given(st.integers(2, 60), st.integers(0, 80), st.integers(0, 80))
def test_edges_are_mirrored_as_numpy_does(length, before, after):
    padded = np.pad(np.arange(length), (before, after), mode="reflect")
    np.testing.assert_array_equal(Axis(length, 8, 8).source(-before, length + after), padded)


def test_a_single_pixel_is_repeated():
    assert Axis(1, 8, 8).source(-3, 5).tolist() == [0] * 8


def test_a_patch_that_fits_is_left_alone():
    grid = make_grid(128, 192, patch=64, stride=64)
    assert (grid.rows.first, grid.rows.windows, grid.cols.windows, grid.windows, grid.cell) == (0, 2, 3, 6, 64)


@pytest.mark.parametrize("stride", [0, -8, 65])
def test_a_stride_that_leaves_gaps_is_refused(stride):
    with pytest.raises(SettingError, match="from 1 to 64"):
        make_grid(100, 100, patch=64, stride=stride)
