"""A target with every fault that the harness must see; it is no kind of input."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from swath.errors import DataError
from tests.fuzz.mutants import Rng


def _die() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def _raise(error: Exception) -> None:
    raise error


FAULTS: tuple[tuple[str, Callable[[], Any]], ...] = (
    ("answered", lambda: None),
    ("refused", lambda: _raise(DataError("mutant.txt is damaged"))),
    ("ValueError: 3", lambda: _raise(ValueError(3))),
    ("does not name its file", lambda: _raise(DataError("a file is damaged"))),
    ("ran out of memory", lambda: _raise(DataError("mutant.txt is damaged (MemoryError)"))),
    ("bytes on standard output or error", lambda: sys.stderr.write("libthing: error\n")),
    ("took 0.", lambda: bytearray(400 * 2**20) and None),
    ("status -11", _die),
    ("took more than", lambda: time.sleep(600)),
    ("answered", lambda: None),
)


class Faulty:
    """Mutant `n` has fault `n`."""

    name = "faulty"
    told = ()

    def __init__(self, folder: Path) -> None:
        self._made = folder

    def make(self, rng: Rng, place: Path) -> Path:
        """Write which fault it is to have: the number of its folder."""
        path = place / "mutant.txt"
        path.write_text(place.name.rpartition("-")[2])
        return path

    def uses(self, path: Path) -> Iterator[Callable[[], Any]]:
        """Have it."""
        yield FAULTS[int(path.read_text())][1]
