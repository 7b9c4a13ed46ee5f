"""Small real things to test with: patches on disk, a model file, an index. No training, no downloads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from swath.data import color_feature_names
from swath.imagery import RGB
from swath.inference.choice import make_engine
from swath.model import Record, write_model
from swath.model.graph import assemble
from swath.model.record import (
    Baselines,
    ColorBaseline,
    DataInfo,
    Estimate,
    InputSpec,
    ReferencePatches,
    Task,
    class_infos,
)

# Mean red, green and blue of each class, 0-255, near those of EuroSAT.
COLORS = {
    "AnnualCrop": (130, 115, 105),
    "Forest": (42, 78, 66),
    "Residential": (125, 110, 140),
    "River": (72, 92, 100),
    "SeaLake": (35, 70, 110),
}
CLASSES = ("Forest", "Residential", "River", "SeaLake")
SIZE = 64
MEAN, SD = (85.0, 95.0, 100.0), (40.0, 30.0, 25.0)


def patch(label: str, *, seed: int, size: int = SIZE, spread: float = 12.0) -> npt.NDArray[np.uint8]:
    """A patch uint8 ``[size, size, 3]``: the class's color, moved by `spread`, with coarse and fine texture."""
    rng = np.random.default_rng([seed, *label.encode()])
    color = np.array(COLORS[label]) + rng.normal(0, spread, 3)
    coarse = np.kron(rng.normal(0, 8, (size // 8 + 1, size // 8 + 1, 1)), np.ones((8, 8, 1)))[:size, :size]
    pixels = color + coarse + rng.normal(0, 4, (size, size, 3))
    return np.clip(np.rint(pixels), 1, 255).astype(np.uint8)


def patches(label: str, n: int, *, seed: int = 0, size: int = SIZE) -> npt.NDArray[np.uint8]:
    """`n` patches of a class as the model takes them, uint8 ``[n, 3, size, size]``."""
    drawn = [patch(label, seed=1000 * seed + i, size=size) for i in range(n)]
    return np.ascontiguousarray(np.stack(drawn).transpose(0, 3, 1, 2))


def write_patches(
    folder: Path,
    classes: Sequence[str] = CLASSES,
    n: int = 10,
    *,
    seed: int = 0,
    size: int = SIZE,
    suffix: str = ".png",
) -> Path:
    """Write `n` patches of each class as ``folder/Class/Class_1.png`` and so on; returns `folder`."""
    for label in classes:
        (folder / label).mkdir(parents=True, exist_ok=True)
        for i in range(n):
            image = Image.fromarray(patch(label, seed=1000 * seed + i, size=size))
            image.save(folder / label / f"{label}_{i + 1}{suffix}")
    return folder


def input_spec(
    *,
    bands: Sequence[str] = RGB,
    size: int = SIZE,
    data_type: str = "uint8",
    mean: Sequence[float] = MEAN,
    sd: Sequence[float] = SD,
) -> InputSpec:
    """What the tiny model expects of its pixels."""
    return InputSpec(
        bands=tuple(bands),
        size=size,
        gsd=10.0,
        data_type=data_type,
        value_range=(0, 255),
        meaning="8-bit picture as decoded",
        mean=tuple(mean),
        sd=tuple(sd),
        channel_mean=tuple(mean),
        channel_sd=tuple(sd),
    )


def tiny_body(
    classes: Sequence[str] = CLASSES,
    *,
    spec: InputSpec | None = None,
    opset: int = 20,
    sharpness: float = 4.0,
    task: Task = "single-label",
) -> onnx.ModelProto:
    """A body that answers with the class of the nearest mean color.

    The binary task has one logit, of the second class against the first; the logits of several labels are
    held against their mean, so that the colors a patch has most of speak for their labels.

    8 x 8 means, a 1 x 1 convolution that parts each band into what lies above and below its mean, ReLU,
    global average pooling, a linear head: activations ``[N, 2 * bands, P / 8, P / 8]``.
    """
    spec = spec or input_spec()
    bands = len(spec.bands)
    parted = np.concatenate([np.eye(bands), -np.eye(bands)]).astype(np.float32)
    centers = np.array([[COLORS.get(c, (100,) * 3)[b % 3] for b in range(bands)] for c in classes], np.float64)
    centers = (centers - np.array(spec.mean)) / np.array(spec.sd)
    weight = np.concatenate([2 * centers, -2 * centers], axis=1) * sharpness
    bias = -(centers**2).sum(1) * sharpness
    if task == "binary":
        weight, bias = weight[1:] - weight[:1], bias[1:] - bias[:1]
    elif task == "multi-label":
        weight, bias = weight - weight.mean(0), bias - bias.mean()
    constants = {
        "part.weight": parted[:, :, None, None],
        "head.weight": weight.astype(np.float32),
        "head.bias": bias.astype(np.float32),
    }
    nodes = [
        helper.make_node("AveragePool", ["patches"], ["blocks"], kernel_shape=[8, 8], strides=[8, 8]),
        helper.make_node("Conv", ["blocks", "part.weight"], ["parted"]),
        helper.make_node("Relu", ["parted"], ["activations"]),
        helper.make_node("GlobalAveragePool", ["activations"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["features"]),
        helper.make_node("Gemm", ["features", "head.weight", "head.bias"], ["logits"], transB=1),
    ]
    side = spec.size // 8
    shapes: dict[str, list[Any]] = {
        "logits": ["N", len(bias)],
        "features": ["N", 2 * bands],
        "activations": ["N", 2 * bands, side, side],
    }
    graph = helper.make_graph(
        nodes,
        "body",
        [helper.make_tensor_value_info("patches", TensorProto.FLOAT, ["N", bands, spec.size, spec.size])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def tiny_graph(
    classes: Sequence[str] = CLASSES,
    *,
    spec: InputSpec | None = None,
    task: Task = "single-label",
    temperature: float = 1.0,
) -> onnx.ModelProto:
    """The whole graph of the tiny model."""
    spec = spec or input_spec()
    return assemble(tiny_body(classes, spec=spec, task=task), spec=spec, task=task, temperature=temperature)


def tiny_record(
    graph: onnx.ModelProto, classes: Sequence[str] = CLASSES, *, spec: InputSpec | None = None, **fields: Any
) -> Record:
    """A whole record for `graph`, with reference patches and both baselines; `fields` replace its own."""
    spec = spec or input_spec()
    rng = np.random.default_rng(0)
    if len(spec.bands) == 3 and spec.data_type == "uint8":
        pixels: npt.NDArray[Any] = np.concatenate(
            [patches(c, 1, seed=9, size=spec.size) for c in classes if c in COLORS]
        )
    else:
        pixels = rng.integers(1, 256, (4, len(spec.bands), spec.size, spec.size)).astype(spec.data_type)
    engine = make_engine("onnxruntime", graph, threads=1)
    probabilities = engine.run(pixels, ("probabilities",))["probabilities"]
    values: dict[str, Any] = {
        "name": "tiny",
        "created": "2025-01-01",
        "task": "single-label",
        "architecture": "nearest color",
        "total_parameters": 42,
        "input": spec,
        "classes": class_infos(classes),
        "recipe": {"name": "by hand", "epochs": 0},
        "data": DataInfo(
            name="drawn",
            fingerprint="0" * 64,
            counts={"train": 72, "val": 24, "test": 24},
            split_protocol="stratified by class",
            license="CC0-1.0",
        ),
        "metrics": {"accuracy": Estimate(value=0.95, low=0.9, high=0.98, n=24)},
        "baselines": color_baseline(classes),
        "reference": ReferencePatches.pack(pixels, probabilities, tolerance=1e-3),
    }
    return Record(**values | fields)


def color_baseline(classes: Sequence[str] = CLASSES, *, sharpness: float = 0.002) -> Baselines:
    """Both simple rules; the color one takes the nearest mean color, in the form a regression has."""
    names = color_feature_names(RGB)
    centers = np.array([COLORS.get(c, (100, 100, 100)) for c in classes], np.float64)
    weights = np.zeros((len(classes), len(names)))
    for band, name in enumerate(RGB):
        weights[:, names.index(f"mean_{name}")] = 2 * sharpness * centers[:, band]
    return Baselines(
        majority=classes[0],
        color=ColorBaseline(
            features=names,
            center=(0.0,) * len(names),
            scale=(1.0,) * len(names),
            weights=tuple(tuple(row) for row in weights.tolist()),
            bias=tuple((-sharpness * (centers**2).sum(1)).tolist()),
        ),
    )


def write_tiny_model(
    path: Path, classes: Sequence[str] = CLASSES, *, spec: InputSpec | None = None, **fields: Any
) -> Path:
    """Write the tiny model as a model file; `fields` replace fields of its record."""
    settled = {name: fields[name] for name in ("task", "temperature") if name in fields}
    graph = tiny_graph(classes, spec=spec, **settled)
    write_model(path, graph, tiny_record(graph, classes, spec=spec, **fields))
    return path
