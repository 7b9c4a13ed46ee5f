"""Two fetches of one file at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor


def two_at_once(fetch: Callable, proper: Callable, script: list) -> list:
    """What two threads get, where the server answers the first only once the second one waits for it.

    `fetch` is called with a progress, `proper` is the server's usual answer and `script` its list of others.
    """
    waiting = threading.Event()

    def late(handler):
        assert waiting.wait(10)
        proper(handler)

    def note_waiting(*_, note=""):
        if "waiting" in note:
            waiting.set()

    script.append(late)
    with ThreadPoolExecutor(2) as pool:
        return [one.result(30) for one in [pool.submit(fetch, note_waiting) for _ in range(2)]]
