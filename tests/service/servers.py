"""Real servers on loopback, and a client that says what came back."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swath.service.app import make_app
from swath.service.core import Service
from swath.service.server import make_server
from swath.service.settings import ServiceSettings

PATIENCE = 600.0  # seconds; only a server that never answers takes that long
JSON = "application/json"


@dataclass(frozen=True)
class Answer:
    """One answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        return str(self.json["error"])


def answer_on(connection: socket.socket) -> Answer:
    """Read the answer to what was sent on a connection."""
    answer = http.client.HTTPResponse(connection)
    answer.begin()
    return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())


def multipart(*files: tuple[str, bytes], field: str = "images") -> tuple[bytes, str]:
    """A body of file parts and its content type."""
    parts = [
        f'--edge\r\nContent-Disposition: form-data; name="{field}"; filename="{name}"\r\n\r\n'.encode() + data + b"\r\n"
        for name, data in files
    ]
    return b"".join([*parts, b"--edge--\r\n"]), "multipart/form-data; boundary=edge"


@dataclass(frozen=True)
class Client:
    """Sends requests to one server, each on a connection of its own."""

    port: int

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        """Headers are keywords with underscores for hyphens."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        with contextlib.closing(connection):
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, named)
            answer = connection.getresponse()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, **headers)

    def post(self, path: str, body: bytes, kind: str, **headers: str) -> Answer:
        return self.ask("POST", path, body, Content_Type=kind, **headers)

    def predict(self, *files: tuple[str, bytes], query: str = "", **headers: str) -> Answer:
        """Upload files as a browser does."""
        return self.post(f"/v1/predict{query}", *multipart(*files), **headers)

    def metric(self, line: str) -> float:
        """The value of one line of the metrics, 0 if it is not there."""
        text = self.get("/metrics").body.decode()
        found = [float(row.rpartition(" ")[2]) for row in text.splitlines() if row.startswith(f"{line} ")]
        return found[0] if found else 0.0

    @contextlib.contextmanager
    def half_a_request(self, length: int = 100_000) -> Iterator[socket.socket]:
        """A request whose body does not come, until the block ends."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE) as connection:
            connection.sendall(
                b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/jpeg\r\n"
                b"Content-Length: %d\r\n\r\n\xff\xd8" % length
            )
            yield connection


@dataclass(frozen=True)
class Running:
    """A server in this process."""

    client: Client
    service: Service


def wait_until(holds: Callable[[], bool], what: str) -> None:
    """Wait for something that has to happen, however slow the machine is."""
    until = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < until, f"never: {what}"
        time.sleep(0.01)


def children(process: int) -> list[int]:
    """The processes that a process has started and that run still."""
    found: list[int] = []
    for task in Path(f"/proc/{process}/task").iterdir():
        with contextlib.suppress(OSError):  # a thread that has just ended
            found += map(int, (task / "children").read_text().split())
    return found


@contextlib.contextmanager
def running(
    *models: str | Path, ready: bool = True, started: Callable[[], None] = lambda: None, **settings: Any
) -> Iterator[Running]:
    """A service on a free port, on a thread of its own, ready to answer."""
    settings = {"threads": 1, "decoders": 1, "timeout": PATIENCE, "decode_timeout": PATIENCE} | settings
    settled = ServiceSettings(models=tuple(map(str, models)), **settings)
    app = make_app(settled, started=started)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = make_server(app, settled)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        client = Client(listener.getsockname()[1])
        try:
            service: Service = app.state.service
            if ready:
                wait_until(lambda: service.ready, "the service is ready")
            yield Running(client, service)
        finally:
            server.should_exit = True
            thread.join(PATIENCE)
            assert not thread.is_alive()
