"""Checkpoints as safetensors: everything needed to resume a run, and nothing that could be executed."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from swath.errors import DataError, OutputError, SwathError
from swath.files import NO_ROOM, atomic_file

CHECKPOINT = "checkpoint.safetensors"
PARTS = ("network", "best", "average")


@dataclass(frozen=True)
class Checkpoint:
    """A run between two epochs.

    Attributes
    ----------
    identity : str
        What the run is of (recipe, data, classes); a checkpoint of another run is refused.
    history : list of dict
        One row per completed epoch.
    network, best : mapping of str to torch.Tensor
        State of the network now, and at the epoch that is kept.
    optimizers : sequence of mapping
        State of each optimizer: ``{parameter number: {name: tensor}}``.
    average : mapping of str to torch.Tensor
        Running average of the weights; empty where the recipe has none.
    """

    identity: str
    history: list[dict[str, float]]
    network: Mapping[str, torch.Tensor]
    best: Mapping[str, torch.Tensor]
    optimizers: Sequence[Mapping[int, Mapping[str, torch.Tensor]]]
    average: Mapping[str, torch.Tensor] = field(default_factory=dict)


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write to a temporary name and rename, so that a kill leaves the previous checkpoint whole.

    Raises
    ------
    OutputError
        If there is no room for it, or it cannot be written; the previous checkpoint stays.
    """
    tensors: dict[str, torch.Tensor] = {}
    for part in PARTS:
        tensors.update({f"{part}/{k}": v for k, v in getattr(checkpoint, part).items()})
    for number, state in enumerate(checkpoint.optimizers):
        for parameter, values in state.items():
            tensors.update({f"optimizer/{number}/{parameter}/{k}": v for k, v in values.items()})
    metadata = {"identity": checkpoint.identity, "history": json.dumps(checkpoint.history)}
    with atomic_file(path, overwrite=True) as temporary:
        # Cloned, for Keras lists its weights twice and safetensors takes no two names of one memory.
        cloned = {k: v.detach().cpu().clone(memory_format=torch.contiguous_format) for k, v in tensors.items()}
        try:
            save_file(cloned, temporary, metadata)
        except SafetensorError as error:  # of its own, not the OSError it comes from
            reason = re.sub(r"^.*I/O error: | \(os error \d+\)", "", str(error)) or type(error).__name__
            raise OutputError(f"cannot write {path} ({reason})", fix=NO_ROOM) from error


def check_identity(path: Path, *, identity: str) -> None:
    """Refuse a checkpoint of another run than `identity`, without reading its weights.

    Raises
    ------
    DataError
        If the file is damaged or belongs to another recipe or other data.
    """
    with _opened(path) as file:
        _check_metadata(file.metadata(), path, identity)


def read_checkpoint(path: Path, *, identity: str) -> Checkpoint:
    """Read a checkpoint of the run `identity`.

    Raises
    ------
    DataError
        If the file is damaged or belongs to another recipe or other data.
    """
    parts: dict[str, dict[str, torch.Tensor]] = {part: {} for part in PARTS}
    optimizers: dict[int, dict[int, dict[str, torch.Tensor]]] = {}
    with _opened(path) as file:
        history = _check_metadata(file.metadata(), path, identity)
        for key in file.keys():  # noqa: SIM118  (safe_open is not a mapping)
            part, _, rest = key.partition("/")
            if part == "optimizer":
                number, parameter, name = rest.split("/")
                slot = optimizers.setdefault(int(number), {}).setdefault(int(parameter), {})
                slot[name] = file.get_tensor(key)
            else:
                parts[part][rest] = file.get_tensor(key)
    # An optimizer whose parameters were all frozen so far has no state, and nothing in the file.
    states = [optimizers.get(k, {}) for k in range(max(optimizers, default=-1) + 1)]
    return Checkpoint(identity, history, parts["network"], parts["best"], states, parts["average"])


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except SwathError:  # of the block that reads the file
        raise
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise DataError(f"{path} is not a usable checkpoint ({error})", fix="start over with --overwrite") from error


def _check_metadata(metadata: dict[str, str] | None, path: Path, identity: str) -> list[dict[str, float]]:
    """The history, if the checkpoint is of the run `identity`."""
    values = metadata or {}
    if values["identity"] != identity:
        raise DataError(
            f"{path} is of another recipe or other data", fix="resume with the same ones, or pass --overwrite"
        )
    history: list[dict[str, float]] = json.loads(values["history"])
    return history


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[int, dict[str, torch.Tensor]]:
    """The tensors of an optimizer's state, by parameter number."""
    state: dict[int, dict[str, Any]] = optimizer.state_dict()["state"]
    return {n: {k: v for k, v in values.items() if isinstance(v, torch.Tensor)} for n, values in state.items()}


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[int, Mapping[str, torch.Tensor]]) -> None:
    """Put the tensors of :func:`optimizer_tensors` back; groups keep their own settings."""
    state = optimizer.state_dict()
    state["state"] = {n: dict(values) for n, values in tensors.items()}
    optimizer.load_state_dict(state)
