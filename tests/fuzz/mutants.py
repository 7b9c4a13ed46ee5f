"""What is changed in a mutant: bytes of any file, and values of anything that is plain data."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

Rng = np.random.Generator
NUMBERS = (
    0, 1, 2, 3, 7, 8, 15, 16, 17, 31, 64, 127, 128, 129, 255, 256, 257, 1000, 4095, 4096, 16384, 32767, 32768, 65535,
    65536, 10**6, 2**24, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**40, 2**53, 2**63 - 1,
)  # fmt: skip
TEXTS = (
    "", " ", "null", "~", "None", "nan", "NaN", ".nan", "inf", "-.inf", "true", "no", "yes", "0", "-1", "1e400",
    "1e-400", "0x10", "0o7", "1_000", "2001-99-99", "2001-01-01", "12:30:45", "9" * 400, "a" * 300, "\0", "\x1b[2J",
    "a\nb", "a\tb", "\u202egnp.exe", "\ufeff", "\ud7ff", "e\u0301", "\u00e9", "\U0001f600", "..", "../..",
    "/etc/passwd", "C:\\x", "a/b", "=1+1", "<b>", "&amp;", "'", '"', "{", "[", "%s", "{0}", "*x", "&x",
    "!!python/object:os.system", "\u0661\u0662", "½",
)  # fmt: skip
FLOATS = (0.0, -0.0, 1.0, -1.0, 0.5, 1e-320, 1e-45, 1e38, -1e38, 3e38, 1e308, float("inf"), float("-inf"), float("nan"))


def pick(rng: Rng, values: Sequence[Any]) -> Any:
    """One of some values, as it is."""
    return values[int(rng.integers(len(values)))]


def number(rng: Rng) -> int:
    """A whole number at a border of some type, or near zero, of either sign."""
    found = pick(rng, NUMBERS) if rng.random() < 0.8 else int(rng.integers(-10, 300))
    return -found if rng.random() < 0.15 else found


def scalar(rng: Rng) -> Any:
    """Anything that JSON and YAML can hold."""
    match int(rng.integers(7)):
        case 0:
            return None
        case 1:
            return bool(rng.integers(2))
        case 2:
            return number(rng)
        case 3:
            return pick(rng, FLOATS)
        case 4:
            return pick(rng, ([], {}, [[]], [None], {"a": None}, [1, "a", None], [0] * 1000))
        case _:
            return pick(rng, TEXTS)


def nested(depth: int) -> Any:
    """A list in a list, `depth` times."""
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


def mutate_value(value: Any, rng: Rng) -> Any:
    """A copy of plain data (mappings, lists, scalars) that differs in one place."""
    if isinstance(value, dict) and value and rng.random() < 0.92:
        copied = dict(value)
        name = pick(rng, list(copied))
        match int(rng.integers(12)):
            case 0:
                del copied[name]
            case 1:
                copied[str(pick(rng, TEXTS))] = copied.pop(name)
            case 2:
                copied[str(pick(rng, TEXTS))] = scalar(rng)
            case 3:
                copied[name] = copied[pick(rng, list(copied))]
            case 4:
                copied[name] = scalar(rng)
            case _:
                copied[name] = mutate_value(copied[name], rng)
        return copied
    if isinstance(value, list | tuple) and value and rng.random() < 0.92:
        items = list(value)
        place = int(rng.integers(len(items)))
        match int(rng.integers(9)):
            case 0:
                del items[place]
            case 1:
                items.append(items[place])
            case 2:
                items *= int(pick(rng, (0, 2, 7)))
            case 3:
                items = items[::-1]
            case 4:
                items[place] = scalar(rng)
            case _:
                items[place] = mutate_value(items[place], rng)
        return items
    if isinstance(value, str) and value and rng.random() < 0.5:
        at = int(rng.integers(len(value) + 1))
        return value[:at] + str(pick(rng, TEXTS)) + value[at + int(rng.integers(3)) :]
    if isinstance(value, int | float) and not isinstance(value, bool) and rng.random() < 0.5:
        return pick(rng, (value * 2, -value, value + 1, value * 1e6, value / 3, 0, pick(rng, FLOATS), number(rng)))
    return scalar(rng)


def mutate_bytes(data: bytes, rng: Rng, *, head: int | None = None) -> bytes:
    """A copy with one to eight changes: bits, numbers at borders of types, pieces gone, twice, or elsewhere.

    Three of four changes fall into the first `head` bytes, where headers are, if it is given.
    """
    changed = bytearray(data)
    for _ in range(int(rng.integers(1, 9))):
        if not changed:
            return bytes(rng.integers(0, 256, 16, np.uint8))
        length = len(changed) if head is None or rng.random() < 0.25 else min(head, len(changed))
        at = int(rng.integers(length))
        match int(rng.integers(11)):
            case 0 | 1:
                changed[at] ^= 1 << int(rng.integers(8))
            case 2:
                changed[at] = int(pick(rng, (0, 1, 127, 128, 254, 255, 10, 13, 34, 44, 92)))
            case 3 | 4 | 5:
                code, bits = pick(rng, (("H", 16), ("I", 32), ("Q", 64)))
                packed = struct.pack(pick(rng, "<>") + code, number(rng) % 2**bits)
                changed[at : at + len(packed)] = packed
            case 6:
                del changed[at : at + int(pick(rng, (1, 2, 4, 17, 100)))]
            case 7:
                piece = changed[at : at + int(pick(rng, (1, 4, 16, 300)))]
                changed[at:at] = piece * int(pick(rng, (1, 1, 3)))
            case 8:
                start = int(rng.integers(len(changed)))
                piece = changed[start : start + int(pick(rng, (2, 8, 40)))]
                changed[at : at + len(piece)] = piece
            case 9:
                changed[at : at + 32] = bytes([int(pick(rng, (0, 255)))]) * 32
            case _:
                if rng.random() < 0.3:
                    del changed[at:]
    return bytes(changed)


def mutate_text(text: str, rng: Rng) -> str:
    """A copy of a text in which lines or pieces of lines are gone, twice, elsewhere or other ones."""
    lines = text.split("\n")
    for _ in range(int(rng.integers(1, 4))):
        at = int(rng.integers(len(lines)))
        match int(rng.integers(7)):
            case 0:
                lines.insert(at, pick(rng, lines))
            case 1:
                lines[at] = pick(rng, TEXTS)
            case 2:
                lines[at] = " " * int(pick(rng, (1, 2, 500))) + lines[at]
            case 3 if len(lines) > 1:
                del lines[at]
            case _:
                start = int(rng.integers(len(lines[at]) + 1))
                stop = start + int(pick(rng, (0, 0, 1, 5)))
                lines[at] = lines[at][:start] + pick(rng, TEXTS) + lines[at][stop:]
    return "\n".join(lines)
