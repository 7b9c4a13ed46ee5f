from __future__ import annotations

import xml.etree.ElementTree as ElementTree

from swath.mapping.styles import class_style, confidence_style, ood_style, places_style
from swath.model.record import class_infos


def entries(text: str, tag: str) -> list[dict[str, str]]:
    return [element.attrib for element in ElementTree.fromstring(text).iter(tag)]


def test_a_class_raster_has_its_classes_and_no_others():
    classes = class_infos(("Forest", "a < b & c", "River"))
    found = entries(class_style(classes), "paletteEntry")
    assert [e["label"] for e in found] == ["Forest", "a < b & c", "River"]
    assert [e["value"] for e in found] == ["1", "2", "3"]
    assert {e["alpha"] for e in found} == {"255"}
    assert found[0]["color"] == f"#{classes[0].color_hint}"


def test_what_a_binary_model_does_not_look_for_is_transparent():
    found = entries(class_style(class_infos(("no", "yes"), binary=True), background=0), "paletteEntry")
    assert [e["alpha"] for e in found] == ["0", "255"]


def test_only_ood_ground_is_drawn():
    assert [(e["value"], e["alpha"] == "0") for e in entries(ood_style(), "paletteEntry")] == [
        ("0", True),
        ("1", False),
    ]


def test_confidence_goes_from_dark_to_light():
    found = entries(confidence_style(), "item")
    light = [sum(bytes.fromhex(e["color"][1:])) for e in found]
    assert light == sorted(light)
    assert (found[0]["value"], found[-1]["value"]) == ("0", "100")


def test_the_style_of_places_offers_the_classes_and_a_way_to_take_one_back():
    style = ElementTree.fromstring(places_style({"A & <B>": "00ff00", "c": "010203"}, column="class"))
    options = style.findall(".//field[@name='class']/editWidget[@type='ValueMap']//Option[@value]")
    assert [option.get("name") for option in options] == ["not labeled yet", "A & <B>", "c"]
    assert [option.get("value") for option in options][1:] == ["A & <B>", "c"]
    assert [c.get("value") for c in style.findall(".//category")] == ["A & <B>", "c", ""]
    assert style.find("mapTip") is None


def test_form_and_table_show_the_picture_and_keep_the_map_from_view():
    text = places_style(
        {"a": "00ff00"}, column="class", free="new_class", shown=["guess"], hidden=["map_class"], picture="picture"
    )
    style = ElementTree.fromstring(text)
    form = style.find("attributeEditorForm")
    assert [element.get("name") for element in form] == ["picture", "class", "new_class", "guess"]
    assert 'to_base64(\\"picture\\")' in form[0].text
    assert 'to_base64("picture")' in style.findtext("mapTip")
    kinds = {field.get("name"): field[0].get("type") for field in style.iter("field") if len(field)}
    assert kinds == {
        "class": "ValueMap", "new_class": "TextEdit", "map_class": "Hidden", "picture": "Hidden", "guess": "TextEdit",
    }  # fmt: skip
    assert [field.get("name") for field in style.findall("./editable/field[@editable='0']")] == ["guess"]
    unseen = [column.get("name") for column in style.iter("column") if column.get("hidden") == "1"]
    assert unseen == ["map_class", "picture"]
