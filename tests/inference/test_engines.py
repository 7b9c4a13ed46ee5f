from __future__ import annotations

import numpy as np
import onnx
import pytest

from swath.errors import ModelFileError, SettingError
from swath.inference.engines import free_cores, make_engine
from tests.tiny import patches, tiny_graph


def test_only_the_wanted_outputs_come_back_as_float32():
    outputs = make_engine("onnxruntime", tiny_graph(), threads=1).run(
        patches("River", 3), ("features", "logits")
    )
    assert {name: (value.shape, value.dtype) for name, value in outputs.items()} == {
        "features": ((3, 6), np.float32),
        "logits": ((3, 4), np.float32),
    }


def test_threads_do_not_change_the_answer():
    pixels = patches("Forest", 8)
    one, two, free = (
        make_engine("onnxruntime", tiny_graph(), threads=n).run(pixels, ("probabilities",))["probabilities"]
        for n in (1, 2, None)
    )
    np.testing.assert_allclose(one, two, atol=1e-6)
    np.testing.assert_allclose(one, free, atol=1e-6)
    assert free_cores() >= 1


@pytest.mark.parametrize("threads", [0, -1])
def test_no_threads(threads):
    with pytest.raises(SettingError, match=f"{threads} threads; give --threads 1 or more"):
        make_engine("onnxruntime", tiny_graph(), threads=threads)


def test_an_unknown_engine_names_the_known():
    with pytest.raises(SettingError, match=r"no engine 'tensorrt'; use one of .*onnxruntime"):
        make_engine("tensorrt", tiny_graph())


def test_a_graph_the_engine_refuses():
    graph = tiny_graph()
    graph.graph.node[0].op_type = "NoSuchOperator"
    with pytest.raises(ModelFileError, match=r"ONNX Runtime cannot load the model .*NoSuchOperator"):
        make_engine("onnxruntime", graph, threads=1)
    with pytest.raises(ModelFileError, match="cannot load"):
        make_engine("onnxruntime", onnx.ModelProto(), threads=1)


def test_pixels_the_graph_refuses():
    engine = make_engine("onnxruntime", tiny_graph(), threads=1)
    with pytest.raises(ModelFileError, match="ONNX Runtime cannot run the model"):
        engine.run(np.zeros((1, 5, 64, 64), np.uint8), ("probabilities",))
