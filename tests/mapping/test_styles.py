from __future__ import annotations

import xml.etree.ElementTree as ElementTree

from swath.mapping.styles import class_style, confidence_style, ood_style
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
