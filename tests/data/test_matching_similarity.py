from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from swath.data.matching import SIDE, describe, difference, similarity

TURNS = {
    "as it is": lambda p: p,
    "mirrored": lambda p: p[..., ::-1],
    "upside down": lambda p: p[..., ::-1, :],
    "by 180": lambda p: p[..., ::-1, ::-1],
    "transposed": lambda p: p.swapaxes(-1, -2),
    "by 90": lambda p: np.rot90(p, 1, (-2, -1)),
    "by 270": lambda p: np.rot90(p, 3, (-2, -1)),
    "across": lambda p: p[..., ::-1, ::-1].swapaxes(-1, -2),
}


def scene(seed, *, n=1):
    """Patches with detail at all scales, as land has."""
    rng = np.random.default_rng(seed)
    made = np.zeros((n, 3, SIDE, SIDE))
    for step in (32, 16, 8, 4, 2, 1):
        noise = rng.normal(size=(n, 3, SIDE // step, SIDE // step)) * step**0.3
        made += noise.repeat(step, 2).repeat(step, 3)
    return np.clip(110 + 8 * made, 0, 255).astype(np.uint8)


def alike(a, b):
    return float(similarity(describe(a), describe(b))[0, 0])


@pytest.mark.parametrize("turn", TURNS.values(), ids=TURNS)
def test_all_eight_positions_are_the_same_picture(turn):
    patch = scene(1)
    turned = np.ascontiguousarray(turn(patch))
    assert alike(patch, turned) == pytest.approx(1, abs=1e-4)
    assert difference(patch[0], turned[0]) == pytest.approx(0, abs=1e-4)


def test_different_scenes_are_not_alike():
    both = similarity(describe(scene(2, n=20)), describe(scene(3, n=30)))
    assert both.shape == (20, 30)
    assert both.max() < 0.6
    assert np.median(both) < 0.3


@given(st.integers(0, 10_000), st.floats(0.8, 1.1), st.integers(-10, 10))
@settings(max_examples=30)
def test_brightness_and_contrast_hardly_matter(seed, gain, offset):
    patch = scene(seed)
    changed = np.clip(patch * gain + offset, 0, 255).astype(np.uint8)
    assert alike(patch, changed) > 0.95


@pytest.mark.parametrize("quality", [90, 75, 60])
def test_compression_leaves_a_picture_alike(quality):
    patch = scene(4)
    stream = io.BytesIO()
    Image.fromarray(patch[0].transpose(1, 2, 0)).save(stream, "JPEG", quality=quality)
    again = np.asarray(Image.open(stream)).transpose(2, 0, 1)[None]
    assert alike(patch, again) > 0.8
    assert 0 < difference(patch[0], again[0]) < difference(patch[0], scene(5)[0]) / 2


def test_a_shared_bright_dot_does_not_make_two_patches_alike():
    a, b = (np.random.default_rng(n).integers(100, 108, (1, 3, SIDE, SIDE)).astype(np.uint8) for n in (1, 2))
    a[..., 5:7, 9:11] = b[..., 5:7, 9:11] = 255
    assert alike(a, b) < 0.3


def test_one_color_is_like_nothing_and_has_no_detail():
    flat = describe(np.full((1, 3, SIDE, SIDE), 40, np.uint8))
    assert similarity(flat, flat)[0, 0] == 0
    assert flat.detail[0] == 0
    assert flat.spread[0] == 0
    assert describe(scene(1)).detail[0] > 0.5


def test_means_are_in_8_bit_levels():
    deep = np.full((1, 2, SIDE, SIDE), 1000, np.uint16)
    deep[:, 1] = 500
    assert describe(deep, scale=256 / 4096).means.tolist() == [[62.5, 31.25]]


def test_rows_and_parts_are_those_asked_for():
    pixels = scene(6, n=600)
    rows = np.array([599, 3, 512, 3])
    whole, some = describe(pixels), describe(pixels, rows)
    for name in ("means", "spread", "detail"):
        assert np.array_equal(getattr(whole, name)[rows], getattr(some, name))
    assert np.allclose(whole.take(rows).coefficients, some.coefficients, atol=1e-5)
    part = whole.take(slice(510, 514))
    assert len(part) == 4
    assert np.array_equal(part.means, whole.means[510:514])
    assert np.diag(similarity(part, part)) == pytest.approx(1, abs=1e-4)
