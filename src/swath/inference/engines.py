"""Engines that run a model file's graph: one protocol, one class an engine, and the choice among them.

Precision is always stated and never left to the engine: one that multiplies in bf16 where the processor
can would give other numbers on another machine without saying so.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import onnx

from swath.errors import ModelFileError, SettingError
from swath.model import ModelFile
from swath.model.record import EngineParity

Outputs = dict[str, npt.NDArray[np.float32]]

AUTO = "auto"
ENGINES = ("onnxruntime", "openvino", "openvino-bf16")
# Products in bf16 are used unasked only for models that kept this share of their labels with them.
BF16_LABELS = 0.999


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
    batch : int
        Patches it takes at a time.
    """

    name: str
    precision: str
    threads: int
    batch: int

    def run(self, pixels: npt.NDArray[Any], wanted: Sequence[str]) -> Outputs:
        """Give the `wanted` outputs for `pixels` ``[N, bands, H, W]``, any N from 1."""


@dataclass(frozen=True)
class Choice:
    """Which engine is to run, one of :data:`ENGINES`, and what the user should know about why."""

    name: str
    note: str = ""


def free_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def describe(engine: Engine, *, note: str = "") -> str:
    """Say what runs, such as ``openvino bf16, 2 threads, batch 8``."""
    threads = f"{engine.threads} thread{'s' if engine.threads > 1 else ''}"
    text = f"{engine.name} {engine.precision}, {threads}, batch {engine.batch}"
    return f"{text} ({note})" if note else text


def key_of(engine: Engine) -> str:
    """The name in :data:`ENGINES` that makes an engine like this one."""
    return f"{engine.name}-bf16" if engine.precision == "bf16" else engine.name


def choose_engine(
    name: str,
    parity: Sequence[EngineParity],
    *,
    installed: Callable[[str], bool] = lambda package: find_spec(package) is not None,
    has_bf16: Callable[[], bool] | None = None,
) -> Choice:
    """Settle which engine runs a model.

    ``auto`` is OpenVINO, the faster one, in bf16 if the processor multiplies that and the model's record says
    it keeps its labels with it, else in fp32; ONNX Runtime if OpenVINO is not installed, and the note says so.

    Parameters
    ----------
    name : str
        One of :data:`ENGINES`, or ``auto``.
    parity : sequence of EngineParity
        What the model's record says of engines and precisions.
    installed, has_bf16 : callable
        Whether a package is installed, and whether the processor multiplies bf16.

    Raises
    ------
    SettingError
        If there is no such engine, or it is not installed.
    """
    if name == AUTO:
        if not installed("openvino") and installed("onnxruntime"):
            return Choice("onnxruntime", note="openvino is not installed")
        kept = [p.label_agreement for p in parity if p.precision == "bf16"]
        if not (kept and min(kept) >= BF16_LABELS and installed("openvino")):
            name = "openvino"
        else:
            name = "openvino-bf16" if (has_bf16 or _has_bf16)() else "openvino"
    if name not in ENGINES:
        raise SettingError(f"there is no engine '{name}'", fix=f"use one of {AUTO}, {', '.join(ENGINES)}")
    package = name.removesuffix("-bf16")
    if not installed(package):
        raise SettingError(f"the engine '{name}' is not installed", fix=f"run: pip install {package}")
    return Choice(name)


def make_engine(name: str, graph: onnx.ModelProto, *, threads: int | None = None) -> Engine:
    """Start an engine by name; `threads` defaults to the cores this process may use.

    Graphs that resize to a patch size take pictures of any size; others, such as a network laid over a
    whole strip, see pixels as they are.

    Parameters
    ----------
    name : str
        One of :data:`ENGINES`.
    graph : onnx.ModelProto
        A whole model.
    threads : int, optional
        Threads to use.

    Raises
    ------
    SettingError
        If there is no such engine, it is not installed, the processor lacks its precision, or `threads` is
        not positive.
    ModelFileError
        If the engine refuses the graph.
    """
    name = choose_engine(name, ()).name
    if threads is not None and threads < 1:
        raise SettingError(f"{threads} threads", fix="give --threads 1 or more")
    threads = threads or free_cores()
    # Each is loaded only when it is used: the other's libraries would add to every start.
    if name == "onnxruntime":
        from swath.inference.onnxruntime import OnnxRuntime  # noqa: PLC0415

        return OnnxRuntime(graph, threads=threads)
    from swath.inference.openvino import OpenVino  # noqa: PLC0415

    return OpenVino(graph, threads=threads, precision="bf16" if name.endswith("-bf16") else "fp32")


def engine_for(file: ModelFile, name: str, *, threads: int | None = None) -> tuple[Engine, str]:
    """Start the engine that is to run a model file, and describe it.

    Raises
    ------
    SettingError, ModelFileError
        As :func:`choose_engine` and :func:`make_engine` do.
    """
    choice = choose_engine(name, file.record.parity)
    engine = make_engine(choice.name, file.graph, threads=threads)
    return engine, describe(engine, note=choice.note)


def checked(outputs: Outputs) -> Outputs:
    """Hand on an engine's outputs if probabilities are numbers: labels made of others would look like any.

    Raises
    ------
    ModelFileError
        If one is not finite.
    """
    if "probabilities" in outputs and not np.isfinite(outputs["probabilities"]).all():
        raise ModelFileError(
            "the model gives probabilities that are not numbers",
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
    """The first line of what an engine says, for a message."""
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__


def _has_bf16() -> bool:
    from swath.inference.openvino import has_bf16  # noqa: PLC0415

    return has_bf16()
