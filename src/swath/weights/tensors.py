"""Read and write files of weights: safetensors, and the checkpoints of torch.

Nothing is unpickled but through torch's restricted reader (:func:`read_tensors`). :func:`read_metadata` and
:func:`check_safetensors` read no tensors; :func:`write_weights` writes the same bytes for the same weights.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from swath.errors import DataError

CONVERT = (
    "if you trust its author, convert it to safetensors where it was made: "
    "safetensors.torch.save_file(state_dict, 'weights.safetensors')"
)
_ZIP, _PICKLE = b"PK\x03\x04", b"\x80\x02"  # how torch's two layouts of a checkpoint begin
_INSIDE = ("state_dict", "model")  # where training programs put the state dict in a larger checkpoint
_ALIGNED = 8


@dataclass(frozen=True)
class TensorFile:
    """What a file of weights holds.

    Attributes
    ----------
    tensors : dict of str to torch.Tensor
        By name.
    metadata : dict of str to str
        Of a safetensors file; empty for a ``.pth`` file, which has none.
    """

    tensors: dict[str, torch.Tensor]
    metadata: dict[str, str]


def read_tensors(path: Path) -> TensorFile:
    """Read a safetensors file or a torch checkpoint; the format is detected from the content, not the name.

    The state dict of a checkpoint is taken on its own or from under ``state_dict`` or ``model``.

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
    if mark == _ZIP or mark.startswith(_PICKLE):
        return TensorFile(_state_dict(_checkpoint(path), path), {})
    try:
        with safe_open(path, framework="pt") as file:
            return TensorFile({k: file.get_tensor(k) for k in file.keys()}, dict(file.metadata() or {}))  # noqa: SIM118
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
        That `name` is none, with `fix` as its remedy.
    """
    try:
        with safe_open(path, framework="pt"):
            pass
    except (SafetensorError, OSError, ValueError) as error:
        raise DataError(f"{name} holds no weights that can be read ({error})", fix=fix) from error


def read_metadata(path: Path) -> dict[str, str]:
    """Metadata of a file of weights, without reading its tensors; empty where there is none."""
    try:
        with safe_open(path, framework="pt") as file:
            return dict(file.metadata() or {})
    except (SafetensorError, OSError, ValueError):
        return {}


def write_weights(path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> None:
    """Write tensors and their metadata as safetensors, with the same bytes for the same weights.

    The library writes metadata in an order that differs from process to process; here it is sorted.

    Parameters
    ----------
    path : pathlib.Path
        Written over; give a temporary one of :func:`swath.files.atomic_file`.
    tensors : mapping of str to torch.Tensor
        On any device.
    metadata : mapping of str to str
        See :func:`swath.weights.weights_metadata`.
    """
    plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    raw = save(plain, dict(metadata))
    length = int.from_bytes(raw[:_ALIGNED], "little")
    header = json.loads(raw[_ALIGNED : _ALIGNED + length])
    header["__metadata__"] = dict(sorted(metadata.items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNED)
    path.write_bytes(len(text).to_bytes(_ALIGNED, "little") + text + raw[_ALIGNED + length :])


def _checkpoint(path: Path) -> Any:
    """What torch's restricted reader builds from a file: plain containers, values and tensors."""
    try:
        with path.open("rb") as file:  # by its path, torch would choose the format by the name's ending
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise DataError(
            f"{path} is damaged or holds more than tensors: torch's restricted reader refuses it", fix=CONVERT
        ) from error
    except Exception as error:  # a damaged file breaks the reader in many ways
        reason = str(error).strip().partition("\n")[0][:200] or type(error).__name__
        raise DataError(f"{path} is not a usable checkpoint ({reason})", fix="get the file again") from error


def _state_dict(held: Any, path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a checkpoint by name."""
    if isinstance(held, dict):
        held = next((held[name] for name in _INSIDE if isinstance(held.get(name), dict)), held)
    if not isinstance(held, dict) or not held:
        raise DataError(f"{path} holds no tensors by name", fix="give a state dict: model.state_dict()")
    for name, value in held.items():
        if not isinstance(name, str) or not _is_plain(value):
            raise DataError(f"{path} holds more than tensors: its entry {str(name)[:80]!r} is none", fix=CONVERT)
    return {name: value.detach() for name, value in held.items()}


def _is_plain(value: Any) -> bool:
    """Whether a value is a tensor of numbers that lie in memory."""
    return (
        isinstance(value, torch.Tensor)
        and value.layout is torch.strided
        and value.device.type == "cpu"
        and not value.is_quantized
    )
