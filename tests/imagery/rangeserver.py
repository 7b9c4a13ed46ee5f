"""A server on loopback that serves ranges of one file, and misbehaves as it is told."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class RangeServer:
    """What is served, how, and what was asked for.

    Attributes
    ----------
    files : dict of str to bytes
        By path, with a slash.
    mode : str
        ``"ranges"``; ``"whole"`` (ranges are ignored), ``"hang"``, ``"error"``, ``"short"``, ``"other"`` (another
        range), ``"garbage"``: of every request after the first `good` ones. ``"redirect TARGET"``, of all of them.
    asked : list of (str, str)
        Path and range of each request; ``HEAD`` for one that asks for no content.
    """

    files: dict[str, bytes]
    mode: str = "ranges"
    good: int = 0
    asked: list[tuple[str, str]] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)
    port: int = 0

    def url(self, path: str) -> str:
        """The address of a file."""
        return f"http://127.0.0.1:{self.port}{path}"


@contextlib.contextmanager
def range_server(**files: bytes) -> Iterator[RangeServer]:
    """Serve files by name, each below ``/``."""
    state = RangeServer({f"/{name}": data for name, data in files.items()})

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            path, wanted = self.path.partition("?")[0], self.headers.get("Range", "")
            state.asked.append((path, wanted if self.command == "GET" else self.command))
            mode = state.mode if len(state.asked) > state.good else "ranges"
            if mode.startswith("redirect "):
                self.answer(302, b"", Location=mode.removeprefix("redirect "))
                return
            data, found = state.files.get(path), re.fullmatch(r"bytes=(\d+)-(\d*)", wanted)
            if data is None:
                self.answer(404, b"")
                return
            if mode == "hang":
                state.stop.wait(60)
                self.close_connection = True
                return
            if mode == "error":
                self.answer(500, b"")
                return
            if found is None or mode == "whole":
                self.answer(200, data)
                return
            start, end = int(found[1]), min(int(found[2] or len(data)), len(data) - 1)
            body = data[start : end + 1]
            if mode == "other":
                start, end = start + 1, end + 1
            if mode == "garbage":
                body = bytes(len(body))
            self.answer(206, body, short=mode == "short", **{"Content-Range": f"bytes {start}-{end}/{len(data)}"})

        def answer(self, status: int, body: bytes, *, short: bool = False, **headers: str) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "HEAD":
                return
            self.wfile.write(body[: len(body) // 2] if short else body)
            if short:
                self.close_connection = True

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """Clients that go away are not worth a word."""

    server = Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        state.stop.set()
        server.shutdown()
        server.server_close()
        thread.join()
