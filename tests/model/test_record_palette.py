from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from swath.model.record import class_infos


def test_known_land_covers_have_the_colors_people_expect():
    colors = {info.name: info.rgb for info in class_infos(["Forest", "SeaLake", "Residential"])}
    assert max(colors["Forest"]) == colors["Forest"][1]
    assert max(colors["SeaLake"]) == colors["SeaLake"][2]
    assert max(colors["Residential"]) == colors["Residential"][0]


@given(st.lists(st.text(min_size=1), min_size=1, max_size=24, unique=True))
@settings(max_examples=50)
def test_classes_keep_their_order_and_their_colors_differ(names):
    infos = class_infos(names)
    assert [info.name for info in infos] == names
    assert [info.value for info in infos] == list(range(len(names)))
    assert len({info.rgb for info in infos}) == len(names)


def test_a_color_does_not_depend_on_the_classes_after_it():
    assert class_infos(["a", "b"]) == class_infos(["a", "b", "c"])[:2]
