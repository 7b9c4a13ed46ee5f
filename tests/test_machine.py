"""Cores and memory as the system states them, and a switch that keeps every command off the network."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from swath import machine
from swath.errors import DataError
from swath.machine import check_local, free_cores, free_memory, is_offline, memory_limit

GIB = 2**30

# Commands in one process in which no socket can be made: nothing is looked up, however it ends.
COMMANDS = """
import json, socket, sys
class Refused:
    def __init__(self, *args, **options):
        print("SOCKET", args, flush=True)
        raise OSError("no sockets here")
socket.socket = socket.create_connection = socket.getaddrinfo = Refused
from swath.cli import main
for command in json.loads(sys.argv[1]):
    sys.argv = ["swath", *command]
    print("$", *command, flush=True)
    try:
        main()
    except SystemExit as end:
        print("ended", end.code, flush=True)
"""


@pytest.fixture
def stated(tmp_path, monkeypatch):
    """Write what a system says of its memory, and what control groups say of theirs."""
    monkeypatch.setattr(machine, "_MEMORY", tmp_path / "meminfo")
    monkeypatch.setattr(machine, "_GROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(machine, "_OF_GROUPS", tmp_path / "groups")

    def write(*, total, free, line="", **files):
        (tmp_path / "meminfo").write_text(
            f"MemTotal: {total // 1024} kB\nMemFree: 1 kB\nMemAvailable: {free // 1024} kB\n"
        )
        (tmp_path / "cgroup").write_text(f"4:cpu:/x\n{line}\n" if line else "")
        for name, text in files.items():
            path = tmp_path / "groups" / name.replace("__", "/").replace("_DOT_", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    return write


def test_memory_is_that_of_the_machine(stated):
    stated(total=16 * GIB, free=10 * GIB)
    assert (memory_limit(), free_memory()) == (16 * GIB, 10 * GIB)


def test_a_control_group_leaves_less(stated):
    files = {"a__b__memory_DOT_max": f"{2 * GIB}\n", "a__b__memory_DOT_current": f"{GIB}\n"}
    stated(total=16 * GIB, free=10 * GIB, line="0::/a/b", **files)
    assert (memory_limit(), free_memory()) == (2 * GIB, GIB)


def test_so_does_the_group_around_it_and_max_is_no_limit(stated):
    files = {"a__b__memory_DOT_max": "max\n", "a__b__memory_DOT_current": "5\n"}
    files |= {"a__memory_DOT_max": f"{3 * GIB}", "a__memory_DOT_current": f"{4 * GIB}"}
    stated(total=16 * GIB, free=10 * GIB, line="0::/a/b", **files)
    assert (memory_limit(), free_memory()) == (3 * GIB, 0)


def test_groups_of_the_first_version(stated):
    files = {"memory__c__memory_DOT_limit_in_bytes": f"{GIB}", "memory__c__memory_DOT_usage_in_bytes": "0"}
    stated(total=16 * GIB, free=10 * GIB, line="9:memory:/c", **files)
    assert (memory_limit(), free_memory()) == (GIB, GIB)


def test_a_system_that_says_nothing_has_some_memory(tmp_path, monkeypatch):
    for name in ("_MEMORY", "_GROUPS", "_OF_GROUPS"):
        monkeypatch.setattr(machine, name, tmp_path / "nothing")
    assert 0 < free_memory() <= memory_limit() < 2**63
    assert free_cores() >= 1


LIMITED = """
import sys
from swath.machine import limit_memory
limit_memory(64 * 2**20)
print(len(bytes(16 * 2**20)))
try:
    bytes(256 * 2**20)
except MemoryError:
    print("no more")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not hold to such a limit")
def test_memory_can_be_limited():
    done = subprocess.run([sys.executable, "-c", LIMITED], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == [str(16 * 2**20), "no more"]


@pytest.mark.parametrize(
    ("name", "value", "offline"),
    [("SWATH_OFFLINE", "1", True), ("SWATH_OFFLINE", "yes", True), ("SWATH_OFFLINE", " 0", False),
     ("HF_HUB_OFFLINE", "1", True), ("HF_HUB_OFFLINE", "0", False), ("ELSE", "1", False)],
)  # fmt: skip
def test_the_switch(monkeypatch, name, value, offline):
    for other in ("SWATH_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv(name, value)
    assert is_offline() == offline


def test_only_names_on_other_machines_are_refused(monkeypatch):
    monkeypatch.setenv("SWATH_OFFLINE", "1")
    for name in ("/vsizip/a.zip/b.tif", "/vsimem/a.tif", "C:/a.tif", "scenes/vsi.tif"):
        check_local(name)
    for name in ("/vsicurl/http://h/a.tif", "/vsizip//vsis3/b/a.zip/c.tif", "/vsicurl_streaming/x", "https://h/a.tif"):
        with pytest.raises(DataError, match=r"on another machine, and the network is switched off.*local name"):
            check_local(name)


def run(commands, tmp_path, **environment):
    import json

    done = subprocess.run(
        [sys.executable, "-c", COMMANDS, json.dumps([[str(part) for part in command] for command in commands])],
        env=os.environ | {"SWATH_CACHE": str(tmp_path / "cache"), "COLUMNS": "400"} | environment,
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture
def listener():
    """A port of this machine that counts who comes: GDAL does not go through Python's sockets."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server


def test_no_command_without_torch_goes_to_the_network(tmp_path, tiny_model, listener):
    at = f"127.0.0.1:{listener.getsockname()[1]}"
    # A picture that is a list of others, one of them elsewhere, in an archive that is here.
    listed = (
        '<VRTDataset rasterXSize="64" rasterYSize="64"><VRTRasterBand dataType="Byte" band="1"><SimpleSource>'
        f"<SourceFilename>/vsicurl/http://{at}/a.tif</SourceFilename><SourceBand>1</SourceBand></SimpleSource>"
        "</VRTRasterBand></VRTDataset>"
    )
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.vrt", listed)
    scenes = (f"/vsicurl/http://{at}/a.tif", f"/vsicurl_streaming/http://{at}/a.tif", "/vsis3/bucket/a.tif")
    fetching = [("data", "get", "eurosat-rgb"), ("data", "get", "eurosat-rgb", "--mirror", f"http://{at}/x.zip")]
    fetching += [("map", tiny_model, scene, "--out", "m.tif") for scene in scenes]
    others = [("map", tiny_model, f"/vsizip/{tmp_path}/a.zip/a.vrt", "--out", "m.tif"), ("doctor",)]
    others += [("data", "index", "eurosat-mini", "--out", "i.parquet")]
    done = run(fetching + others, tmp_path, SWATH_OFFLINE="1")
    assert "SOCKET" not in done.stdout
    with pytest.raises(BlockingIOError):
        listener.accept()
    said = [line for line in done.stderr.splitlines() if "the network is switched off" in line]
    assert len(said) == len(fetching)
    assert all("SWATH_OFFLINE" in line for line in said)
    assert [line for line in said if "give a copy with --mirror" in line] == said[:2]
    assert [line for line in said if "give its local name" in line] == said[2:]
    assert done.stdout.count("ended 2") == len(fetching) + 1
    assert "network" in done.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zip", "i.parquet"]


def test_the_option_says_the_same(tmp_path):
    done = run([("--offline", "data", "get", "eurosat-rgb")], tmp_path)
    assert "SOCKET" not in done.stdout
    assert "the network is switched off (SWATH_OFFLINE or HF_HUB_OFFLINE)" in done.stderr


@pytest.mark.slow
def test_no_training_command_goes_to_the_network(tmp_path, tiny_index_file):
    pytest.importorskip("torch")
    weights = ("imagenet", "hf:me/mine/w.safetensors", "torchgeo:ResNet18_Weights.SENTINEL2_RGB_MOCO")
    commands = [("weights", "get", weights[0], "--network", "resnet18")]
    commands += [("weights", "get", name) for name in weights[1:]]
    changes = ("network.name=resnet18", "optimizer.name=adamw", "optimizer.lr=0.001")
    recipe = ("--recipe", "flash", *(part for change in changes for part in ("--set", change)))
    commands += [("train", tiny_index_file, *recipe, "--weights", name, "--out", "r") for name in weights]
    done = run([*commands, ("weights", "list")], tmp_path, SWATH_OFFLINE="1")
    assert "SOCKET" not in done.stdout
    said = [line for line in done.stderr.splitlines() if "the network is switched off" in line]
    assert len(said) == len(commands), done.stderr
    assert all("swath weights add FILE --as" in line for line in said)
    assert not Path(tmp_path, "r").exists()
