"""``swath serve --public``: a tunnel by a stand-in for ngrok's SDK, and what is said where there is none."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, Any

import pytest

from swath.cli import main
from swath.service.public import NoTunnelError, in_front, tunnel
from swath.service.settings import ServiceSettings
from tests.service.servers import PATIENCE, Client, children, wait_until

STAND_IN = Path(__file__).parent / "stand_in"
ADDRESS = "http://127.0.0.1:8000"
API_KEY, TOKEN = "correct-horse-battery", "2kToken-of-the-tunnel"


@pytest.fixture
def diary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The stand-in is installed, with a token; what it does is written here."""
    path = tmp_path / "diary"
    monkeypatch.syspath_prepend(str(STAND_IN))
    monkeypatch.delitem(sys.modules, "ngrok", raising=False)
    monkeypatch.setenv("NGROK_AUTHTOKEN", TOKEN)
    monkeypatch.setenv("NGROK_DIARY", str(path))
    return path


def test_a_tunnel_is_closed_with_its_block(diary: Path):
    with tunnel("http://0.0.0.0:8000") as url:
        assert url.startswith("http://127.0.0.1:")
        assert diary.read_text() == f"forward {ADDRESS}\n"
    assert diary.read_text() == f"forward {ADDRESS}\ndisconnect {url}\n"
    with pytest.raises(KeyError), tunnel(ADDRESS) as url:
        raise KeyError
    assert diary.read_text().splitlines()[-1] == f"disconnect {url}"


def test_a_refused_token_is_not_shown(
    diary: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
):
    monkeypatch.setenv("NGROK_AUTHTOKEN", "wrong-" + TOKEN)
    with pytest.raises(NoTunnelError) as caught, tunnel(ADDRESS):
        pytest.fail("there is no tunnel")
    assert str(caught.value) == (
        "ngrok gives no tunnel (failed to connect session: authentication failed: it is invalid. Your authtoken: ...); "
        "check NGROK_AUTHTOKEN and the network"
    )
    assert TOKEN not in "".join(capfd.readouterr()) + caplog.text
    assert caught.value.__suppress_context__


def test_a_tunnel_that_opens_too_late_is_closed(diary: Path, monkeypatch: pytest.MonkeyPatch):
    import ngrok

    opens, forward = threading.Event(), ngrok.forward

    def late(*arguments: Any, **options: Any) -> Any:
        opens.wait(PATIENCE)
        return forward(*arguments, **options)

    monkeypatch.setattr(ngrok, "forward", late)
    with pytest.raises(NoTunnelError, match=r"no tunnel within 0\.01 s"), tunnel(ADDRESS, seconds=0.01):
        pytest.fail("there is no tunnel")
    assert not diary.exists()
    opens.set()
    wait_until(lambda: diary.exists() and "disconnect http" in diary.read_text(), "it is closed")


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, diary: Path):
    def problem() -> str:
        with pytest.raises(NoTunnelError) as caught, tunnel(ADDRESS):
            pytest.fail("there is no tunnel")
        return str(caught.value)

    with monkeypatch.context() as patched:
        patched.setenv("SWATH_OFFLINE", "1")
        assert problem() == "no tunnel is opened while swath is offline; leave out SWATH_OFFLINE and --offline"
    with monkeypatch.context() as patched:
        patched.delenv("NGROK_AUTHTOKEN")
        assert problem() == "NGROK_AUTHTOKEN is not set; set it to your token of dashboard.ngrok.com"
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "ngrok", None)
        assert problem() == "ngrok's SDK is not installed; run: pip install ngrok"
    assert not diary.exists()


def test_what_to_put_in_front_fits_a_terminal():
    lines = in_front(ADDRESS, ServiceSettings(timeout=3600, max_bytes=2**30)).splitlines()
    assert max(map(len, lines)) <= 80
    said = "\n".join(lines)
    for word in ("TLS", "Authorization: Bearer $SWATH_API_KEY", "1,024 MB", "3600 s", ADDRESS, "pip install ngrok"):
        assert word in said


def test_without_a_key_nothing_is_public(
    tiny_model: Path, diary: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.delenv("SWATH_API_KEY", raising=False)
    monkeypatch.setattr("sys.argv", ["swath", "serve", "--public", "--port", "0", "--model", str(tiny_model)])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    said = capsys.readouterr()
    assert "--public lets anybody in, and there is no API key; set SWATH_API_KEY to a secret of 16" in said.err
    assert said.out == ""
    assert not diary.exists()


def test_a_service_that_does_not_start_closes_its_tunnel(
    diary: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("SWATH_API_KEY", API_KEY)
    monkeypatch.setattr("sys.argv", ["swath", "serve", "--public", "--port", "0", "--model", "nothing"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    assert "there is no model 'nothing'" in capsys.readouterr().err
    forward, disconnect = diary.read_text().splitlines()
    assert forward.startswith("forward http://127.0.0.1:")
    assert disconnect.startswith("disconnect http://127.0.0.1:")


def started(model: Path, log: IO[str], **environment: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "swath", "serve", "--public", "--port", "0", "--threads", "1"]
    return subprocess.Popen(
        [*command, "--model", str(model)],
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        env={**os.environ, "SWATH_API_KEY": API_KEY, **environment},
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_others_are_let_in_with_the_key_until_it_is_told_to_stop(
    tiny_model: Path, forest: bytes, tmp_path: Path, diary: Path, number: signal.Signals
):
    environment = {"PYTHONPATH": os.pathsep.join([str(STAND_IN), *filter(None, [os.environ.get("PYTHONPATH")])])}
    with (tmp_path / "log").open("w+") as log, started(tiny_model, log, **environment) as server:
        try:
            assert server.stdout is not None
            assert server.stdout.readline().startswith("listening on http://127.0.0.1:")
            line = server.stdout.readline()
            assert line.startswith("public at http://127.0.0.1:")
            outside = Client(int(line.rpartition(":")[2]))
            wait_until(lambda: outside.get("/readyz", Host="abc.ngrok.app").status == 200, "it is ready")
            assert outside.predict(("a.jpg", forest), Host="abc.ngrok.app").status == 401
            answered = outside.predict(("a.jpg", forest), Host="abc.ngrok.app", Authorization=f"Bearer {API_KEY}")
            assert answered.json["images"][0]["label"] == "Forest"
            for child in children(server.pid):
                environ = Path(f"/proc/{child}/environ").read_bytes()
                assert TOKEN.encode() not in environ
                assert API_KEY.encode() not in environ
            server.send_signal(number)
            assert server.wait(PATIENCE) == 0
        finally:
            server.kill()
        assert [line.split()[0] for line in diary.read_text().splitlines()] == ["forward", "disconnect"]
        log.seek(0)
        said = line + server.stdout.read() + log.read()
    assert f'next: curl -H "Authorization: Bearer $SWATH_API_KEY" -F images=@field.jpg {line.split()[2]}/v1/' in said
    assert '"event": "stopped"' in said
    assert TOKEN not in said
    assert API_KEY not in said


def test_without_a_tunnel_it_serves_locally_and_says_what_to_do(tiny_model: Path, tmp_path: Path):
    with (tmp_path / "log").open("w+") as log, started(tiny_model, log, SWATH_OFFLINE="1") as server:
        try:
            assert server.stdout is not None
            client = Client(int(server.stdout.readline().rpartition(":")[2]))
            assert server.stdout.readline().startswith("not public: no tunnel is opened while swath is offline; ")
            assert "Others get in through a tunnel or a proxy" in server.stdout.readline()
            wait_until(lambda: client.get("/readyz").status == 200, "it is ready")
        finally:
            server.kill()
