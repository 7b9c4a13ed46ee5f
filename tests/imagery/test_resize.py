from __future__ import annotations

from functools import cache

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from swath.errors import DataError
from swath.imagery import resize
from swath.model.graph import assemble
from tests.tiny import input_spec

few = settings(max_examples=50)
sides = st.integers(1, 70)
types = st.sampled_from(["uint8", "uint16"])


@cache
def in_the_graph(size: int, dtype: str) -> onnxruntime.InferenceSession:
    """A model file's own graph around a body that hands its patches out as they reach it."""
    bands = ("band_1", "band_2")
    spec = input_spec(bands=bands, size=size, data_type=dtype, mean=(0, 0), sd=(1, 1))
    shape = ["N", 2, size, size]
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["patches"], ["activations"]),
            helper.make_node("ReduceMean", ["patches", "axes"], ["logits"], keepdims=0),
        ],
        "body",
        [helper.make_tensor_value_info("patches", TensorProto.FLOAT, shape)],
        [
            helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 2]),
            helper.make_tensor_value_info("activations", TensorProto.FLOAT, shape),
        ],
        [numpy_helper.from_array(np.array([2, 3], np.int64), "axes")],
    )
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    whole = assemble(model, spec=spec, task="single-label")
    return onnxruntime.InferenceSession(whole.SerializeToString(), providers=["CPUExecutionProvider"])


def noise(height: int, width: int, dtype: str, seed: int, bands: int = 2) -> np.ndarray:
    top = np.iinfo(dtype).max
    return np.random.default_rng(seed).integers(0, top + 1, (bands, height, width)).astype(dtype)


@few
@given(sides, sides, st.sampled_from([8, 13, 64]), types, st.integers(0, 999))
def test_agrees_with_the_model_file_s_own_graph(height, width, size, dtype, seed):
    pixels = noise(height, width, dtype, seed)
    ours = resize(pixels, size)
    theirs = in_the_graph(size, dtype).run(["activations"], {"pixels": pixels[np.newaxis]})[0][0]
    assert ours.dtype == dtype
    assert ours.shape == (2, size, size)
    assert np.abs(ours.astype(np.float64) - theirs).max() <= 1


@few
@given(sides, sides, st.integers(1, 80), types, st.integers(0, 999))
def test_values_stay_within_their_range(height, width, size, dtype, seed):
    pixels = noise(height, width, dtype, seed)
    resized = resize(pixels, size)
    for before, after in zip(pixels, resized, strict=True):
        assert before.min() <= after.min()
        assert after.max() <= before.max()


@few
@given(sides, sides, st.integers(1, 80), types, st.integers(0, 255))
def test_a_constant_stays_constant(height, width, size, dtype, value):
    pixels = np.full((1, height, width), value * (257 if dtype == "uint16" else 1), dtype)
    assert (resize(pixels, size) == pixels[0, 0, 0]).all()


def test_halving_is_antialiased():
    # Without antialiasing every second column would be dropped and stripes would turn all black.
    stripes = np.tile(np.array([0, 200], np.uint8), (1, 32, 16))
    assert np.abs(resize(stripes, 16)[..., 2:-2].astype(int) - 100).max() <= 1


def test_bands_and_leading_axes_are_kept_apart():
    pixels = noise(10, 10, "uint8", 0, bands=6).reshape(2, 3, 10, 10)
    resized = resize(pixels, 5)
    assert resized.shape == (2, 3, 5, 5)
    np.testing.assert_array_equal(resized[1, 2], resize(pixels[1, 2], 5))


def test_the_right_size_is_given_back_as_it_is():
    pixels = noise(8, 8, "uint8", 0)
    assert resize(pixels, 8) is pixels


def test_what_cannot_be_resized_says_why():
    with pytest.raises(DataError, match="float32 pixels cannot be resized"):
        resize(np.zeros((1, 4, 4), np.float32), 2)
    with pytest.raises(DataError, match="cannot resize 4 x 4 pixels to 0 x 0"):
        resize(np.zeros((1, 4, 4), np.uint8), 0)
    with pytest.raises(DataError, match="cannot resize 0 x 4 pixels"):
        resize(np.zeros((1, 4, 0), np.uint8), 8)
