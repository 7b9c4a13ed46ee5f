"""Tensors out of a ``.pth`` file: a reader of torch's two layouts of a checkpoint as data formats.

Since torch 1.6 a checkpoint is a zip archive of a description (``data.pkl``) and one uncompressed entry a
block of numbers; before, it was a stream of descriptions followed by the blocks. Neither is unpickled: see
:mod:`swath.weights.pickle_program`.
"""

from __future__ import annotations

import io
import math
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import torch

from swath.errors import DataError
from swath.weights.pickle_program import CONVERT, MAX_PROGRAM, StorageRef, TensorRef, run_program

ZIP_MARK = b"PK\x03\x04"
STREAM_MARK = b"\x80\x02"
MAX_ENTRIES = 50_000
_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001  # of the older layout, torch/serialization.py
_INSIDE = ("state_dict", "model")  # where training programs put the state dict in a larger checkpoint
_BROKEN = (
    zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, KeyError, IndexError, RuntimeError,
    NotImplementedError, struct.error,
)  # fmt: skip

Read = Callable[[StorageRef], bytes]


def read_checkpoint_file(path: Path) -> dict[str, torch.Tensor]:
    """Read the state dict of a ``.pth`` file, on its own or under ``state_dict`` or ``model``.

    Raises
    ------
    DataError
        If the file is damaged, or holds anything but tensors.
    """
    try:
        with path.open("rb") as file:
            if file.read(4) == ZIP_MARK:
                return _from_zip(file, path)
            return _from_stream(file, path)
    except _BROKEN as error:
        raise DataError(f"{path} is not a usable checkpoint ({error})", fix="get the file again") from error


def _from_zip(file: BinaryIO, path: Path) -> dict[str, torch.Tensor]:
    size = file.seek(0, io.SEEK_END)
    with zipfile.ZipFile(file) as archive:
        entries = _checked(archive, size)
        descriptions = [name for name in entries if name.endswith("/data.pkl") and name.count("/") == 1]
        if len(descriptions) != 1:
            raise ValueError("it needs one data.pkl")
        root = descriptions[0].removesuffix("data.pkl")
        if f"{root}byteorder" in entries and archive.read(f"{root}byteorder") != b"little":
            raise ValueError("its numbers are in big-endian order")
        if entries[descriptions[0]].file_size > MAX_PROGRAM:
            raise ValueError(f"its description has more than {MAX_PROGRAM >> 20} MiB")
        program = io.BytesIO(archive.read(descriptions[0]))

        def read(storage: StorageRef) -> bytes:
            entry = entries.get(f"{root}data/{storage.key}")
            if entry is None:
                raise ValueError(f"block {storage.key[:20]!r} is missing")
            if entry.file_size != storage.length * storage.dtype.itemsize:
                raise ValueError(f"block {storage.key[:20]!r} has another size than described")
            return archive.read(entry)

        return _tensors(run_program(program, where=str(path)), read, path)


def _checked(archive: zipfile.ZipFile, size: int) -> dict[str, zipfile.ZipInfo]:
    """The entries by name, if together they are no larger than the file."""
    found = archive.infolist()
    entries = {entry.filename: entry for entry in found}
    if len(found) > MAX_ENTRIES or len(entries) != len(found):
        raise ValueError("it has too many entries, or two of one name")
    if any(e.compress_type != zipfile.ZIP_STORED or e.file_size != e.compress_size for e in found):
        raise ValueError("its entries are compressed, which torch never does")
    if sum(e.file_size for e in found) > size:
        raise ValueError("its entries overlap")
    return entries


def _from_stream(file: BinaryIO, path: Path) -> dict[str, torch.Tensor]:
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    head = io.BytesIO(file.read(MAX_PROGRAM))
    where = str(path)
    if (run_program(head, where=where), run_program(head, where=where)) != (_MAGIC, _PROTOCOL):
        raise ValueError("it is in none of torch's formats")
    system = run_program(head, where=where)
    if type(system) is not dict or system.get("little_endian") is not True:
        raise ValueError("its numbers are not in little-endian order")
    described = run_program(head, where=where)
    keys = run_program(head, where=where)
    if type(keys) is not list or any(type(key) is not str for key in keys) or len(set(keys)) != len(keys):
        raise ValueError("its list of blocks is damaged")
    start = head.tell()
    blocks = _blocks(described)
    places: dict[str, int] = {}
    for key in keys:  # each block is its length and its numbers; which type they are, the tensors say
        if key not in blocks:
            raise ValueError("a block belongs to no tensor")
        file.seek(start)
        (length,) = struct.unpack("<q", file.read(8))
        if length != blocks[key].length:
            raise ValueError(f"block {key[:20]!r} has another size than described")
        places[key] = start + 8
        start = places[key] + length * blocks[key].dtype.itemsize
    if start > size:
        raise ValueError("it ends too early")

    def read(storage: StorageRef) -> bytes:
        file.seek(places[storage.key])
        return file.read(storage.length * storage.dtype.itemsize)

    return _tensors(described, read, path)


def _blocks(described: Any) -> dict[str, StorageRef]:
    """All blocks a description names by key, also those of an optimizer beside the state dict."""
    found: dict[str, StorageRef] = {}
    seen: set[int] = set()  # containers may hold one another, so each is looked into once
    left = [described]
    while left:
        one = left.pop()
        if isinstance(one, TensorRef):
            one = one.storage
        if isinstance(one, StorageRef):
            if found.setdefault(one.key, one) != one:
                raise ValueError(f"block {one.key[:20]!r} is described in two ways")
        elif isinstance(one, dict | list | tuple) and id(one) not in seen:
            seen.add(id(one))
            left.extend(one.values() if isinstance(one, dict) else one)
    return found


def _references(described: Any, path: Path) -> dict[str, TensorRef]:
    """The tensors of a state dict by name."""
    for name in _INSIDE:
        if type(described) is dict and type(described.get(name)) is dict:
            described = described[name]
            break
    if type(described) is not dict or not described:
        raise DataError(f"{path} holds no tensors by name", fix="give a state dict: model.state_dict()")
    for name, value in described.items():
        if type(name) is not str or not isinstance(value, TensorRef):
            raise DataError(
                f"{path} holds more than tensors: its entry {str(name)[:80]!r} is none", fix=CONVERT
            )
    return described


def _tensors(described: Any, read: Read, path: Path) -> dict[str, torch.Tensor]:
    """Views of the blocks, each of which is read once."""
    blocks: dict[str, tuple[StorageRef, torch.Tensor]] = {}
    made: dict[str, torch.Tensor] = {}
    for name, ref in _references(described, path).items():
        key = ref.storage.key
        if key not in blocks:
            blocks[key] = (ref.storage, _block(ref.storage, read))
        storage, block = blocks[key]
        if storage != ref.storage:
            raise ValueError(f"block {key[:20]!r} is described in two ways")
        made[name] = (
            block.as_strided(ref.size, ref.stride, ref.offset)
            if math.prod(ref.size)
            else (block.new_empty(ref.size))
        )
    return made


def _block(storage: StorageRef, read: Read) -> torch.Tensor:
    raw = bytearray(read(storage))
    if len(raw) != storage.length * storage.dtype.itemsize:
        raise ValueError(f"block {storage.key[:20]!r} ends too early")
    return torch.frombuffer(raw, dtype=storage.dtype) if raw else torch.empty(0, dtype=storage.dtype)
