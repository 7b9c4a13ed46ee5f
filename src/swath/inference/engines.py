"""Engines that run a model file's graph: one protocol, and what all of them share.

Precision is always stated and never left to the engine: one that multiplies in bf16 where the processor
can would give other numbers on another machine without saying so.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import onnx

from swath.errors import ModelFileError

Outputs = dict[str, npt.NDArray[np.float32]]
_OWN_CODE = re.compile(r"(Exception from src/|Check '.*' failed at )")
ENGINES = ("onnxruntime", "openvino", "openvino-bf16")


class Engine(Protocol):
    """Runs a graph; how many patches go in at a time is its own choice.

    Attributes
    ----------
    name : str
        One of :data:`ENGINES`, without its precision.
    precision : str
        Of the products: ``fp32`` or ``bf16``.
    threads : int
        Threads it uses.
    batch_size : int
        Patches it takes at a time.
    """

    name: str
    precision: str
    threads: int
    batch_size: int

    def run(self, pixels: npt.NDArray[Any], wanted: Sequence[str]) -> Outputs:
        """Give the `wanted` outputs for `pixels` ``[N, bands, H, W]``, any N from 1."""


def describe(engine: Engine, *, note: str = "") -> str:
    """Say what runs, such as ``openvino bf16, 2 threads, batch 8``."""
    threads = f"{engine.threads} thread{'s' if engine.threads > 1 else ''}"
    text = f"{engine.name} {engine.precision}, {threads}, batch {engine.batch_size}"
    return f"{text} ({note})" if note else text


def checked(outputs: Outputs, where: str) -> Outputs:
    """Hand on an engine's outputs if probabilities are numbers: labels made of others would look like any.

    Parameters
    ----------
    outputs : dict of str to numpy.ndarray
        What it gave.
    where : str
        What messages call the model.

    Raises
    ------
    ModelFileError
        If one is not finite.
    """
    if "probabilities" in outputs and not np.isfinite(outputs["probabilities"]).all():
        raise ModelFileError(
            f"{where} gives probabilities that are not numbers",
            fix="its weights are damaged: use another copy, or train it again",
        )
    return outputs


def first_output(graph: onnx.ModelProto) -> tuple[str]:
    """The output that an engine makes itself ready for when it starts: ``probabilities`` of a whole model.

    Raises
    ------
    ModelFileError
        If the graph has none.
    """
    if not graph.graph.output:
        raise ModelFileError("the model has no output")
    return (graph.graph.output[0].name,)


def first_line(error: Exception) -> str:
    """The first line of what an engine says, for a message; not those that say where in its own code it is."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = [line for line in lines if not _OWN_CODE.match(line)]
    return (said or lines or [type(error).__name__])[0][:200]


def silence_engine_logs() -> None:
    """Switch off the reporting of engines that are not loaded yet, in this process and those it starts.

    OpenVINO reports every import through the package ``openvino_telemetry``, and without it uses a stand-in
    of its own that does nothing. ONNX Runtime has a reporter of its own (seen in 1.31) that the
    environment switches off. Both would also leave an identifier in the home folder.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    if "openvino" not in sys.modules:
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
