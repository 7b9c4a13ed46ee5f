"""Styles of QGIS (QML) for the rasters of a map and for places: next to a file and with its name, QGIS takes them.

Without one a class raster shows 256 entries, most of them black, since a color table always has so many; and the
others are gray.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence

from matplotlib import colormaps

from swath.model.record import ClassInfo

_RAMP = "cividis"  # reads the same with and without color vision
_STEPS = (0, 25, 50, 75, 100)


def class_style(classes: Sequence[ClassInfo], *, background: int | None = None) -> str:
    """Style of a class raster: a name and a color for each class, which is stored as its number + 1.

    Parameters
    ----------
    classes : sequence of ClassInfo
        The classes.
    background : int, optional
        Number of a class that is transparent, as what a binary model does not look for.
    """
    return _paletted((c.value + 1, c.color_hint, 0 if c.value == background else 255, c.name) for c in classes)


def ood_style() -> str:
    """Style of the raster that marks what is unlike the training data: dark where it is, nothing where it is not."""
    return _paletted([(0, "FFFFFF", 0, "like the training data"), (1, "222222", 150, "unlike the training data")])


def confidence_style() -> str:
    """Style of the raster of confidence: a ramp from 0 to 100 percent."""
    items = "".join(
        f'        <item value="{step}" color="#{confidence_color(step)}" alpha="255" label="{step} %"/>\n'
        for step in _STEPS
    )
    return _document(
        '    <rasterrenderer type="singlebandpseudocolor" band="1" opacity="1" alphaBand="-1" nodataColor="" '
        f'classificationMin="{_STEPS[0]}" classificationMax="{_STEPS[-1]}">\n'
        "      <rastershader>\n"
        '      <colorrampshader colorRampType="INTERPOLATED" classificationMode="1" clip="0" '
        f'minimumValue="{_STEPS[0]}" maximumValue="{_STEPS[-1]}">\n'
        f"{items}"
        "      </colorrampshader>\n"
        "      </rastershader>\n"
        "    </rasterrenderer>\n"
    )


def confidence_color(percent: int) -> str:
    """Color (RRGGBB) of a confidence from 0 to 100 percent."""
    return "".join(f"{round(255 * part):02X}" for part in colormaps[_RAMP](percent / 100)[:3])


def _paletted(entries: Iterable[tuple[int, str, int, str]]) -> str:
    rows = "".join(
        f'        <paletteEntry value="{value}" color="#{color}" alpha="{alpha}" label="{html.escape(label)}"/>\n'
        for value, color, alpha, label in entries
    )
    return _document(
        '    <rasterrenderer type="paletted" band="1" opacity="1" alphaBand="-1" nodataColor="">\n'
        f"      <colorPalette>\n{rows}      </colorPalette>\n"
        "    </rasterrenderer>\n"
    )


def _document(renderer: str) -> str:
    return (
        "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n"
        '<qgis version="3.28" styleCategories="Symbology">\n'
        f"  <pipe>\n{renderer}  </pipe>\n"
        "</qgis>\n"
    )


def value_map_style(classes: Mapping[str, str], *, column: str) -> str:
    """Style of QGIS (QML): the classes as a drop-down of the column's cells, and their colors on the map.

    Parameters
    ----------
    classes : mapping of str to str
        Color (RRGGBB) by class name, in order.
    column : str
        The column.

    Returns
    -------
    str
        XML.
    """
    offered = "".join(
        '            <Option type="Map">\n'
        f'              <Option type="QString" name="{html.escape(name)}" value="{html.escape(name)}"/>\n'
        "            </Option>\n"
        for name in classes
    )
    categories = "".join(
        f'      <category symbol="{number}" value="{html.escape(name)}" label="{html.escape(name)}" type="string" '
        'render="true"/>\n'
        for number, name in enumerate([*classes, ""])
    )
    symbols = "".join(
        f'      <symbol name="{number}" type="marker" alpha="1">\n'
        '        <layer class="SimpleMarker" enabled="1" locked="0" pass="0">\n'
        '          <Option type="Map">\n'
        f'            <Option type="QString" name="color" value="{_rgba(color)}"/>\n'
        '            <Option type="QString" name="size" value="3"/>\n'
        '            <Option type="QString" name="outline_color" value="255,255,255,255"/>\n'
        "          </Option>\n"
        "        </layer>\n"
        "      </symbol>\n"
        for number, color in enumerate([*classes.values(), "808080"])
    )
    return (
        "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n"
        '<qgis version="3.28" styleCategories="Symbology|Fields|Forms">\n'
        f'  <renderer-v2 type="categorizedSymbol" attr="{html.escape(column)}" forceraster="0" enableorderby="0">\n'
        f"    <categories>\n{categories}    </categories>\n"
        f"    <symbols>\n{symbols}    </symbols>\n"
        "  </renderer-v2>\n"
        "  <fieldConfiguration>\n"
        f'    <field name="{html.escape(column)}">\n'
        '      <editWidget type="ValueMap">\n'
        "        <config>\n"
        '          <Option type="Map">\n'
        '            <Option type="List" name="map">\n'
        f"{offered}"
        "            </Option>\n"
        "          </Option>\n"
        "        </config>\n"
        "      </editWidget>\n"
        "    </field>\n"
        "  </fieldConfiguration>\n"
        "</qgis>\n"
    )


def _rgba(color: str) -> str:
    return ",".join(str(value) for value in (*bytes.fromhex(color), 255))
