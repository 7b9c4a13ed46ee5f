"""Hostile uploads against the service as a process: sentences for all, and memory within what it promises."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "options", [pytest.param(["--short"], marks=pytest.mark.slow), pytest.param([], marks=pytest.mark.soak)]
)
def test_memory_stays_within_its_limit(tmp_path: Path, options: list[str]):
    out = tmp_path / "hostile.json"
    command = [sys.executable, ROOT / "benchmarks/hostile_uploads.py", *options, "--threads", "1", "--json", out]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    found = json.loads(out.read_text())
    assert len(found["answers"]) >= 50
    assert all(400 <= answer["status"] < 500 for answer in found["answers"].values())
    assert found["within limits"]
    for process in ("server, MiB", "decoder, MiB"):
        assert 0 < found["at rest"][process] <= found["peak, at once"][process] <= found["limits"][process]
    assert found["good request afterwards"] == 200
