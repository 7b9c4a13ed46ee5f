"""The weights inside a model file, given back under the names of the torch network they were exported from.

Exporting folds a batch norm into the convolution before it: the norm's scale goes into the filters, and a bias takes
its place. :func:`model_tensors` undoes that. Filters get unit length, and the norm the statistics of the model's own
reference patches, so that the network answers as the model file does and can be trained further, with its norms
frozen or not. What comes out is compared with the probabilities that the file states.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from onnx import numpy_helper
from torch import nn

from swath.config import validate
from swath.errors import DataError, SwathError
from swath.model import Record, read_model
from swath.networks.catalog import Network, build_network
from swath.weights.facts import OWN, Expectation, weights_metadata
from swath.weights.tensors import TensorFile

_FOLDED = "_bias"  # ending of the bias that the exporter makes of a norm, behind the name of the filters
_TOLERANCE = 1e-3  # of probabilities, as in the export check
_FIX = "start from the weights.safetensors in the folder of the run that made it"


def model_tensors(model: str | Path) -> TensorFile:
    """Tensors of a model file by the names of its torch network, with the metadata of a run's weights.

    Parameters
    ----------
    model : str or pathlib.Path
        A model file, or the name of a shipped model.

    Raises
    ------
    DataError
        If the network is none of the catalog's, or its weights cannot be told from the graph.
    ModelFileError
        If it is not a model file.
    """
    file = read_model(model)
    record = file.record
    source = f"the model '{record.name}'"
    settings = _network_of(record)
    spec = record.input
    network = build_network(settings, bands=len(spec.bands), outputs=record.outputs, size=spec.size).eval()
    held = {t.name: torch.from_numpy(numpy_helper.to_array(t).copy()) for t in file.graph.graph.initializer}
    state = network.state_dict()
    network.load_state_dict(state | {n: v for n, v in held.items() if n in state and v.shape == state[n].shape})
    pixels = torch.from_numpy(record.reference.unpack().astype(np.float32))
    mean, sd = (torch.tensor(v, dtype=torch.float32).view(1, -1, 1, 1) for v in (spec.mean, spec.sd))
    try:
        with torch.no_grad(), _Unfolding(network, held):
            logits = network((pixels - mean) / sd).logits / record.temperature
    except (RuntimeError, ValueError, IndexError) as error:
        raise DataError(f"the weights of {source} do not fit its network {settings.name}", fix=_FIX) from error
    answers = torch.softmax(logits, 1) if record.task == "single-label" else torch.sigmoid(logits)
    stated = torch.tensor(record.reference.probabilities)[:, -answers.shape[1] :]
    # Through another patch size the reference patches are resized first, which only the graph does.
    if pixels.shape[-1] == spec.size and not bool(torch.allclose(answers, stated, atol=_TOLERANCE, rtol=0)):
        raise DataError(f"the weights of {source} cannot be told from its graph", fix=_FIX)
    return TensorFile(dict(network.state_dict()), _metadata(record, settings))


def is_model(path: Path) -> bool:
    """Whether a file is named as a model file is, not as one of weights."""
    return path.suffix == ".onnx"


def model_metadata(model: str | Path) -> dict[str, str]:
    """What a run's weights would state of themselves, from the record of a model file.

    Raises
    ------
    DataError
        If the network is none of the catalog's.
    ModelFileError
        If it is not a model file.
    """
    record = read_model(model).record
    return _metadata(record, _network_of(record))


def _metadata(record: Record, settings: Network) -> dict[str, str]:
    spec, began = record.input, record.started_from or {}
    license = began.get("license") if began else record.license
    credits = dict.fromkeys(filter(None, (record.data.attribution, began.get("attribution"))))
    return weights_metadata(
        Expectation(bands=spec.bands, data_type=spec.data_type, scale=1, mean=spec.mean, sd=spec.sd),
        settings,
        # Of weights that were trained from scratch their owner chose a license, for the model.
        license=record.license if license == OWN else license,
        classes=record.class_names,
        seen=record.seen,
        attribution="; ".join(credits) or None,
    )


def _network_of(record: Record) -> Network:
    """Settings of a model's network, as its recipe has them."""
    try:
        return validate(Network, record.recipe["network"], where=f"the record of '{record.name}'")
    except (SwathError, KeyError, TypeError) as error:
        raise DataError(f"the record of '{record.name}' does not state its network", fix=_FIX) from error


class _Unfolding:
    """While it is open, each norm that was folded into the layer before it is restored from what passes through."""

    def __init__(self, network: nn.Module, held: dict[str, torch.Tensor]) -> None:
        self._layers = {name: module for name, module in network.named_modules() if f"{name}.weight{_FOLDED}" in held}
        self._norms = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
        self._held = held
        self._made: dict[int, tuple[nn.Module, torch.Tensor, torch.Tensor]] = {}  # by the identity of an output
        self._hooks: list[Any] = []

    def __enter__(self) -> None:
        for name, layer in self._layers.items():
            self._hooks.append(layer.register_forward_hook(self._note(self._held[f"{name}.weight{_FOLDED}"])))
        self._hooks += [norm.register_forward_pre_hook(self._restore) for norm in self._norms]

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()

    def _note(self, bias: torch.Tensor) -> Callable[[nn.Module, Any, torch.Tensor], None]:
        def note(layer: nn.Module, _: Any, output: torch.Tensor) -> None:
            self._made[id(output)] = (layer, output, bias)  # the output is kept, so that its identity stays its own

        return note

    def _restore(self, norm: nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...] | None:
        found = self._made.pop(id(inputs[0]), None)
        if found is None:
            return None
        layer, values, bias = found
        filters: Any = layer.weight
        length = filters.flatten(1).norm(dim=1).clamp_min(1e-12)
        filters.copy_(filters / length.view(-1, *[1] * (filters.ndim - 1)))
        values = values / length.view(1, -1, 1, 1)
        mean, variance = values.mean((0, 2, 3)), values.var((0, 2, 3), unbiased=False)
        whole: Any = norm
        whole.running_mean.copy_(mean)
        whole.running_var.copy_(variance)
        whole.weight.copy_(length * (variance + whole.eps).sqrt())
        whole.bias.copy_(bias + length * mean)
        return (values,)
