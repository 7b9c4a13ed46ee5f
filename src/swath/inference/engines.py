"""Engines that run a model file's graph. One protocol, one class an engine."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime

from swath.errors import ModelFileError, SettingError
from swath.model.graph import INPUT

Outputs = dict[str, npt.NDArray[np.float32]]


class Engine(Protocol):
    """Runs one batch."""

    name: str

    def run(self, pixels: npt.NDArray[Any], wanted: Sequence[str]) -> Outputs:
        """Give the `wanted` outputs for `pixels` ``[N, bands, H, W]``."""


class OnnxRuntime:
    """ONNX Runtime on the CPU.

    Threads are set on purpose and do not spin: busy-waiting with more threads than free cores slows
    small networks tenfold.
    """

    name = "onnxruntime"

    def __init__(self, graph: onnx.ModelProto, *, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(
                graph.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            raise ModelFileError(f"ONNX Runtime cannot load the model ({_first_line(error)})") from error

    def run(self, pixels: npt.NDArray[Any], wanted: Sequence[str]) -> Outputs:
        """Give the `wanted` outputs for `pixels` ``[N, bands, H, W]``."""
        try:
            values = self._session.run(list(wanted), {INPUT: pixels})
        except Exception as error:
            raise ModelFileError(f"ONNX Runtime cannot run the model ({_first_line(error)})") from error
        return dict(zip(wanted, values, strict=True))


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__


ENGINES: dict[str, Callable[..., Engine]] = {"onnxruntime": OnnxRuntime}


def free_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def make_engine(name: str, graph: onnx.ModelProto, *, threads: int | None = None) -> Engine:
    """Start an engine by name; `threads` defaults to the cores this process may use.

    Raises
    ------
    SettingError
        If there is no such engine, or `threads` is not positive.
    ModelFileError
        If the engine refuses the graph.
    """
    if name not in ENGINES:
        raise SettingError(f"there is no engine '{name}'", fix=f"use one of {', '.join(sorted(ENGINES))}")
    if threads is not None and threads < 1:
        raise SettingError(f"{threads} threads", fix="give --threads 1 or more")
    return ENGINES[name](graph, threads=threads or free_cores())
