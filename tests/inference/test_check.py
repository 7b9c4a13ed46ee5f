from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from swath.errors import ModelFileError, SettingError
from swath.inference import check_model
from swath.model import read_model
from swath.model.record import Golden
from tests.tiny import patches, write_tiny_model


def test_a_sound_file_passes(tiny_model):
    result = check_model(tiny_model, threads=1)
    assert (result.engine, result.patches, result.tolerance) == ("onnxruntime", 4, 1e-3)
    assert result.max_difference <= 1e-6


@pytest.mark.parametrize("name", ["head.weight", "head.bias", "part.weight", "swath.mean"])
def test_a_tampered_weight_is_found(tiny_model, tmp_path, name):
    model = onnx.load_model(tiny_model)
    tensor = next(t for t in model.graph.initializer if t.name == name)
    value = numpy_helper.to_array(tensor)
    value = value * 1.2 + 0.5
    tensor.CopyFrom(numpy_helper.from_array(value.astype(np.float32), name))
    onnx.save_model(model, tmp_path / "m.onnx")
    with pytest.raises(ModelFileError, match="does not give its golden probabilities on onnxruntime"):
        check_model(tmp_path / "m.onnx", threads=1)


def test_a_weight_that_is_not_a_number_is_found(tiny_model, tmp_path):
    model = onnx.load_model(tiny_model)
    tensor = next(t for t in model.graph.initializer if t.name == "head.bias")
    tensor.CopyFrom(numpy_helper.from_array(np.full(4, np.nan, np.float32), "head.bias"))
    onnx.save_model(model, tmp_path / "m.onnx")
    with pytest.raises(ModelFileError, match="largest difference inf"):
        check_model(tmp_path / "m.onnx", threads=1)


def test_a_label_that_moves_is_found_even_within_the_tolerance(tiny_model, tmp_path):
    golden = read_model(tiny_model).record.golden
    swapped = tuple(tuple(reversed(row)) for row in golden.probabilities)
    loose = golden.model_copy(update={"probabilities": swapped, "tolerance": 2.0})
    with pytest.raises(ModelFileError, match="golden"):
        check_model(write_tiny_model(tmp_path / "m.onnx", golden=loose), threads=1)


def test_damaged_golden_patches(tmp_path):
    golden = Golden.pack(patches("River", 2), np.full((2, 4), 0.25), tolerance=1)
    golden = golden.model_copy(update={"pixels": golden.pixels[:100]})
    with pytest.raises(ModelFileError, match=r"m\.onnx: golden patches"):
        check_model(write_tiny_model(tmp_path / "m.onnx", golden=golden), threads=1)


def test_an_unknown_engine(tiny_model):
    with pytest.raises(SettingError, match="no engine 'x'"):
        check_model(tiny_model, engine="x")
