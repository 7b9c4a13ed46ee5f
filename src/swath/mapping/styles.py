"""Styles of QGIS (QML) for the rasters of a map and for places: next to a file and with its name, QGIS takes them.

Without one a class raster shows 256 entries, most of them black, since a color table always has so many; and the
others are gray.
"""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Mapping, Sequence

from matplotlib import colormaps

from swath.model.record import ClassInfo

_RAMP = "cividis"  # reads the same with and without color vision
_STEPS = (0, 25, 50, 75, 100)
_NULL = "{2839923C-8B7D-419E-B84B-CA2FE9B80EC7}"  # how QGIS writes an empty cell in a drop-down
_UNLABELED = "not labeled yet"
_FREE = "or a new class"  # what the form calls the column of a class that the drop-down lacks


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


def places_style(
    classes: Mapping[str, str],
    *,
    column: str,
    shown: Sequence[str] = (),
    hidden: Sequence[str] = (),
    free: str | None = None,
    picture: str | None = None,
) -> str:
    """Style of QGIS (QML) for places to label: a form with a picture and a drop-down of classes, and their colors.

    Parameters
    ----------
    classes : mapping of str to str
        Color (RRGGBB) by class name, in order.
    column : str
        Column of the classes, which the drop-down fills in.
    shown, hidden : sequence of str
        Other columns that the form shows under it, and those that form and table keep from view.
    free : str, optional
        Column of text for a class that the drop-down lacks.
    picture : str, optional
        Column of pictures (JPEG), shown in the form, and on the map for the place under the pointer.

    Returns
    -------
    str
        XML.
    """
    filled_in = [column, *([] if free is None else [free])]
    fields = _field(column, "ValueMap", _value_map(classes))
    fields += "" if free is None else _field(free, "TextEdit")
    unseen = (*hidden, *([] if picture is None else [picture]))
    fields += "".join(_field(name, "Hidden") for name in unseen)
    fields += "".join(_field(name, "TextEdit") for name in shown)
    return (
        "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n"
        '<qgis version="3.22" styleCategories="Symbology|Fields|Forms|MapTips|AttributeTable">\n'
        f"{_categories(classes, column)}"
        f"  <fieldConfiguration>\n{fields}  </fieldConfiguration>\n"
        f"{_aliases({} if free is None else {free: _FREE})}"
        f"{_form(filled_in, shown, picture)}"
        f"{_table([*filled_in, *shown], unseen)}"
        f"  <previewExpression>{html.escape(_list_entry(filled_in))}"
        "</previewExpression>\n"
        f"{'' if picture is None else _map_tip(picture)}"
        "</qgis>\n"
    )


def _categories(classes: Mapping[str, str], column: str) -> str:
    categories = "".join(
        f'      <category symbol="{number}" value="{html.escape(name)}" label="{html.escape(name or _UNLABELED)}" '
        'type="string" render="true"/>\n'
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
        f'  <renderer-v2 type="categorizedSymbol" attr="{html.escape(column)}" forceraster="0" enableorderby="0">\n'
        f"    <categories>\n{categories}    </categories>\n"
        f"    <symbols>\n{symbols}    </symbols>\n"
        "  </renderer-v2>\n"
    )


def _value_map(classes: Iterable[str]) -> str:
    offered = "".join(
        '            <Option type="Map">\n'
        f'              <Option type="QString" name="{html.escape(name)}" value="{html.escape(value)}"/>\n'
        "            </Option>\n"
        for name, value in ((_UNLABELED, _NULL), *((name, name) for name in classes))
    )
    return (
        '          <Option type="Map">\n'
        f'            <Option type="List" name="map">\n{offered}            </Option>\n'
        "          </Option>\n"
    )


def _field(name: str, widget: str, settings: str = "") -> str:
    return (
        f'    <field name="{html.escape(name)}">\n'
        f'      <editWidget type="{widget}">\n'
        f"        <config>\n{settings}        </config>\n"
        "      </editWidget>\n"
        "    </field>\n"
    )


def _aliases(names: Mapping[str, str]) -> str:
    rows = "".join(f'    <alias field="{html.escape(f)}" name="{html.escape(n)}"/>\n' for f, n in names.items())
    return f"  <aliases>\n{rows}  </aliases>\n"


def _form(filled_in: Sequence[str], shown: Sequence[str], picture: str | None) -> str:
    rows = ""
    if picture is not None:
        script = f"<script>document.write(expression.evaluate({json.dumps(_picture_tag(picture))}));</script>"
        rows += (
            f'    <attributeEditorHtmlElement name="{html.escape(picture)}" showLabel="0">{html.escape(script)}'
            "</attributeEditorHtmlElement>\n"
        )
    rows += "".join(
        f'    <attributeEditorField name="{html.escape(name)}" showLabel="1"/>\n' for name in (*filled_in, *shown)
    )
    fixed = "".join(f'    <field name="{html.escape(name)}" editable="0"/>\n' for name in shown)
    return (
        "  <editorlayout>tablayout</editorlayout>\n"
        f"  <attributeEditorForm>\n{rows}  </attributeEditorForm>\n"
        f"  <editable>\n{fixed}  </editable>\n"
    )


def _table(seen: Sequence[str], unseen: Sequence[str]) -> str:
    rows = "".join(
        f'      <column type="field" name="{html.escape(name)}" hidden="{int(name in unseen)}" width="-1"/>\n'
        for name in ("fid", *seen, *unseen)
    )
    return f"  <attributetableconfig>\n    <columns>\n{rows}    </columns>\n  </attributetableconfig>\n"


def _list_entry(columns: Sequence[str]) -> str:
    """What the list next to the form calls a place: its number, and its class once it has one; sorted as text."""
    classes = ", ".join(f"' ' || {_quoted(name)}" for name in columns)
    return f"lpad(fid, 5, ' ') || coalesce({classes}, '')"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _map_tip(picture: str) -> str:
    return f"  <mapTip>{html.escape(f'[% {_picture_tag(picture)} %]')}</mapTip>\n"


def _picture_tag(picture: str) -> str:
    """An expression of QGIS that gives the picture as an element of HTML."""
    return f"'<img src=data:image/jpeg;base64,' || to_base64({_quoted(picture)}) || '>'"


def _rgba(color: str) -> str:
    return ",".join(str(value) for value in (*bytes.fromhex(color), 255))
