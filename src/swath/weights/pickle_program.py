"""Read the description of tensors out of a torch checkpoint, without running it.

A ``.pth`` file describes its tensors in a small stack language that Python's ``pickle`` would execute, and
what it would execute is up to whoever wrote the file. Here the instructions are only read: plain containers
and numbers are built from them, the four names every state dict needs are recognized, and any other name or
instruction ends the reading. Nothing is looked up, imported or called on the file's behalf.

The instructions are those of pickle protocol 2 (PEP 307; CPython's ``pickletools``), the layout is that of
``torch.save`` (``torch/serialization.py``).
"""

from __future__ import annotations

import io
import pickletools
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from swath.errors import DataError

MAX_PROGRAM = 4 * 2**20  # bytes; the description of a network of 1,000 tensors has about 150 KiB
MAX_STEPS = 300_000  # instructions; that network has about 30,000
MAX_DIMENSIONS = 8
CONVERT = (
    "if you trust its author, convert it to safetensors where it was made: "
    "safetensors.torch.save_file(state_dict, 'weights.safetensors')"
)
DTYPES = {
    "torch FloatStorage": torch.float32,
    "torch HalfStorage": torch.float16,
    "torch BFloat16Storage": torch.bfloat16,
    "torch DoubleStorage": torch.float64,
    "torch LongStorage": torch.int64,
    "torch IntStorage": torch.int32,
    "torch ShortStorage": torch.int16,
    "torch CharStorage": torch.int8,
    "torch ByteStorage": torch.uint8,
}
_ORDERED = "collections OrderedDict"
_TENSOR = ("torch._utils _rebuild_tensor", "torch._utils _rebuild_tensor_v2")
_PARAMETER = "torch._utils _rebuild_parameter"
_MARK = object()
_PLAIN = {
    "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "BINSTRING", "SHORT_BINSTRING",
}  # fmt: skip
_CONSTANT = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}


@dataclass(frozen=True)
class _Name:
    """One of the names a state dict may use; never looked up."""

    name: str


@dataclass(frozen=True)
class StorageRef:
    """A block of numbers elsewhere in the file."""

    dtype: torch.dtype
    key: str
    length: int


@dataclass(frozen=True)
class TensorRef:
    """A tensor as a view of a block."""

    storage: StorageRef
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


class _Unreadable(Exception):
    """The instructions are none that a state dict needs."""


def run_program(stream: io.BytesIO, *, where: str) -> Any:
    """Read one program, up to its end.

    Parameters
    ----------
    stream : io.BytesIO
        At the first instruction; afterwards at the first byte behind the last.
    where : str
        Name of the file for messages.

    Returns
    -------
    object
        Of dicts, lists, tuples, strings, numbers, :class:`TensorRef` and :class:`StorageRef`.

    Raises
    ------
    DataError
        If it is damaged, or holds anything but tensors in plain containers.
    """
    machine = _Machine()
    try:
        for count, (operation, argument, _) in enumerate(pickletools.genops(stream)):
            if count >= MAX_STEPS:
                raise _Unreadable(f"a description of more than {MAX_STEPS:,} steps")
            if operation.name == "STOP":
                return machine.pop()
            machine.step(operation.name, argument)
    except _Unreadable as error:
        raise DataError(f"{where} holds more than tensors: {error}", fix=CONVERT) from None
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, struct.error) as error:
        raise DataError(
            f"{where} is damaged: its description of tensors cannot be read", fix="get the file again"
        ) from error
    raise DataError(f"{where} is damaged: its description of tensors has no end", fix="get the file again")


class _Machine:
    """A stack, a memo, and the few instructions there are."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def pop(self) -> Any:
        value = self.stack.pop()
        if value is _MARK:
            raise ValueError("a mark in the place of a value")
        return value

    def above_mark(self) -> list[Any]:
        """Everything above the last mark, which goes too."""
        values = []
        while (value := self.stack.pop()) is not _MARK:
            values.append(value)
        return values[::-1]

    def step(self, name: str, argument: Any) -> None:
        if name in _PLAIN:
            if isinstance(argument, int) and argument.bit_length() > 96:  # torch's mark of the format has 80
                raise _Unreadable("a number of more than 96 bits")
            self.stack.append(argument)
        elif name in _CONSTANT:
            self.stack.append(_CONSTANT[name])
        elif name in _STEPS:
            _STEPS[name](self, argument)
        else:
            raise _Unreadable(f"the instruction {name}")


def _collection(make: Callable[[], Any]) -> Callable[[_Machine, Any], None]:
    return lambda machine, _: machine.stack.append(make())


def _tuple_of(count: int) -> Callable[[_Machine, Any], None]:
    def step(machine: _Machine, _: Any) -> None:
        machine.stack.append(tuple([machine.pop() for _ in range(count)][::-1]))

    return step


def _put(machine: _Machine, place: Any) -> None:
    machine.memo[place] = machine.stack[-1]


def _append(target: Any, values: list[Any]) -> None:
    if type(target) is not list:
        raise _Unreadable("values appended to what is no list")
    target.extend(values)


def _set(target: Any, values: list[Any]) -> None:
    if type(target) is not dict:
        raise _Unreadable("items set in what is no dict")
    if len(values) % 2:
        raise ValueError("a key without a value")
    for key, value in zip(values[::2], values[1::2], strict=True):
        if type(key) not in (str, int):
            raise _Unreadable("a key that is neither text nor a number")
        target[key] = value


def _appends(machine: _Machine, _: Any) -> None:
    values = machine.above_mark()
    _append(machine.stack[-1], values)


def _append_one(machine: _Machine, _: Any) -> None:
    value = machine.pop()
    _append(machine.stack[-1], [value])


def _set_items(machine: _Machine, _: Any) -> None:
    values = machine.above_mark()
    _set(machine.stack[-1], values)


def _set_item(machine: _Machine, _: Any) -> None:
    value, key = machine.pop(), machine.pop()
    _set(machine.stack[-1], [key, value])


def _global(machine: _Machine, name: str) -> None:
    if name not in DTYPES and name not in (_ORDERED, *_TENSOR, _PARAMETER):
        raise _Unreadable(f"it asks for {'.'.join(name.split(' ', 1))[:80]!r}")
    machine.stack.append(_Name(name))


def _build(machine: _Machine, _: Any) -> None:
    """State dicts carry version numbers of their layers as an attribute; it is dropped."""
    state = machine.pop()
    if type(state) is not dict or type(machine.stack[-1]) is not dict:
        raise _Unreadable("an object with a state of its own")


def _reduce(machine: _Machine, _: Any) -> None:
    arguments, what = machine.pop(), machine.pop()
    if not isinstance(what, _Name) or type(arguments) is not tuple:
        raise _Unreadable("a call of something that is no name")
    if what.name == _ORDERED and arguments == ():
        machine.stack.append({})
    elif what.name in _TENSOR:
        machine.stack.append(_tensor(*arguments[:4]))
    elif what.name == _PARAMETER and arguments and isinstance(arguments[0], TensorRef):
        machine.stack.append(arguments[0])
    else:
        raise _Unreadable(f"a call of {what.name.replace(' ', '.')} with unusual arguments")


def _tensor(storage: Any, offset: Any, size: Any, stride: Any) -> TensorRef:
    """A checked view: within its block, and no larger than it."""
    if not isinstance(storage, StorageRef) or type(size) is not tuple or type(stride) is not tuple:
        raise _Unreadable("a tensor that is no view of a block of numbers")
    if len(size) != len(stride) or len(size) > MAX_DIMENSIONS:
        raise _Unreadable("a tensor with an unusual number of dimensions")
    if any(type(n) is not int or not 0 <= n < 2**63 for n in (offset, *size, *stride)):
        raise _Unreadable("a tensor with a size that is no count")
    count, last = 1, offset
    for side, step in zip(size, stride, strict=True):
        count *= side
        last += max(side - 1, 0) * step
    if count > storage.length or (count and last >= storage.length) or offset > storage.length:
        raise _Unreadable("a tensor larger than its block of numbers")
    return TensorRef(storage, offset, size, stride)


def _persistent(machine: _Machine, _: Any) -> None:
    found = machine.pop()
    match found:
        case ("storage", _Name(kind), str(key), str(), int(length), *view) if (
            kind in DTYPES and length >= 0 and view in ([], [None])
        ):
            machine.stack.append(StorageRef(DTYPES[kind], key, length))
        case _:
            raise _Unreadable("a reference to something that is no block of numbers")


_STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    "PROTO": lambda _machine, _: None,
    "MARK": _collection(lambda: _MARK),
    "EMPTY_DICT": _collection(dict),
    "EMPTY_LIST": _collection(list),
    "EMPTY_TUPLE": _collection(tuple),
    "TUPLE": lambda machine, _: machine.stack.append(tuple(machine.above_mark())),
    "TUPLE1": _tuple_of(1),
    "TUPLE2": _tuple_of(2),
    "TUPLE3": _tuple_of(3),
    "BINPUT": _put,
    "LONG_BINPUT": _put,
    "BINGET": lambda machine, place: machine.stack.append(machine.memo[place]),
    "LONG_BINGET": lambda machine, place: machine.stack.append(machine.memo[place]),
    "APPEND": _append_one,
    "APPENDS": _appends,
    "SETITEM": _set_item,
    "SETITEMS": _set_items,
    "GLOBAL": _global,
    "REDUCE": _reduce,
    "BUILD": _build,
    "BINPERSID": _persistent,
}
