"""Run mutants one after the other in this process, and report each on a line of JSON.

What libraries write on standard output or error is looked at too: none of it may reach a user.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import resource
import shutil
import sys
import tempfile
import time
import traceback
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np

from swath.errors import SwathError
from tests.fuzz.mutants import Rng

MEMORY = 3 * 2**30  # bytes
_MEMORY = ("MemoryError", "bad_alloc", "Unable to allocate", "Cannot allocate", "realloc", "malloc", "out of memory")


class Target(Protocol):
    """One kind of input."""

    name: str
    told: tuple[str, ...]  # what an error may name in place of the file

    def make(self, rng: Rng, place: Path) -> Path:
        """Write a mutant into a folder; what to run."""

    def uses(self, path: Path) -> Iterator[Callable[[], Any]]:
        """What commands do with it."""


KINDS = {
    "pictures": "pictures.Pictures",
    "indexes": "indexes.Indexes",
    "models": "models.Models",
    "zips": "zips.Zips",
    "YAML": "recipes.Yaml",
    "CSV": "tables.Csv",
}
_FAULTY = "faulty.Faulty"


def target_of(kind: str, folder: Path) -> Target:
    """What makes the mutants of a kind, with its seeds in `folder`; only its own libraries are loaded."""
    module, _, name = KINDS.get(kind, _FAULTY).partition(".")
    made: Target = getattr(importlib.import_module(f"tests.fuzz.{module}"), name)(folder)
    return made


def fault_of(error: BaseException, told: tuple[str, ...]) -> str | None:
    """What is wrong with an error; None for one sentence that names one of `told`."""
    if not isinstance(error, SwathError):
        last = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__}: {error} ({Path(last.filename).name}:{last.lineno})"
    text = str(error)
    if not text.isprintable():
        return f"not one printable line: {text!r}"
    if not any(name in text for name in told):
        return f"does not name its file: {text}"
    if any(word in text for word in _MEMORY):
        return f"ran out of memory: {text}"
    return None


def run_one(target: Target, number: int, place: Path, memory: int = MEMORY) -> dict[str, Any]:
    """Make a mutant, run it and say what came of it."""
    place.mkdir(parents=True)
    rng = np.random.default_rng([zlib.crc32(target.name.encode()), number])
    path = target.make(rng, place)
    with contextlib.suppress(OSError):  # another system
        Path("/proc/self/clear_refs").write_text("5")  # the peak is that of this mutant
    before, began = _noise(), time.monotonic()
    faults, refusals = [], []
    for use in target.uses(path):
        try:
            use()
        except Exception as error:  # noqa: BLE001  (what is wrong is said by its class)
            fault = fault_of(error, (path.stem, *target.told))
            (refusals if fault is None else faults).append(fault or str(error))
    seconds, noise = time.monotonic() - began, _noise() - before
    if noise:
        faults.append(f"{noise} bytes on standard output or error")
    rss = _memory("VmHWM")
    if rss > memory:
        faults.append(f"took {rss / 2**30:.1f} GiB")
    outcome = "other" if faults else "refused" if refusals else "answered"
    return {"number": number, "outcome": outcome, "seconds": seconds, "rss": rss, "what": (faults or refusals)[:1]}


def _noise() -> int:
    sys.stdout.flush()
    sys.stderr.flush()
    return os.fstat(1).st_size + os.fstat(2).st_size


def _memory(what: str) -> int:
    try:
        return 1024 * int(Path("/proc/self/status").read_text().split(f"{what}:")[1].split()[0])
    except OSError:  # another system
        return 0


def main(kind: str, start: int, stop: int, folder: Path, memory: int, report: IO[str]) -> None:
    """Run mutants of a kind; findings stay in ``folder/case-NUMBER``, as does one that ends this process."""
    target = target_of(kind, folder)
    taken = _memory("VmSize")
    # A guard for the machine; a mutant that reaches it is found out by what it says.
    resource.setrlimit(resource.RLIMIT_AS, (taken + memory + 2**30,) * 2)
    print("ready", file=report, flush=True)
    for number in range(start, stop):
        place = folder / f"case-{number}"
        result = run_one(target, number, place, memory)
        if result["outcome"] != "other":
            shutil.rmtree(place)
        report.write(json.dumps(result) + "\n")
        report.flush()


if __name__ == "__main__":
    lines = os.fdopen(os.dup(1), "w")
    folder = Path(sys.argv[4])
    sink = os.open(folder / "noise.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(sink, stream)
    tempfile.tempdir = str(folder)
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), folder, int(sys.argv[5]), lines)
