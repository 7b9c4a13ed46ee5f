"""What every request passes: an id, the API key, no other web site's requests, one line in the log, one count."""

from __future__ import annotations

import hmac
import json
import logging
import re
import time
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from swath.service.logs import LOGGER
from swath.service.metrics import Metrics

_log = logging.getLogger(LOGGER)
Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

OPEN = frozenset(("/healthz", "/readyz", "/openapi.json"))  # paths that need no key
GONE = 499  # in logs and metrics only: the client closed the connection
_ID = re.compile(rb"[\w.:-]{1,64}")
_LOCAL = frozenset(("localhost", "127.0.0.1", "[::1]"))


def error_body(sentence: str, request_id: str) -> bytes:
    """An :class:`swath.service.answers.ErrorAnswer`."""
    return json.dumps({"error": sentence, "request_id": request_id}).encode()


class Gate:
    """Wraps the application; see the module.

    Parameters
    ----------
    app : callable
        The ASGI application.
    api_key : str or None
        What ``Authorization: Bearer`` has to say. Without a key the service is for this machine alone, and the host
        that a request names has to be this one: a name that another site points here does not let its pages in.
    metrics : Metrics
        Where requests are counted.
    """

    def __init__(self, app: App, *, api_key: str | None, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics
        self._key = None if api_key is None else f"Bearer {api_key}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one request through, or answer it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start = time.perf_counter()
        headers: dict[bytes, bytes] = dict(scope["headers"])
        given = headers.get(b"x-request-id", b"")
        request_id = given.decode() if _ID.fullmatch(given) else uuid.uuid4().hex
        state = scope.setdefault("state", {})
        state["request_id"], state["start"] = request_id, start
        facts: dict[str, Any] = {}
        state["facts"] = facts
        status = 0

        async def reply(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                answered = [*message.get("headers", ())]
                if not any(name == b"cache-control" for name, _ in answered):
                    answered.append((b"cache-control", b"no-store"))
                message["headers"] = [
                    *answered,
                    (b"x-request-id", request_id.encode()),
                    (b"x-content-type-options", b"nosniff"),
                ]
            await send(message)

        try:
            refusal = self._refusal(scope["path"], headers)
            if refusal is not None:
                await _answer(reply, *refusal, request_id)
            else:
                await self._app(scope, receive, reply)
        except Exception as error:  # noqa: BLE001  (a defect of one request ends no other)
            _log.exception("request_failed", extra={"facts": {"request_id": request_id}})
            facts["failure"] = type(error).__name__
            if not status:
                await _answer(reply, 500, "the service failed; its log says why, under this id", request_id)
        finally:
            self._note(scope, status or GONE, time.perf_counter() - start, request_id, facts)

    def _refusal(self, path: str, headers: dict[bytes, bytes]) -> tuple[int, str] | None:
        origin, host = headers.get(b"origin"), headers.get(b"host", b"")
        if origin is not None and origin.partition(b"://")[2] != host:
            return 403, "requests from other web sites' pages are not answered; send them from a program"
        if self._key is None:
            name = host.decode("latin-1").rpartition(":")[0] if host[-1:].isdigit() else host.decode("latin-1")
            if (name or host.decode("latin-1")) not in _LOCAL:
                return 403, "without an API key only this machine is answered; start the service with SWATH_API_KEY"
        elif path not in OPEN and not hmac.compare_digest(headers.get(b"authorization", b""), self._key):
            return 401, "the API key is missing or wrong; send it as: Authorization: Bearer KEY"
        return None

    def _note(self, scope: Scope, status: int, seconds: float, request_id: str, facts: dict[str, Any]) -> None:
        route = getattr(scope.get("route"), "path", "other")
        self._metrics.requests.labels(route, status).inc()
        self._metrics.seconds.observe(seconds)
        if status == GONE:
            self._metrics.gone.inc()
        if route in OPEN and status == 200:
            return  # health is asked for every few seconds
        line = {"request_id": request_id, "method": scope["method"], "route": route, "status": status}
        _log.info("request", extra={"facts": {**line, "seconds": round(seconds, 6), **facts}})


async def _answer(send: Send, status: int, sentence: str, request_id: str) -> None:
    body = error_body(sentence, request_id)
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
