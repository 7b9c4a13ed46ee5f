"""A server on loopback that hands out one archive, and misbehaves as real ones do."""

from __future__ import annotations

from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np

DATA = np.random.default_rng(0).bytes(300_000)


class Server(ThreadingHTTPServer):
    """Answers each request by the next behavior in `script`, and properly once that is used up."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.script: list[Callable[[Handler], None]] = []
        self.requests: list[tuple[str, str | None]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request, client_address):
        """Keep quiet about connections that were broken on purpose."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.requests.append((self.path, self.headers["Range"]))
        (self.server.script.pop(0) if self.server.script else proper)(self)

    def send(self, status, body=b"", *, length=None, **headers):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        """Keep quiet."""


def proper(handler):
    """Honor Range."""
    wanted = handler.headers["Range"]
    if wanted is None:
        handler.send(200, DATA)
        return
    start = int(wanted.removeprefix("bytes=").rstrip("-"))
    body = DATA[start:]
    handler.send(206, body, Content_Range=f"bytes {start}-{len(DATA) - 1}/{len(DATA)}")


def breaks_after(n):
    """Promise all that is asked for, send `n` bytes of it, and hang up."""

    def behave(handler):
        start = int((handler.headers["Range"] or "bytes=0-").removeprefix("bytes=").rstrip("-"))
        status, where = (206, {"Content_Range": f"bytes {start}-{len(DATA) - 1}/{len(DATA)}"}) if start else (200, {})
        handler.send(status, DATA[start : start + n], length=len(DATA) - start, **where)
        handler.wfile.flush()
        handler.close_connection = True
        handler.connection.shutdown(2)

    return behave


def says(status, body=b"", **headers):
    return lambda handler: handler.send(status, body, **headers)
