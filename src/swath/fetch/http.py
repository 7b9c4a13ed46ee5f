"""One request, whose failures are sorted into those that may pass and those that will not."""

from __future__ import annotations

import contextlib
import http.client
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from email.message import Message
from typing import IO, Any

from swath.errors import DataError, SwathError

ATTEMPTS = 4  # in a row without success
TIMEOUT = 30.0  # seconds without a byte
MAX_WAIT = 60.0
_TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})
_WITH_USER = re.compile(r"[^/?#]*//[^/?#]*@")
_BLANK = re.compile(r"[\s\x00-\x1f\x7f]")


class Retry(Exception):
    """An attempt failed in a way that another may not; `wait` is what the server asked for, seconds."""

    def __init__(self, reason: str, *, wait: float = 0.0, status: int | None = None) -> None:
        super().__init__(reason)
        self.wait = wait
        self.status = status


class ResponseError(DataError):
    """A server answered, and its answer is final: `status`, and `headers` that may say more."""

    def __init__(self, problem: str, *, fix: str, status: int, headers: Message) -> None:
        super().__init__(problem, fix=fix)
        self.status = status
        self.headers = headers


def check_address(url: str, *, fix: str) -> None:
    """Refuse what is no http or https address, and one with a user name or password, which is not repeated.

    Raises
    ------
    DataError
        With `fix` as its mend.
    """
    if _WITH_USER.match(url):
        raise DataError("an address to fetch has a user name or password in it, which is not sent", fix=fix)
    try:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
            raise ValueError("it is not of the form https://HOST/FILE")
        if _BLANK.search(url):
            raise ValueError("it has a blank in it, which is written %20")
    except ValueError as error:
        raise _no_address(url, error, fix) from error


@contextlib.contextmanager
def answered(
    url: str,
    *,
    headers: Mapping[str, str],
    copy: str,
    method: str = "GET",
    authorization: str | None = None,
    follow: bool = True,
) -> Iterator[http.client.HTTPResponse]:
    """Open an address and yield the response; failures while it is read are sorted, too.

    Parameters
    ----------
    url : str
        http or https.
    headers : mapping
        Sent along, to every host a redirect leads to.
    copy : str
        The mend for an address that cannot be used: how to give a copy.
    authorization : str, optional
        Value of the ``Authorization`` header: sent to this scheme, host and port alone.
    follow : bool
        Whether redirects are followed; otherwise they are yielded as answers.

    Raises
    ------
    Retry
        If another attempt may succeed.
    AnswerError
        If the server's answer is final.
    DataError
        If `url` is no address.
    """
    check_address(url, fix=copy)
    try:
        request = urllib.request.Request(url, headers=dict(headers), method=method)  # noqa: S310  (http and https only)
        if authorization is not None:
            request.add_unredirected_header("Authorization", authorization)
        with _opener(follow).open(request, timeout=TIMEOUT) as response:
            yield response
    except SwathError:  # of the block that reads the answer
        raise
    except urllib.error.HTTPError as error:
        error.close()
        raise _sorted(error, url, copy) from error
    except urllib.error.URLError as error:
        raise Retry(f"no connection: {getattr(error.reason, 'strerror', None) or error.reason}") from error
    except http.client.InvalidURL as error:  # of a redirect
        raise _no_address(url, error, copy) from error
    except (http.client.HTTPException, OSError) as error:
        raise Retry(f"the connection broke off ({type(error).__name__})") from error
    except ValueError as error:
        raise _no_address(url, error, copy) from error


def _no_address(url: str, reason: Exception, fix: str) -> DataError:
    return DataError(f"{url} is not an address that can be fetched ({reason})", fix=fix)


def _sorted(error: urllib.error.HTTPError, url: str, copy: str) -> Exception:
    headers = error.headers or Message()
    if error.code not in _TRANSIENT and error.code != 416:
        return ResponseError(
            f"{url} answers {error.code} ({error.reason})", fix=copy, status=error.code, headers=headers
        )
    after = headers.get("Retry-After", "")
    return Retry(
        f"the server answers {error.code}",
        wait=float(after) if after.isdecimal() else 0.0,
        status=error.code,
    )


class _Follow(urllib.request.HTTPRedirectHandler):
    """Follow redirects; authorization goes on to the same scheme, host and port alone."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        made = super().redirect_request(req, fp, code, msg, headers, newurl)
        secret = req.unredirected_hdrs.get("Authorization")
        if made is not None and secret is not None and _origin(made.full_url) == _origin(req.full_url):
            made.add_unredirected_header("Authorization", secret)
        return made


class _Stay(urllib.request.HTTPRedirectHandler):
    """Take a redirect as the answer."""

    def http_error_302(
        self,
        req: urllib.request.Request,  # noqa: ARG002  (the names are the base's)
        fp: Any,
        code: int,  # noqa: ARG002
        msg: str,  # noqa: ARG002
        headers: Any,  # noqa: ARG002
    ) -> Any:
        return fp

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urllib.parse.urlsplit(url)
    return parts.scheme, parts.hostname, parts.port


def _opener(follow: bool) -> urllib.request.OpenerDirector:
    """An opener for http and https alone, so that a redirect cannot lead to a local file."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        _Follow if follow else _Stay,
        urllib.request.HTTPErrorProcessor,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.UnknownHandler,
    ):
        opener.add_handler(handler())
    return opener
