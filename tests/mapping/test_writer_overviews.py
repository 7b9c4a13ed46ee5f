from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from swath.mapping.writer import mean, most_frequent

SMALL = arrays.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 3))


def blocks(values):
    """The four pixels of each 2 x 2 block in reading order; a last odd row or column counts twice."""
    whole = np.pad(values, [(0, side % 2) for side in values.shape], mode="edge")
    for row in range(0, whole.shape[0], 2):
        for col in range(0, whole.shape[1], 2):
            yield (row // 2, col // 2), whole[row : row + 2, col : col + 2].ravel().tolist()


@settings(max_examples=100)
@given(SMALL)
def test_the_most_frequent_of_four_is_taken(values):
    found = most_frequent(values)
    assert found.dtype == np.uint8
    assert found.shape == tuple(-(-side // 2) for side in values.shape)
    for place, four in blocks(values):
        there = [v for v in four if v] or [0]
        assert found[place] == max(there, key=there.count), "the first in reading order, of equals"


@settings(max_examples=100)
@given(SMALL, st.sampled_from([0, 255]))
def test_the_mean_is_of_what_is_there(values, nodata):
    found = mean(values, nodata=nodata)
    for place, four in blocks(values):
        there = [v for v in four if v != nodata]
        assert found[place] == (np.floor(np.mean(there) + 0.5) if there else nodata)


def test_means_do_not_overflow():
    assert mean(np.full((4, 4), 254, np.uint8)).tolist() == [[254, 254], [254, 254]]
    assert mean(np.array([[254, 254], [254, 255]], np.uint8)).tolist() == [[254]]


@pytest.mark.parametrize("halve", [most_frequent, mean])
def test_rows_can_come_in_parts(halve):
    values = np.random.default_rng(0).integers(0, 256, (30, 21)).astype(np.uint8)
    parts = [halve(values[start : start + 8]) for start in range(0, 30, 8)]
    np.testing.assert_array_equal(np.concatenate(parts), halve(values))
