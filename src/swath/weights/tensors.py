"""Read and write files of weights: safetensors, and the checkpoints of torch.

Nothing is unpickled but through torch's restricted reader (:func:`read_tensors`). :func:`read_metadata` and
:func:`check_safetensors` read no tensors; :func:`write_weights` writes the same bytes for the same weights.
"""

from __future__ import annotations

import json
import pickle
import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from swath.contents import SNIFFED_BYTES, mistaken_content
from swath.errors import DataError

CONVERT = (
    "if you trust its author, convert it to safetensors where it was made: "
    "safetensors.torch.save_file(model.state_dict(), 'weights.safetensors')"
)
_ZIP, _PICKLE = b"PK\x03\x04", b"\x80\x02"  # how torch's two layouts of a checkpoint begin
# Where training programs put the state dict in a larger checkpoint, the likeliest first.
_INSIDE = ("state_dict", "model_state_dict", "model", "model_state", "network", "net", "params", "weights", "module")
# What names a running average of the weights, and what holds tensors but no network.
AVERAGED = re.compile(r"(^|[._])(ema|averaged?|swa|teacher|shadow|online)([._]|$)|_?ema$|^ema", re.IGNORECASE)
_NO_NETWORK = re.compile(r"optim|sched|scaler|callback|loop|hyper|hparam|config|args|criterion|rng", re.IGNORECASE)
_DEEPEST = 5
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
    front : str
        What the names of the tensors to take begin with, if a user said so.
    notes : tuple of str
        What was chosen of several things the file holds.
    """

    tensors: dict[str, torch.Tensor]
    metadata: dict[str, str]
    front: str = ""
    notes: tuple[str, ...] = ()


def read_tensors(path: Path, *, entry: str = "") -> TensorFile:
    """Read a safetensors file or a torch checkpoint; the format is detected from the content, not the name.

    The state dict of a checkpoint is taken on its own or from wherever in it there is one, as under ``state_dict`` or
    ``model``. Of several, a running average is preferred, as in use, and the choice is noted.

    Parameters
    ----------
    path : Path
        The file.
    entry : str
        Where in the file the weights lie if it holds several: a place in a checkpoint, such as ``ema``, or what
        names begin with, such as ``student``, or one within the other.

    Raises
    ------
    DataError
        If the file is missing, damaged, in another format, or holds more than tensors.
    """
    try:
        with path.open("rb") as file:
            head = file.read(SNIFFED_BYTES)
    except OSError as error:
        raise DataError(f"cannot read the weights {path} ({error.strerror})") from error
    _refuse_other(path, head)
    # The length that begins a safetensors file may look like the mark of a pickle; its header follows.
    if head.startswith((_ZIP, _PICKLE)) and head[8:9] != b"{":
        return _state_dict(_checkpoint(path), path, entry)
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118
            return TensorFile(tensors, dict(file.metadata() or {}), entry)
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
    with path.open("rb") as file:
        found = mistaken_content(file.read(SNIFFED_BYTES))
    if found is not None:
        raise DataError(f"{name} holds no weights that can be read: it {found[0]}", fix=fix)
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
        named = re.search(r"GLOBAL ([\w.]+)", str(error))
        what = f"an object of {named[1]}, perhaps a whole network" if named else "or is damaged"
        raise DataError(
            f"{path} holds more than tensors, {what}: torch's restricted reader refuses it", fix=CONVERT
        ) from error
    except Exception as error:  # a damaged file breaks the reader in many ways
        reason = str(error).strip().partition("\n")[0][:200] or type(error).__name__
        raise DataError(f"{path} is not a usable checkpoint ({reason})", fix="get the file again") from error


def _refuse_other(path: Path, head: bytes) -> None:
    """Refuse what is no file of weights at all, and say what it is."""
    found = mistaken_content(head)
    if found is not None:
        raise DataError(f"{path} holds no weights that can be read: it {found[0]}", fix=found[1])
    if head.startswith(b"\x89HDF"):
        raise DataError(
            f"{path} holds no weights that can be read: it is an HDF5 file, such as Keras writes",
            fix="save the weights of the torch network as .safetensors or .pth",
        )
    if head[:2] in (b"\x80\x03", b"\x80\x04", b"\x80\x05") and head[8:9] != b"{":
        raise DataError(f"{path} is a pickle of another kind than torch's, and could run anything", fix=CONVERT)
    if path.suffix == ".onnx":
        raise DataError(f"{path} is a model file, not weights", fix="give the weights.safetensors of the same run")
    if not head.startswith(_ZIP):
        return
    if not zipfile.is_zipfile(path):
        raise DataError(f"{path} is cut short: the directory at its end is missing", fix="download the file again")
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    if any(name.endswith("/constants.pkl") for name in names):
        raise DataError(
            f"{path} is a TorchScript program, not a state dict",
            fix="where it was made: torch.save(torch.jit.load(FILE).state_dict(), 'weights.pth')",
        )
    if not any(name.endswith("data.pkl") for name in names):
        raise DataError(
            f"{path} is a zip archive, but no checkpoint of torch's", fix="unpack it and give the file in it"
        )


def _state_dict(held: Any, path: Path, entry: str) -> TensorFile:
    """The tensors of a checkpoint by name: those at `entry`, or the likeliest of the state dicts in it."""
    found = dict(_state_dicts(held)) if isinstance(held, dict) else {}
    notes: tuple[str, ...] = ()
    inside = max((name for name in found if not name or f"{entry}.".startswith(f"{name}.")), key=len, default=None)
    if entry and inside is not None:
        held, entry = found[inside], entry.removeprefix(inside).removeprefix(".")
    elif entry:
        raise DataError(f"{path} has no state dict at '{entry}'", fix=f"it has them at: {', '.join(found) or 'none'}")
    elif found:
        chosen = _likeliest(found, path)
        held = found[chosen]
        others = [name or "the top" for name in found if name != chosen]
        what = "the running average of the weights" if AVERAGED.search(chosen) else "the weights"
        if others:
            notes = (
                f"took {what} at '{chosen}'; others lie at {', '.join(others)}, "
                f"which --weights '{path.name}#{others[0]}' takes",
            )
    if not isinstance(held, dict) or not held:
        raise DataError(f"{path} holds no tensors by name", fix="give a state dict: model.state_dict()")
    for name, value in held.items():
        if not isinstance(name, str) or not _is_plain(value):
            raise DataError(f"{path} holds more than tensors: its entry {str(name)[:80]!r} is none", fix=CONVERT)
    return TensorFile({name: value.detach() for name, value in held.items()}, {}, entry, notes)


def _state_dicts(held: Mapping[Any, Any], place: tuple[str, ...] = ()) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """State dicts in a checkpoint, by the names that lead to them."""
    if held and all(isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in held.items()):
        yield ".".join(place), held
        return
    for name, value in held.items():
        if isinstance(name, str) and isinstance(value, dict) and len(place) < _DEEPEST and not _NO_NETWORK.search(name):
            yield from _state_dicts(value, (*place, name))


def _likeliest(found: Mapping[str, Mapping[str, Any]], path: Path) -> str:
    """Which of several state dicts is meant: a running average, else one at a usual place."""
    if len(found) == 1:
        return next(iter(found))
    averaged = [name for name in found if AVERAGED.search(name)]
    usual = [name for place in _INSIDE for name in found if place in name.split(".")]
    if not averaged and not usual:
        raise DataError(
            f"{path} holds several state dicts: {', '.join(found)}",
            fix=f"say which, as in --weights '{path}#{next(iter(found))}'",
        )
    return max(averaged, key=lambda name: len(found[name])) if averaged else usual[0]


def _is_plain(value: Any) -> bool:
    """Whether a value is a tensor of numbers that lie in memory."""
    return (
        isinstance(value, torch.Tensor)
        and value.layout is torch.strided
        and value.device.type == "cpu"
        and not value.is_quantized
    )
