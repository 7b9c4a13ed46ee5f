"""What every request passes: an id, the API key, no other web site's requests, one line in the log, one count.

Those that want images classified are let in or refused here too, before anything else is done for them: a flood of
requests that are refused must not take the time of those that were let in.
"""

from __future__ import annotations

import hmac
import json
import logging
import re
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from swath.service.intake import Admission, RefusedError
from swath.service.logs import LOGGER
from swath.service.metrics import Metrics

_log = logging.getLogger(LOGGER)
Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

OPEN = frozenset(("/healthz", "/readyz", "/openapi.json"))  # paths that need no key
ADMITTED = frozenset(("/v1/predict", "/v1/explain"))  # paths whose POSTs are let in while there is room for them
BUSY = 429
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
    admission : Admission
        Lets requests with images in.
    metrics : Metrics
        Where requests are counted.
    """

    def __init__(self, app: App, *, api_key: str | None, admission: Admission, metrics: Metrics) -> None:
        self._app, self._admission, self._metrics = app, admission, metrics
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
            self._check(scope["path"], headers)
            if scope["method"] == "POST" and scope["path"] in ADMITTED:
                await self._admitted(scope, receive, reply)
            else:
                await self._app(scope, receive, reply)
        except RefusedError as refused:
            await _answer(reply, refused.status, str(refused), request_id, refused.headers)
        except Exception as error:  # noqa: BLE001  (a defect of one request ends no other)
            _log.exception("request_failed", extra={"facts": {"request_id": request_id}})
            facts["failure"] = type(error).__name__
            if not status:
                await _answer(reply, 500, "the service failed; its log says why, under this id", request_id)
        finally:
            self._note(scope, status or GONE, time.perf_counter() - start, request_id, facts)

    async def _admitted(self, scope: Scope, receive: Receive, reply: Send) -> None:
        """Let a request with images in until it is answered, or refuse it."""
        self._admission.enter()
        try:
            await self._app(scope, receive, reply)
        finally:
            self._admission.leave(seconds=time.perf_counter() - scope["state"]["start"])

    def _check(self, path: str, headers: dict[bytes, bytes]) -> None:
        """Refuse requests of other sites' pages, for other machines, and without the key."""
        origin, host = headers.get(b"origin"), headers.get(b"host", b"")
        if origin is not None and origin.partition(b"://")[2] != host:
            raise RefusedError(
                403, "requests from other web sites' pages are not answered", fix="send them from a program"
            )
        if self._key is None:
            name = host.decode("latin-1").rpartition(":")[0] if host[-1:].isdigit() else host.decode("latin-1")
            if (name or host.decode("latin-1")) not in _LOCAL:
                raise RefusedError(
                    403, "without an API key only this machine is answered", fix="start the service with SWATH_API_KEY"
                )
        elif path not in OPEN and not hmac.compare_digest(headers.get(b"authorization", b""), self._key):
            raise RefusedError(
                401,
                "the API key is missing or wrong",
                fix="send it as: Authorization: Bearer KEY",
                headers={"WWW-Authenticate": "Bearer"},
            )

    def _note(self, scope: Scope, status: int, seconds: float, request_id: str, facts: dict[str, Any]) -> None:
        other = scope["path"] if scope["path"] in ADMITTED else "other"
        route = getattr(scope.get("route"), "path", other)  # none of one that was refused before the routes
        self._metrics.requests.labels(route, status).inc()
        if status == BUSY:
            self._metrics.refused.inc()
        else:  # refusals take no time, and a flood of them would hide how long answers take
            self._metrics.seconds.observe(seconds)
        if status == GONE:
            self._metrics.gone.inc()
        if route in OPEN and status == 200:
            return  # health is asked for every few seconds
        line = {"request_id": request_id, "method": scope["method"], "route": route, "status": status}
        _log.info("request", extra={"facts": {**line, "seconds": round(seconds, 6), **facts}})


async def _answer(
    send: Send, status: int, sentence: str, request_id: str, more: Mapping[str, str] | None = None
) -> None:
    body = error_body(sentence, request_id)
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    headers += [(name.lower().encode(), value.encode()) for name, value in (more or {}).items()]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
