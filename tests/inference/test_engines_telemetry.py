from __future__ import annotations

import os
import subprocess
import sys

import pytest

from swath.inference.engines import silence_engine_logs

ALONE = """
import sys
seen = []
sys.addaudithook(lambda event, args: seen.append((event, args)) if event.startswith("socket.") else None)
import swath
classifier = swath.load("eurosat", engine=sys.argv[1], threads=1)
import numpy as np
classifier.run(np.zeros((1, 3, 64, 64), np.uint8))
assert classifier.engine.startswith(sys.argv[1].removesuffix("-bf16")), classifier.engine
loaded = [name for name in ("openvino", "onnxruntime", "openvino_telemetry") if sys.modules.get(name)]
print(loaded, seen)
"""


@pytest.mark.parametrize("name", ["openvino", "onnxruntime"])
def test_nothing_is_sent_or_left_behind_and_the_other_engine_is_not_loaded(name, tmp_path):
    """Both engines report on themselves and leave an identifier in the home folder, unless they are told."""
    home = tmp_path / "home"
    home.mkdir()
    # With the first three they would not report anyway.
    unset = {"CI", "TF_BUILD", "JENKINS_URL", "ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME"}
    environment = {k: v for k, v in os.environ.items() if k not in unset}
    environment |= {"HOME": str(home), "LOCALAPPDATA": str(home), "USERPROFILE": str(home)}
    run = subprocess.run(
        [sys.executable, "-c", ALONE, name], env=environment, capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == f"['{name}'] []"
    assert list(home.rglob("*")) == []


def test_openvino_that_is_loaded_already_is_left_alone(monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", sys)
    monkeypatch.delitem(sys.modules, "openvino_telemetry", raising=False)
    silence_engine_logs()
    assert "openvino_telemetry" not in sys.modules
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"
