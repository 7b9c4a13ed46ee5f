"""Which inputs of a graph's nodes state shapes, and how long these can be, before any shape is inferred.

Inferring shapes takes memory and time for every value of a tensor that states one (onnx 1.21: a list of 67 million
axes takes 5 GB), so a graph may state shapes by constants and by the shapes of other tensors, and in short.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import onnx
from onnx import numpy_helper

from swath.errors import ModelFileError

_MOST = 100_000  # values that state one shape; networks have eight at most
_RANK = 64
# Inputs that state a shape, axes, a place or a number of parts, by operator; of Reduce... it is the second.
_STATING = {
    "AffineGrid": (1,), "CenterCropPad": (1,), "Col2Im": (1, 2), "ConstantOfShape": (0,), "Expand": (1,),
    "MaxUnpool": (2,), "OneHot": (1,), "Pad": (1, 3), "Reshape": (1,), "Resize": (1, 2, 3), "Slice": (1, 2, 3, 4),
    "Split": (1,), "SplitToSequence": (1,), "Squeeze": (1,), "Tile": (1,), "TopK": (1,), "Unsqueeze": (1,),
    "Upsample": (1,), "DFT": (1, 2), "STFT": (1, 3), "BlackmanWindow": (0,), "HammingWindow": (0,), "HannWindow": (0,),
    "MelWeightMatrix": (0, 1, 2), "Dropout": (), "Range": (0, 1, 2),
}  # fmt: skip
# Operators that give no more values than the largest of their inputs has, where these have one axis at most.
_EACH = frozenset(
    ("Abs", "Add", "And", "Cast", "CastLike", "Ceil", "Clip", "CumSum", "Div", "Equal", "Floor", "Greater",
     "GreaterOrEqual", "Identity", "Less", "LessOrEqual", "Max", "Min", "Mod", "Mul", "Neg", "Not", "Or", "Pow",
     "Reciprocal", "Relu", "Round", "Sign", "Sqrt", "Sub", "Sum", "Where", "Xor")
)  # fmt: skip
# Those that give no more values than their first input has.
_PART = frozenset(
    ("Flatten", "Reshape", "ScatterElements", "ScatterND", "Slice", "Split", "Squeeze", "Transpose", "Unsqueeze")
)


@dataclass(frozen=True)
class _Known:
    """What is known of a tensor whose values do not come from pixels.

    Attributes
    ----------
    most : float
        Values, at most.
    rank : int or None
        Axes, if known.
    unfolds : float
        Values of a tensor of which this is the shape, at most.
    """

    most: float
    rank: int | None
    unfolds: float = math.inf


def check_shape_inputs(graph: onnx.ModelProto, *, where: str) -> None:
    """Refuse a graph that states shapes by its pixels, or at a length that no tensor has axes for.

    Parameters
    ----------
    graph : onnx.ModelProto
        A valid graph.
    where : str
        Name of the file for messages.

    Raises
    ------
    ModelFileError
        With the first such node.
    """
    constants = {tensor.name: tensor for tensor in graph.graph.initializer}
    known = {name: _Known(math.prod(tensor.dims), len(tensor.dims)) for name, tensor in constants.items()}
    for node in graph.graph.node:
        stating = (1,) if node.op_type.startswith("Reduce") else _STATING.get(node.op_type, ())
        for name in (node.input[place] for place in stating if place < len(node.input)):
            if name and name not in known:
                raise ModelFileError(
                    f"{where}: the size of what {node.op_type} makes does not follow from the size of a patch",
                    fix="export the network with a fixed patch size",
                )
            if name and known[name].most > _MOST:
                raise ModelFileError(
                    f"{where}: what says the size of what {node.op_type} makes has too many values",
                    fix="export the network with a fixed patch size",
                )
        if node.op_type == "Split" and any(a.i != len(node.output) for a in node.attribute if a.name == "num_outputs"):
            raise ModelFileError(
                f"{where}: {node.op_type} says another number of outputs than it has", fix="export the network again"
            )
        found = _result(node, known, constants)
        if found is not None:
            known |= dict.fromkeys(filter(None, node.output), found)


def _result(node: onnx.NodeProto, known: dict[str, _Known], constants: dict[str, onnx.TensorProto]) -> _Known | None:
    """What is known of the outputs of a node; None where they come from pixels."""
    kind = node.op_type
    if kind in ("Shape", "Size", "Constant"):
        return _stated(node, known)
    inputs = [known.get(name) for name in node.input if name]
    if None in inputs:
        return None
    given = [one for one in inputs if one is not None]
    most = [one.most for one in given]
    ranks = [one.rank for one in given]
    found = _Known(math.inf, None)
    if kind in _EACH:
        flat = all(rank is not None and rank <= 1 for rank in ranks)
        found = _Known(max(most, default=1) if flat else math.prod(most), 1 if flat else None)
    elif kind == "Concat":
        found = _Known(sum(most), ranks[0])
    elif kind == "Range":
        found = _Known(_MOST, 1)
    elif kind in _PART or kind.startswith("Reduce"):
        found = _Known(most[0], _rank(kind, ranks, most))
    elif kind in ("Gather", "GatherElements"):
        several = ranks[0] is None or ranks[0] > 1
        found = _Known(most[1] * (most[0] if several else 1), None if several else ranks[1])
    elif kind in ("Expand", "Tile", "ConstantOfShape"):
        found = _unfolded(node, given, constants)
    return found


def _rank(kind: str, ranks: Sequence[int | None], most: Sequence[float]) -> int | None:
    """Axes of a part of a tensor, as far as a number of axes can be told without values."""
    if ranks[0] is None or kind in ("Flatten", "Reshape"):
        return 1 if kind == "Reshape" and len(most) > 1 and most[1] == 1 else None
    if kind == "Unsqueeze":
        return ranks[0] + int(most[1]) if len(most) > 1 and most[1] < _RANK else None
    return ranks[0]


def _stated(node: onnx.NodeProto, known: dict[str, _Known]) -> _Known:
    """Of a shape, which may be that of pixels too, a number of values, and a constant."""
    if node.op_type == "Shape":
        source = known.get(node.input[0], _Known(math.inf, None))
        return _Known(_RANK if source.rank is None else source.rank, 1, source.most)
    for attribute in node.attribute:
        if attribute.name == "value":
            return _Known(math.prod(attribute.t.dims), len(attribute.t.dims))
        if attribute.name in ("value_ints", "value_floats", "value_strings"):
            return _Known(len(attribute.ints) + len(attribute.floats) + len(attribute.strings), 1)
    return _Known(1, 0)


def _unfolded(node: onnx.NodeProto, given: Sequence[_Known], constants: dict[str, onnx.TensorProto]) -> _Known:
    """Of what is repeated: as often as a constant says, or up to the shape of another such tensor."""
    stating = node.input[-1]
    alone = node.op_type == "ConstantOfShape"
    first = 1.0 if alone else given[0].most
    if stating not in constants or given[-1].most > _RANK:
        # The shape of a list has one value: what it unfolds has one axis.
        return _Known(first * given[-1].unfolds, 1 if alone and given[-1].most == 1 else None)
    sizes = [abs(int(size)) for size in numpy_helper.to_array(constants[stating]).reshape(-1)]
    return _Known(first * math.prod(sizes), len(sizes) if alone else None)
