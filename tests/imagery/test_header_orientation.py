from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from swath.imagery.header import orientation_tag, upright, upright_size

few = settings(max_examples=50)
sizes = st.integers(1, 9)


def directory(*entries: tuple[int, int, int], order: str = "<", big: bool = False) -> bytes:
    """A TIFF structure with one directory of (tag, type, value)."""
    mark = b"II" if order == "<" else b"MM"
    head = mark + (struct.pack(f"{order}HHHQ", 43, 8, 0, 16) if big else struct.pack(f"{order}HI", 42, 8))
    body = struct.pack(f"{order}{'Q' if big else 'H'}", len(entries))
    for tag, kind, value in entries:
        body += struct.pack(f"{order}HH{'Q' if big else 'I'}H", tag, kind, 1, value) + bytes(6 if big else 2)
    return head + body


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("value", range(1, 9))
def test_the_tag_is_found_in_every_layout(order, big, value):
    data = directory((256, 3, 20), (274, 3, value), order=order, big=big)
    assert orientation_tag(io.BytesIO(data)) == value


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not a TIFF structure",
        directory((256, 3, 20)),
        directory((274, 3, 0)),
        directory((274, 3, 9)),
        directory((274, 4, 6)),
        directory((274, 3, 6))[:-9],
        b"II*\0\xff\xff\xff\xff",
        b"II+\0\x08\0\0\0" + b"\xff" * 8,
        b"II*\0\x08\0\0\0\xff\xff" + bytes(40),
    ],
)
def test_no_tag_or_a_damaged_one_means_as_stored(data):
    assert orientation_tag(io.BytesIO(data)) == 1


@few
@given(st.binary(max_size=80))
def test_any_bytes_give_a_valid_orientation(data):
    assert 1 <= orientation_tag(io.BytesIO(b"II*\0\x08\0\0\0" + data)) <= 8


@few
@given(sizes, sizes, st.integers(1, 8))
def test_turning_agrees_with_pillow(height, width, orientation):
    pixels = np.arange(height * width, dtype=np.uint8).reshape(height, width)
    picture = Image.fromarray(pixels)
    picture.getexif()[274] = orientation
    wanted = np.asarray(ImageOps.exif_transpose(picture))
    turned = upright(pixels[np.newaxis], orientation)[0]
    np.testing.assert_array_equal(turned, wanted)
    assert upright_size(width, height, orientation) == turned.shape[::-1]


@few
@given(sizes, sizes, st.integers(1, 8))
def test_turning_keeps_every_pixel_and_can_be_undone(height, width, orientation):
    pixels = np.arange(2 * height * width).reshape(2, height, width)
    turned = upright(pixels, orientation)
    assert sorted(turned.ravel()) == sorted(pixels.ravel())
    # 6 and 8 undo each other, every other orientation undoes itself.
    np.testing.assert_array_equal(upright(turned, {6: 8, 8: 6}.get(orientation, orientation)), pixels)


def test_upright_pixels_are_not_copied():
    pixels = np.zeros((3, 4, 5))
    assert upright(pixels, 1) is pixels
