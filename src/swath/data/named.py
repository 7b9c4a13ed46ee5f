"""Data sets known by name: those that can be downloaded, and those shipped in the package."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from swath.errors import SettingError


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


EUROSAT_SOURCE = "EuroSAT RGB, doi:10.5281/zenodo.7711810"
EUROSAT_ATTRIBUTION = (
    "EuroSAT: Helber, Bischke, Dengel and Borth (2019), doi:10.1109/JSTARS.2019.2918242; "
    "contains modified Copernicus Sentinel data"
)

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
    )
}
# Shipped archives, and the published set they are part of.
SHIPPED: dict[str, str] = {"eurosat-mini": "eurosat-rgb"}


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
