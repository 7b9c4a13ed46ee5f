"""Data sets known by name: those shipped in the package, and those that can be downloaded.

A download resumes where it broke off, is tried again, and is compared with the published checksum. A set that no
host may offer is recognized in a file of the user's own by its contents, however it was packed.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from swath.data.archives import open_patches
from swath.data.filenames import is_image_name
from swath.errors import DataError, MissingFileError, SettingError
from swath.fetch import RemoteFile, download_lock, fetch
from swath.files import atomic_file, check_output
from swath.progress import Progress, silent

EUROSAT_SOURCE = "EuroSAT RGB, doi:10.5281/zenodo.7711810"
EUROSAT_ATTRIBUTION = (
    "EuroSAT: Helber, Bischke, Dengel and Borth (2019), doi:10.1109/JSTARS.2019.2918242; "
    "contains modified Copernicus Sentinel data"
)
# Shipped archives, and the published set they are part of.
SHIPPED: dict[str, str] = {"eurosat-mini": "eurosat-rgb"}


@dataclass(frozen=True)
class NamedSet:
    """One published archive of labeled patches.

    Attributes
    ----------
    name : str
        Name in commands.
    filename : str
        Name of the archive on disk.
    urls : tuple of str
        Where it is published, tried in order.
    sha256 : str
        Of the archive, lower-case hexadecimal.
    size : int
        Of the archive, bytes.
    source, license, attribution : str
        Where it comes from, under which terms, and the line that must accompany derived works.
    gsd : float or None
        Ground sampling distance, meters per pixel.
    side_by_side : bool
        Whether patches are adjacent parts of few scenes, so that tests on a random split are optimistic.
    contents : str
        :func:`contents_digest` of a set that has no `urls`, since nobody may pass it on.
    page : str
        Where people get such a set.
    faults : tuple of str
        What is known to be wrong with it, a sentence each.
    """

    name: str
    filename: str
    urls: tuple[str, ...]
    sha256: str
    size: int
    source: str
    license: str
    attribution: str
    gsd: float | None = None
    side_by_side: bool = False
    contents: str = ""
    page: str = ""
    faults: tuple[str, ...] = ()


NAMED: dict[str, NamedSet] = {
    "eurosat-rgb": NamedSet(
        name="eurosat-rgb",
        filename="EuroSAT_RGB.zip",
        urls=("https://zenodo.org/records/7711810/files/EuroSAT_RGB.zip?download=1",),
        sha256="b4f5b234ecb7d7ff9c6cddb046543b4717c53fd6e9815be6c0e80cc614f51b90",
        size=94_658_721,
        source=EUROSAT_SOURCE,
        license="MIT",
        attribution=EUROSAT_ATTRIBUTION,
        gsd=10.0,
        side_by_side=True,
    ),
    "scenes4": NamedSet(
        name="scenes4",
        filename="scenes4.zip",
        urls=(),
        sha256="",
        size=0,
        source="the four-class set 'satellite image classification' of Kaggle",
        license="unknown",
        attribution="",
        contents="3704f3c3d2b1dba5c01989b75cba8693da78e1bf937f73b772a25d65d2aeef66",
        page="Kaggle's page 'Satellite Image Classification' (cloudy, desert, green_area, water)",
        faults=(
            "sizes and modes differ by class: cloudy is 256 x 256 CMYK, desert 256 x 256 RGB, green_area and water are "
            "64 x 64 RGB, so file headers alone predict 73 % of the classes",
            "39 files repeat another byte for byte",
            "green_area and water are patches of EuroSAT's Forest and SeaLake, so a model that learned from EuroSAT "
            "has seen them",
        ),
    ),
}


def find_named(name: str) -> NamedSet:
    """Look up a downloadable data set.

    Raises
    ------
    SettingError
        If no data set has that name, or it is shipped and needs no download.
    """
    if name in NAMED:
        return NAMED[name]
    if name in SHIPPED:
        raise SettingError(
            f"'{name}' is shipped with swath and needs no download", fix=f"index it directly: swath data index {name}"
        )
    raise SettingError(f"no data set is named '{name}'", fix=f"known names: {', '.join(sorted(NAMED))}")


def shipped_path(name: str) -> Path:
    """Path of an archive shipped inside the package, such as ``eurosat-mini``.

    Raises
    ------
    SettingError
        If no shipped data set has that name, or the installation lacks its file.
    """
    if name not in SHIPPED:
        raise SettingError(
            f"no shipped data set is named '{name}'", fix=f"shipped data sets: {', '.join(sorted(SHIPPED))}"
        )
    path = _shipped_folder() / f"{name}.zip"
    if not path.is_file():
        raise SettingError(f"this installation of swath lacks {path.name}", fix="install swath again")
    return path


def shipped_name(path: Path) -> str | None:
    """Name of the shipped archive that `path` is, or ``None``."""
    if path.parent == _shipped_folder() and path.stem in SHIPPED and path.suffix == ".zip":
        return path.stem
    return None


def _shipped_folder() -> Path:
    return Path(__file__).resolve().parent / "shipped"


def get(
    name: str,
    out: Path,
    *,
    mirror: str | Path | None = None,
    file: Path | None = None,
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
    file : Path, optional
        The archive itself, of a set that no host may offer: recognized by its contents, however it was packed.
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
        If no such data set is known, or `file` is missing where it is needed or given where it is not.
    DataError
        If it cannot be fetched, or what is fetched is not the published archive.
    OutputError
        If `out` is another file and `overwrite` is false, or cannot be written.
    """
    known = find_named(name)
    if known.contents:
        return _take(known, file, out, mirror=mirror, overwrite=overwrite, progress=progress)
    if file is not None:
        raise SettingError(f"{name} has a publisher", fix="take it from a file of your own with --mirror FILE")
    from_file = mirror is not None and not str(mirror).lower().startswith(("http://", "https://"))
    remote = RemoteFile(
        name=known.name,
        urls=(str(mirror),) if mirror else known.urls,
        size=known.size,
        sha256=known.sha256,
        copy="give a copy with --mirror FILE_OR_URL",
        other="to use another archive of patches, index it as it is: swath data index FILE",
    )
    target = _target(known, out)
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


def contents_digest(patches: Iterable[tuple[str, str]]) -> str:
    """Hexadecimal SHA-256 of what a set holds: class and SHA-256 of each patch, whatever files are called."""
    lines = sorted(f"{label}\0{sha256}" for label, sha256 in patches)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _target(known: NamedSet, out: Path) -> Path:
    # A name without a suffix is a folder, also before there is one.
    return out / known.filename if out.is_dir() or not (out.exists() or out.suffix) else out


def _take(
    known: NamedSet, file: Path | None, out: Path, *, mirror: str | Path | None, overwrite: bool, progress: Progress
) -> Path:
    """Copy a user's own archive of a set without a host, if its contents are those of the set."""
    if mirror is not None or file is None:
        raise SettingError(
            f"no host may offer {known.name}, whose license is not established",
            fix=f"get it from {known.page}, then: swath data get {known.name} --file ZIP",
        )
    if file.is_dir():
        raise DataError(f"{file} is a folder", fix=f"index it as it is: swath data index {file} --out INDEX")
    if not file.is_file():
        raise MissingFileError(f"there is no file {file}", fix="give the zip archive with --file ZIP")
    target = _target(known, out)
    found = _folder_contents(file, progress)
    if contents_digest(found) != known.contents:
        raise DataError(
            f"the {len(found):,} images of {file} are not those of {known.name}",
            fix=f"index the archive as it is: swath data index {file} --out INDEX",
        )
    if not (target.is_file() and target.samefile(file)):
        check_output(target, overwrite=overwrite)
        with atomic_file(target, overwrite=overwrite) as temporary:
            shutil.copyfile(file, temporary)
    return target


def _folder_contents(archive: Path, progress: Progress) -> list[tuple[str, str]]:
    """Folder and SHA-256 of each image in an archive."""
    with open_patches(archive) as reader:
        names = [name for name in reader.names() if is_image_name(name)]
        found = []
        for done, name in enumerate(names, start=1):
            found.append((PurePosixPath(name).parent.name, hashlib.sha256(reader.read(name)).hexdigest()))
            progress("check", done, len(names))
    return found


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
