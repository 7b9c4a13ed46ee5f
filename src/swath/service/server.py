"""Run the service on a port until it is told to stop, with its requests answered."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from swath.errors import SettingError
from swath.machine import listen
from swath.service.app import make_app
from swath.service.logs import LOGGER, log_as_json
from swath.service.settings import ServiceSettings

_log = logging.getLogger(LOGGER)
_HEADER_BYTES = 64 * 1024  # as uvicorn's other parser and most proxies have it
_IDLE = 75  # seconds a connection may be idle: longer than proxies' own 60, so that it is they who close it


class _Connection(HttpToolsProtocol):
    """A connection on which the headers of a request have a limit of time and size, too, which uvicorn's have not."""

    def __init__(self, *, seconds: float, **settings: Any) -> None:
        super().__init__(**settings)
        self._seconds = seconds
        self._header_bytes = 0
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_headers()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._await_headers()

    def on_headers_complete(self) -> None:
        self._stop()
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._timer is not None:
            self._header_bytes += len(data)
            if self._header_bytes > _HEADER_BYTES:
                self._stop()
                self.send_400_response(f"the headers are longer than {_HEADER_BYTES:,} bytes")

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop()
        super().connection_lost(exc)

    def _await_headers(self) -> None:
        self._stop()
        self._header_bytes = 0
        self._timer = self.loop.call_later(self._seconds, self.transport.close)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class _Server(uvicorn.Server):
    """uvicorn's server; a signal ends it and is not raised again, so that the command ends with status 0."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        signals = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self.handle_exit) for number in signals}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def spare_from_collection() -> None:
    """Take all that is loaded out of the garbage collector's sight.

    A full collection would look through 150,000 objects of libraries and models that stay anyway, and all requests
    would wait for it: 0.1 s on a free core. A model that is replaced goes by its references, which form no cycle.
    """
    gc.collect()
    gc.freeze()


def make_server(app: FastAPI, settings: ServiceSettings) -> uvicorn.Server:
    """The HTTP server of an application; ``run(sockets=[...])`` serves until it is told to stop."""
    return _Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=_IDLE,
            timeout_graceful_shutdown=int(settings.drain),
            loop="uvloop" if sys.platform != "win32" else "asyncio",
            http=partial(_Connection, seconds=settings.timeout),  # type: ignore[arg-type]
            ws="none",
            lifespan="on",
        )
    )


def serve(
    settings: ServiceSettings,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    listening: Callable[[str], None] = lambda _: None,
) -> None:
    """Serve until SIGTERM or Ctrl-C; requests under way are answered first.

    Parameters
    ----------
    settings : ServiceSettings
        Models and limits.
    host, port
        Where to listen; port 0 takes a free one.
    listening : callable
        Called with the address when connections are accepted; models may still be loading then.

    Raises
    ------
    SettingError
        If the address cannot be had, or it is open to other machines without an API key.
    SwathError
        If a model cannot be loaded.
    """
    if settings.api_key is None and host not in ("127.0.0.1", "localhost", "::1"):
        raise SettingError(
            f"--host {host} lets other machines in, and there is no API key",
            fix="set SWATH_API_KEY to a secret of 16 letters or more, or leave out --host",
        )
    listener = listen(host, port)
    mistakes: list[BaseException] = []

    def failed(error: BaseException) -> None:
        mistakes.append(error)
        server.should_exit = True

    app = make_app(settings, failed=failed, started=spare_from_collection)
    log_as_json()
    server = make_server(app, settings)
    with listener:
        shown = f"[{host}]" if ":" in host else host
        listening(f"http://{shown}:{listener.getsockname()[1]}")
        server.run(sockets=[listener])
    if mistakes:
        raise mistakes[0]
    _log.info("stopped")
