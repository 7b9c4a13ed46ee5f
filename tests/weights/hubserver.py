"""A hub on loopback that speaks the resolve protocol, and a store elsewhere it sends on to."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Server(ThreadingHTTPServer):
    """One host: answers by the next behavior in `script`, or else properly."""

    daemon_threads = True

    def __init__(self, kind: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(("127.0.0.1", 0), kind)
        self.script: list[Callable[[Handler], None]] = []
        self.requests: list[tuple[str | None, ...]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request, client_address):
        """Keep quiet about connections that were broken on purpose."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self):
        self.server.requests.append(
            (self.command, self.path, *(self.headers[n] for n in ("Range", "Authorization", "User-Agent")))
        )
        (self.server.script.pop(0) if self.server.script else type(self).proper)(self)

    do_HEAD = do_GET

    def proper(self):
        raise NotImplementedError

    def send(self, status, body=b"", *, length=None, **headers):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *args):
        """Keep quiet."""


class Cdn(Handler):
    def proper(self):
        body = self.server.files[self.path.partition("?")[0]]
        start = int((self.headers["Range"] or "bytes=0-").removeprefix("bytes=").rstrip("-"))
        if start:
            where = f"bytes {start}-{len(body) - 1}/{len(body)}"
            self.send(206, body[start:], Content_Range=where)
        else:
            self.send(200, body)


class HubHandler(Handler):
    def proper(self):
        hub = self.server
        if self.path.startswith("/api/models/"):
            repository = self.path.removeprefix("/api/models/").partition("/revision/")[0]
            if repository not in hub.cards:
                self.send(404, X_Error_Code="RepoNotFound")
                return
            self.send(
                200, json.dumps({"id": repository} | hub.cards[repository]).encode(), Content_Type="application/json"
            )
            return
        repository, _, rest = self.path.removeprefix("/").partition("/resolve/")
        if repository in hub.moved:
            self.send(307, Location=f"/{hub.moved[repository]}/resolve/{rest}")
            return
        filename = rest.partition("/")[2]
        body = hub.files.get(f"{repository}/{filename}")
        if body is None:
            self.send(404, X_Error_Code="EntryNotFound")
            return
        digest = hashlib.sha256(body).hexdigest()
        hub.cdn.files[f"/{digest}"] = body
        self.send(
            302,
            Location=f"{hub.cdn.url}/{digest}?signature=secret",
            X_Linked_Size=str(len(body)),
            X_Linked_Etag=f'"{digest}"',
            X_Repo_Commit=COMMIT,
        )


@contextmanager
def serving() -> Iterator[Server]:
    """A hub of `files` (``owner/name/file``), `cards` and `moved` repositories; its `cdn` is on another port."""
    with Server(Cdn) as cdn, Server(HubHandler) as hub:
        cdn.files = {}
        hub.cdn, hub.files, hub.cards, hub.moved = cdn, {}, {}, {}
        threads = [threading.Thread(target=s.serve_forever, kwargs={"poll_interval": 0.01}) for s in (cdn, hub)]
        for thread in threads:
            thread.start()
        yield hub
        for server, thread in zip((cdn, hub), threads, strict=True):
            server.shutdown()
            thread.join()


def says(status, body=b"", **headers):
    return lambda handler: handler.send(status, body, **headers)


def breaks_after(count):
    """Promise the rest of the only file, send `count` bytes of it, and hang up."""

    def behave(handler):
        body = next(iter(handler.server.files.values()))
        start = int((handler.headers["Range"] or "bytes=0-").removeprefix("bytes=").rstrip("-"))
        status, where = (206, {"Content_Range": f"bytes {start}-{len(body) - 1}/{len(body)}"}) if start else (200, {})
        handler.send(status, body[start : start + count], length=len(body) - start, **where)
        handler.wfile.flush()
        handler.close_connection = True
        handler.connection.shutdown(2)

    return behave
