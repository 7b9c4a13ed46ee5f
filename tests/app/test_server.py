"""The page is started and ended by its command: a port, a sentence, and nothing left behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest

from swath.app.server import HOST, serve
from swath.app.settings import AppSettings
from swath.errors import SettingError
from swath.machine import listen

PATIENCE = 120.0
# The command, with every address that it looks up or connects to in a file.
_WATCHED = """
import os, sys
seen = open(os.environ["SEEN"], "a", buffering=1)
def hook(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname"):
        seen.write(f"{arguments[1] if event == 'socket.connect' else arguments[0]}\\n")
sys.addaudithook(hook)
from swath.cli import main
main()
"""


def seen_in(folder: Path) -> Path:
    """Where a running page lists the addresses it has asked for."""
    return folder / "seen.txt"


@contextmanager
def running(folder: Path, *options: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The command as a process, on a free port; its address once it is listening."""
    environment = {
        **os.environ,
        "TMPDIR": str(folder),
        "OMP_NUM_THREADS": "1",
        "HOME": str(folder),
        "SEEN": str(seen_in(folder)),
    }
    process = subprocess.Popen(
        [sys.executable, "-c", _WATCHED, "app", "--port", "0", "--no-browser", "--threads", "1", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        text=True,
    )
    killer = threading.Timer(10 * PATIENCE, process.kill)
    killer.start()
    try:
        assert process.stdout is not None
        found = re.search(r"http://\S+", process.stdout.readline())
        assert found is not None
        yield found[0], process
    finally:
        killer.cancel()
        process.kill()
        with process:  # closes the pipe and waits
            pass


def test_a_port_that_is_taken_is_a_sentence() -> None:
    with listen(HOST, 0) as other, pytest.raises(SettingError, match="choose another --port"):
        serve(AppSettings(), port=other.getsockname()[1])


def test_nothing_else_needs_the_page() -> None:
    code = (
        "import sys, swath, swath.cli; swath.load; sys.exit(any(n.split('.')[0] == 'streamlit' for n in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_without_the_extra_a_sentence_names_it() -> None:
    code = (
        "import sys; sys.modules['streamlit'] = None; from swath.cli import main; sys.argv = ['swath', 'app']; main()"
    )
    ran = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert ran.returncode == 2
    assert "pip install '.[app]'" in ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_in_good_order(tmp_path: Path, how: signal.Signals) -> None:
    with running(tmp_path) as (address, process):
        with urlopen(f"{address}/_stcore/health", timeout=PATIENCE) as answer:
            assert answer.read() == b"ok"
        assert [path.name for path in tmp_path.glob("swath-app-*")]
        process.send_signal(how)
        assert process.wait(PATIENCE) == 0
    assert set(seen_in(tmp_path).read_text().splitlines()) <= {HOST}
    assert not list(tmp_path.glob("swath-app-*"))
