"""ONNX Runtime on the CPU, in fp32."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime

from swath.errors import ModelFileError
from swath.inference.engines import Outputs, checked, first_line, first_output
from swath.model.graph import INPUT, prune

BATCH = 64  # measured: 4 to 256 make no difference here
# The graph turns pixels into float32 and, at its first layers, into several times as many: pictures that
# are much larger than a patch go in fewer at a time.
BATCH_BYTES = 8 * 2**20


class OnnxRuntime:
    """ONNX Runtime on the CPU; see :class:`swath.inference.engines.Engine`.

    Threads are set on purpose and do not spin: busy-waiting with more threads than free cores slows
    small networks tenfold.
    """

    name = "onnxruntime"
    precision = "fp32"
    batch_size = BATCH

    def __init__(self, graph: onnx.ModelProto, *, threads: int, where: str = "the model") -> None:
        self.threads = threads
        self._where = where
        self._graph = graph
        self._sessions: dict[tuple[str, ...], onnxruntime.InferenceSession] = {}
        self._session(first_output(graph))  # a graph it refuses is refused now, not at the first patch

    def run(self, pixels: npt.NDArray[Any], wanted: Sequence[str]) -> Outputs:
        """Give the `wanted` outputs for `pixels` ``[N, bands, H, W]``."""
        session = self._session(tuple(wanted))
        batch_size = max(1, min(self.batch_size, BATCH_BYTES // max(1, pixels[:1].nbytes)))
        try:
            parts = [
                session.run(list(wanted), {INPUT: np.ascontiguousarray(pixels[start : start + batch_size])})
                for start in range(0, len(pixels), batch_size)
            ]
            outputs = {
                name: np.concatenate(values) for name, values in zip(wanted, zip(*parts, strict=True), strict=True)
            }
            if any(len(values) != len(pixels) for values in outputs.values()):
                raise ValueError("an output does not have one row per patch")
        except Exception as error:
            raise ModelFileError(f"ONNX Runtime cannot run {self._where} ({first_line(error)})") from error
        return checked(outputs, self._where)

    def _session(self, wanted: tuple[str, ...]) -> onnxruntime.InferenceSession:
        """One session for each set of outputs: nodes that only other outputs need are not in it."""
        if wanted not in self._sessions:
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = self.threads
            options.inter_op_num_threads = 1
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
            options.log_severity_level = 4  # what it cannot do it raises too; on standard error it says nothing
            graph = prune(self._graph, wanted).SerializeToString()
            try:
                self._sessions[wanted] = onnxruntime.InferenceSession(
                    graph, options, providers=["CPUExecutionProvider"]
                )
            except Exception as error:
                raise ModelFileError(f"ONNX Runtime cannot load {self._where} ({first_line(error)})") from error
        return self._sessions[wanted]
