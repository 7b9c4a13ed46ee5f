"""A service in a process of its own, for the benchmarks that ask it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
READY = 120.0  # seconds to wait for a server


@dataclass
class Served:
    """A server of its own process."""

    process: subprocess.Popen[str]
    port: int

    def get(self, path: str) -> tuple[int, str]:
        """Status and body of a GET."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def family(self) -> list[int]:
        """The server's process and its decoders."""
        found = [self.process.pid]
        for task in Path(f"/proc/{self.process.pid}/task").iterdir():
            with contextlib.suppress(OSError):
                found += map(int, (task / "children").read_text().split())
        return found

    def resident(self) -> float:
        """Resident memory of the server and its decoders, MiB."""
        total = 0
        for pid in self.family():
            with contextlib.suppress(OSError):
                total += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        return total / 2**20


@contextlib.contextmanager
def serving(model: str | Path, *options: str, log: Path) -> Iterator[Served]:
    """Run ``swath serve`` on a free port until the block ends."""
    command = [sys.executable, "-m", "swath", "serve", "--port", "0", "--model", str(model), *options]
    with log.open("w") as file, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=file, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if "listening on" not in line:
                raise SystemExit(log.read_text())
            served = Served(process, int(line.rpartition(":")[2]))
            until = time.perf_counter() + READY
            while served.get("/readyz")[0] != 200:
                if time.perf_counter() > until or process.poll() is not None:
                    raise SystemExit(log.read_text())
                time.sleep(0.1)
            yield served
        finally:
            process.terminate()
            process.wait(60)


def null_model(folder: Path) -> Path:
    """A real model file that tells four colors apart and costs next to nothing."""
    sys.path.insert(0, str(ROOT))
    from tests.tiny import write_tiny_model

    return write_tiny_model(folder / "null.onnx")
