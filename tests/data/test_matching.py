from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from swath.data import build_index, cached_pixels
from swath.data.matching import color_difference, similar_rows


def jpeg(patch, quality):
    stream = io.BytesIO()
    Image.fromarray(patch.transpose(1, 2, 0)).save(stream, "JPEG", quality=quality)
    return np.asarray(Image.open(stream)).transpose(2, 0, 1)


def shifted(patch):
    return np.pad(patch, ((0, 0), (2, 0), (2, 0)), mode="reflect")[:, :64, :64]


def brighter(patch):
    return np.clip(np.rint(patch * 1.15), 0, 255).astype(np.uint8)


WAYS = {
    "re-encoded": lambda p: jpeg(p, 90),
    "shifted 2 px": shifted,
    "brightened": brighter,
    "strongly re-encoded": lambda p: jpeg(p, 75),
    "all three": lambda p: jpeg(brighter(shifted(p)), 75),
}


def planted(pixels, rows, change):
    """Shares of planted copies found, and of wrong pairs among all that touch a copy."""
    n = len(pixels)
    whole = np.concatenate([pixels, np.stack([change(pixels[row]) for row in rows])])
    pairs = {(min(a, b), max(a, b)) for a, b, _, _ in similar_rows(whole, range(len(whole)))}
    own = {(int(row), n + k) for k, row in enumerate(rows)}
    return len(own & pairs) / len(own), len(pairs - own) / max(1, len(pairs))


@pytest.mark.slow
@pytest.mark.parametrize("name", WAYS)
def test_planted_copies_are_found_and_no_others(name):
    """On the shipped patches: at least 95 of 100 found, at most 1 wrong, flat water included."""
    pixels = np.asarray(cached_pixels(build_index("eurosat-mini")))
    rows = np.random.default_rng(0).choice(len(pixels), 1000, replace=False)
    found, wrong = planted(pixels, rows, WAYS[name])
    assert found >= (0.95 if name in ("re-encoded", "shifted 2 px", "brightened") else 0.93)
    assert wrong <= 0.01


@pytest.mark.parametrize("name", WAYS)
def test_planted_copies_among_a_few(name):
    index = build_index("eurosat-mini")
    chosen = [row for row, label in enumerate(index.labels) if label not in ("SeaLake", "Forest")][::40]
    pixels = np.asarray(cached_pixels(index)[chosen])
    found, wrong = planted(pixels, range(len(pixels)), WAYS[name])
    assert (found, wrong) == (1.0, 0.0)


def test_colors_may_differ_by_one_brightness_or_one_gain_alone():
    a = np.array([[60.0, 80.0, 120.0]])
    assert color_difference(a, a + 20)[0] == pytest.approx(0)
    assert color_difference(a, a * 1.2)[0] == pytest.approx(0)
    assert color_difference(a, a[:, ::-1])[0] > 20
    assert color_difference(a, a + np.array([[0.0, 0.0, 3.0]]))[0] == pytest.approx(1.23, abs=0.01)
