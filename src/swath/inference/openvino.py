"""OpenVINO on the CPU, in fp32 or bf16: the precision that is asked for, or none."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import openvino
from openvino import properties
from openvino.properties import hint

from swath.errors import ModelFileError, SettingError
from swath.imagery import resize
from swath.inference.engines import Outputs, checked, first_line, first_output
from swath.model.graph import patch_size, prune

# Few enough for the activations to stay in a core's own cache (batches of 32 and more ran 20 to 40 % slower),
# and enough for what starting a batch costs not to matter.
BATCH = 8
_TYPES = {"fp32": openvino.Type.f32, "bf16": openvino.Type.bf16}
_COMPILED = 8  # models held, one for each shape and set of outputs


@dataclass(frozen=True)
class _Compiled:
    """A model compiled for one shape, and a request for each part that may be under way at once."""

    requests: tuple[openvino.InferRequest, ...]
    names: tuple[str, ...]


def has_bf16() -> bool:
    """Whether this processor multiplies bf16 itself."""
    return "BF16" in openvino.Core().get_property("CPU", properties.device.capabilities)


class OpenVino:
    """OpenVINO on the CPU; see :class:`swath.inference.engines.Engine`.

    Patches go in batches of one fixed size, one stream per thread, so that threads never wait for each other
    within a layer; the last batch is filled up. What a patch gets so depends on nothing but the patch.
    Graphs without a patch size run at the shape of the pixels, all threads on one layer.

    Pictures of other sizes are resized before they go in, as the graph's own nodes say it: OpenVINO runs
    those without their antialiasing.
    """

    name = "openvino"

    def __init__(
        self, graph: onnx.ModelProto, *, threads: int, precision: str, batch_size: int = BATCH, where: str = "the model"
    ) -> None:
        if precision == "bf16" and not has_bf16():
            raise SettingError("this processor does not multiply bf16", fix="use --engine openvino")
        self.precision = precision
        self.threads = threads
        self.batch_size = batch_size
        self._graph = graph
        self._where = where
        self._size = patch_size(graph)
        self._bands = graph.graph.input[0].type.tensor_type.shape.dim[1].dim_value if graph.graph.input else 0
        self._core = openvino.Core()
        self._compiled: dict[tuple[tuple[str, ...], tuple[int, ...]], _Compiled] = {}
        self._lock = threading.Lock()  # the requests hold the pixels of the call in hand
        if self._size is None:
            self._read(first_output(graph))  # a graph it refuses is refused now, not at the first patch
        else:
            self._ready(first_output(graph), self._size, self._size)

    def run(self, pixels: npt.NDArray[Any], wanted: Sequence[str]) -> Outputs:
        """Give the `wanted` outputs for `pixels` ``[N, bands, H, W]``."""
        if self._size is not None and pixels.shape[2:] != (self._size, self._size):
            pixels = resize(pixels, self._size)
        with self._lock:
            ready = self._ready(tuple(wanted), *pixels.shape[2:])
            try:
                outputs = self._run(ready, pixels)
            except Exception as error:
                raise ModelFileError(f"OpenVINO cannot run {self._where} ({first_line(error)})") from error
        return checked(outputs, self._where)

    def _run(self, ready: _Compiled, pixels: npt.NDArray[Any]) -> Outputs:
        first = ready.requests[0]
        batch_size = first.get_input_tensor().shape[0]
        shapes = [list(first.get_output_tensor(place).shape) for place in range(len(ready.names))]
        if any(shape[:1] != [batch_size] for shape in shapes):
            raise ValueError("an output does not have one row per patch")
        results = [np.empty((len(pixels), *shape[1:]), np.float32) for shape in shapes]
        busy: list[tuple[openvino.InferRequest, slice]] = []

        def collect() -> None:
            request, rows = busy.pop(0)
            request.wait()
            for place, result in enumerate(results):
                result[rows] = request.get_output_tensor(place).data[: rows.stop - rows.start]

        try:
            for number, start in enumerate(range(0, len(pixels), batch_size)):
                if len(busy) == len(ready.requests):
                    collect()
                rows = slice(start, min(start + batch_size, len(pixels)))
                request = ready.requests[number % len(ready.requests)]
                request.get_input_tensor().data[: rows.stop - start] = pixels[rows]
                request.start_async()
                busy.append((request, rows))
            while busy:
                collect()
        finally:
            for request, _ in busy:
                request.wait()
        return dict(zip(ready.names, results, strict=True))

    def _ready(self, wanted: tuple[str, ...], height: int, width: int) -> _Compiled:
        """The model compiled for these outputs and pixels of this size."""
        key = (wanted, (height, width))
        if key not in self._compiled:
            if len(self._compiled) >= _COMPILED:
                del self._compiled[next(iter(self._compiled))]
            self._compiled[key] = self._compile(wanted, height, width)
        return self._compiled[key]

    def _compile(self, wanted: tuple[str, ...], height: int, width: int) -> _Compiled:
        patches = self._size is not None
        model = self._read(wanted)
        streams = self.threads if patches else 1
        settings = {
            hint.inference_precision: _TYPES[self.precision],
            properties.num_streams: streams,
            properties.inference_num_threads: self.threads,
            # Two processes of one thread each would otherwise share the first core.
            hint.enable_cpu_pinning: False,
        }
        try:
            model.reshape([self.batch_size if patches else 1, self._bands, height, width])
            compiled = self._core.compile_model(model, "CPU", settings)
        except Exception as error:
            raise ModelFileError(f"OpenVINO cannot load {self._where} ({first_line(error)})") from error
        got = compiled.get_property(hint.inference_precision)
        if got != _TYPES[self.precision]:
            raise SettingError(
                f"OpenVINO runs {got.get_type_name()} here, not {self.precision}", fix="use --engine onnxruntime"
            )
        return _Compiled(tuple(compiled.create_infer_request() for _ in range(streams)), wanted)

    def _read(self, wanted: tuple[str, ...]) -> openvino.Model:
        graph = prune(self._graph, wanted, native_size=self._size is not None)
        if any(a.name == "antialias" and a.i for n in graph.graph.node for a in n.attribute):
            raise ModelFileError(
                f"{self._where} resizes inside, with antialiasing, which OpenVINO leaves out",
                fix="use --engine onnxruntime",
            )
        try:
            return self._core.read_model(graph.SerializeToString())
        except Exception as error:
            raise ModelFileError(f"OpenVINO cannot load {self._where} ({first_line(error)})") from error
