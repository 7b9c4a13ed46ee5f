"""The benchmark of the service in its shortest form: nothing is lost and nothing fails, however slow the machine."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_under_load_nothing_is_lost(tmp_path: Path):
    out = tmp_path / "load.json"
    command = [sys.executable, ROOT / "benchmarks/service_load.py", "--seconds", "3", "--threads", "1", "--json", out]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    found = json.loads(out.read_text())
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
