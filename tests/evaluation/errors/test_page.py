from __future__ import annotations

import io

import numpy as np
from PIL import Image

from swath.evaluation.errors.page import PANEL, tile
from swath.imagery import RGB


def opened(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data))).astype(int)


def test_a_patch_alone_is_shown_as_it_is():
    pixels = np.zeros((3, 16, 16), np.uint8)
    pixels[0] = 200
    shown = opened(tile(pixels, bands=RGB))
    assert shown.shape == (PANEL, PANEL, 3)
    assert np.abs(shown - [200, 0, 0]).max() < 8


def test_evidence_is_red_where_it_speaks_for_and_blue_where_against():
    pixels = np.full((3, 16, 16), 128, np.uint8)
    evidence = np.array([[5.0, -5.0], [5.0, -5.0]], np.float32)
    shown = opened(tile(pixels, bands=RGB, maps=[evidence, np.zeros((2, 2), np.float32)]))
    assert shown.shape[0] == PANEL
    assert shown.shape[1] > 3 * PANEL
    left, right = shown[PANEL // 2, PANEL + 10], shown[PANEL // 2, 2 * PANEL - 5]
    assert left[0] > left[2] + 60
    assert right[2] > right[0] + 60
    clear = shown[PANEL // 2, -PANEL // 2]
    assert np.abs(clear - 128).max() < 8  # a map of zeros covers nothing
