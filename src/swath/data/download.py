"""Fetch a named data set: resumed where it broke off, tried again, and checked against its checksum."""

from __future__ import annotations

import shutil
from pathlib import Path

from swath.data.named import find_named
from swath.errors import DataError
from swath.fetch import RemoteFile, download_lock, fetch
from swath.files import atomic_file, check_output
from swath.progress import Progress, silent


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

    What has arrived is kept as ``<out>.part``; a later call resumes there. Proxies are taken
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
    from_file = mirror is not None and not str(mirror).lower().startswith(("http://", "https://"))
    remote = RemoteFile(
        name=known.name,
        urls=(str(mirror),) if mirror else known.urls,
        size=known.size,
        sha256=known.sha256,
        copy="give a copy with --mirror FILE_OR_URL",
        other="to use another archive of patches, index it as it is: swath data index FILE",
    )
    # A name without a suffix is a folder, also before there is one.
    target = out / known.filename if out.is_dir() or not (out.exists() or out.suffix) else out
    if _is_there(target, remote):
        return target
    check_output(target, overwrite=overwrite)
    if from_file:
        _copy(Path(str(mirror)), target, remote, overwrite=overwrite, progress=progress)
        return target
    part = target.with_name(f"{target.name}.part")
    with download_lock(part, size=remote.size, progress=progress):
        if not _is_there(target, remote):  # another program may have fetched it meanwhile
            fetch(remote, part, pause=pause, progress=progress)
            part.replace(target)
    return target


def _is_there(target: Path, remote: RemoteFile) -> bool:
    return target.is_file() and remote.mismatch(target) is None


def _copy(source: Path, target: Path, remote: RemoteFile, *, overwrite: bool, progress: Progress) -> None:
    if not source.is_file():
        raise DataError(f"there is no mirror file {source}", fix="give a file or an http(s) address")
    mismatch = remote.mismatch(source)
    if mismatch is not None:
        raise remote.refusal(str(source), mismatch)
    with atomic_file(target, overwrite=overwrite) as temporary:
        shutil.copyfile(source, temporary)
    progress("download", remote.size, remote.size)
