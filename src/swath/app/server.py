"""Start the page on a port of this machine until it is told to stop: no network, no telemetry, nothing left behind."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import streamlit as st
import uvicorn
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit.web import bootstrap

from swath.app import settings
from swath.app.settings import UPLOAD_MB, AppSettings
from swath.machine import listen

HOST = "127.0.0.1"  # there is no password: other machines are not let in
SCRIPT = Path(__file__).with_name("script.py")
_GRACE = 2  # seconds that connections have to close
_OPTIONS: dict[str, Any] = {
    "browser.gatherUsageStats": False,
    "client.showErrorDetails": "none",  # what is no mistake of the user is told on standard error
    "client.showErrorLinks": False,
    "client.toolbarMode": "viewer",
    "server.address": HOST,
    "server.allowedHosts": [HOST, "localhost"],  # no other site's name may lead here
    "server.disconnectedSessionTTL": 10,  # seconds in which a lost connection may come back
    "server.fileWatcherType": "none",
    "server.headless": True,
    "server.maxUploadSize": UPLOAD_MB,
    # The colors of swath's own pages, for light and for dark screens.
    "theme.light.primaryColor": "#17617c",
    "theme.dark.primaryColor": "#7cc4de",
}


def serve(app_settings: AppSettings, *, port: int = 8501, listening: Callable[[str], None] = lambda _: None) -> None:
    """Serve the page until SIGTERM or Ctrl-C.

    Parameters
    ----------
    app_settings : AppSettings
        The model. What visitors upload is kept in a temporary folder, which is removed at the end.
    port : int
        Where to listen, on this machine only; 0 takes a free one.
    listening : callable
        Called with the address when connections are accepted.

    Raises
    ------
    SettingError
        If the port cannot be had.
    SwathError
        If the model cannot be loaded.
    """
    with (
        listen(HOST, port, fix="choose another --port") as listener,
        tempfile.TemporaryDirectory(prefix="swath-app-", ignore_cleanup_errors=True) as folder,
    ):
        port = listener.getsockname()[1]
        app_settings.folder = Path(folder)
        settings.current = app_settings
        bootstrap.load_config_options(_OPTIONS | {"server.port": port})
        server = uvicorn.Server(
            uvicorn.Config(
                st.App(SCRIPT, on_script_error=_said, middleware=[Middleware(_OwnAddress)]),
                log_config=None,
                log_level="critical",  # a page that is closed is no error
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=_GRACE,
                ws="websockets-sansio",
            )
        )
        listening(f"http://{HOST}:{port}")
        with contextlib.suppress(KeyboardInterrupt):  # uvicorn raises again what has ended it in good order
            server.run(sockets=[listener])


class _OwnAddress:
    """Tells the browser where the server is: opened at the address of a page, Streamlit first looks below that."""

    _SCRIPT = b"<script>window.__streamlit = { BACKEND_BASE_URL: location.origin };</script></head>"

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started: list[Message] = []
        page = bytearray()

        async def added(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = dict(message["headers"])
                if headers.get(b"content-type", b"").startswith(b"text/html"):
                    started.append(message)
                    return
            if not started:
                await send(message)
                return
            page.extend(message.get("body", b""))
            if not message.get("more_body"):
                body = bytes(page).replace(b"</head>", self._SCRIPT, 1)
                length = (b"content-length", str(len(body)).encode())
                kept = [pair for pair in started[0]["headers"] if pair[0] != length[0]]
                await send({**started[0], "headers": [*kept, length]})
                await send({"type": "http.response.body", "body": body})

        if scope["type"] == "http" and scope["method"] == "GET":
            # On one machine there is nothing to gain by packing it.
            plain = [pair for pair in scope["headers"] if pair[0] != b"accept-encoding"]
            await self.app({**scope, "headers": plain}, receive, added)
        else:
            await self.app(scope, receive, send)


def _said(error: Exception) -> bool:
    """A defect: its traceback is for the terminal, a sentence for the visitor."""
    sys.excepthook(type(error), error, error.__traceback__)
    st.error("Something went wrong on our side, and nothing was changed. Reload the page to start again.")
    return True
