"""``map.html``: the scene and its map in one file that opens offline, to look at and to send to somebody.

A divider is moved over the scene, on one side of which lies the map. The page holds three things: a picture of the
scene, one of the map's values (class, confidence and mark of each pixel as red, green and blue), and what the legend
says. Its script is the only one that its content policy lets run, and there is no address that it may load from.
Whatever comes from outside, such as names of classes and files, is escaped.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import numpy.typing as npt
from markupsafe import Markup
from PIL import Image
from rasterio.crs import CRS

from swath.mapping.area import PixelArea, transformed
from swath.mapping.strips import SmallScene
from swath.mapping.styles import confidence_color
from swath.mapping.summary import Map
from swath.mapping.writer import NO_CONFIDENCE
from swath.model import Record
from swath.pages.figures import to_display_rgb
from swath.pages.text import sentence, three_digits, written

_QUALITY = 85  # of the scene's JPEG
_NOTHING = 128  # gray of the scene where it has no data
_NODES = 17  # along each side of the grid of longitudes and latitudes, between which the page interpolates
_WGS84 = 4326
_MOST_ZONES = 300  # in the page
Pixels = npt.NDArray[np.uint8]


def write_page(
    path: Path,
    made: Map,
    record: Record,
    *,
    scene: SmallScene,
    classes: Pixels,
    confidence: Pixels,
    ood: Pixels | None,
    area: PixelArea | None,
    name: str,
) -> None:
    """Write the page of a map.

    Parameters
    ----------
    path : Path
        HTML file to write.
    made : Map
        The map.
    record : Record
        Of its model.
    scene : SmallScene
        The scene at the size of the page.
    classes, confidence : numpy.ndarray
        uint8 ``[h, w]``, the rasters at that size.
    ood : numpy.ndarray or None
        The same of what is unlike the training data, if the model detects it.
    area : PixelArea or None
        Size of the pixels.
    name : str
        The scene's.
    """
    shape, script = classes.shape, _text("page.js")
    target = 2 if record.task == "binary" else None
    legend = made.legend
    data: dict[str, Any] = {
        "names": {entry.value: entry.name for entry in legend},
        "colors": {entry.value: entry.rgb for entry in legend},
        "hidden": [entry.value for entry in legend if target is not None and entry.value != target],
        "ramp": [tuple(bytes.fromhex(confidence_color(percent))) for percent in range(101)],
        "ood": ood is not None,
        # A pixel of a geographic grid is narrower than it is high; the page shows it as it is on the ground.
        "aspect": min(max(area.down / area.across, 0.2), 5.0) if area else 1.0,
        "meters": area.across * made.width / shape[1] if area else None,
        "width": made.width,
        "height": made.height,
        "transform": list(made.transform)[:6],
        "crs": _system(made.crs),
        "geographic": bool(made.crs and made.crs.is_geographic),
        "lonlat": _lonlat(made),
    }
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters["breakable"] = _breakable
    page = environment.from_string(_text("page.html.j2")).render(
        title=f"Map of {written(name, limit=80)}",
        made=f"made on {datetime.now(UTC):%Y-%m-%d} with the model {record.name} of {record.created[:10]}",
        css=Markup(resources.files("swath.pages").joinpath("report.css").read_text("utf-8") + _text("page.css")),  # noqa: S704 our own files, no input in them
        script=Markup(script),  # noqa: S704 our own file, no input in it
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        # No character of it can end the element that holds it.
        data=Markup(json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")),  # noqa: S704
        scene=_jpeg(scene, record.input.bands),
        values=_values(classes, confidence, ood),
        shape=f"{shape[1]}/{shape[0] * data['aspect']:.6g}",  # of the frame, before the script has run
        picture="" if made.written is None else made.written.picture.name,
        opacity=100 if target is not None else 75,
        warnings=[sentence(warning) for warning in made.warnings],
        ramp=",".join(f"#{confidence_color(percent)}" for percent in range(0, 101, 10)),
        areas=any(entry.hectares is not None for entry in legend),
        ood=ood is not None,
        rows=_rows(made, data["hidden"]),
        facts=_facts(made, area, shape, name=name),
        zones=_zone_rows(made),
        zone_notes=_zone_notes(made),
    )
    path.write_text(page, encoding="utf-8")


def _text(name: str) -> str:
    return resources.files("swath.mapping").joinpath(name).read_text("utf-8")


def _breakable(name: str) -> Markup:
    """A name that may be broken where small letters are followed by capitals."""
    return Markup("<wbr>").join(re.split(r"(?<=[a-z])(?=[A-Z])", name))


def _rows(made: Map, hidden: Sequence[int]) -> list[dict[str, Any]]:
    """The lines of the legend, the largest class first."""
    return [
        {
            "value": entry.value,
            "hidden": entry.value in hidden,
            "color": entry.color,
            "name": entry.name,
            "share": f"{100 * entry.share:.1f} %",
            "hectares": "" if entry.hectares is None else three_digits(entry.hectares),
            "ood": "" if entry.ood is None or not entry.pixels else f"{100 * entry.ood:.0f} %",
        }
        for entry in sorted(made.legend, key=lambda entry: -entry.pixels)
    ]


def _facts(made: Map, area: PixelArea | None, shape: tuple[int, ...], *, name: str) -> list[tuple[str, str]]:
    """What the page says about how the map was made."""
    found = [("scene", name), ("size", f"{made.width:,} x {made.height:,} pixels")]
    if area is not None:
        found.append(("pixel", f"{area.side:.3g} m"))
    if made.crs:
        found.append(("system", _system(made.crs) or ""))
    shown = math.ceil(made.width / shape[1])
    if shown > 1:
        found.append(("shown", f"1 of {shown} pixels each way; the rasters hold all"))
    windows = f"one every {made.stride} pixels"
    found.append(("windows", f"{windows}, {three_digits(made.stride * area.side)} m" if area else windows))
    if made.min_area is not None:
        changed = f"{100 * made.min_area.changed_share:.1f} % of the map"
        found.append(("smallest patch", f"{made.min_area.hectares:g} ha; smaller ones were merged, {changed}"))
    if made.ood_share is not None:
        found.append(("unlike the training data", f"{100 * made.ood_share:.1f} % of the map"))
    if made.nodata_pixels:
        found.append(("no data", f"{100 * made.nodata_pixels / (made.width * made.height):.1f} % of the scene"))
    return found


def _zone_notes(made: Map) -> list[str]:
    notes = [sentence(note) for note in made.zone_notes]
    if len(made.zones) > _MOST_ZONES and made.written and made.written.zones:
        notes.append(f"The first {_MOST_ZONES} of {len(made.zones):,} zones; {made.written.zones.name} has all.")
    return notes


def _zone_rows(made: Map) -> list[dict[str, Any]]:
    """The lines of the table of zones: a bar of the classes' colors, and the largest of them in words."""
    found = []
    for zone in made.zones[:_MOST_ZONES]:
        whole = zone.mapped or 1.0
        parts = sorted(zip(zone.hectares, made.legend, strict=True), key=lambda part: -part[0])
        shown = [(100 * area / whole, entry) for area, entry in parts if area > 0]
        words = [f"{written(entry.name)} {percent:.0f} %" for percent, entry in shown[:3]]
        found.append(
            {
                "name": zone.name,
                "hectares": three_digits(zone.mapped),
                "parts": [{"percent": f"{percent:.3f}", "color": entry.color} for percent, entry in shown],
                "words": ", ".join([*words, *(["..."] if len(shown) > 3 else [])]) or "no data",
            }
        )
    return found


def _system(crs: Any) -> str | None:
    """A short name of a coordinate reference system."""
    if not crs:
        return None
    code = crs.to_epsg()
    return f"EPSG:{code}" if code else str(crs.to_string())[:40]


def _lonlat(made: Map) -> list[Any] | None:
    """Longitude and latitude of a grid of points from corner to corner, ``[n][n][2]``; None where they are unknown."""
    if not made.crs:
        return None
    columns, rows = np.meshgrid(np.linspace(0, made.width, _NODES), np.linspace(0, made.height, _NODES))
    x, y = made.transform @ (columns, rows)
    found = transformed(made.crs, CRS.from_epsg(_WGS84), x.ravel(), y.ravel())
    # Across the date line there is nothing to interpolate.
    if not np.isfinite(found).all() or np.ptp(found[0]) > 180:
        return None
    return np.round(found.T.reshape(_NODES, _NODES, 2), 7).tolist()  # type: ignore[no-any-return]


def _jpeg(scene: SmallScene, bands: Sequence[str]) -> str:
    pixels, there = scene.result()
    shown = np.where(there, pixels, np.nan) if pixels.dtype != np.uint8 and there.any() else pixels
    rgb = to_display_rgb(shown, bands, limit=max(pixels.shape)).copy()
    rgb[~there] = _NOTHING
    stream = io.BytesIO()
    Image.fromarray(rgb).save(stream, "JPEG", quality=_QUALITY)
    return _address("jpeg", stream)


def _values(classes: Pixels, confidence: Pixels, ood: Pixels | None) -> str:
    known = np.where(confidence == NO_CONFIDENCE, np.uint8(0), confidence)
    marked = np.zeros_like(classes) if ood is None else (ood == 1).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(np.stack([classes, known, marked], axis=-1)).save(stream, "PNG", compress_level=6)
    return _address("png", stream)


def _address(kind: str, stream: io.BytesIO) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"
