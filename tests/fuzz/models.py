"""Model files, changed in their graph, weights, ends and record."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import EncodeError
from onnx import AttributeProto, TensorProto, helper, numpy_helper

import swath
from swath.inference import Classifier, check_model
from swath.inference.ood import PatchOutputs, fit_out_of_distribution
from swath.model import read_model, write_model
from swath.model.card import card, model_card
from swath.model.graph import assemble
from swath.model.record import DIGEST_KEY, RECORD_KEY, Record
from swath.model.stac import stac_item
from tests.fuzz.mutants import FLOATS, NUMBERS, TEXTS, Rng, mutate_bytes, mutate_value, nested, number, pick
from tests.tiny import CLASSES, input_spec, patches, tiny_body, tiny_record

_OPSET = 20
_SCHEMAS = {
    schema.name: schema
    for schema in onnx.defs.get_all_schemas()
    if schema.domain == "" and not schema.deprecated and schema.since_version <= _OPSET
}
_OPERATORS = sorted(_SCHEMAS)
_KINDS = AttributeProto.AttributeType


class Models:
    """Model files as `predict`, `map` and `model` read them."""

    name = "models"
    told = ("model '",)

    def __init__(self, folder: Path) -> None:
        self.seeds = {name: onnx.load(path).SerializeToString() for name, path in _seeds(folder)}
        rng = np.random.default_rng(0)
        self._scene = {n: rng.integers(1, 250, (n, 90, 130)).astype(np.uint8) for n in (1, 3, 4)}

    def make(self, rng: Rng, place: Path) -> Path:
        """Write a mutant of one of the seeds."""
        data = self.seeds[pick(rng, sorted(self.seeds))]
        if rng.random() < 0.12:
            data = mutate_bytes(data, rng, head=pick(rng, (64, 4000, None)))
        else:
            model = onnx.load_model_from_string(data)
            for _ in range(int(pick(rng, (1, 1, 2, 4)))):
                change = pick(rng, _CHANGES)
                try:
                    change(model, rng)
                except (TypeError, ValueError, IndexError, AttributeError, OverflowError):
                    continue  # an earlier change took away what this one is about
            try:
                data = model.SerializeToString()
            except EncodeError:  # letters that protobuf does not write
                data = mutate_bytes(data, rng)
        path = place / "mutant.onnx"
        path.write_bytes(data)
        return path

    def uses(self, path: Path) -> Iterator[Callable[[], Any]]:
        """Describe it, check it, classify and map with it, on both engines."""
        yield lambda: read_model(path)
        yield lambda: (card(read_model(path)), model_card(read_model(path)), stac_item(read_model(path)))
        for engine in ("onnxruntime", "openvino"):
            loaded: list[Classifier] = []
            yield lambda engine=engine, loaded=loaded: loaded.append(swath.load(path, engine=engine, threads=1))
            if not loaded:
                continue  # refused
            classifier = loaded[0]
            spec = classifier.record.input
            bands = len(spec.bands)
            if bands > 16 or spec.size > 512:
                continue
            dtype = np.dtype(spec.data_type)
            side = spec.size
            rng = np.random.default_rng(1)
            for shape in ((2, bands, side, side), (1, bands, 40, 50)):
                pixels = rng.integers(1, 250, shape).astype(dtype)
                yield lambda pixels=pixels, classifier=classifier: classifier.predict(pixels, layout="chw").to_table()
            scene = rng.integers(1, 250, (bands, side + 20, 2 * side + 1)).astype(dtype)
            yield lambda scene=scene, classifier=classifier: swath.map_scene(
                classifier, scene, stride=max(1, classifier.size // 2)
            )
            yield lambda engine=engine: check_model(path, engine=engine, threads=1)


def _seeds(folder: Path) -> Iterator[tuple[str, Path]]:
    def written(name: str, graph: onnx.ModelProto, record: Record) -> tuple[str, Path]:
        path = folder / f"{name}.onnx"
        write_model(path, graph, record)
        return name, path

    spec = input_spec(size=32)
    for task, classes in (("single-label", CLASSES), ("multi-label", CLASSES), ("binary", CLASSES[:2])):
        graph = assemble(tiny_body(classes, spec=spec, task=task), spec=spec, task=task)
        yield written(task, graph, tiny_record(graph, classes, spec=spec, task=task, name="mutant"))
    deep = input_spec(bands=("blue", "green", "red", "nir"), size=16, data_type="uint16", mean=(90,) * 4, sd=(30,) * 4)
    graph = assemble(tiny_body(spec=deep), spec=deep, task="single-label")
    yield written("deep", graph, tiny_record(graph, spec=deep, name="mutant"))
    for name in ("rich", "rich-again"):  # twice as often as the others
        graph = assemble(_rich_body(), spec=spec, task="single-label")
        yield written(name, graph, tiny_record(graph, spec=spec, name="mutant"))
    name, path = written("ood", graph := assemble(tiny_body(spec=spec), spec=spec, task="single-label"),
                         tiny_record(graph, spec=spec, name="mutant"))  # fmt: skip
    file = read_model(path)
    classifier = swath.load(path, engine="onnxruntime", threads=1)
    outputs = []
    for seed in (1, 2):
        pixels = np.concatenate([patches(label, 30, seed=seed, size=32) for label in CLASSES])
        found = classifier.run(pixels, wanted=("features", "logits"))
        outputs.append(PatchOutputs(pixels, found["features"], found["logits"]))
    numbers = np.repeat(np.arange(len(CLASSES)), 30)
    kept = fit_out_of_distribution(outputs[0], numbers, outputs[1], task="single-label", temperature=1.0, size=32)
    record = file.record.model_copy(update={"out_of_distribution": kept, "conformal": {"0.90": 0.4}})
    write_model(path, replace(file, record=record).graph, record, overwrite=True)
    yield name, path


def _rich_body() -> onnx.ModelProto:
    """A body of operators as exporters write them, each of which a mutant may bend."""
    rng = np.random.default_rng(3)

    def weights(*shape: int) -> np.ndarray:
        return rng.normal(0, 0.3, shape).astype(np.float32)

    constants = {
        "pads": np.array([0, 0, 1, 1, 0, 0, 1, 1]),
        "w1": weights(8, 3, 3, 3), "b1": weights(8),
        "scale": weights(8), "shift": weights(8), "mean": weights(8), "var": np.abs(weights(8)) + 1,
        "w2": weights(4, 1, 3, 3), "sizes": np.array([8, 8]), "flat": np.array([0, 8, 64]),
        "back": np.array([0, 8, 8, 8]),
        "gamma": weights(8), "beta": weights(8), "wq": weights(8, 8),
        "starts": np.array([0]), "ends": np.array([8]), "axis": np.array([1]), "order": np.arange(8)[::-1].copy(),
        "lo": np.float32(-3), "hi": np.float32(3), "unit": np.float32(0.1), "zero": np.int8(0),
        "head.weight": weights(4, 8), "head.bias": weights(4),
    }  # fmt: skip
    node = helper.make_node
    nodes = [
        node("Pad", ["patches", "pads"], ["p"]),
        node("Conv", ["p", "w1", "b1"], ["c1"], strides=[2, 2], kernel_shape=[3, 3], dilations=[1, 1], group=1),
        node("BatchNormalization", ["c1", "scale", "shift", "mean", "var"], ["n1"], epsilon=1e-5),
        node("Relu", ["n1"], ["r1"]),
        node("MaxPool", ["r1"], ["m1"], kernel_shape=[2, 2], strides=[2, 2]),
        node("Split", ["m1"], ["s1", "s2"], axis=1, num_outputs=2),
        node("Conv", ["s1", "w2"], ["d1"], group=4, pads=[1, 1, 1, 1]),
        node("Concat", ["d1", "s2"], ["k1"], axis=1),
        node("Resize", ["k1", "", "", "sizes"], ["q1"], axes=[2, 3], mode="linear"),
        node("Clip", ["q1", "lo", "hi"], ["q2"]),
        node("QuantizeLinear", ["q2", "unit", "zero"], ["q3"]),
        node("DequantizeLinear", ["q3", "unit", "zero"], ["q4"]),
        node("Reshape", ["q4", "flat"], ["t1"]),
        node("Transpose", ["t1"], ["t2"], perm=[0, 2, 1]),
        node("LayerNormalization", ["t2", "gamma", "beta"], ["l1"], axis=-1),
        node("MatMul", ["l1", "wq"], ["a1"]),
        node("Softmax", ["a1"], ["a2"], axis=-1),
        node("Add", ["a2", "l1"], ["t3"]),
        node("Transpose", ["t3"], ["t4"], perm=[0, 2, 1]),
        node("Reshape", ["t4", "back"], ["u1"]),
        node("Slice", ["u1", "starts", "ends", "axis"], ["u2"]),
        node("Gather", ["u2", "order"], ["activations"], axis=1),
        node("ReduceMean", ["activations"], ["g1"], keepdims=1),
        node("GlobalAveragePool", ["activations"], ["g2"]),
        node("Sub", ["g2", "g1"], ["g3"]),
        node("Flatten", ["g3"], ["features"]),
        node("Gemm", ["features", "head.weight", "head.bias"], ["logits"], transB=1),
    ]
    shapes: dict[str, list[Any]] = {"logits": ["N", 4], "features": ["N", 8], "activations": ["N", 8, 8, 8]}
    graph = helper.make_graph(
        nodes,
        "body",
        [helper.make_tensor_value_info("patches", TensorProto.FLOAT, ["N", 3, 32, 32])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=10)


def _names(model: onnx.ModelProto) -> list[str]:
    """Everything that a node may take."""
    made = [name for node in model.graph.node for name in node.output]
    return [*made, *(tensor.name for tensor in model.graph.initializer), "pixels", "", "nothing"]


def _attribute(name: str, kind: Any, rng: Rng) -> AttributeProto:
    """An attribute of some type with a value at random."""
    small = [int(rng.integers(-2, 5)) for _ in range(int(pick(rng, (1, 2, 2, 4, 4, 8))))]
    made = {
        _KINDS.INT: lambda: pick(rng, (0, 1, 2, -1, 3, number(rng))),
        _KINDS.INTS: lambda: small if rng.random() < 0.7 else [*small[1:], number(rng)],
        _KINDS.FLOAT: lambda: float(pick(rng, FLOATS)),
        _KINDS.FLOATS: lambda: [float(pick(rng, FLOATS)) for _ in small],
        _KINDS.STRING: lambda: pick(
            rng,
            ("linear", "nearest", "cubic", "constant", "reflect", "edge", "wrap", "SAME_UPPER", "VALID", "none", "mean",
             "half_pixel", "asymmetric", "tf_crop_and_resize", "pytorch_half_pixel", "floor", "ij,jk->ik", "Relu",
             *TEXTS[:20]),
        ),
        _KINDS.STRINGS: lambda: ["Relu", "Tanh", "nothing"],
        _KINDS.TENSOR: lambda: numpy_helper.from_array(np.array(small, pick(rng, (np.int64, np.float32)))),
    }  # fmt: skip
    attribute = helper.make_attribute(
        name, made.get(kind, made[_KINDS.INT])(), attr_type=kind if kind in made else _KINDS.INT
    )
    return attribute


def _change_attribute(model: onnx.ModelProto, rng: Rng) -> None:
    node = pick(rng, model.graph.node)
    schema = _SCHEMAS.get(node.op_type)
    known = dict(schema.attributes) if schema else {}
    match int(rng.integers(6)):
        case 0 if node.attribute:
            del node.attribute[int(rng.integers(len(node.attribute)))]
        case 1 if node.attribute:
            attribute = pick(rng, node.attribute)
            attribute.CopyFrom(_attribute(attribute.name, pick(rng, list(_KINDS.values())), rng))
        case 2 if node.attribute:
            attribute = pick(rng, node.attribute)
            if attribute.ints:
                attribute.ints[int(rng.integers(len(attribute.ints)))] = number(rng)
            else:
                attribute.i = number(rng)
        case _:
            if known:
                name = pick(rng, sorted(known))
                made = _attribute(name, int(known[name].type.value), rng)
                kept = [a for a in node.attribute if a.name != name]
                del node.attribute[:]
                node.attribute.extend([*kept, made])


def _change_node(model: onnx.ModelProto, rng: Rng) -> None:
    nodes = model.graph.node
    place = int(rng.integers(len(nodes)))
    node = nodes[place]
    match int(rng.integers(8)):
        case 0:
            node.op_type = pick(rng, _OPERATORS)
        case 1:
            same = [o for o in _OPERATORS if _SCHEMAS[o].min_input <= len(node.input) <= _SCHEMAS[o].max_input]
            node.op_type = pick(rng, same)
        case 2:
            node.input[int(rng.integers(len(node.input)))] = pick(rng, _names(model))
        case 3:
            node.input.append(pick(rng, _names(model)))
        case 4:
            del node.input[int(rng.integers(len(node.input)))]
        case 5:
            del nodes[place]
        case 6:
            nodes.append(node)
        case _:
            node.domain = str(pick(rng, ("ai.onnx", "com.microsoft", "ai.onnx.ml", *TEXTS[:6])))


def _insert_node(model: onnx.ModelProto, rng: Rng) -> None:
    """Put another operator between two nodes, with inputs and attributes of its own kinds."""
    nodes = list(model.graph.node)
    place = int(rng.integers(1, len(nodes)))
    taken = pick(rng, [name for node in nodes[:place] for name in node.output])
    schema = _SCHEMAS[pick(rng, _OPERATORS)]
    others = int(rng.integers(max(1, schema.min_input), max(1, min(schema.max_input, 5)) + 1)) - 1
    inputs = [taken]
    for at in range(others):
        choice = rng.random()
        if choice < 0.5:
            inputs.append(pick(rng, _names(model)))
            continue
        name = f"new{len(model.graph.initializer)}.{at}"
        shape = [int(rng.integers(0, 5)) for _ in range(int(rng.integers(0, 4)))]
        dtype = pick(rng, (np.float32, np.int64, np.int32, np.bool_, np.uint8, np.float16))
        value = rng.integers(-1, 9, shape).astype(dtype)
        model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
        inputs.append(name)
    count = int(rng.integers(max(1, schema.min_output), max(1, min(schema.max_output, 4)) + 1))
    outputs = [f"made{len(nodes)}.{at}" for at in range(count)]
    made = helper.make_node(schema.name, inputs, outputs)
    for name in sorted(schema.attributes):
        kind = schema.attributes[name]
        if (kind.required or rng.random() < 0.4) and kind.type.value not in (_KINDS.GRAPH, _KINDS.GRAPHS):
            made.attribute.append(_attribute(name, int(kind.type.value), rng))
    for node in nodes[place:]:
        node.input[:] = [outputs[0] if name == taken else name for name in node.input]
    nodes.insert(place, made)
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _change_weights(model: onnx.ModelProto, rng: Rng) -> None:
    tensor = pick(rng, model.graph.initializer)
    match int(rng.integers(10)):
        case 0:
            tensor.dims[int(rng.integers(len(tensor.dims)))] = number(rng)
        case 1:
            tensor.dims.append(pick(rng, (0, 1, 2, -1, 2**40)))
        case 2:
            tensor.data_type = int(pick(rng, TensorProto.DataType.values()))
        case 3:
            tensor.raw_data = tensor.raw_data[: int(rng.integers(len(tensor.raw_data) + 1))]
        case 4:
            tensor.raw_data = mutate_bytes(tensor.raw_data, rng)
        case 5:
            tensor.name = pick(rng, _names(model))
        case 6:
            values = np.array(numpy_helper.to_array(tensor), copy=True)
            filler = pick(rng, FLOATS if values.dtype.kind == "f" else NUMBERS)
            with np.errstate(all="ignore"):
                values.reshape(-1)[:: int(rng.integers(1, 3))] = filler
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
        case 7:
            tensor.data_location = TensorProto.EXTERNAL
            tensor.external_data.add(key="location", value=pick(rng, TEXTS))
        case 8:
            values = numpy_helper.to_array(tensor)
            shape = [int(pick(rng, (0, 1, 2, 3, side, 4096 if values.ndim < 3 else 7))) for side in values.shape]
            tensor.CopyFrom(numpy_helper.from_array(np.zeros(shape, values.dtype), tensor.name))
        case _:
            tensor.float_data.extend([1.0] * int(pick(rng, (1, 4, 1000))))


def _change_ends(model: onnx.ModelProto, rng: Rng) -> None:
    value = pick(rng, [*model.graph.input, *model.graph.output])
    kind = value.type.tensor_type
    match int(rng.integers(8)):
        case 0:
            kind.shape.dim[int(rng.integers(len(kind.shape.dim)))].dim_value = number(rng)
        case 1:
            kind.shape.dim[int(rng.integers(len(kind.shape.dim)))].dim_param = str(pick(rng, TEXTS))
        case 2:
            kind.elem_type = int(pick(rng, TensorProto.DataType.values()))
        case 3:
            value.name = pick(rng, _names(model))
        case 4:
            value.doc_string = pick(rng, (json.dumps(list(TEXTS[:4])), "[" * 100_000, "[1, 2]", "{}", *TEXTS))
        case 5:
            del kind.shape.dim[-1]
        case 6:
            ends = pick(rng, (model.graph.input, model.graph.output))
            ends.append(value)
        case _:
            ends = pick(rng, (model.graph.input, model.graph.output))
            del ends[int(rng.integers(len(ends)))]


def _change_whole(model: onnx.ModelProto, rng: Rng) -> None:
    match int(rng.integers(9)):
        case 0:
            model.ir_version = number(rng)
        case 1:
            model.opset_import[0].version = pick(rng, (0, 1, 9, 13, 17, 18, 19, 21, 22, 23, 24, 25, 99, number(rng)))
        case 2:
            model.opset_import.add(domain=str(pick(rng, ("", "ai.onnx", "com.microsoft"))), version=abs(number(rng)))
        case 3:
            model.functions.add(name="Relu", domain=str(pick(rng, ("", "x"))))
        case 4:
            model.graph.value_info.append(
                helper.make_tensor_value_info(pick(rng, _names(model)), TensorProto.FLOAT, [abs(number(rng))])
            )
        case 5:
            model.graph.name = str(pick(rng, TEXTS))
        case 6:
            indices = helper.make_tensor("i", TensorProto.INT64, [1], [0])
            values = helper.make_tensor(pick(rng, _names(model)), TensorProto.FLOAT, [1], [1.0])
            model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [abs(number(rng))]))
        case 7:
            model.graph.quantization_annotation.add(tensor_name=pick(rng, _names(model)))
        case _:
            model.metadata_props.append(pick(rng, model.metadata_props))


def _change_record(model: onnx.ModelProto, rng: Rng) -> None:
    """Change a value of the record; in half of the files its digest is right afterwards."""
    record = next(prop for prop in model.metadata_props if prop.key == RECORD_KEY)
    values = json.loads(record.value)
    for _ in range(int(pick(rng, (1, 1, 3)))):
        values = mutate_value(values, rng)
    if rng.random() < 0.05 and isinstance(values, dict):
        values[pick(rng, sorted(values))] = nested(300)
    record.value = json.dumps(values, ensure_ascii=bool(rng.integers(2)))
    if rng.random() < 0.5:
        for prop in model.metadata_props:
            if prop.key == DIGEST_KEY:
                prop.value = hashlib.sha256(record.value.encode(errors="replace")).hexdigest()


_CHANGES = (
    _change_attribute, _change_attribute, _change_node, _insert_node, _insert_node, _insert_node, _change_weights,
    _change_weights, _change_ends, _change_whole, _change_record, _change_record,
)  # fmt: skip
