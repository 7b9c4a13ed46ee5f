from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swath.errors import SettingError
from swath.mapping import make_grid
from swath.mapping.grid import Axis, Blend

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


def brute_force(grid, values, done):
    """Mean over all windows at every pixel, ``[K, H, W]``, and the number of windows."""
    height, width, patch = grid.rows.length, grid.cols.length, grid.patch
    sums, counts = np.zeros((values.shape[2], height, width)), np.zeros((height, width))
    for row in range(grid.rows.windows):
        for col in range(grid.cols.windows):
            if done[row, col]:
                top, left = grid.rows.first + row * grid.stride, grid.cols.first + col * grid.stride
                part = np.s_[max(top, 0) : top + patch, max(left, 0) : left + patch]
                sums[:, *part] += values[row, col][:, None, None]
                counts[part] += 1
    return sums / np.maximum(counts, 1), counts


def blended(grid, values, done):
    """The same from the blend, cells spread to pixels; checks that rows come in order and once."""
    blend, parts, covered, following = Blend(grid, values.shape[2]), [], [], 0
    for row in range(grid.rows.windows):
        for rows in blend.add(values[row], done[row]):
            assert rows.start == following < rows.stop
            following = rows.stop
            repeat = (rows.stop - rows.start) * grid.cell
            parts.append(np.repeat(rows.mean[:, None], repeat, axis=1).repeat(grid.cell, axis=2))
            covered.append(np.repeat(rows.covered[None], repeat, axis=0).repeat(grid.cell, axis=1))
    assert following == grid.rows.cells, "every row is finished by the last row of windows"
    height, width = grid.rows.length, grid.cols.length
    return np.concatenate(parts, axis=1)[:, :height, :width], np.concatenate(covered)[:height, :width]


sizes = st.integers(1, 12).flatmap(
    lambda patch: st.tuples(
        st.integers(1, 40), st.integers(1, 40), st.just(patch), st.integers(1, patch), st.integers(0, 2**32 - 1)
    )
)


def held_bytes(blend):
    """Between two rows of windows."""
    return sum(row.nbytes for row in blend._held)


@settings(max_examples=50)
@given(sizes)
def test_overlapping_windows_are_averaged(size):
    height, width, patch, stride, seed = size
    grid = make_grid(height, width, patch=patch, stride=stride)
    rng = np.random.default_rng(seed)
    shape = (grid.rows.windows, grid.cols.windows)
    values, done = rng.random((*shape, 3), dtype=np.float32), rng.random(shape) < 0.7
    mean, covered = blended(grid, values, done)
    expected, counts = brute_force(grid, values, done)
    np.testing.assert_allclose(mean, expected, atol=1e-5)
    np.testing.assert_array_equal(covered, counts > 0)


def test_memory_does_not_grow_with_the_height():
    held = []
    for height in (200, 4000):
        grid = make_grid(height, 300, patch=64, stride=8)
        blend = Blend(grid, 10)
        values, done = np.zeros((grid.cols.windows, 10), np.float32), np.ones(grid.cols.windows, bool)
        peak = 0
        for _ in range(grid.rows.windows):
            blend.add(values, done)
            peak = max(peak, held_bytes(blend))
        held.append(peak)
    assert held[0] == held[1] == 8 * 11 * grid.cols.cells * 4


def test_a_full_sentinel_2_tile_needs_next_to_nothing():
    grid = make_grid(10_980, 10_980, patch=64, stride=8)
    blend = Blend(grid, 10)
    values, done = np.full((grid.cols.windows, 10), 0.1, np.float32), np.ones(grid.cols.windows, bool)
    for _ in range(20):
        blend.add(values, done)
    assert held_bytes(blend) < 2**20
