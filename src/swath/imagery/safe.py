"""Products of Sentinel-2 as they are downloaded: a ``.SAFE`` folder, or the zip archive of one.

Levels 1C and 2A in the compact format of processing baseline 02.04 (December 2016) and later: one tile a product, its
bands as JPEG 2000 below ``GRANULE/*/IMG_DATA``. The metadata (``MTD_MSIL1C.xml``) are those of the product
specification, S2-PDGS-TAS-DI-PSD, section 4: level, baseline, quantification value and, from baseline 04.00 on, what
has to be added to the numbers of each band.
"""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree

from swath.errors import DataError
from swath.imagery.sentinel2 import ADDED, Level, Product
from swath.imagery.stores import BandFile, SceneFiles, Store, read_xml

_METADATA = r"(?P<root>(?:[^/]+/)?)MTD_MSI(?P<level>L1C|L2A)\.xml"
# T32TQM_20220519T101601_B04_10m.jp2, below R10m in level 2A.
_BAND = (
    r"GRANULE/(?P<granule>[^/]+)/IMG_DATA/(?:R(?P<folder>[126]0)m/)?"
    r"(?:L2A_)?T(?P<tile>\d{2}[A-Z]{3})_\d{8}T\d{6}_B(?P<band>0[1-9]|8A|1[0-2])(?:_(?P<meters>[126]0)m)?\.jp2"
)
_NATIVE = {"02": 10.0, "03": 10.0, "04": 10.0, "08": 10.0, "01": 60.0, "09": 60.0, "10": 60.0}  # meters; others 20
_BANDS = ("01", "02", "03", "04", "05", "06", "07", "08", "8A", "09", "10", "11", "12")  # by band_id
_SCALE = 10_000.0
_LEVELS: dict[str, Level] = {"L1C": "l1c", "L2A": "l2a"}


def find_safe(store: Store) -> SceneFiles | None:
    """The bands of a product of Sentinel-2 in a folder or an archive; None if it is none.

    Raises
    ------
    DataError
        If it is one and cannot be used: several products or tiles, damaged or contradictory metadata, or no bands.
    """
    found = store.find(_METADATA)
    if not found:
        return None
    if len(found) > 1:
        names = ", ".join(match[0] for match in found[:3])
        raise DataError(f"{store.path} holds {len(found)} products ({names})", fix="give the folder of one")
    root, level = found[0]["root"], found[0]["level"].upper()
    metadata = read_xml(store, found[0][0])
    title = _text(metadata, "PRODUCT_URI") or root.rstrip("/") or store.path.name
    _check_level(metadata, level, name=found[0][0], path=str(store.path))
    offsets, scale = _numbers(metadata, level, path=str(store.path))
    added = set(offsets.values()) == {-ADDED}
    plain = scale == _SCALE and (added or set(offsets.values()) <= {0.0})
    files = _band_files(store, root)
    bands = tuple(
        BandFile(f"B{band}", name, pixel, None if plain else (1 / scale, offsets.get(band, 0.0) / scale))
        for band, (name, pixel) in files.items()
    )
    product = Product(
        level=_LEVELS[level],
        added=added if plain else None,
        source="metadata",
        title=title.removesuffix(".SAFE"),
        sensor=_text(metadata, "SPACECRAFT_NAME") or "Sentinel-2",
        baseline=_text(metadata, "PROCESSING_BASELINE"),
        acquired=_text(metadata, "DATATAKE_SENSING_START") or _text(metadata, "PRODUCT_START_TIME"),
    )
    return SceneFiles(store.path.name, store, bands, product, nodata=0.0)


def _text(metadata: ElementTree.Element, tag: str) -> str | None:
    found = metadata.find(f".//{tag}")
    text = "" if found is None else (found.text or "").strip()
    return text[:200] or None


def _check_level(metadata: ElementTree.Element, level: str, *, name: str, path: str) -> None:
    """Refuse metadata whose name and content are of different levels."""
    said = (_text(metadata, "PROCESSING_LEVEL") or "").replace("-", "").upper()
    found = re.search("LEVEL(1C|2A)", said)
    if found is None or f"L{found[1]}" != level:
        raise DataError(
            f"{name} of {path} is named as level {level[1:]} and says it is {said or 'of no level'}",
            fix="download the product again",
        )


def _numbers(metadata: ElementTree.Element, level: str, *, path: str) -> tuple[dict[str, float], float]:
    """What has to be added to the numbers of each band, and by what they are divided to be reflectance."""
    prefix = "RADIO" if level == "L1C" else "BOA"
    quantification = "QUANTIFICATION_VALUE" if level == "L1C" else "BOA_QUANTIFICATION_VALUE"
    offsets = {}
    try:
        scale = float(_text(metadata, quantification) or _SCALE)
        for element in metadata.iter(f"{prefix}_ADD_OFFSET"):
            number = int(element.get("band_id", "-1"))
            if number not in range(len(_BANDS)):
                raise ValueError(f"there is no band_id {number}")
            offsets[_BANDS[number]] = float(element.text or "")
    except ValueError as error:
        raise DataError(
            f"the metadata of {path} do not say how its numbers are reflectance ({error})",
            fix="download the product again",
        ) from error
    if not (math.isfinite(scale) and scale > 0 and all(map(math.isfinite, offsets.values()))):
        raise DataError(
            f"the metadata of {path} give numbers that are no reflectance (divided by {scale:g})",
            fix="download the product again",
        )
    return offsets, scale


def _band_files(store: Store, root: str) -> dict[str, tuple[str, float]]:
    """For each band the file with the smallest pixels, and how many meters they measure."""
    found: dict[str, tuple[str, float]] = {}
    granules, tiles = set(), set()
    for match in store.find(re.escape(root) + _BAND):
        band, stated = match["band"].upper(), match["meters"] or match["folder"]
        pixel = float(stated) if stated else _NATIVE.get(band, 20.0)
        granules.add(match["granule"])
        tiles.add(f"T{match['tile'].upper()}")
        if band not in found or pixel < found[band][1]:
            found[band] = match[0], pixel
    if len(granules) > 1 or len(tiles) > 1:
        both = ", ".join(sorted(tiles)[:4] if len(tiles) > 1 else sorted(granules)[:4])
        raise DataError(f"{store.path} holds several tiles ({both})", fix="map the tiles one by one: a folder for each")
    if not found:
        raise DataError(
            f"{store.path} holds no bands below GRANULE/*/IMG_DATA", fix="download the whole product, not its metadata"
        )
    return {band: found[band] for band in _BANDS if band in found}
