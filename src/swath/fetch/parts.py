"""Fetch a file of known size: what has arrived is kept in a part, and gone on with."""

from __future__ import annotations

import hashlib
import http.client
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from swath.errors import DataError, OutputError
from swath.fetch.http import ATTEMPTS, MAX_WAIT, ResponseError, Retry, answered
from swath.progress import Progress

PROGRESS_BYTES = 2**20  # so much more of the file, and earlier failures are forgotten
_BLOCK = 2**18


@dataclass(frozen=True)
class ExpectedFile:
    """What a fetched file must be, and what to tell a user who does not get it.

    Attributes
    ----------
    name : str
        For messages.
    size : int
        Bytes.
    sha256 : str or None
        Lower-case hexadecimal; ``None`` if its publisher does not state it. Then a part is never gone on with:
        nothing would tell that the rest is of another version.
    copy : str
        The mend if it cannot be fetched: how to give a copy.
    other : str or None
        The mend if another file is found in its place.
    authorization : str or None
        Value of the ``Authorization`` header, for the first host alone.
    """

    name: str
    size: int
    sha256: str | None
    copy: str
    other: str | None = None
    authorization: str | None = None


@dataclass(frozen=True)
class _Job:
    """One file on its way from one address to one partial file."""

    url: str
    part: Path
    wanted: ExpectedFile
    progress: Progress

    @property
    def have(self) -> int:
        """Bytes fetched so far."""
        return self.part.stat().st_size if self.part.exists() else 0


def fetch_any(
    urls: Sequence[str], part: Path, wanted: ExpectedFile, *, pause: float, progress: Progress
) -> None:
    """Fetch from the first address that works, into a verified `part`.

    Parameters
    ----------
    urls : sequence of str
        Tried in order.
    part : Path
        File to fetch into, see :func:`swath.fetch.exclusive`; what it holds from an earlier call is gone on with.
    wanted : Wanted
        What it must be.
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
    problems: list[str] = []
    for url in urls:
        job = _Job(url, part, wanted, progress)
        # A part left by an earlier call may be of something else: one fresh start settles that.
        for resumed in (True, False) if job.have and wanted.sha256 else (False,):
            if not resumed:
                part.unlink(missing_ok=True)
            try:
                problem = _fetch(job, pause=pause)
            except ResponseError as error:  # final, for this address
                if url == urls[-1]:
                    raise
                problem = error.problem
            if problem is not None:
                problems.append(f"{url}: {problem}")
                break
            found = mismatch(part, wanted)
            if found is None:
                return
            part.unlink()
            if not resumed:
                refuse(found, url, wanted)
    raise DataError(
        f"cannot download {wanted.name} ({'; '.join(problems)})",
        fix="check the network and proxy settings and run the same command again, it goes on where it stopped; "
        f"or {wanted.copy}",
    )


def mismatch(file: Path, wanted: ExpectedFile) -> str | None:
    """Say how a file differs from the published one; ``None`` if it is the same."""
    size = file.stat().st_size
    if size != wanted.size:
        return f"it has {size} bytes, not {wanted.size}"
    if wanted.sha256 is None:
        return None
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return None if digest == wanted.sha256 else f"its SHA-256 is {digest}, not {wanted.sha256}"


def refuse(found: str | None, where: str, wanted: ExpectedFile) -> None:
    """Raise if there is a fault.

    Raises
    ------
    DataError
        That `where` is another file.
    """
    if found is not None:
        raise DataError(f"{where} is not the published {wanted.name}: {found}", fix=wanted.other)


def _fetch(job: _Job, *, pause: float) -> str | None:
    """Bring the part to full size; return what went wrong if that cannot be done."""
    failures, most = 0, job.have  # a part that was dropped and fetched again is no progress
    while job.have != job.wanted.size:
        try:
            _attempt(job)
        except Retry as signal:
            failures = 1 if job.have >= most + PROGRESS_BYTES else failures + 1
            most = max(most, job.have)
            if failures >= ATTEMPTS:
                return f"{signal}, {ATTEMPTS} times in a row"
            job.progress("download", job.have, job.wanted.size, note=f"trying again: {signal}")
            time.sleep(min(MAX_WAIT, max(signal.wait, pause * 2 ** (failures - 1))))
    return None


def _attempt(job: _Job) -> None:
    """Make one request for what is still missing."""
    if job.have > job.wanted.size or job.wanted.sha256 is None:
        job.part.unlink(missing_ok=True)
    have = job.have
    headers = {"User-Agent": "swath", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    try:
        with answered(
            job.url, headers=headers, copy=job.wanted.copy, authorization=job.wanted.authorization
        ) as response:
            resumes = response.status == 206
            if resumes and _range_start(response.headers["Content-Range"]) != have:
                job.part.unlink(missing_ok=True)
                raise Retry("the server went on at another place than asked for")
            _receive(response, job, have if resumes else 0)
    except Retry as signal:
        if signal.status == 416:  # the part is of no use to this server
            job.part.unlink(missing_ok=True)
        raise


def _receive(response: http.client.HTTPResponse, job: _Job, start: int) -> None:
    """Write the body after the first `start` bytes of the part; never more than the file has."""
    total = job.wanted.size
    announced = response.headers["Content-Length"]
    if announced and announced.isdecimal() and start + int(announced) != total:
        refuse(f"it has {start + int(announced)} bytes, not {total}", job.url, job.wanted)
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
        refuse(f"it has more than {total} bytes", job.url, job.wanted)
    if done < total:
        raise Retry(f"the server closed the connection after {done} of {total} bytes")


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


def _range_start(content_range: str | None) -> int | None:
    """First byte of ``bytes 100-199/200``."""
    unit, _, rest = (content_range or "").strip().partition(" ")
    first = rest.partition("-")[0]
    return int(first) if unit == "bytes" and first.isdecimal() else None
