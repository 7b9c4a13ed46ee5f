"""The benchmark of the service: in short, where nothing may be lost or fail on whatever machine, and with its bars."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


def measured(out: Path, *options: str) -> dict[str, Any]:
    """Run the benchmark, and see that nothing was lost or failed."""
    command = [sys.executable, ROOT / "benchmarks/service_load.py", *options, "--json", out]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    found: dict[str, Any] = json.loads(out.read_text())
    for load in ("null model", "closed loop", "decoder killed", "SIGTERM"):
        assert set(found[load]["statuses"]) == {"200"}, load
    assert found["null model"]["lost"] == found["closed loop"]["lost"] == 0
    assert found["decoder killed"]["lost"] <= 1
    assert found["let in and not answered"] == 0  # also by a server that was told to stop
    flood = found["open loop"]
    assert set(flood["statuses"]) <= {"200", "429"}
    assert flood["429 with Retry-After"] == flood["statuses"].get("429", 0)
    assert flood["statuses"]["200"] > 0
    assert found["SIGTERM"]["exit status"] == 0
    return found


@pytest.mark.slow
def test_under_load_nothing_is_lost(tmp_path: Path):
    measured(tmp_path / "load.json", "--seconds", "5", "--threads", "1")


@pytest.mark.soak
def test_what_must_hold_under_a_minute_of_load_holds(tmp_path: Path):
    """Throughput, latency and memory too: on a machine that does nothing else."""
    found = measured(tmp_path / "load.json")
    assert {name: said for name, said in found["bars"].items() if not said["holds"]} == {}
