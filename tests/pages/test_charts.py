from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from swath.pages.charts import (
    NARROW,
    WIDE,
    Cloud,
    Interval,
    Line,
    Panel,
    clouds_chart,
    fitting,
    intervals_chart,
    matrix_chart,
    panels_chart,
    round_ticks,
    text_width,
    wrapped,
)
from tests.drawings import Drawing, both, outside

HOSTILE = "<script>alert('1')</script> & \"more\""


def line_chart(**fields):
    x = np.linspace(0, 1, 50)
    return panels_chart("alt", [Panel([Line(x, x**2, "square")], **fields)] * 2, columns=2)


def test_the_same_values_give_the_same_bytes():
    assert line_chart().to_svg() == line_chart().to_svg()


def test_each_width_has_letters_of_the_same_size():
    chart = line_chart(across="x" * 30, up="y", title="A title")
    wide, narrow = both(chart)
    assert (wide.width, narrow.width) == (WIDE, NARROW)
    assert {t.size for t in wide.texts} == {t.size for t in narrow.texts} == {11, 12}
    assert narrow.height > wide.height  # panels below each other
    assert outside(wide) == outside(narrow) == []


def test_a_file_of_its_own_is_sound_and_has_colors_for_light_and_dark():
    svg = line_chart().to_svg()
    drawing = Drawing(svg)
    assert drawing.all("style") == [{}]
    assert b"prefers-color-scheme: dark" in svg
    assert drawing.width == WIDE


def test_text_is_only_ever_text():
    chart = panels_chart(HOSTILE, [Panel([Line([0, 1], [0, 1], HOSTILE, "#aa0000")], title=HOSTILE)], columns=1)
    for drawing in both(chart):
        assert drawing.root.attrib["aria-label"] == HOSTILE
        assert HOSTILE in drawing.words
        assert not drawing.all("script")


def test_a_name_is_shortened_to_its_width():
    cut = fitting("W" * 50, 100)
    assert cut.endswith("…")
    assert text_width(cut) <= 100
    assert fitting("Forest", 100) == "Forest"
    assert all(text_width(line) <= 120 for line in wrapped("one two three four five six seven eight", 120))


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0.97, 0.985), (-3, 4), (0, 12345), (5, 5)])
def test_ticks_are_few_and_inside(low, high):
    ticks = round_ticks(low, high)
    assert 1 <= len(ticks) <= 7
    assert all(low - 1e-9 <= value <= high + 1e-9 for value, _ in ticks)


def test_intervals_stand_in_order_and_inside_the_chart():
    rows = [Interval(f"class {k}", 50 + k, 40, 60 + k, note=f" ({k})") for k in range(12)]
    for drawing in both(intervals_chart("alt", rows, across="F1", line=55)):
        assert outside(drawing) == []
        places = [text.top for text in drawing.texts if text.text.startswith("class")]
        assert places == sorted(places)


def test_a_matrix_of_many_classes_is_wider_than_the_page_rather_than_unreadable():
    values = np.full((40, 40), 1234)
    chart = matrix_chart("alt", values, ["c"] * 40, texts=[["1234"] * 40] * 40, up="true", across="said")
    wide, narrow = both(chart)
    assert wide.width > WIDE
    assert min(t.size for t in narrow.texts) == 11
    assert outside(wide) == outside(narrow) == []


@pytest.mark.parametrize("k", [3, 10])
def test_a_matrix_with_short_texts_fits_a_narrow_column(k):
    values = np.full((k, k), 0.125)
    chart = matrix_chart(
        "alt",
        values,
        ["HerbaceousVegetation"] * k,
        texts=[["12.5"] * k] * k,
        short=[["12"] * k] * k,
        up="map",
        across="reference",
    )
    wide, narrow = both(chart)
    assert (wide.words.count("12.5"), wide.words.count("12")) == (k * k, 0)
    assert (narrow.words.count("12.5"), narrow.words.count("12")) == (0, k * k)
    assert narrow.width <= NARROW
    assert outside(wide) == outside(narrow) == []
    cells = sorted((text for text in narrow.texts if text.text == "12"), key=lambda text: (text.top, text.left))[:k]
    assert all(one.right < other.left for one, other in pairwise(cells))


def test_dots_of_a_cloud_are_one_element_in_their_color():
    random = np.random.default_rng(0)
    clouds = [Cloud("Forest", "#1b6b3a", random.random((500, 2))), Cloud("other", "soft", random.random((9, 2)))]
    wide, narrow = both(clouds_chart("alt", clouds, across="x", up="y"))
    drawn = [path for path in wide.all("path") if path.get("stroke") == "#1b6b3a"]
    assert max(path["d"].count("h0") for path in drawn) == 500
    assert outside(wide) == outside(narrow) == []
