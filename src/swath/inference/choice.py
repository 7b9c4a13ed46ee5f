"""Which engine runs a model: chosen by name, by what is installed and by what the model's record allows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec

import onnx

from swath.errors import SettingError
from swath.inference.engines import ENGINES, Engine, describe
from swath.machine import free_cores
from swath.model import ModelFile
from swath.model.record import EngineParity

AUTO = "auto"
# Products in bf16 are used unasked only for models that kept this share of their labels with them.
BF16_LABELS = 0.999


@dataclass(frozen=True)
class EngineChoice:
    """Which engine is to run, one of :data:`ENGINES`, and what the user should know about why."""

    name: str
    note: str = ""


def key_of(engine: Engine) -> str:
    """The name in :data:`ENGINES` that makes an engine like this one."""
    return f"{engine.name}-bf16" if engine.precision == "bf16" else engine.name


def choose_engine(
    name: str,
    parity: Sequence[EngineParity],
    *,
    installed: Callable[[str], bool] = lambda package: find_spec(package) is not None,
    has_bf16: Callable[[], bool] | None = None,
) -> EngineChoice:
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
            return EngineChoice("onnxruntime", note="openvino is not installed")
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
    return EngineChoice(name)


def make_engine(name: str, graph: onnx.ModelProto, *, threads: int | None = None, where: str = "the model") -> Engine:
    """Start an engine by name; `threads` defaults to the cores this process may use.

    Graphs that resize to a patch size take pictures of any size; others, such as a network run over a
    whole strip, see pixels as they are.

    Parameters
    ----------
    name : str
        One of :data:`ENGINES`.
    graph : onnx.ModelProto
        A whole model.
    threads : int, optional
        Threads to use.
    where : str
        What messages call the model, such as its file.

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

        return OnnxRuntime(graph, threads=threads, where=where)
    from swath.inference.openvino import OpenVino  # noqa: PLC0415

    return OpenVino(graph, threads=threads, precision="bf16" if name.endswith("-bf16") else "fp32", where=where)


def engine_for(file: ModelFile, name: str, *, threads: int | None = None) -> tuple[Engine, str]:
    """Start the engine that is to run a model file, and describe it.

    Raises
    ------
    SettingError, ModelFileError
        As :func:`choose_engine` and :func:`make_engine` do.
    """
    choice = choose_engine(name, file.record.parity)
    engine = make_engine(choice.name, file.graph, threads=threads, where=str(file.path))
    return engine, describe(engine, note=choice.note)


def _has_bf16() -> bool:
    from swath.inference.openvino import has_bf16  # noqa: PLC0415

    return has_bf16()
