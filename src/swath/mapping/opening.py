"""Open the raster of a scene: a local file, a ``/vsi`` name, or an address.

What is opened by one driver and never looks elsewhere is :func:`open_file`; it takes what anybody may have sent. What
leads elsewhere, to other files or another machine, is :func:`open_raster_of`, for names that a user has typed.
"""

from __future__ import annotations

import contextlib
import functools
import math
import os
from io import BytesIO
from pathlib import Path

import rasterio
from rasterio._env import set_proj_data_search_path
from rasterio.crs import CRS
from rasterio.errors import CRSError, RasterioError
from rasterio.io import DatasetReader
from rasterio.warp import transform as to_system

from swath.errors import DataError, MissingFileError, SettingError
from swath.imagery.decode import DEEP_PNG, kind_of
from swath.imagery.rasters import unreadable
from swath.imagery.remote import DOWNLOAD, gdal_name, is_address, plain_name, read_head
from swath.imagery.structure import check_structure
from swath.imagery.vrt import SETTINGS as VRT
from swath.imagery.vrt import check_vrt, is_vrt
from swath.machine import check_local, free_cores

# Formats that are one local file, recognized by its first bytes.
_DRIVERS = {"TIFF": "GTiff", "JPEG 2000": "JP2OpenJPEG", "PNG": "PNG", DEEP_PNG: "PNG", "JPEG": "JPEG"}
CACHE = 64 * 2**20
# Sidecar files (world files, masks) are looked up by name; the folder, which may be huge, is never listed.
# Blocks are decoded and compressed on all cores where the format allows it.
# PNG is decoded row by row, so that one that is cut short is an error, as in swath.imagery.rasters.
ENVIRONMENT = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "TRUE",
    "GDAL_CACHEMAX": CACHE,
    "GDAL_NUM_THREADS": str(free_cores()),
    "GDAL_PNG_WHOLE_IMAGE_OPTIM": "NO",
}


def open_raster_of(scene: str) -> DatasetReader:
    """Open the raster of a scene: an address, a VRT, or what :func:`open_file` takes.

    Raises
    ------
    DataError
        If there is no such file, it is none of these, or a VRT that names anything but local rasters.
    """
    if is_address(scene):
        return _open_address(scene)
    if is_vrt(Path(scene)):
        check_vrt(Path(scene))
        try:
            with rasterio.Env(**VRT):
                return rasterio.open(Path(scene).absolute(), driver="VRT", sharing=False)
        except RasterioError as error:
            raise unreadable(scene, "VRT", error) from error
    return open_file(scene)


def open_file(name: str) -> DatasetReader:
    """Open a local file of one of the formats, or what a ``/vsi`` name leads to.

    Raises
    ------
    DataError
        If there is no such file, or it is none of these.
    """
    target, driver = name, None
    # A /vsi name leads into GDAL's virtual file system, to another machine maybe: the user wants it so.
    if not name.startswith("/vsi"):
        path = Path(name)
        if not path.is_file():
            raise MissingFileError(f"there is no scene {path}", fix="give a raster file or a /vsi name")
        check_name(path)
        # An absolute path of a file that exists is never taken for a URL. A link keeps its own name: what lies next
        # to a raster (mask, statistics, world file) is named after the link.
        target, driver = str(path.absolute()), _driver(path)
    else:
        check_local(name)
    try:
        return rasterio.open(target, driver=driver, sharing=False)
    except RasterioError as error:
        if driver is None:
            raise DataError(f"{name} cannot be opened ({error.__cause__ or error})", fix="check the name") from error
        raise unreadable(name, driver, error) from error


def _open_address(address: str) -> DatasetReader:
    """Open a GeoTIFF by its address; the caller has set :func:`swath.imagery.remote.gdal_settings`."""
    name = plain_name(address)
    with BytesIO(read_head(address)) as head:
        if kind_of(head, name) != "TIFF":
            raise DataError(f"{name} is no GeoTIFF", fix=DOWNLOAD)
    try:
        # Nothing that might lie next to it is asked for.
        with rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR", GDAL_PAM_ENABLED="NO"):
            return rasterio.open(gdal_name(address), driver="GTiff", sharing=False)
    except RasterioError as error:
        raise cut_off(name, error) from error


def cut_off(name: str, error: Exception) -> DataError:
    """The error of a file of which a server did not give what it has given before."""
    reason = str(error.__cause__ or error).splitlines()[0][:200]
    if "not recognized" in reason:  # with the whole address, and GDAL's view of what came
        reason = "it answered otherwise than the first time"
    return DataError(f"{name} could not be read from its server ({reason})", fix=f"try again, or {DOWNLOAD}")


@functools.cache
def use_own_proj_data() -> None:
    """Make sure that PROJ knows reference systems: another program's PROJ_DATA may hide the data it came with.

    Raises
    ------
    SettingError
        If it knows none, and there are no other data at hand.
    """
    for attempt in range(2):
        try:
            # Both tables: that of systems, and that of the operations between them.
            CRS.from_epsg(2263).to_wkt()
            if all(map(math.isfinite, to_system("EPSG:3857", "EPSG:4326", [0.0], [0.0])[0])):
                return
        except (CRSError, RasterioError):
            pass
        own = Path(rasterio.__file__).with_name("proj_data")
        if attempt == 0 and own.is_dir():
            # For this thread, and for what other threads and libgeotiff set up later.
            os.environ.pop("PROJ_LIB", None)
            os.environ["PROJ_DATA"] = str(own)
            set_proj_data_search_path(str(own))
    raise SettingError(
        "PROJ finds no data on reference systems, since PROJ_DATA or PROJ_LIB name a folder without them",
        fix="unset both: unset PROJ_DATA PROJ_LIB",
    )


def _driver(path: Path) -> str:
    kind = ""
    with path.open("rb") as stream:
        with contextlib.suppress(DataError):
            kind = kind_of(stream, path.name)
        check_structure(stream, kind, name=str(path))
    if kind in _DRIVERS:
        return _DRIVERS[kind]
    raise DataError(
        f"{path} is not a GeoTIFF, JPEG 2000, PNG or JPEG scene",
        fix="convert it, for example with: gdal_translate -of COG",
    )


def check_name(path: Path) -> None:
    """Refuse a path that GDAL cannot be given.

    Raises
    ------
    SettingError
        If it is not UTF-8.
    """
    try:
        str(path.resolve()).encode()
    except UnicodeEncodeError:
        raise SettingError(f"the name {str(path)!a} is not UTF-8", fix="rename it") from None


def file_name(scene: str | Path) -> str:
    """What messages call the file."""
    return plain_name(scene) if isinstance(scene, str) and is_address(scene) else Path(scene).name
