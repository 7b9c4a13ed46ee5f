from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import numpy_helper

from swath.errors import ModelFileError, SettingError
from swath.inference.choice import make_engine
from swath.model.dense import dense_graph, dense_stride
from swath.model.graph import assemble, replace_head
from tests.model.unpadded import CLASSES, Body
from tests.tiny import input_spec, patches, tiny_graph


def pixels(height, width, *, dtype="uint8", high=256, seed=0):
    return np.random.default_rng(seed).integers(0, high, (1, 3, height, width)).astype(dtype)


OUTPUTS = ("probabilities", "logits", "features")


def run(graph, values, *, engine="onnxruntime"):
    return make_engine(engine, graph, threads=1).run(values, OUTPUTS)


def check(model, size, *, factor=1, more=(3, 2), values=None, engine="onnxruntime"):
    """Compare the dense pass with every patch of a strip by itself."""
    stride = factor * dense_stride(model, size=size)
    height, width = (size + n * stride for n in more)
    values = pixels(height, width) if values is None else values
    dense = dense_graph(model, size=size, stride=stride)
    onnx.checker.check_model(dense)
    found = run(dense, values, engine=engine)
    assert found["probabilities"].shape == (1, CLASSES, more[0] + 1, more[1] + 1)
    corners = [(i * stride, j * stride) for i in range(more[0] + 1) for j in range(more[1] + 1)]
    patches = np.concatenate([values[:, :, r : r + size, c : c + size] for r, c in corners])
    expected = run(model, patches, engine=engine)
    assert expected["probabilities"].std() > 0, "patches that all look alike prove nothing"
    for name in OUTPUTS:
        maps = found[name][0]
        # OpenVINO takes other kernels for other sizes.
        atol = max(1.0, np.abs(expected[name]).max()) * (1e-5 if engine == "onnxruntime" else 1e-4)
        np.testing.assert_allclose(maps.reshape(len(maps), -1).T, expected[name], atol=atol, err_msg=name)


LAYERS = st.one_of(
    st.tuples(st.just("conv"), st.integers(1, 4), st.integers(1, 2)),
    st.tuples(st.just("pool"), st.sampled_from(["MaxPool", "AveragePool"]), st.integers(1, 3)),
    st.tuples(st.just("residual"), st.sampled_from([True, False]), st.just(0)),
    st.tuples(st.just("dilated"), st.just(2), st.just(1)),
)


def build(layers, size, seed):
    body, side = Body(seed=seed), size
    for kind, first, second in layers:
        if kind == "conv" and side >= first:
            body.conv(first, second)
            side = (side - first) // second + 1
        elif kind == "pool" and side >= 2:
            body.pool(first, 2, second)
            side = (side - 2) // second + 1
        elif kind == "residual" and side >= 4:
            body.residual(ends=(-1, -1) if first else (side - 1, side - 1))
            side -= 2
        elif kind == "dilated" and side >= 6:
            body.conv(3, dilations=[2, 2])
            side -= 4
    return body.model(size=size)


@settings(max_examples=40)
@given(st.lists(LAYERS, min_size=1, max_size=6), st.integers(12, 33), st.integers(0, 1000))
def test_the_dense_pass_is_patch_by_patch_prediction(layers, size, seed):
    model = build(layers, size, seed)
    strides = [second if kind in {"conv", "pool"} else 1 for kind, _, second in layers]
    found = dense_stride(model, size=size)
    assert np.prod(strides) % found == 0, "layers that no longer fit were left out"
    check(model, size)


def residual_net():
    """The shape of a real one: 64 -> 31 -> 29 -> 27 -> 13 (a row is dropped) -> 11 -> 9 -> 4 places."""
    body = Body(seed=4)
    body.conv(4, 2, channels=8)
    body.conv(3, channels=12)
    body.residual()
    body.pool()
    body.conv(3, channels=16)
    body.residual(ends=(10, 10))
    body.pool("AveragePool")
    return body


@pytest.mark.parametrize("factor", [1, 2, 3])
def test_coarser_strides_leave_patches_out(factor):
    model = residual_net().model(size=64)
    assert dense_stride(model, size=64) == 8
    check(model, 64, factor=factor)


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_both_engines_run_residuals_densely(engine):
    check(residual_net().model(size=64), 64, engine=engine)


@pytest.mark.parametrize("starts", [(0, 0), (2, 2), (0, 2)])
def test_a_branch_may_be_cropped_at_one_edge_alone(starts):
    """Where places of the two branches lie apart, they do so in a patch and in the strip alike."""
    body = Body(seed=6)
    before = body.conv(4, 2)
    after = body.conv(3)
    body.node("Add", body.crop(before, starts, [s - 2 or 2**40 for s in starts]), after)
    body.pool()
    check(body.model(size=26), 26)


def test_a_replaced_head_is_dense_too():
    body = residual_net()
    model, rng = body.model(size=64), np.random.default_rng(1)
    weight, bias = (rng.normal(size=shape).astype(np.float32) for shape in ((CLASSES, body.channels), (CLASSES,)))
    check(replace_head(model, weight, bias, task="single-label", temperature=0.7), 64)


def test_multi_label_models_and_wide_values_run_densely_too():
    spec = input_spec(size=20, data_type="uint16", mean=(900, 1000, 1100), sd=(300, 300, 300))
    body = Body()
    body.conv(4, 2)
    check(body.model(size=20, spec=spec, task="multi-label"), 20, values=pixels(26, 24, dtype="uint16", high=3000))


def test_norms_activations_and_channels_side_by_side_are_followed():
    body = Body()
    left = body.conv(3, relu=False)
    numbers = [body.constant(body.rng.uniform(0.5, 2, 4).astype(np.float32)) for _ in range(4)]
    left = body.node("BatchNormalization", left, *numbers)
    scale = body.constant(np.float32([[[0.5]], [[1]], [[2]], [[3]]]))
    right = body.node("Mul", body.node("Sigmoid", left), scale)
    body.node("Concat", left, right, axis=1)
    body.channels = 8
    body.crop(body.at, (0, 2), (4, 17), axes=(1, -1), steps=(1, 2))
    body.channels = 4
    body.crop(body.at, (1,), (2**40,), axes=(2,), steps=(2,))
    body.pool("MaxPool", 2, 1)
    model = body.model(size=21)
    assert dense_stride(model, size=21) == 2
    check(model, 21)


def test_strides_that_differ_down_and_across_are_left_alone():
    body = Body()
    body.crop(body.at, (0, 0), (20, 20), steps=(2, 1))
    body.channels = 3
    assert dense_stride(body.model(size=20), size=20) is None


def padded():
    body = Body()
    body.conv(3, pads=[1, 1, 1, 1])
    return body


def same():
    body = Body()
    body.conv(3, auto_pad="SAME_UPPER")
    return body


def ceiling():
    body = Body()
    body.pool(ceil_mode=1)
    return body


def squeeze_and_excite():
    body = Body()
    before = body.conv(3)
    body.node("Mul", before, body.node("Sigmoid", body.node("GlobalAveragePool", before)))
    return body


def position():
    body = Body()
    body.conv(3)
    body.node("Add", body.at, body.constant(np.ones((1, 1, 18, 18), np.float32)))
    return body


def unequal():
    body = Body()
    wide = body.conv(3, 2)  # 9 places of 2 pixels
    body.crop("patches", (0, 0), (9, 9))
    body.channels = 3
    body.node("Concat", wide, body.at, axis=1)
    body.channels = 7
    return body


def gaps():
    body = Body()
    body.conv(3)
    body.crop(body.at, (-1, -1), (-10, -10), steps=(-1, -1))
    return body


def broadcast():
    """One place of a branch, added to all of another: it lies elsewhere in a strip."""
    body = Body()
    before = body.conv(3)
    after = body.conv(3)
    body.node("Add", body.crop(before, (1, 1), (2, 2)), after)
    return body


@pytest.mark.parametrize("body", [padded, same, ceiling, squeeze_and_excite, position, unequal, gaps, broadcast])
def test_what_cannot_be_proved_is_not_run_densely(body):
    model = body().model(size=20)
    assert dense_stride(model, size=20) is None
    with pytest.raises(ModelFileError, match="patch by patch"):
        dense_graph(model, size=20, stride=8)


def test_strides_must_fit():
    model = residual_net().model(size=64)
    for stride in (0, 4, 12):
        with pytest.raises(SettingError, match="multiple of 8"):
            dense_graph(model, size=64, stride=stride)


def test_other_heads_are_not_run_densely():
    def changed(change):
        body = Body()
        body.conv(3)
        model = body.model(size=20)
        change(model.graph)
        return dense_stride(model, size=20)

    def scaled(graph):
        gemm = next(n for n in graph.node if n.op_type == "Gemm")
        gemm.attribute.append(onnx.helper.make_attribute("alpha", 0.5))

    def unnamed(graph):
        next(t for t in graph.initializer if t.name == "head.bias").name = "other"
        next(n for n in graph.node if n.op_type == "Gemm").input[2] = "other"

    def squashed(graph):
        gemm = next(n for n in graph.node if n.op_type == "Gemm")
        gemm.input[0] = "squashed"
        graph.node.append(onnx.helper.make_node("Tanh", ["features"], ["squashed"]))

    def along_rows(graph):
        mean = next(n for n in graph.node if n.op_type == "ReduceMean")
        axes = next(t for t in graph.initializer if t.name == mean.input[1])
        axes.CopyFrom(numpy_helper.from_array(np.array([2]), axes.name))

    assert changed(lambda graph: None) == 1
    for change in (scaled, unnamed, squashed, along_rows):
        assert changed(change) is None, change.__name__


def test_models_with_global_average_pooling_nodes_are_recognized():
    assert dense_stride(tiny_graph(), size=64) == 8
    check_tiny = dense_graph(tiny_graph(), size=64, stride=64)
    values = pixels(128, 64)
    np.testing.assert_allclose(
        run(check_tiny, values)["probabilities"][0, :, :, 0].T,
        run(tiny_graph(), np.concatenate([values[:, :, :64], values[:, :, 64:]]))["probabilities"],
        atol=1e-5,
    )


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_an_exported_network_is_followed(engine):
    torch = pytest.importorskip("torch")
    from swath.networks.scratch import Outputs
    from swath.training.export import export_body

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.stem = torch.nn.Conv2d(3, 8, 4, stride=2)
            self.norm = torch.nn.BatchNorm2d(8)
            self.refine = torch.nn.Conv2d(8, 8, 3)
            self.head = torch.nn.Linear(8, CLASSES)

        def forward(self, x):
            x = torch.relu(self.norm(self.stem(x)))
            x = torch.nn.functional.max_pool2d(x[:, :, 1:-1, 1:-1] + torch.relu(self.refine(x)), 2)
            features = x.mean(dim=(2, 3))
            return Outputs(self.head(features), features, x)

    torch.manual_seed(0)
    body = export_body(Net(), bands=3, size=32)
    model = assemble(body, spec=input_spec(size=32), task="single-label", temperature=0.1)
    assert {node.op_type for node in body.graph.node} >= {"Slice", "Add"}
    assert dense_stride(model, size=32) == 4
    check(model, 32, engine=engine)


@pytest.mark.parametrize("task", ["binary", "multi-label"])
def test_other_tasks_are_dense_too(task):
    names = ("Forest", "River") if task == "binary" else ("Forest", "River", "SeaLake")
    model = tiny_graph(names, task=task)
    stride = dense_stride(model, size=64)
    dense = dense_graph(model, size=64, stride=stride)
    onnx.checker.check_model(dense)
    values = np.concatenate([patches(c, 1)[0] for c in names], axis=-1)[None]
    found = run(dense, values)["probabilities"][0]
    places = range(0, values.shape[3] - 63, stride)
    expected = run(model, np.concatenate([values[..., p : p + 64] for p in places]))["probabilities"]
    assert found.shape == (len(names), 1, len(places))
    assert expected.std() > 0.1
    np.testing.assert_allclose(found[:, 0].T, expected, atol=1e-5)


def test_what_follows_the_logits_must_be_known():
    model = tiny_graph(("Forest", "River"), task="binary")
    last = model.graph.node[-1]
    last.op_type = "HardSigmoid"
    assert dense_stride(model, size=64) is None
