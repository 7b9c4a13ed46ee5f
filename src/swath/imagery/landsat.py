"""Products of Landsat, Collection 2, as they are downloaded: a folder of one GeoTIFF a band and the metadata (``MTL``).

Level 1 holds numbers that become reflectance at the top of the atmosphere by a scale and an offset and the sine of the
sun's elevation; level 2 holds surface reflectance by a scale and an offset (Landsat 8-9 Collection 2 Level 2 Science
Product Guide, LSDS-1619, section 5). Both are read from the metadata, as text, JSON or XML, whichever is there.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from swath.errors import DataError
from swath.imagery.sentinel2 import Level, Product
from swath.imagery.stores import BandFile, SceneFiles, Store, read_xml

_METADATA = r"(?P<root>(?:[^/]+/)?)(?P<title>L[A-Z]\d\d_[^/]*)_MTL\.(?P<form>txt|json|xml)"
_LINE = re.compile(r"\s*(\w+)\s*=\s*(.*?)\s*")
# Numbers of the bands that hold reflectance, by the numbers of satellites.
_LATER = {1: "coastal", 2: "blue", 3: "green", 4: "red", 5: "nir", 6: "swir16", 7: "swir22"}  # 8 and 9
_EARLIER = {1: "blue", 2: "green", 3: "red", 4: "nir", 5: "swir16", 7: "swir22"}  # 4, 5 and 7
_LEVELS: dict[str, Level] = {"L1": "l1c", "L2": "l2a"}


def find_landsat(store: Store) -> SceneFiles | None:
    """The bands of a product of Landsat in a folder or an archive; None if it is none.

    Raises
    ------
    DataError
        If it is one and cannot be used: several products, damaged metadata, another collection, or no bands.
    """
    found = sorted(store.find(_METADATA), key=lambda match: ("txt", "json", "xml").index(match["form"].lower()))
    if not found:
        return None
    titles = sorted({match["title"] for match in found})
    if len(titles) > 1:
        raise DataError(f"{store.path} holds {len(titles)} products ({', '.join(titles[:3])})", fix="give one of them")
    root, name = found[0]["root"], found[0][0]
    facts = _read(store, name)
    where = f"{name} of {store.path}"
    level, collection = facts.get("PROCESSING_LEVEL", ""), facts.get("COLLECTION_NUMBER", "").lstrip("0")
    if level[:2] not in _LEVELS or collection != "2":
        raise DataError(
            f"{where} says it is {level or 'of no level'} of collection {collection or 'unknown'}",
            fix="download a product of Landsat Collection 2, level 1 or 2",
        )
    spacecraft = facts.get("SPACECRAFT_ID", "").replace("_", " ").title()
    colors = _EARLIER if spacecraft in ("Landsat 4", "Landsat 5", "Landsat 7") else _LATER
    bands = tuple(_bands(store, root, facts, colors, level[:2], where=where))
    if not bands:
        raise DataError(
            f"{store.path} holds none of the bands of reflectance that its metadata name",
            fix="download the whole product, not its metadata",
        )
    acquired = "T".join(filter(None, (facts.get("DATE_ACQUIRED"), facts.get("SCENE_CENTER_TIME"))))
    product = Product(
        level=_LEVELS[level[:2]],
        source="metadata",
        title=facts.get("LANDSAT_PRODUCT_ID") or found[0]["title"],
        sensor=spacecraft or "Landsat",
        baseline=f"collection {collection}",
        acquired=acquired or None,
    )
    return SceneFiles(store.path.name, store, bands, product, nodata=0.0)


def _bands(
    store: Store, root: str, facts: Mapping[str, str], colors: Mapping[int, str], level: str, *, where: str
) -> Iterator[BandFile]:
    """The bands whose files are there, with what makes their numbers reflectance."""
    for number, color in colors.items():
        file = facts.get(f"FILE_NAME_BAND_{number}")
        if file is None or "/" in file or root + file not in store.names:
            continue
        scale, offset = (_number(facts, f"REFLECTANCE_{kind}_BAND_{number}", where=where) for kind in ("MULT", "ADD"))
        if level == "L1":  # without the sun's angle it would be reflectance as under a sun overhead
            sine = math.sin(math.radians(_number(facts, "SUN_ELEVATION", where=where)))
            if sine <= 0:
                raise DataError(f"{where} says that the sun was down", fix="give a scene by day")
            scale, offset = scale / sine, offset / sine
        if scale <= 0:
            raise DataError(f"{where} scales band {number} by {scale:g}", fix="download the product again")
        yield BandFile(color, root + file, 30.0, (scale, offset))


def _number(facts: Mapping[str, str], name: str, *, where: str) -> float:
    try:
        value = float(facts[name])
    except (KeyError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise DataError(f"{where} gives no {name}, so its numbers are no reflectance", fix="download the product again")
    return value


def _read(store: Store, name: str) -> dict[str, str]:
    """All facts by name. Level 2 repeats the groups of level 1 after its own: the first of a name counts.

    Raises
    ------
    DataError
        If the metadata are damaged.
    """
    facts: dict[str, str] = {}
    form = name.rpartition(".")[2].lower()
    if form == "xml":
        pairs: Iterator[tuple[str, str]] = ((e.tag, (e.text or "").strip()) for e in read_xml(store, name).iter())
    elif form == "json":
        try:
            pairs = _leaves(json.loads(store.read(name)))
        except (ValueError, RecursionError) as error:
            raise DataError(f"{name} of {store.path} is damaged JSON", fix="download the product again") from error
    else:
        lines = store.read(name).decode("utf-8", "replace").splitlines()
        matches = (match for line in lines if (match := _LINE.fullmatch(line)))
        pairs = ((match[1], match[2].strip('"')) for match in matches)
    for key, value in pairs:
        facts.setdefault(key, value[:200])
    return facts


def _leaves(node: Any) -> Iterator[tuple[str, str]]:
    """Names and values of nested JSON objects, in their order."""
    for key, value in node.items() if isinstance(node, dict) else ():
        if isinstance(value, dict):
            yield from _leaves(value)
        else:
            yield key, str(value)
