"""Fetch a named data set: resumed where it broke off, tried again, and checked against its checksum."""

from __future__ import annotations

import hashlib
import http.client
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from swath.data.named import NamedSet, find_named
from swath.errors import DataError, OutputError
from swath.files import atomic_file, check_output
from swath.progress import Progress, silent

ATTEMPTS = 4  # in a row without at least PROGRESS_BYTES more of the file
PROGRESS_BYTES = 2**20
TIMEOUT = 30.0  # seconds without a byte
MAX_WAIT = 60.0
_BLOCK = 2**18
_TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})


class _Retry(Exception):
    """An attempt failed in a way that another may not; `wait` is what the server asked for, seconds."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


@dataclass(frozen=True)
class _Job:
    """One archive on its way from one address to one partial file."""

    url: str
    part: Path
    known: NamedSet
    progress: Progress

    @property
    def have(self) -> int:
        """Bytes fetched so far."""
        return self.part.stat().st_size if self.part.exists() else 0


def get(
    name: str,
    out: Path,
    *,
    mirror: str | Path | None = None,
    overwrite: bool = False,
    pause: float = 1.0,
    progress: Progress = silent,
) -> Path:
    """Fetch a named data set, or do nothing if it is there already.

    What has arrived is kept as ``<out>.part``; a later call goes on from there. Proxies are taken
    from the environment (``https_proxy``, ``no_proxy``).

    Parameters
    ----------
    name : str
        Such as ``eurosat-rgb``.
    out : Path
        File to write, or an existing folder to write the archive into.
    mirror : str or Path, optional
        A file or http(s) address to take the archive from instead of its publisher.
    overwrite : bool
        Whether another file at `out` may be replaced.
    pause : float
        Seconds before the second attempt; doubled each time.
    progress : Progress
        Called with stage ``"download"``, in bytes.

    Returns
    -------
    Path
        The archive, its SHA-256 verified.

    Raises
    ------
    SettingError
        If no such data set is known.
    DataError
        If it cannot be fetched, or what is fetched is not the published archive.
    OutputError
        If `out` is another file and `overwrite` is false, or cannot be written.
    """
    known = find_named(name)
    target = out / known.filename if out.is_dir() else out
    if target.is_file() and _fault(target, known) is None:
        return target
    check_output(target, overwrite=overwrite)
    if mirror is not None and not str(mirror).lower().startswith(("http://", "https://")):
        _copy(Path(mirror), target, known, overwrite=overwrite, progress=progress)
        return target
    part = target.with_name(f"{target.name}.part")
    _fetch_any([str(mirror)] if mirror else known.urls, part, known, pause=pause, progress=progress)
    part.replace(target)
    return target


def _copy(source: Path, target: Path, known: NamedSet, *, overwrite: bool, progress: Progress) -> None:
    if not source.is_file():
        raise DataError(f"there is no mirror file {source}", fix="give a file or an http(s) address")
    _refuse(_fault(source, known), str(source), known)
    with atomic_file(target, overwrite=overwrite) as temporary:
        shutil.copyfile(source, temporary)
    progress("download", known.size, known.size)


def _fetch_any(urls: Sequence[str], part: Path, known: NamedSet, *, pause: float, progress: Progress) -> None:
    """Fetch from the first address that works, into a verified `part`."""
    problems: list[str] = []
    for url in urls:
        job = _Job(url, part, known, progress)
        # A part left by an earlier call may be of something else: one fresh start settles that.
        for resumed in (True, False) if job.have else (False,):
            if not resumed:
                part.unlink(missing_ok=True)
            problem = _fetch(job, pause=pause)
            if problem is not None:
                problems.append(f"{url}: {problem}")
                break
            fault = _fault(part, known)
            if fault is None:
                return
            part.unlink()
            if not resumed:
                _refuse(fault, url, known)
    raise DataError(
        f"cannot download {known.name} ({'; '.join(problems)})",
        fix="check the network and proxy settings and run the same command again, it goes on where it stopped; "
        "or give a copy with --mirror FILE_OR_URL",
    )


def _fetch(job: _Job, *, pause: float) -> str | None:
    """Bring the part to full size; return what went wrong if that cannot be done."""
    failures = 0
    while job.have != job.known.size:
        before = job.have
        try:
            _attempt(job)
        except _Retry as signal:
            failures = 1 if job.have >= before + PROGRESS_BYTES else failures + 1
            if failures >= ATTEMPTS:
                return f"{signal}, {ATTEMPTS} times in a row"
            job.progress("download", job.have, job.known.size, note=f"trying again: {signal}")
            time.sleep(min(MAX_WAIT, max(signal.wait, pause * 2 ** (failures - 1))))
    return None


def _attempt(job: _Job) -> None:
    """Make one request for what is still missing."""
    if job.have > job.known.size:
        job.part.unlink()
    have = job.have
    headers = {"User-Agent": "swath", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    try:
        request = urllib.request.Request(job.url, headers=headers)  # noqa: S310  (http and https only)
        with _opener().open(request, timeout=TIMEOUT) as response:
            resumes = response.status == 206
            if resumes and _range_start(response.headers["Content-Range"]) != have:
                job.part.unlink(missing_ok=True)
                raise _Retry("the server went on at another place than asked for")
            _receive(response, job, have if resumes else 0)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:  # the part is of no use to this server
            job.part.unlink(missing_ok=True)
        elif error.code not in _TRANSIENT:
            raise DataError(
                f"{job.url} answers {error.code} ({error.reason})",
                fix="give a copy with --mirror FILE_OR_URL",
            ) from error
        after = error.headers.get("Retry-After", "") if error.headers else ""
        raise _Retry(
            f"the server answers {error.code}", float(after) if after.isdecimal() else 0.0
        ) from error
    except urllib.error.URLError as error:
        raise _Retry(f"no connection: {getattr(error.reason, 'strerror', None) or error.reason}") from error
    except (http.client.HTTPException, OSError) as error:
        raise _Retry(f"the connection broke off ({type(error).__name__})") from error
    except ValueError as error:
        raise DataError(f"{job.url} is not an address that can be fetched ({error})") from error


def _receive(response: http.client.HTTPResponse, job: _Job, start: int) -> None:
    """Write the body after the first `start` bytes of the part; never more than the archive has."""
    total = job.known.size
    announced = response.headers["Content-Length"]
    if announced and announced.isdecimal() and start + int(announced) != total:
        _refuse(f"it has {start + int(announced)} bytes, not {total}", job.url, job.known)
    with _opened(job.part, "r+b" if start else "wb") as file:
        file.seek(start)
        file.truncate()
        done = start
        job.progress("download", done, total)
        while block := response.read1(_BLOCK):
            done += len(block)
            if done > total:
                break
            _write(file, block, job.part)
            job.progress("download", done, total)
    if done > total:
        job.part.unlink()
        _refuse(f"it has more than {total} bytes", job.url, job.known)
    if done < total:
        raise _Retry(f"the server closed the connection after {done} of {total} bytes")


def _opened(part: Path, mode: str) -> IO[bytes]:
    try:
        return part.open(mode)
    except OSError as error:
        raise OutputError(
            f"cannot write {part} ({error.strerror})", fix="choose a place you can write to"
        ) from error


def _write(file: IO[bytes], block: bytes, part: Path) -> None:
    """Write a block; a full disk is no network error and not tried again."""
    try:
        file.write(block)
        file.flush()
    except OSError as error:
        raise OutputError(
            f"cannot write {part} ({error.strerror})", fix="make room or choose another disk"
        ) from error


def _opener() -> urllib.request.OpenerDirector:
    """An opener for http and https alone, so that a redirect cannot lead to a local file."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPRedirectHandler,
        urllib.request.HTTPErrorProcessor,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.UnknownHandler,
    ):
        opener.add_handler(handler())
    return opener


def _range_start(content_range: str | None) -> int | None:
    """First byte of ``bytes 100-199/200``."""
    unit, _, rest = (content_range or "").strip().partition(" ")
    first = rest.partition("-")[0]
    return int(first) if unit == "bytes" and first.isdecimal() else None


def _fault(file: Path, known: NamedSet) -> str | None:
    """Say how a file differs from the published archive; ``None`` if it is the same."""
    size = file.stat().st_size
    if size != known.size:
        return f"it has {size} bytes, not {known.size}"
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return None if digest == known.sha256 else f"its SHA-256 is {digest}, not {known.sha256}"


def _refuse(fault: str | None, where: str, known: NamedSet) -> None:
    if fault is not None:
        raise DataError(
            f"{where} is not the published {known.name}: {fault}",
            fix="to use another archive of patches, index it as it is: swath data index FILE",
        )
