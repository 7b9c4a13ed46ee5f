"""What people download of a scene and give as it is: which of its files holds which band, and what it says of itself.

A product of Sentinel-2 (a ``.SAFE`` folder, its zip archive, or its metadata file) is found by the metadata in it.
Everything else is one raster file and read as such.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from swath.errors import DataError
from swath.imagery.safe import find_safe
from swath.imagery.stores import Archive, Folder, SceneFiles, Store

_METADATA = re.compile(r"MTD_MSI(L1C|L2A)\.xml", re.IGNORECASE)


def find_files(scene: Any) -> SceneFiles | None:
    """The files of a scene that is a product, by its path; None for anything else.

    Parameters
    ----------
    scene : path, str or anything
        A folder, a ``.zip`` archive, or a product's file of metadata.

    Raises
    ------
    DataError
        If it is a folder or an archive in which there is no product, or one that cannot be used.
    """
    if not isinstance(scene, str | Path) or str(scene).startswith("/vsi"):
        return None
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
    found = find_safe(store)
    if found is None:
        raise DataError(
            f"{path} is no product that swath knows: there is no MTD_MSIL1C.xml or MTD_MSIL2A.xml in it",
            fix="give a .SAFE folder of Sentinel-2 or its zip archive, or a raster file",
        )
    return found
