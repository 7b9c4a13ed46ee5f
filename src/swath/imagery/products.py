"""What people download of a scene and give as it is: which of its files holds which band, and what it says of itself.

A product of Sentinel-2 or Landsat (a folder, its archive, or its metadata file) is found by the metadata in it.
Files of one band each are given by name, or in a folder or archive where their names say which band they hold.
Variables of NetCDF and Zarr are bands as well. Everything else is one raster file and read as such.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from swath.errors import DataError
from swath.imagery.landsat import find_landsat
from swath.imagery.remote import is_address, plain_name
from swath.imagery.rgb import named_band
from swath.imagery.rgb import plain_name as plain_band
from swath.imagery.safe import find_safe
from swath.imagery.sentinel2 import find_product
from swath.imagery.stores import Archive, BandFile, Files, Folder, SceneFiles, Store
from swath.imagery.variables import find_variables

_METADATA = re.compile(r"MTD_MSI(L1C|L2A)\.xml|.*_MTL\.(txt|json|xml)", re.IGNORECASE)
_IMAGE = r".*\.(tiff?|jp2|j2k)"
_METERS = re.compile(r"_(\d{1,3})m$", re.IGNORECASE)  # at the end of a file's name


def find_files(scene: Any) -> SceneFiles | None:
    """The files of a scene that is given as several, by paths; None for anything else.

    Parameters
    ----------
    scene : path, str, sequence of them, or anything
        A folder, a ``.zip`` archive, a product's file of metadata, or several files of one band each.

    Raises
    ------
    DataError
        If it is a folder or an archive in which there is no product and no files of bands, or one that cannot be used.
    """
    if isinstance(scene, list | tuple) and scene and all(isinstance(part, str | Path) for part in scene):
        return _given(scene)
    if not isinstance(scene, str | Path) or str(scene).startswith("/vsi") or is_address(scene):
        return None
    variables = find_variables(scene)
    if variables is not None:
        return variables
    path = Path(scene)
    if _METADATA.fullmatch(path.name) and path.is_file():
        path = path.parent
    store: Store
    if path.is_dir():
        store = Folder(path)
    elif path.suffix.lower() == ".zip" and path.is_file():
        store = Archive(path)
    else:
        return None
    return find_safe(store) or find_landsat(store) or _named(store)


def _given(paths: Sequence[str | Path]) -> SceneFiles:
    """Files given one by one: in this order, where their names name no bands."""
    if len(set(map(str, paths))) < len(paths):
        raise DataError("one file was given twice as the scene", fix="give every band once: B02.tif B03.tif B04.tif")
    store = Files([str(path) for path in paths])
    own = [plain_name(name) if is_address(name) else Path(name).name for name in store.names]
    bands = tuple(
        BandFile(named_band(PurePosixPath(one).stem), name) for one, name in zip(own, store.names, strict=True)
    )
    twice = _twice([file.band for file in bands])
    if twice is not None:
        raise DataError(
            f"several of the files given are of band {twice}", fix="give one scene: B02.tif B03.tif B04.tif"
        )
    return SceneFiles(
        f"{own[0]} and {len(bands) - 1} more", store, bands, find_product([*store.names, *_safe_folders(store.path)])
    )


def _named(store: Store) -> SceneFiles:
    """Files in a folder or an archive whose names say which band they hold.

    Raises
    ------
    DataError
        If there are none, or several of one band.
    """
    found: dict[str, tuple[float, str]] = {}
    for match in store.find(_IMAGE):
        stem = PurePosixPath(match[0]).stem
        band = named_band(_METERS.sub("", stem))
        if band is None:
            continue
        meters = _METERS.search(stem)
        pixel = float(meters[1]) if meters else 0.0
        if band in found and found[band][0] == pixel:
            raise DataError(
                f"{store.path} holds several files of band {band} ({found[band][1]}, {match[0]})",
                fix="give the files of one scene by name: B02.tif B03.tif B04.tif",
            )
        if band not in found or pixel < found[band][0]:
            found[band] = pixel, match[0]
    bands = tuple(BandFile(band, name, pixel or None) for band, (pixel, name) in found.items())
    if len(bands) < 2 or _twice([file.band for file in bands]) is not None:
        raise DataError(
            f"{store.path} is no product that swath knows, and its files are not named after bands",
            fix="give a .SAFE folder of Sentinel-2 or its zip archive, a folder of Landsat Collection 2, a raster "
            "file, or files of one band each: B02.tif B03.tif B04.tif",
        )
    names = [file.name for file in bands]
    return SceneFiles(
        store.path.name, store, bands, find_product([*names, store.path.name, *_safe_folders(store.path)])
    )


def _twice(bands: Sequence[str | None]) -> str | None:
    """A band that is named twice, in one spelling or two."""
    seen: set[str] = set()
    for band in bands:
        plain = None if band is None else plain_band(band)
        if plain in seen:
            return band
        if plain is not None:
            seen.add(plain)
    return None


def _safe_folders(path: Path) -> list[str]:
    """Names of the products of Sentinel-2 that a path lies in: they name level and baseline."""
    return [folder.name for folder in (path, *path.absolute().parents) if folder.suffix.upper() == ".SAFE"]
