from __future__ import annotations

import struct

import numpy as np
import pytest

from swath.errors import DataError
from swath.imagery import decode, probe

from .samples import npy, sharp


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "int64", "float16", "float32", "float64"])
def test_two_axes_are_one_gray_band(dtype):
    array = sharp(1)[0].astype(dtype)
    picture = decode(npy(array))
    assert picture.bands == ("gray",)
    assert picture.mode == {"uint8": "L", "uint16": "I;16"}.get(dtype, f"{dtype} x 1")
    assert picture.units == ("display" if dtype == "uint8" else "digital number")
    assert picture.pixels.dtype == dtype
    np.testing.assert_array_equal(picture.pixels[0], array)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("layout", ["HWC", "CHW"])
def test_the_band_axis_is_the_shorter_end(layout, order):
    pixels = sharp(5, "uint16")
    array = pixels if layout == "CHW" else pixels.transpose(1, 2, 0)
    picture = decode(npy(np.asarray(array, order=order)))
    assert picture.bands == ("band_1", "band_2", "band_3", "band_4", "band_5")
    np.testing.assert_array_equal(picture.pixels, pixels)
    assert picture.pixels.flags.c_contiguous


def test_either_byte_order_is_read():
    array = sharp(1, "uint16")[0]
    picture = decode(npy(array.astype(">u2")))
    assert picture.pixels.dtype == np.dtype("uint16").newbyteorder("=")
    np.testing.assert_array_equal(picture.pixels[0], array)


def test_one_band_with_an_axis_of_its_own_is_gray():
    assert decode(npy(sharp(1))).bands == ("gray",)


@pytest.mark.parametrize("shape", [(), (4,), (0, 4), (3, 0, 4), (2, 3, 4, 5), (5, 5, 5), (7, 3, 7), (3, 9, 3)])
def test_shapes_that_are_not_clearly_one_picture_are_refused(shape):
    with pytest.raises(DataError, match=r"patch holds an array of shape \("):
        decode(npy(np.zeros(shape, np.uint8)), name="patch")


@pytest.mark.parametrize(
    "array",
    [
        np.array([["a", None]], object),
        np.array([["a", "b"]]),
        np.zeros((4, 4), bool),
        np.zeros((4, 4), complex),
        np.zeros((4, 4), [("red", "u1"), ("green", "u1")]),
        np.zeros((4, 4), "M8[s]"),
    ],
    ids=["object", "text", "bool", "complex", "record", "date"],
)
def test_what_is_not_plain_numbers_is_refused(array):
    with pytest.raises(DataError, match=r"patch holds values of type .*, not plain numbers"):
        decode(npy(array), name="patch")


def test_nothing_is_ever_unpickled(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    with pytest.raises(DataError):
        decode(npy(np.array([[Trap()]], object)))
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("change", [-1, 1, -200])
def test_a_file_of_another_length_than_its_header_says_is_refused(change):
    data = npy(sharp(1)[0])
    data = data[:change] if change < 0 else data + bytes(change)
    with pytest.raises(DataError, match=f"patch holds {240 + change} bytes .* promises 240"):
        decode(data, name="patch")


def claiming(shape: str) -> bytes:
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode()


@pytest.mark.parametrize("shape", ["(1000000, 1000000)", "(3, 40000, 40000)", f"({2**62}, {2**62})"])
def test_a_small_file_that_claims_a_huge_array_is_refused(shape):
    with pytest.raises(DataError, match=r"bomb says it has .* above the limit"):
        decode(claiming(shape), name="bomb")
    with pytest.raises(DataError):
        probe(claiming(shape))


@pytest.mark.parametrize("header", ["(3, -4)", "'x'", "(3, 4", "__import__('os')"])
def test_a_damaged_header_is_refused(header):
    with pytest.raises(DataError, match="patch"):
        decode(claiming(header), name="patch")


def test_newer_versions_of_the_format_are_named():
    data = npy(sharp(1)[0]).replace(b"NUMPY\x01\x00", b"NUMPY\x03\x00", 1)
    with pytest.raises(DataError, match=r"patch is \.npy version 3\.0"):
        decode(data, name="patch")
