"""``swath serve`` as a process: signals, addresses, and what it says."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from swath.cli import main
from swath.service.server import spare_from_collection
from tests.service.servers import PATIENCE, Client, children, running, wait_until

SERVE = [sys.executable, "-m", "swath", "serve", "--port", "0", "--threads", "1"]


@contextlib.contextmanager
def process(*options: str, log: IO[str], **environment: str) -> Iterator[tuple[subprocess.Popen[str], Client]]:
    """``swath serve`` on a free port, ready."""
    command = [*SERVE, *options]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=log, text=True, env={**os.environ, **environment}
    ) as one:
        try:
            assert one.stdout is not None
            line = one.stdout.readline()
            assert line.startswith("listening on http://127.0.0.1:"), line
            client = Client(int(line.rpartition(":")[2]))
            wait_until(lambda: client.get("/readyz").status == 200, "it is ready")
            yield one, client
        finally:
            one.kill()


def test_told_to_stop_it_answers_what_it_has_let_in(tiny_model: Path, forest: bytes, tmp_path: Path):
    with (tmp_path / "log").open("w+") as log, process("--model", str(tiny_model), log=log) as (server, client):
        (decoder, *others) = children(server.pid)
        for one in (decoder, *others):
            os.kill(one, signal.SIGSTOP)  # so that requests are still under way when it is told
        answers: list[int] = []
        threads = [
            threading.Thread(target=lambda: answers.append(client.predict(("a.jpg", forest)).status)) for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        wait_until(lambda: client.metric("swath_requests_under_way") == 8, "all are let in")
        server.terminate()
        wait_until(lambda: _refuses(client.port), "it takes no more")
        for one in (decoder, *others):
            os.kill(one, signal.SIGCONT)
        for thread in threads:
            thread.join(PATIENCE)
        assert answers == [200] * 8
        assert server.wait(PATIENCE) == 0
        log.seek(0)
        said = log.read()
        assert f"next: curl -F images=@field.jpg http://127.0.0.1:{client.port}/v1/predict\n" in said
        lines = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
        assert "ready" in {line["event"] for line in lines}
        assert lines[-1]["event"] == "stopped"
        assert sum(line["event"] == "request" and line["route"] == "/v1/predict" for line in lines) == 8
    for one in (decoder, *others):
        wait_until(lambda one=one: not Path(f"/proc/{one}").exists(), "its decoders have ended")


def test_killed_it_leaves_no_process(tiny_model: Path, tmp_path: Path):
    with (tmp_path / "log").open("w+") as log, process("--model", str(tiny_model), log=log) as (server, _):
        decoders = children(server.pid)
        assert decoders
        server.kill()
        server.wait(PATIENCE)
        for one in decoders:
            wait_until(lambda one=one: _ended(one), "its decoders have ended")


def test_what_is_loaded_is_not_looked_through_for_garbage_again(tiny_model: Path):
    """Full collections stop all requests: the process that serves spares itself them."""
    try:
        with running(tiny_model, started=spare_from_collection) as one:
            assert one.client.get("/readyz").status == 200
            assert gc.get_freeze_count() > 10_000
    finally:
        gc.unfreeze()


def test_a_replaced_model_goes_by_its_references(tiny_model: Path):
    """So it goes although it was out of the garbage collector's sight."""
    with running(tiny_model) as one:
        replaced = weakref.ref(one.service.model(None).classifier)
        gc.collect()
        gc.disable()
        try:
            assert one.client.post("/v1/models/tiny/reload", b"", "").status == 200
            wait_until(lambda: replaced() is None, "the old model has gone")
        finally:
            gc.enable()


def test_one_sentence_if_it_cannot_start(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def said(*arguments: object) -> str:
        monkeypatch.setattr("sys.argv", ["swath", "serve", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        assert stop.value.code == 2
        error = capsys.readouterr().err
        assert "Traceback" not in error
        return next(line for line in error.splitlines() if line.startswith("swath: "))

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"cannot listen on 127.0.0.1, port {port}" in said("--model", tiny_model, "--port", port)
    assert "there is no API key; set SWATH_API_KEY" in said("--host", "0.0.0.0")
    assert "there is no model 'nothing'" in said("--model", "nothing", "--port", 0)
    monkeypatch.setenv("SWATH_API_KEY", "short-one")
    short = said("--model", tiny_model)
    assert "SWATH_API_KEY has fewer than 16 letters" in short
    assert "short-one" not in short


def test_without_its_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    code = (
        "import sys; sys.modules.update(dict.fromkeys(['fastapi', 'uvicorn', 'starlette', 'prometheus_client']));"
        "sys.argv = ['swath', 'serve']; from swath.cli import main; main()"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 2
    assert ran.stderr == ("swath: swath serve needs the 'app' extra; in swath's folder run: pip install '.[app]'\n")


def _ended(process: int) -> bool:
    """Gone, or a zombie that its new parent has not asked after yet."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def _refuses(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=PATIENCE).close()
    except ConnectionRefusedError:
        return True
    return False
