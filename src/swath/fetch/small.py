"""Ask an address something small: its headers, or a page of JSON."""

from __future__ import annotations

import time
from dataclasses import dataclass
from email.message import Message

from swath.errors import DataError
from swath.fetch.http import ATTEMPTS, MAX_WAIT, Retry, answered

MOST_BYTES = 4 * 2**20


@dataclass(frozen=True)
class HttpResponse:
    """What a server said: where (after redirects), its status, headers and body."""

    url: str
    status: int
    headers: Message
    body: bytes


def request(
    url: str,
    *,
    copy: str,
    method: str = "GET",
    authorization: str | None = None,
    follow: bool = True,
    pause: float = 1.0,
) -> HttpResponse:
    """Make a request for something small, tried again if it fails in passing.

    Parameters
    ----------
    url, copy, method, authorization, follow
        As for :func:`swath.fetch.http.answered`.
    pause : float
        Seconds before the second attempt; doubled each time.

    Raises
    ------
    AnswerError
        If the server's answer is final.
    DataError
        If no answer can be had, or it is larger than 4 MiB.
    """
    headers = {"User-Agent": "swath", "Accept-Encoding": "identity"}
    problem = ""
    for attempt in range(ATTEMPTS):
        try:
            with answered(
                url, headers=headers, copy=copy, method=method, authorization=authorization, follow=follow
            ) as response:
                body = response.read(MOST_BYTES + 1)
                if len(body) > MOST_BYTES:
                    raise DataError(f"{url} answers with more than {MOST_BYTES >> 20} MiB", fix=copy)
                if response.length:
                    raise Retry("the connection broke off")
                return HttpResponse(response.url, response.status, response.headers, body)
        except Retry as signal:
            problem = str(signal)
            if attempt + 1 < ATTEMPTS:
                time.sleep(min(MAX_WAIT, max(signal.wait, pause * 2**attempt)))
    raise DataError(
        f"cannot reach {url} ({problem}, {ATTEMPTS} times in a row)",
        fix=f"check the network and proxy settings; or {copy}",
    )
