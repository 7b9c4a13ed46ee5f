"""A stand-in for ngrok's SDK 1.4 with its signatures: a tunnel from another port of this machine, and a diary.

``NGROK_DIARY`` names a file that gets a line per call. A token that begins with "wrong" is refused as the real service
refuses it: with the token in the message and in its log.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
from typing import Any
from urllib.parse import urlsplit

_listeners: dict[str, socket.socket] = {}


class Listener:
    """What ``forward`` gives."""

    def __init__(self, url: str) -> None:
        self._url = url

    def url(self) -> str:
        return self._url


def forward(addr: str | int | None = None, proto: str | None = None, **options: Any) -> Listener:
    token = os.environ["NGROK_AUTHTOKEN"] if options.pop("authtoken_from_env", False) else options.pop("authtoken")
    assert not options
    _note(f"forward {addr}")
    if token.startswith("wrong"):
        logging.getLogger("ngrok.session").error("the authtoken %s is refused", token)
        raise ValueError(
            "failed to connect session", "authentication failed", f"it is invalid.\nYour authtoken: {token}"
        )
    source = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{source.getsockname()[1]}"
    _listeners[url] = source
    target = urlsplit(str(addr))
    assert target.port is not None
    threading.Thread(target=_accept, args=(source, (target.hostname, target.port)), daemon=True).start()
    return Listener(url)


def disconnect(url: str | None = None) -> None:
    for name in [url] if url else list(_listeners):
        _listeners.pop(name).close()
    _note(f"disconnect {url}")


def _note(line: str) -> None:
    with open(os.environ["NGROK_DIARY"], "a", encoding="utf-8") as diary:  # noqa: PTH123
        diary.write(f"{line}\n")


def _accept(source: socket.socket, target: tuple[str, int]) -> None:
    with contextlib.suppress(OSError):
        while True:
            near, _ = source.accept()
            far = socket.create_connection(target)
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=_pass_on, args=(one, other), daemon=True).start()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
