"""Watch the processes that run mutants: one that dies or takes too long is a finding, and the next takes over."""

from __future__ import annotations

import json
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.fuzz.worker import MEMORY

ROOT = Path(__file__).parents[2]
SECONDS = 60.0
_START_UP = 120.0
_SLOW = 10.0
_A_PROCESS = 1000  # mutants that one process runs


@dataclass
class Tally:
    """What came of the mutants of one kind."""

    kind: str
    counts: dict[str, int] = field(default_factory=lambda: {"answered": 0, "refused": 0, "other": 0})
    slowest: float = 0.0
    rss: int = 0
    findings: list[tuple[int, str]] = field(default_factory=list)

    def add(self, result: dict[str, Any]) -> None:
        """Count one mutant."""
        self.counts[result["outcome"]] += 1
        self.slowest, self.rss = max(self.slowest, result["seconds"]), max(self.rss, result["rss"])
        if result["outcome"] == "other":
            self.findings.append((result["number"], "; ".join(map(str, result["what"]))))

    @property
    def row(self) -> str:
        """A row of a Markdown table."""
        n, peak = sum(self.counts.values()), f"{self.rss / 2**30:.2f}"
        counts = " | ".join(f"{count:,}" for count in self.counts.values())
        return f"| {self.kind} | {n:,} | {counts} | {self.slowest:.1f} | {peak} |"


HEAD = (
    "| input | mutants | answered | refused by a sentence | other | slowest, s | peak RSS, GiB |\n" + "|---" * 7 + "|"
)


def fuzz(
    kind: str,
    *,
    mutants: int,
    start: int = 0,
    kept: Path | None = None,
    show: bool = False,
    seconds: float = SECONDS,
    memory: int = MEMORY,
) -> Tally:
    """Run mutants of a kind.

    Parameters
    ----------
    kind : str
        A key of :data:`tests.fuzz.worker.KINDS`.
    mutants : int
        How many.
    start : int
        Number of the first.
    kept : pathlib.Path, optional
        Folder for the mutants that are findings, each in a folder of its number.
    show : bool
        Print findings as they come.
    seconds : float
        That a mutant may take.
    memory : int
        Bytes that it may take.
    """
    tally, number, stop = Tally(kind), start, start + mutants
    while number < stop:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            for result in _results(kind, number, min(stop, number + _A_PROCESS), folder, seconds, memory):
                tally.add(result)
                number = result["number"] + 1
                if show and (result["outcome"] == "other" or result["seconds"] > _SLOW):
                    print(kind, number - 1, f"{result['seconds']:.1f} s", *result["what"], flush=True)
                if result["outcome"] == "other" and kept is not None:
                    target = kept / kind / str(result["number"])
                    shutil.rmtree(target, ignore_errors=True)
                    shutil.copytree(folder / f"case-{result['number']}", target)
                    shutil.copy(folder / "noise.txt", target)
    return tally


def _results(kind: str, start: int, stop: int, folder: Path, seconds: float, memory: int) -> Iterator[dict[str, Any]]:
    """What a process reports of its mutants, the last of which may be its end."""
    (folder / "noise.txt").touch()
    paths = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    variables = os.environ | {"PYTHONPATH": paths, "SWATH_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    command = [
        sys.executable,
        "-X",
        "faulthandler",
        "-m",
        "tests.fuzz.worker",
        kind,
        str(start),
        str(stop),
        str(folder),
        str(memory),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=variables, cwd=folder)
    lines: queue.Queue[str | None] = queue.Queue()

    def listen() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.put(line)
        lines.put(None)

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    number, ended, limit = start, "", _START_UP
    try:
        lines.get(timeout=limit)  # its seeds are made
        limit = seconds
        while number < stop:
            line = lines.get(timeout=limit)
            if line is None:
                ended = f"the process ended with status {process.wait()}"
                break
            result = json.loads(line)
            yield result
            number = result["number"] + 1
    except queue.Empty:
        ended = f"took more than {limit:g} s"
    finally:
        process.kill()
        process.wait()
        listener.join()
        assert process.stdout is not None
        process.stdout.close()
    if ended:
        said = [line for line in (folder / "noise.txt").read_text(errors="replace").splitlines() if "File" in line]
        what = f"{ended}: {' <'.join(line.strip() for line in said[:3])}"
        if not (folder / f"case-{number}").exists():
            raise RuntimeError(
                f"the fuzz process of {kind} did not start: {(folder / 'noise.txt').read_text()[-2000:]}"
            )
        yield {
            "number": number,
            "outcome": "other",
            "seconds": seconds if "took" in ended else 0,
            "rss": 0,
            "what": [what],
        }
