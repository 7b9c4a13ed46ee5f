"""What a VRT names, before GDAL opens it: local rasters of the formats that swath reads, and nothing else.

A VRT is text that says which files make up a raster. It may as well name files on other machines, raw bytes of any
file, or code to run. Those are refused, and so is whatever is not known to be harmless.
"""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from swath.errors import DataError
from swath.imagery.decode import kind_of
from swath.imagery.stores import Files, read_xml

_KINDS = {"TIFF", "JPEG 2000", "PNG", "JPEG", "16-bit color PNG"}
_DATASETS = {None, "VRTDataset", "VRTWarpedDataset"}
_BANDS = {None, "VRTRasterBand", "VRTSourcedRasterBand", "VRTWarpedRasterBand"}
_SOURCES = {"SourceFilename", "SourceDataset"}
# Parts that name files or code in other ways: raw files, pixel functions, arrays, cut lines, grids of coordinates.
_REFUSED = {
    "RawRasterBand", "PixelFunctionType", "PixelFunctionCode", "PixelFunctionLanguage", "Group", "Algorithm",
    "GeoLocTransformer", "RPCTransformer", "Processing", "ProcessingSteps", "ArraySource", "PanchroBand",
}  # fmt: skip
_DEEPEST = 3  # VRTs of VRTs
_MOST = 10_000  # rasters
SETTINGS = {"GDAL_VRT_ENABLE_PYTHON": "NO", "GDAL_VRT_ENABLE_RAWRASTERBAND": "NO"}


def is_vrt(path: Path) -> bool:
    """Whether a file is called a VRT."""
    return path.suffix.lower() == ".vrt" and path.is_file()


def check_vrt(path: Path) -> None:
    """Refuse a VRT that names anything but local rasters.

    Raises
    ------
    DataError
        If it does, is no VRT, or one of its rasters is not there.
    """
    _check(path, depth=0, seen=set())


def _check(path: Path, *, depth: int, seen: set[Path]) -> None:
    root = read_xml(Files([str(path)]), str(path))
    if root.tag != "VRTDataset" or root.get("subClass") not in _DATASETS:
        raise DataError(f"{path} is no VRT of rasters", fix="make it with gdalbuildvrt or gdalwarp -of VRT")
    for element in root.iter():
        if element.tag in _REFUSED or (element.tag == "VRTRasterBand" and element.get("subClass") not in _BANDS):
            what = element.get("subClass") or element.tag
            raise DataError(
                f"{path} holds a {what}, which may read or run anything", fix="write it out: gdal_translate -of COG"
            )
        if element.tag == "MDI" and (element.get("key") or "").upper() in ("X_DATASET", "Y_DATASET"):
            raise DataError(f"{path} names a grid of coordinates", fix="write it out: gdalwarp -of COG")
    for source in _sources(root, path):
        if source in seen:
            continue
        seen.add(source)
        if len(seen) > _MOST:
            raise DataError(f"{path} names more than {_MOST:,} rasters", fix="write it out: gdal_translate -of COG")
        if is_vrt(source):
            if depth == _DEEPEST:
                raise DataError(f"{path} is a VRT of VRTs of VRTs", fix="write it out: gdal_translate -of COG")
            _check(source, depth=depth + 1, seen=seen)
            continue
        with source.open("rb") as stream:
            if kind_of(stream, f"{source}, which {path.name} names,") not in _KINDS:
                raise DataError(f"{path} names {source}, which is no raster", fix="leave it out")


def _sources(root: ElementTree.Element, path: Path) -> list[Path]:
    """The files that a VRT names, all of them there."""
    found = []
    for element in (one for one in root.iter() if one.tag in _SOURCES):
        name = element.text or ""
        # Of GDAL's many ways to name a dataset, only those that are a path.
        source = path.parent / name if element.get("relativeToVRT") == "1" else Path(name)
        if name.startswith(("/vsi", "<")) or "://" in name or "/vsi" in str(source) or not source.is_file():
            raise DataError(
                f"{path} names {name[:200]!r}, which is no local file",
                fix="give a VRT of files that are on this machine",
            )
        found.append(source)
    if not found:
        raise DataError(f"{path} names no files", fix="make it with gdalbuildvrt or gdalwarp -of VRT")
    return found
