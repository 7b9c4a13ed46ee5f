"""Download a file of known size over http or https: resumed where it stopped, retried, and verified.

:func:`fetch` downloads into a partial file, under :func:`download_lock`, which keeps other processes from writing into
it. pooch 1.9 does not resume the download of an earlier call, nor does huggingface_hub since 2.0, which gives each
call its own temporary file; so this module uses the standard library's client. Proxies are taken from the environment
(``https_proxy``, ``no_proxy``).
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import ipaddress
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from filelock import FileLock, Timeout

from swath.errors import DataError, OutputError, SwathError
from swath.files import has_no_locks
from swath.machine import check_online
from swath.progress import Progress, silent

ATTEMPTS = 4  # failures in a row
TIMEOUT = 30.0  # seconds without a byte
MAX_WAIT = 60.0
TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})
PROGRESS_BYTES = 2**20  # received since the last failure, these reset the count of failures
_BLOCK = 2**18
_WITH_USER = re.compile(r"[^/?#]*//[^/?#]*@")
_BLANK = re.compile(r"[\s\x00-\x1f\x7f]")


@dataclass(frozen=True)
class RemoteFile:
    """A published file, and the remedies if it cannot be had.

    Attributes
    ----------
    name : str
        For messages.
    urls : tuple of str
        Where it is, tried in order.
    size : int
        Bytes.
    sha256 : str or None
        Lower-case hexadecimal; ``None`` if its publisher does not state it. Then a part is never resumed,
        since the rest could be of another version unnoticed.
    copy : str
        The remedy if it cannot be fetched: how to give a copy.
    other : str or None
        The remedy if another file is found in its place.
    token : str or None
        Sent as a bearer token to the host of the address and to no other.
    """

    name: str
    urls: tuple[str, ...]
    size: int
    sha256: str | None
    copy: str
    other: str | None = None
    token: str | None = field(default=None, repr=False)

    def mismatch(self, file: Path) -> str | None:
        """Say how a file differs from the published one; ``None`` if it is the same."""
        size = file.stat().st_size
        if size != self.size:
            return f"it has {size} bytes, not {self.size}"
        if self.sha256 is None:
            return None
        with file.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        return None if digest == self.sha256 else f"its SHA-256 is {digest}, not {self.sha256}"

    def refusal(self, where: str, mismatch: str) -> DataError:
        """The error for another file at `where`."""
        return DataError(f"{where} is not the published {self.name}: {mismatch}", fix=self.other)


def fetch(remote: RemoteFile, part: Path, *, pause: float = 1.0, progress: Progress = silent) -> None:
    """Fetch a file from the first address that works.

    Parameters
    ----------
    remote : RemoteFile
        What to fetch.
    part : Path
        File to fetch into, under :func:`download_lock`; what an earlier call left there is resumed.
    pause : float
        Seconds before the second attempt; doubled each time.
    progress : Progress
        Called with stage ``"download"``, in bytes.

    Raises
    ------
    DataError
        If it cannot be fetched, or what is fetched is another file.
    OutputError
        If `part` cannot be written.
    """
    check_online(f"{remote.name} is not on this machine", fix=remote.copy)
    problems: list[str] = []
    for url in remote.urls:
        check_address(url, fix=remote.copy)
        # A part left by an earlier call may be of another file: then one new download decides.
        for resumed in (True, False) if _size(part) and remote.sha256 else (False,):
            if not resumed:
                part.unlink(missing_ok=True)
            try:
                _complete(url, remote, part, pause=pause, progress=progress)
            except _FinalAnswer as error:
                if url == remote.urls[-1]:
                    raise
                problems.append(error.problem)
                break
            except _Transient as error:
                problems.append(f"{url}: {error}, {ATTEMPTS} times in a row")
                break
            mismatch = remote.mismatch(part)
            if mismatch is None:
                return
            part.unlink()
            if not resumed:
                raise remote.refusal(url, mismatch)
    raise DataError(
        f"cannot download {remote.name} ({'; '.join(problems)})",
        fix="check the network and proxy settings and run the same command again, it resumes where it stopped; "
        f"or {remote.copy}",
    )


@contextlib.contextmanager
def download_lock(part: Path, *, size: int, progress: Progress = silent) -> Iterator[None]:
    """Lock a partial file, since two processes that write into it would corrupt it.

    The block has to check whether another process completed the download meanwhile. ``<part>.lock`` is removed
    afterwards.

    Parameters
    ----------
    part : Path
        The file that is fetched into; its folder must exist.
    size : int
        Bytes of the whole file, for `progress`.
    progress : Progress
        Called once with stage ``"download"`` if another process holds the lock.

    Raises
    ------
    OutputError
        If the folder cannot be written.
    """
    lock = FileLock(part.with_name(f"{part.name}.lock"), fallback_to_soft=False)
    try:
        try:
            lock.acquire(blocking=False)
        except Timeout:
            progress("download", 0, size, note="waiting: another process downloads the same file")
            lock.acquire()
    except OSError as error:
        if not has_no_locks(error, part.parent):
            reason = error.strerror or str(error)
            raise OutputError(f"cannot write {lock.lock_file} ({reason})", fix="choose another folder") from error
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # Windows removes it by itself
            Path(lock.lock_file).unlink()
        lock.release()


def check_address(url: str, *, fix: str) -> None:
    """Refuse anything but an http or https address without user name and password; these are not repeated.

    Raises
    ------
    DataError
        With `fix` as its remedy.
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


def is_local(url: str) -> bool:
    """Whether an address is on this machine.

    Examples
    --------
    >>> is_local("http://127.0.0.1:11434/v1"), is_local("https://api.openai.com/v1")
    (True, False)
    """
    host = urllib.parse.urlsplit(url).hostname or ""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


class _Transient(Exception):
    """An attempt failed in a way that another may not; `wait` is what the server asked for, seconds."""

    def __init__(self, reason: str, *, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


class _FinalAnswer(DataError):
    """A server answered that it will not give the file; another address may."""


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follow redirects; the token is sent only to the same scheme, host and port."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        made = super().redirect_request(req, fp, code, msg, headers, newurl)
        if made is not None and _origin(made.full_url) != _origin(req.full_url):
            made.remove_header("Authorization")
        return made


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urllib.parse.urlsplit(url)
    return parts.scheme, parts.hostname, parts.port


def _no_address(url: str, reason: Exception, fix: str) -> DataError:
    return DataError(f"{url} is not an address that can be fetched ({reason})", fix=fix)


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _complete(url: str, remote: RemoteFile, part: Path, *, pause: float, progress: Progress) -> None:
    """Download until the part has its full size; raise the last of several failures in a row."""
    failures, most = 0, _size(part)  # downloading a discarded part again is no progress
    while _size(part) != remote.size:
        try:
            _attempt(url, remote, part, progress)
        except _Transient as error:
            have = _size(part)
            failures = 1 if have >= most + PROGRESS_BYTES else failures + 1
            most = max(most, have)
            if failures >= ATTEMPTS:
                raise
            progress("download", have, remote.size, note=f"trying again: {error}")
            time.sleep(min(MAX_WAIT, max(error.wait, pause * 2 ** (failures - 1))))


def _attempt(url: str, remote: RemoteFile, part: Path, progress: Progress) -> None:
    """Request the rest of the file once; failures are either transient or final."""
    have = _size(part)
    if have > remote.size or remote.sha256 is None:
        part.unlink(missing_ok=True)
        have = 0
    headers = {"User-Agent": "swath", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    if remote.token:
        headers["Authorization"] = f"Bearer {remote.token}"
    request = urllib.request.Request(url, headers=headers)  # noqa: S310  (http and https only, as checked)
    try:
        with urllib.request.build_opener(_Redirects).open(request, timeout=TIMEOUT) as response:
            resumes = response.status == 206
            if resumes and not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
                part.unlink(missing_ok=True)
                raise _Transient("the server resumed at another place than asked for")
            _receive(response, url, remote, part, progress, start=have if resumes else 0)
    except SwathError:
        raise
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:  # the server cannot resume this part
            part.unlink(missing_ok=True)
        elif error.code not in TRANSIENT:
            raise _FinalAnswer(f"{url} answers {error.code} ({error.reason})", fix=remote.copy) from error
        after = error.headers.get("Retry-After", "")
        wait = float(after) if after.isdecimal() else 0.0
        raise _Transient(f"the server answers {error.code}", wait=wait) from error
    except urllib.error.URLError as error:
        raise _Transient(f"no connection: {getattr(error.reason, 'strerror', None) or error.reason}") from error
    except (http.client.InvalidURL, ValueError) as error:  # in a redirect
        raise _no_address(url, error, remote.copy) from error
    except (http.client.HTTPException, OSError) as error:
        raise _Transient(f"the connection broke off ({type(error).__name__})") from error


def _receive(
    response: http.client.HTTPResponse, url: str, remote: RemoteFile, part: Path, progress: Progress, *, start: int
) -> None:
    """Append the body after the first `start` bytes of the part; never more than the size of the file."""
    total, done = remote.size, start
    announced = response.headers.get("Content-Length", "")
    if announced.isdecimal() and start + int(announced) != total:
        raise remote.refusal(url, f"it has {start + int(announced)} bytes, not {total}")
    with _writing(part), part.open("ab") as file:
        file.truncate(start)
    progress("download", done, total)
    while block := response.read1(_BLOCK):
        done += len(block)
        if done > total:
            break
        with _writing(part), part.open("ab") as file:
            file.write(block)
        progress("download", done, total)
    if done > total:
        part.unlink()
        raise remote.refusal(url, f"it has more than {total} bytes")
    if done < total:
        raise _Transient(f"the server closed the connection after {done} of {total} bytes")


@contextlib.contextmanager
def _writing(part: Path) -> Iterator[None]:
    """Raise a full disk as an error of its own, which is not retried."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"cannot write {part} ({error.strerror})", fix="make room, or choose a place you can write to"
        ) from error
