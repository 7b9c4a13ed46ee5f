"""Random networks without padding, made of plain ONNX nodes."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from swath.model.graph import assemble
from tests.tiny import input_spec

CLASSES = 3


class Body:
    """Adds layers one by one; every layer's output is the next one's input."""

    def __init__(self, *, seed=0, bands=3):
        self.rng = np.random.default_rng(seed)
        self.nodes, self.constants = [], []
        self.at, self.channels, self.bands = "patches", bands, bands

    def constant(self, value):
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def node(self, kind, *inputs, output=None, **attributes):
        self.at = output or f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [self.at], **attributes))
        return self.at

    def conv(self, kernel=3, stride=1, *, channels=4, relu=True, **attributes):
        shape = (channels, self.channels, kernel, kernel)
        weight = self.rng.normal(0, 1 / (kernel * self.channels**0.5), shape)
        names = [self.constant(v.astype(np.float32)) for v in (weight, self.rng.normal(0, 0.1, channels))]
        self.channels = channels
        self.node("Conv", self.at, *names, strides=[stride, stride], **attributes)
        return self.node("Relu", self.at) if relu else self.at

    def pool(self, kind="MaxPool", kernel=2, stride=2, **attributes):
        return self.node(kind, self.at, kernel_shape=[kernel] * 2, strides=[stride] * 2, **attributes)

    def crop(self, name, starts, ends, *, axes=(2, 3), steps=(1, 1)):
        values = [self.constant(np.array(v, np.int64)) for v in (starts, ends, axes, steps)]
        return self.node("Slice", name, *values)

    def residual(self, *, ends=(-1, -1), **attributes):
        """``crop(x) + relu(conv(x))``."""
        before = self.at
        branch = self.conv(3, channels=self.channels, **attributes)
        return self.node("Add", self.crop(before, (1, 1), ends), branch)

    def model(self, *, size, spec=None, task="single-label", temperature=1.5):
        """Close with global average pooling and the head, and assemble."""
        self.node("Identity", self.at, output="activations")
        self.node("ReduceMean", self.at, self.constant(np.array([2, 3])), output="features", keepdims=0)
        head = {
            "head.weight": self.rng.normal(size=(CLASSES, self.channels)).astype(np.float32),
            "head.bias": self.rng.normal(size=CLASSES).astype(np.float32),
        }
        self.node("Gemm", "features", *head, output="logits", transB=1)
        spec = spec or input_spec(size=size)
        return assemble(self.proto(size, head), spec=spec, task=task, temperature=temperature)

    def proto(self, size, head):
        def value(name, shape):
            return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

        graph = helper.make_graph(
            self.nodes,
            "body",
            [value("patches", ["N", self.bands, size, size])],
            [
                value("logits", ["N", CLASSES]),
                value("features", ["N", self.channels]),
                value("activations", ["N", self.channels, "h", "w"]),
            ],
            [*self.constants, *(numpy_helper.from_array(v, n) for n, v in head.items())],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
        onnx.checker.check_model(model)
        return model
