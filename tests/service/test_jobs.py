"""Maps as jobs: what the Python interface makes, and what becomes of them when things end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

import swath
from tests.service.servers import PATIENCE, Client, running, wait_until
from tests.service.test_server import process
from tests.teaching.scenes import checkerboard, write_scene

TIFF = "image/tiff"


def scene(folder: Path) -> bytes:
    """A scene of two classes."""
    return write_scene(folder / "scene.tif", checkerboard(("Forest", "River"))).read_bytes()


def ended(client: Client, job: str) -> dict[str, Any]:
    wait_until(lambda: client.get(f"/v1/map/{job}").json["state"] in {"done", "failed"}, "the job ends")
    return client.get(f"/v1/map/{job}").json


def test_a_map_is_the_one_python_makes(tiny_model: Path, tmp_path: Path):
    data = scene(tmp_path)
    with running(tiny_model, jobs=tmp_path / "jobs") as one:
        asked = one.client.post("/v1/map?stride=32", data, TIFF)
        assert asked.status == 202, asked.body
        job = asked.json["id"]
        assert asked.headers["location"] == f"/v1/map/{job}"
        said = ended(one.client, job)
        assert said["state"] == "done", said
        assert {"map.tif", "map.json", "map.html"} <= set(said["files"])
        made = one.client.get(f"/v1/map/{job}/files/map.tif")
        assert made.status == 200
        with rasterio.MemoryFile(made.body) as file, file.open() as dataset:
            classes = dataset.read(1)
        expected = swath.map_scene(swath.load(tiny_model, threads=1), tmp_path / "scene.tif", stride=32)
        np.testing.assert_array_equal(classes, expected.array)
        assert len(np.unique(classes)) > 1
        assert not (tmp_path / "jobs" / job / "scene.tif").exists()

        for path in (f"/v1/map/{job}/files/job.json", f"/v1/map/{job}/files/..%2Fjob.json", f"/v1/map/{'0' * 32}"):
            assert one.client.get(path).status == 404
        assert one.client.ask("DELETE", f"/v1/map/{job}").status == 200
        assert one.client.get(f"/v1/map/{job}").status == 404
        assert not list((tmp_path / "jobs").iterdir())


def test_what_is_no_scene_fails_with_a_sentence(tiny_model: Path, tmp_path: Path):
    with running(tiny_model, jobs=tmp_path / "jobs", max_scene_bytes=10_000) as one:
        job = one.client.post("/v1/map", b"no scene at all", TIFF).json["id"]
        said = ended(one.client, job)
        assert said["state"] == "failed"
        assert "Traceback" not in said["error"]
        assert str(tmp_path) not in said["error"]
        assert one.client.post("/v1/map", b"", TIFF).status == 400
        assert one.client.post("/v1/map", bytes(10_001), TIFF).status == 413
        assert one.client.post("/v1/map?rescale=low", b"scene", TIFF).status == 422
        assert len(list((tmp_path / "jobs").iterdir())) == 1  # of those refused nothing is left


def test_a_scene_that_does_not_arrive_leaves_nothing(tiny_model: Path, tmp_path: Path):
    with running(tiny_model, jobs=tmp_path / "jobs") as one:
        with socket.create_connection(("127.0.0.1", one.client.port), timeout=PATIENCE) as connection:
            connection.sendall(b"POST /v1/map HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nII*\0")
            wait_until(lambda: any((tmp_path / "jobs").iterdir()), "it begins to arrive")
        wait_until(lambda: not any((tmp_path / "jobs").iterdir()), "it is given up")


def test_a_job_survives_the_death_of_its_service(tiny_model: Path, tmp_path: Path):
    """Killed while its map is being made, and before the next one is; both are made by the next service."""
    jobs = tmp_path / "jobs"
    options = ("--model", str(tiny_model), "--jobs", str(jobs))
    data = scene(tmp_path)
    with (tmp_path / "log").open("w") as log:
        with process(*options, log=log) as (server, client):
            ids = [client.post("/v1/map", data, TIFF).json["id"] for _ in range(2)]
            wait_until(lambda: _maker(server.pid) is not None, "the first map is being made")
            maker = _maker(server.pid)
            assert maker is not None
            os.kill(maker, signal.SIGSTOP)
            server.kill()
            server.wait(PATIENCE)
            os.kill(maker, signal.SIGCONT)
        states = [json.loads((jobs / one / "job.json").read_text())["state"] for one in ids]
        assert states == ["running", "queued"]
        (jobs / f"{'0' * 32}.partial").mkdir()  # a scene that was arriving
        with process(*options, log=log) as (_, client):
            for one in ids:
                assert ended(client, one)["state"] == "done"
        assert sorted(path.name for path in jobs.iterdir()) == sorted(ids)


def test_a_service_that_is_told_to_stop_leaves_the_job_to_the_next(tiny_model: Path, tmp_path: Path):
    jobs = tmp_path / "jobs"
    with running(tiny_model, jobs=jobs) as one:
        job = one.client.post("/v1/map", scene(tmp_path), TIFF).json["id"]
        wait_until(lambda: _maker(os.getpid()) is not None, "the map is being made")
        maker = _maker(os.getpid())
        assert maker is not None
        os.kill(maker, signal.SIGSTOP)
    assert _maker(os.getpid()) is None
    record = json.loads((jobs / job / "job.json").read_text())
    assert (record["state"], record["attempts"]) == ("queued", 0)
    with running(tiny_model, jobs=jobs) as one:
        assert ended(one.client, job)["state"] == "done"


def test_a_job_is_cancelled_while_it_runs(tiny_model: Path, tmp_path: Path):
    with (
        (tmp_path / "log").open("w") as log,
        process("--model", str(tiny_model), "--jobs", str(tmp_path / "jobs"), log=log) as (server, client),
    ):
        job = client.post("/v1/map", scene(tmp_path), TIFF).json["id"]
        wait_until(lambda: _maker(server.pid) is not None, "the map is being made")
        maker = _maker(server.pid)
        assert maker is not None
        os.kill(maker, signal.SIGSTOP)
        assert client.ask("DELETE", f"/v1/map/{job}").status == 200
        wait_until(lambda: _maker(server.pid) is None, "its process has ended")
        assert not list((tmp_path / "jobs").iterdir())
        assert ended(client, client.post("/v1/map", scene(tmp_path), TIFF).json["id"])["state"] == "done"


def test_a_job_is_cancelled_while_its_process_starts(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    start, made, deleted = asyncio.create_subprocess_exec, threading.Event(), threading.Event()

    async def slowly(*command: Any, **options: Any) -> asyncio.subprocess.Process:
        process = await start(*command, **options)
        if "swath.service.map_job" in command:
            os.kill(process.pid, signal.SIGSTOP)
            made.set()
            await asyncio.to_thread(deleted.wait, PATIENCE)
        return process

    monkeypatch.setattr(asyncio, "create_subprocess_exec", slowly)
    with running(tiny_model, jobs=tmp_path / "jobs") as one:
        job = one.client.post("/v1/map", scene(tmp_path), TIFF).json["id"]
        assert made.wait(PATIENCE)
        assert one.client.ask("DELETE", f"/v1/map/{job}").status == 200
        deleted.set()
        wait_until(lambda: _maker(os.getpid()) is None, "its process has ended")
        assert not list((tmp_path / "jobs").iterdir())


def _maker(service: int) -> int | None:
    """The process that makes a map."""
    for task in Path(f"/proc/{service}/task").iterdir():
        with contextlib.suppress(FileNotFoundError):  # threads and processes end while one looks
            for child in (task / "children").read_text().split():
                if b"map_job" in Path(f"/proc/{child}/cmdline").read_bytes():
                    return int(child)
    return None
