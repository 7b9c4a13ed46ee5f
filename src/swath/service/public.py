"""Let other machines in: a tunnel by ngrok's SDK where it is installed, else what to put in front of the service.

The SDK is no dependency; of its interface this uses ``forward`` and ``disconnect`` of version 1.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

from swath.errors import SettingError, SwathError
from swath.machine import is_offline
from swath.service.settings import KEY, SHORTEST_KEY, TOKEN, ServiceSettings

_SECONDS, _SECONDS_TO_CLOSE = 15.0, 5.0  # that the SDK has to open a tunnel, and to close it
_LONGEST = 300  # letters of what it says
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104  (not listened on: replaced)


class NoTunnelError(SwathError):
    """There is no tunnel, and why."""


def check_public(settings: ServiceSettings) -> None:
    """Refuse to let the world in without a key.

    Raises
    ------
    SettingError
        If the settings have none.
    """
    if settings.api_key is None:
        raise SettingError(
            "--public lets anybody in, and there is no API key",
            fix=f"set {KEY} to a secret of {SHORTEST_KEY} letters or more: export {KEY}=$(openssl rand -hex 24)",
        )


@contextlib.contextmanager
def tunnel(address: str, *, seconds: float = _SECONDS) -> Iterator[str]:
    """Yield the public address of a tunnel to the service, which is closed when the block ends, however it does.

    The SDK takes its token from the environment (``NGROK_AUTHTOKEN``); no message holds it. TLS ends at ngrok. A
    process that is killed takes its tunnel with it.

    Parameters
    ----------
    address : str
        Where the service listens, such as ``http://127.0.0.1:8000``.
    seconds : float
        How long opening it may take.

    Raises
    ------
    NoTunnelError
        If the SDK or its token is missing, swath is offline, or ngrok gives no tunnel.
    """
    sdk = _sdk()
    for everywhere, here in _EVERYWHERE.items():
        address = address.replace(f"//{everywhere}:", f"//{here}:")
    opened: Future[Any] = Future()

    def work() -> None:
        try:
            opened.set_result(sdk.forward(address, authtoken_from_env=True))
        except Exception as error:  # noqa: BLE001  (handed on)
            opened.set_exception(error)

    # On a thread, because a signal does not end a wait in native code.
    threading.Thread(target=work, daemon=True).start()
    try:
        try:
            url = str(opened.result(seconds).url())
        except TimeoutError:
            raise NoTunnelError(f"ngrok gave no tunnel within {seconds:g} s", fix="see whether it is reached") from None
        except Exception as error:  # noqa: BLE001  (whatever it is: the service goes on without)
            raise NoTunnelError(
                f"ngrok gives no tunnel ({_said(error)})", fix=f"check {TOKEN} and the network"
            ) from None
        yield url
    finally:
        opened.add_done_callback(lambda listener: _close(sdk, listener))  # now, or when it opens after all


def in_front(address: str, settings: ServiceSettings) -> str:
    """How to let other machines in by other means, in lines of at most 80 columns."""
    host = address.partition("://")[2]
    return f"""Others get in through a tunnel or a proxy in front of {address}:
  ngrok         pip install ngrok; export {TOKEN}=... (your token of
                dashboard.ngrok.com); then run this command again
  cloudflared   cloudflared tunnel --url {address}
  a proxy       caddy reverse-proxy --from NAME --to {host}
It must have TLS, because every request carries the key, and let bodies of
{settings.max_bytes // 2**20:,} MB and answers after {settings.timeout:g} s pass.
Clients send the header: Authorization: Bearer ${KEY}"""


def _sdk() -> Any:
    """ngrok's SDK, with what it logs kept to itself: it may quote the token."""
    if is_offline():
        raise NoTunnelError("no tunnel is opened while swath is offline", fix="leave out SWATH_OFFLINE and --offline")
    try:
        sdk = importlib.import_module("ngrok")
    except ImportError:
        raise NoTunnelError("ngrok's SDK is not installed", fix="run: pip install ngrok") from None
    if not os.environ.get(TOKEN):
        raise NoTunnelError(f"{TOKEN} is not set", fix="set it to your token of dashboard.ngrok.com")
    for name in ("ngrok", "muxado"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [logging.NullHandler()], False
    return sdk


def _said(error: Exception) -> str:
    """What the SDK says is wrong, without the token that it may quote."""
    text = " ".join(": ".join(map(str, error.args)).split())
    return text.replace(os.environ[TOKEN], "...")[:_LONGEST]


def _close(sdk: Any, opened: Future[Any]) -> None:
    if opened.exception() is not None:
        return

    def work() -> None:
        with contextlib.suppress(Exception):  # it ends with this process at the latest
            sdk.disconnect(opened.result().url())

    closing = threading.Thread(target=work, daemon=True)
    closing.start()
    closing.join(_SECONDS_TO_CLOSE)
