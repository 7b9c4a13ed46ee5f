"""Variables of NetCDF files and Zarr folders as the bands of a scene.

``scene.nc`` is taken whole where its variables are named after bands, or where it holds one; ``scene.nc:reflectance``
names a variable, which may hold several bands. Scale, offset, fill value and place are those of the CF conventions, as
GDAL reads them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import rasterio
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader

from swath.errors import DataError, MissingFileError
from swath.imagery.rgb import named_band
from swath.imagery.sentinel2 import find_product
from swath.imagery.stores import BandFile, Files, SceneFiles

_DRIVERS = {".nc": "netCDF", ".nc4": "netCDF", ".cdf": "netCDF", ".zarr": "Zarr"}
_FIRST_BYTES = (b"CDF", b"\x89HDF\r\n\x1a\n")  # of NetCDF 3 and 4
_ZARR_FILES = (".zgroup", ".zarray", "zarr.json", ".zmetadata")
_SUBDATASET = re.compile(r'\w+:"?.*?"?:/?(?P<variable>[^:"]+)')
_MOST = 500  # variables


def find_variables(scene: str | Path) -> SceneFiles | None:
    """The bands of a NetCDF file or a Zarr folder, by its path or ``PATH:VARIABLE``; None if it is none.

    Raises
    ------
    DataError
        If it is damaged, or does not hold the variable, or holds several and none is named.
    """
    path, asked = Path(scene), None
    if not path.exists():
        stem, _, asked = str(scene).rpartition(":")
        path = Path(stem)
    driver = _DRIVERS.get(path.suffix.lower())
    if driver is None or not path.exists():
        return None
    whole = _whole_name(path, driver)
    names = _list(whole, driver, path)
    if asked is not None and asked.strip("/") not in names:
        raise MissingFileError(f"{path} holds no variable {asked}", fix=f"give one of {_listed(names)}")
    bands = _bands(path, driver, [asked.strip("/")] if asked is not None else names)
    groups: dict[str, list[BandFile]] = {}
    for band in bands:
        groups.setdefault(band.name, []).append(band)
    single = [group[0] for group in groups.values() if len(group) == 1 and group[0].band is not None]
    chosen = tuple(bands) if len(groups) == 1 else tuple(single)
    if len(chosen) < 2 and len(groups) != 1:
        raise DataError(
            f"{path} holds {len(groups)} variables that may be scenes, and they are not named after bands",
            fix=f"name one of {_listed(names)}, as in {path}:{next(iter(names), 'VARIABLE')}",
        )
    return SceneFiles(path.name, Files([str(path)]), chosen, find_product([path.name]))


def _whole_name(path: Path, driver: str) -> str:
    """What GDAL calls the file or folder, once it has been seen to be one."""
    if '"' in str(path.absolute()):
        raise DataError(f"{path} has a quotation mark in its name", fix="rename it")
    if driver == "Zarr":
        if not any((path / name).is_file() for name in _ZARR_FILES):
            raise DataError(
                f"{path} is no Zarr folder: none of {', '.join(_ZARR_FILES)} is in it", fix="check the path"
            )
    else:
        with path.open("rb") as stream:
            if not stream.read(8).startswith(_FIRST_BYTES):
                raise DataError(f"{path} is no NetCDF file", fix="check it, or give it its own ending")
    return str(path.absolute())


def _list(whole: str, driver: str, path: Path) -> list[str]:
    """Names of its variables."""
    try:
        with rasterio.open(whole, driver=driver, sharing=False) as dataset:
            found = [match["variable"] for name in dataset.subdatasets if (match := _SUBDATASET.fullmatch(name))]
            if not found and dataset.count:
                found = [dataset.tags(1).get("NETCDF_VARNAME") or next(iter(_arrays(path)), "")]
    except RasterioError as error:
        raise DataError(
            f"{path} cannot be opened ({error.__cause__ or error})", fix="check that it is whole"
        ) from error
    if not any(found):
        raise DataError(f"{path} holds no variable that may be a scene", fix="give one with variables over y and x")
    if len(found) > _MOST:
        raise DataError(f"{path} holds {len(found):,} variables", fix=f"name the one to use: {path}:{found[0]}")
    return found


def _arrays(path: Path) -> list[str]:
    """Names of the arrays in a Zarr folder."""
    return sorted(one.name for one in path.iterdir() if (one / ".zarray").is_file() or (one / "zarr.json").is_file())


def _bands(path: Path, driver: str, names: Sequence[str]) -> list[BandFile]:
    """The bands of variables that are rasters: of one or more, with height and width."""
    bands = []
    for name in names:
        source = f'{driver.upper()}:"{path.absolute()}":{"/" if driver == "Zarr" else ""}{name}'
        try:
            with rasterio.open(source, driver=driver, sharing=False) as dataset:
                bands += _of_variable(dataset, name, source, path, driver)
        except RasterioError as error:
            if len(names) == 1:
                raise DataError(f"{path}:{name} cannot be opened ({error})", fix="check that it is whole") from error
    if not bands:
        raise DataError(f"{path} holds no variable that may be a scene", fix="give one with variables over y and x")
    return bands


def _of_variable(dataset: DatasetReader, name: str, source: str, path: Path, driver: str) -> list[BandFile]:
    if dataset.width < 2 or dataset.height < 2:  # coordinates
        return []
    others = dataset.tags().get("NETCDF_DIM_EXTRA", "{}").strip("{}").split(",")
    if len(others) > 1:
        raise DataError(
            f"{path}:{name} has the dimensions {', '.join(others)} besides y and x", fix="select one date first"
        )
    if dataset.count == 1:
        return [BandFile(named_band(name), source, driver=driver, index=1)]
    return [BandFile(text or None, source, driver=driver, index=k) for k, text in enumerate(dataset.descriptions, 1)]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
