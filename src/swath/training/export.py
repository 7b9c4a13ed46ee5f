"""From a trained network to an ONNX graph, and the export check.

The exporter has been wrong before: the assembled graph must agree with the torch network on real patches at several
batch sizes, or no model file is written.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
from torch import nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from swath.errors import ModelFileError, SettingError
from swath.inference.choice import make_engine
from swath.model.graph import BODY_OUTPUTS
from swath.model.record import EngineParity

BATCHES = (1, 2, 7, 256)
MAX_DIFFERENCE = 1e-3
OPSET = 20

Probabilities = npt.NDArray[np.float32]
TorchForward = Callable[[npt.NDArray[Any]], Probabilities]


def export_body(network: nn.Module, *, bands: int, size: int) -> onnx.ModelProto:
    """Export a network that maps normalized ``[N, bands, P, P]`` to those of BODY_OUTPUTS it has."""
    network = network.eval().to(memory_format=torch.contiguous_format)
    # Two patches, not one: an example batch of one is taken for a constant.
    example = torch.zeros(2, bands, size, size)
    with torch.no_grad():
        has = [name for name in BODY_OUTPUTS if getattr(network(example), name) is not None]
    if len(has) < len(BODY_OUTPUTS):
        network = _ExportedOutputs(network, has).eval()
    program = torch.onnx.export(
        network,
        (example,),
        dynamo=True,
        opset_version=OPSET,
        input_names=["patches"],
        output_names=has,
        dynamic_shapes=({0: torch.export.Dim("N")},),
        verbose=False,
    )
    if program is None:  # the exporter's signature allows it
        raise ModelFileError("the exporter returned nothing")
    buffer = io.BytesIO()
    onnx.save_model(program.model_proto, buffer)
    body = onnx.load_model_from_string(buffer.getvalue())
    # The exporter notes source lines and file names of this machine; a model file should not carry them.
    del body.metadata_props[:]
    del body.graph.metadata_props[:]
    for node in body.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    return body


def check_exportable(network: nn.Module, *, bands: int, size: int) -> None:
    """Export a user's network before it is trained, so that hours are not lost.

    Raises
    ------
    SettingError
        If the exporter cannot translate it.
    """
    try:
        export_body(network, bands=bands, size=size)
    except Exception as error:
        cause = error.__cause__ or error
        reason = next((line for line in str(cause).splitlines() if line.strip()), type(cause).__name__)
        raise SettingError(
            f"the network cannot be exported to ONNX ({reason.strip()})",
            fix="leave out what depends on the values of the input (torch.onnx.export says more)",
        ) from error
    finally:
        network.train()


class _ExportedOutputs(nn.Module):
    """A network that returns only the outputs it has: the exporter takes no None."""

    def __init__(self, network: nn.Module, has: Sequence[str]) -> None:
        super().__init__()
        # The head keeps its name in the graph, where maps and explanations look for it.
        for name, part in network.named_children():
            self.add_module(name, part)
        self._whole, self._has = [network], tuple(has)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        outputs = self._whole[0](x)
        return tuple(getattr(outputs, name) for name in self._has)


def check_export(
    graph: onnx.ModelProto,
    forward: TorchForward,
    pixels: npt.NDArray[Any],
    *,
    threads: int,
    cuts: Sequence[float] = (),
    batches: Sequence[int] = BATCHES,
) -> EngineParity:
    """Compare the graph on ONNX Runtime in fp32 with the torch network on real patches.

    Parameters
    ----------
    graph : onnx.ModelProto
        The assembled model.
    forward : callable
        Pixels ``[N, bands, P, P]`` as stored to torch's own probabilities ``[N, K]``.
    pixels : numpy.ndarray
        Real patches; fewer than the largest batch are repeated to fill it.
    cuts : sequence of float
        Thresholds of the last classes, where these decide and not the largest probability.

    Raises
    ------
    ModelFileError
        If any label differs or any probability differs by more than 1e-3.
    """
    patches = len(pixels)
    pixels = np.resize(pixels, (max(patches, *batches), *pixels.shape[1:]))
    reference = forward(pixels)
    engine = make_engine("onnxruntime", graph, threads=threads)
    worst, agreed = 0.0, 1.0
    for batch_size in batches:
        parts = [
            engine.run(np.ascontiguousarray(pixels[i : i + batch_size]), ("probabilities",))["probabilities"]
            for i in range(0, len(pixels), batch_size)
        ]
        got = np.concatenate(parts)
        difference = np.abs(got - reference).max()
        worst = max(worst, float(difference) if np.isfinite(difference) else float("inf"))
        agreed = min(agreed, _agreement(got, reference, cuts))
    if agreed < 1 or worst > MAX_DIFFERENCE:
        raise ModelFileError(
            f"the exported graph does not agree with the trained network (largest difference {worst:.2g}, "
            f"same labels {100 * agreed:.2f} %), so no model file was written",
            fix="report this with the recipe and the versions of torch and onnx",
        )
    return EngineParity(
        engine=engine.name,
        precision="fp32",
        patches=patches,
        batch_sizes=tuple(batches),
        max_difference=worst,
        label_agreement=agreed,
    )


def _agreement(got: Probabilities, reference: Probabilities, cuts: Sequence[float]) -> float:
    """Share of patches with the same labels; a probability at its threshold is no label either way."""
    if not cuts:
        return float((got.argmax(1) == reference.argmax(1)).mean())
    at = np.array(cuts)
    got, reference = got[:, -len(at) :], reference[:, -len(at) :]
    changed = (got >= at) != (reference >= at)
    clear = np.abs(reference - at) > MAX_DIFFERENCE
    return float(1 - (changed & clear).any(axis=1).mean())


def bf16_parity(
    bf16: TorchForward, forward: TorchForward, pixels: npt.NDArray[Any], *, cuts: Sequence[float] = ()
) -> EngineParity:
    """Measure how far probabilities move when products are taken in bf16, as matrix units do.

    Both functions run torch, so that the figure exists on machines without such units too:
    :class:`RoundedProducts` stands in for them.
    """
    reference, moved = forward(pixels), bf16(pixels)
    return EngineParity(
        engine="torch",
        precision="bf16",
        patches=len(pixels),
        batch_sizes=(),
        max_difference=float(np.abs(moved - reference).max()),
        label_agreement=_agreement(moved, reference, cuts),
    )


class RoundedProducts(TorchFunctionMode):
    """Products as bf16 units take them, where there are none: torch would emulate each, 20 times slower than fp32."""

    _PRODUCTS = frozenset(
        {
            torch.conv2d,
            torch.matmul,
            torch.Tensor.matmul,
            torch.Tensor.__matmul__,
            functional.linear,
            functional.scaled_dot_product_attention,
        }
    )

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Round both sides and the result to bf16, and multiply and add in fp32."""
        if func not in self._PRODUCTS:
            return func(*args, **kwargs or {})
        rounded = (arg.bfloat16().float() if isinstance(arg, torch.Tensor) else arg for arg in args)
        return func(*rounded, **kwargs or {}).bfloat16().float()
