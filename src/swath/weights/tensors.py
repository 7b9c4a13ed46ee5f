"""Tensors and metadata out of a file of weights, whichever of the known formats it is in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from swath.errors import DataError
from swath.weights.checkpoint_zip import STREAM_MARK, ZIP_MARK, read_checkpoint_file


@dataclass(frozen=True)
class WeightFile:
    """What a file of weights holds.

    Attributes
    ----------
    tensors : dict of str to torch.Tensor
        By name.
    metadata : dict of str to str
        What the file says of itself; empty for a ``.pth`` file, which can say nothing.
    """

    tensors: dict[str, torch.Tensor]
    metadata: dict[str, str]


def read_weight_file(path: Path) -> WeightFile:
    """Read a safetensors file or a torch checkpoint; the content tells which, not the name.

    Raises
    ------
    DataError
        If the file is missing, damaged, in another format, or holds more than tensors.
    """
    try:
        with path.open("rb") as file:
            mark = file.read(4)
    except OSError as error:
        raise DataError(f"cannot read the weights {path} ({error.strerror})") from error
    if mark == ZIP_MARK or mark.startswith(STREAM_MARK):
        return WeightFile(read_checkpoint_file(path), {})
    try:
        with safe_open(path, framework="pt") as file:
            return WeightFile({k: file.get_tensor(k) for k in file.keys()}, dict(file.metadata() or {}))  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise DataError(
            f"{path} holds no weights that can be read ({error})",
            fix="give a .safetensors file, or the state dict of a network as .pth",
        ) from error


def check_safetensors(path: Path, *, name: str, fix: str) -> None:
    """Refuse a file that is no whole safetensors file, without reading its tensors.

    Raises
    ------
    DataError
        That `name` is none, with `fix` as its mend.
    """
    try:
        with safe_open(path, framework="pt"):
            pass
    except (SafetensorError, OSError, ValueError) as error:
        raise DataError(f"{name} holds no weights that can be read ({error})", fix=fix) from error


def read_metadata(path: Path) -> dict[str, str]:
    """What a file of weights says of itself, without reading its tensors; empty where it says nothing."""
    try:
        with safe_open(path, framework="pt") as file:
            return dict(file.metadata() or {})
    except (SafetensorError, OSError, ValueError):
        return {}
