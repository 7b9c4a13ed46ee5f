"""``map.html`` in a real browser, as the person sees it to whom it was sent."""

from __future__ import annotations

import io
import re
import shutil
from base64 import b64decode
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from swath.inference import load
from swath.mapping import map_scene
from swath.mapping.strips import SmallScene
from tests.browser import PROGRAM
from tests.mapping.scenes import UTM, write_scene
from tests.mapping.viewer import Viewer
from tests.tiny import patches, write_tiny_model

needs_browser = pytest.mark.skipif(PROGRAM is None, reason="there is no Chromium to open the page with")
HOSTILE = "</script><img src=x onerror=alert(1)>\"'&{{ 7 * 7 }}"


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """A forest on the left half and a town on the right one: 2 x 4 patches."""
    rows = [np.concatenate([patches(name, 1, seed=i)[0] for name in row], axis=2)
            for i, row in enumerate([("Forest", "Forest", "Residential", "Residential")] * 2)]  # fmt: skip
    return write_scene(tmp_path_factory.mktemp("scene") / "land.tif", np.concatenate(rows, axis=1))


@pytest.fixture(scope="module")
def made(tmp_path_factory, tiny_model, scene):
    out = tmp_path_factory.mktemp("map") / "map.tif"
    return map_scene(load(tiny_model, threads=1), scene, out=out, stride=64)


@pytest.fixture(scope="module")
def browser():
    with Viewer() as viewer:
        yield viewer


@pytest.fixture
def page(browser, made, tmp_path):
    """The page alone in a folder, opened."""
    shutil.copy(made.files.page, tmp_path / "sent.html")
    browser.show(tmp_path / "sent.html")
    return browser


def class_color(made, name):
    return next(entry.rgb for entry in made.legend if entry.name == name)


def near(one, other, *, within=6):
    return max(abs(a - b) for a, b in zip(one, other, strict=True)) <= within


@needs_browser
def test_it_opens_alone_and_asks_for_nothing(page):
    assert [address for address in page.requests if not address.startswith("data:")] == page.requests[:1]
    assert page.requests[0].startswith("file:")
    assert page.requests[0].endswith("sent.html")
    assert page.console == []


@needs_browser
@pytest.mark.parametrize("width", [400, 1280])
def test_the_frame_has_its_height_before_the_script_has_run(browser, made, tmp_path, width):
    browser.show(made.files.page, width=width)
    high = browser.place("stage")[3]
    text = made.files.page.read_text(encoding="utf-8")
    start = text.rindex("<script>")
    (tmp_path / "still.html").write_text(text[:start] + text[text.index("</script>", start) :], encoding="utf-8")
    browser.open(tmp_path / "still.html", width=width)
    assert browser.place("stage")[3] == pytest.approx(high, abs=2)


@needs_browser
def test_the_scale_bar_is_as_long_as_it_says(page, made):
    meters = {"200 m": 200, "500 m": 500}[page.text("bar-text")]
    assert page.place("bar-length")[2] / page.place("view")[2] == pytest.approx(meters / (10 * made.width), rel=0.02)


@needs_browser
def test_the_divider_moves_by_pointer(page, made):
    page.run("document.getElementById('opacity').value = 100; document.getElementById('opacity')"
             ".dispatchEvent(new Event('input'))")  # fmt: skip
    page.settle()
    forest, town = class_color(made, "Forest"), class_color(made, "Residential")
    assert near(page.color(0.75), town)
    assert not near(page.color(0.25), forest), "the scene lies on the left"
    width = page.place("view")[2]
    page.drag("swipe", -0.4 * width)
    assert near(page.color(0.25), forest)
    assert page.run("document.getElementById('swipe').getAttribute('aria-valuenow')") == "10"
    page.drag("swipe", 0.85 * width)
    assert not near(page.color(0.75), town)


@needs_browser
def test_the_divider_moves_by_keyboard(page):
    before = page.color(0.25), page.color(0.75)
    page.press("swipe", "Home")
    assert page.color(0.25) != before[0]
    page.press("swipe", "End")
    assert page.color(0.75) != before[1]
    assert page.color(0.25) == before[0]
    page.press("swipe", "ArrowLeft", "ArrowLeft")
    assert page.run("document.getElementById('swipe').getAttribute('aria-valuenow')") == "96"


@needs_browser
def test_opacity_lets_the_scene_through_by_pointer_and_keyboard(page, made):
    town = class_color(made, "Residential")
    first = page.color(0.75)
    page.press("opacity", "End")
    assert near(page.color(0.75), town)
    page.press("opacity", "ArrowLeft", "ArrowLeft", "ArrowLeft", "ArrowLeft", "ArrowLeft", "ArrowLeft")
    assert page.color(0.75) not in (first, town)
    page.drag("opacity", -300)  # to the left end
    page.press("opacity", "Home")
    bare = page.color(0.75)
    page.press("swipe", "End")
    assert near(page.color(0.75), bare, within=1), "without opacity only the scene is left"


@needs_browser
def test_the_pointer_reads_class_confidence_and_coordinates(page, made):
    page.point(0.75, 0.5)
    said = page.text("readout")
    assert re.match(r"Residential, \d+ % confident", said)
    x, y = (int(v) for v in re.search(r"(\d+), (\d+) \(EPSG:32632\)", said).groups())
    expected = made.transform @ (0.75 * made.width, 0.5 * made.height)
    assert (x, y) == pytest.approx(expected, abs=15)
    lat, lon = (float(v) for v in re.search(r"([\d.]+)° N, ([\d.]+)° E", said).groups())
    assert (lat, lon) == pytest.approx((48.74, 10.38), abs=0.02)  # of the corner of the scene


@needs_browser
def test_zoom_by_wheel_buttons_and_keyboard(page):
    first = page.place("bar-length")[2], page.text("bar-text")
    page.wheel(0.75, 0.5, -300)
    assert (page.place("bar-length")[2], page.text("bar-text")) != first
    page.point(0.75, 0.5)
    assert "Residential" in page.text("readout"), "the place under the pointer stays under it"
    page.press("view", "0")
    assert (page.place("bar-length")[2], page.text("bar-text")) == first
    page.press("view", "+", "+", "ArrowRight", "ArrowRight", "ArrowRight", "ArrowRight")
    assert "Residential" in page.text("readout"), "the middle of what is shown, moved to the right"
    page.run("document.getElementById('out').click()")
    page.run("document.getElementById('out').click()")
    page.settle()
    assert (page.place("bar-length")[2], page.text("bar-text")) == first


@needs_browser
def test_classes_are_hidden_and_confidence_is_shown(page, made):
    page.press("opacity", "End")
    value = next(entry.value for entry in made.legend if entry.name == "Residential")
    town = page.color(0.75)
    page.run(f"document.querySelector('[data-value=\"{value}\"]').click()")
    page.settle()
    assert not near(page.color(0.75), town)
    page.run(f"document.querySelector('[data-value=\"{value}\"]').click()")
    page.run("document.getElementById('show-confidence').click()")
    page.settle()
    assert not near(page.color(0.75), town)
    assert page.run("document.getElementById('ramp-box').checkVisibility()")


@needs_browser
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_nothing_is_cut_or_tiny(page, made, width, dark):
    page.show(made.files.page, width=width, dark=dark)
    assert page.run("document.documentElement.scrollWidth <= innerWidth")
    smallest = page.run(
        "Math.min(...[...document.querySelectorAll('body *')].filter(e => e.checkVisibility() && "
        "![...'SCRIPT STYLE'.split(' ')].includes(e.tagName) && [...e.childNodes].some(n => n.nodeType === 3 && "
        "n.textContent.trim())).map(e => parseFloat(getComputedStyle(e).fontSize)))"
    )
    assert smallest >= 11
    assert page.place("view")[2] > 0.5 * min(width, 800)


@needs_browser
def test_hostile_names_stay_text(browser, tmp_path, tiny_model):
    classifier = load(tiny_model, threads=1)
    record = classifier.record
    classes = tuple(c.model_copy(update={"name": f"{HOSTILE} {c.name}"}) for c in record.classes)
    classifier.record = record.model_copy(update={"classes": classes, "name": HOSTILE})
    pixels = patches("Forest", 1)[0]
    found = map_scene(classifier, pixels, out=tmp_path / "map.tif", name=HOSTILE, stride=64, **UTM)
    browser.show(found.files.page)
    assert browser.console == []
    assert len(browser.requests) == len([a for a in browser.requests if a.startswith(("data:", "file:"))])
    assert browser.run("document.querySelectorAll('img').length") == 2
    assert HOSTILE in browser.run("document.querySelector('.legend').textContent")
    browser.point(0.7, 0.5)
    assert browser.text("readout").startswith(f"{HOSTILE} Forest")


@needs_browser
def test_what_a_binary_model_does_not_look_for_lets_the_scene_through(browser, tmp_path):
    model = write_tiny_model(tmp_path / "binary.onnx", ("Forest", "Residential"), task="binary")
    row = np.concatenate([patches(name, 1)[0] for name in ("Forest", "Residential", "Forest", "Residential")], axis=2)
    found = map_scene(load(model, threads=1), row, out=tmp_path / "map.tif", stride=64, **UTM)
    browser.show(found.files.page)
    assert near(browser.color(0.9), class_color(found, "Residential"))
    assert not near(browser.color(0.7), class_color(found, "Forest"), within=20)
    value = next(entry.value for entry in found.legend if entry.name == "Forest")
    browser.run(f"document.querySelector('[data-value=\"{value}\"]').click()")
    browser.settle()
    assert near(browser.color(0.7), class_color(found, "Forest"))


@needs_browser
def test_a_scene_without_a_place_is_read_by_column_and_row(browser, tmp_path, tiny_model):
    found = map_scene(load(tiny_model, threads=1), patches("Forest", 1)[0], out=tmp_path / "map.tif", stride=64)
    browser.show(found.files.page)
    assert not browser.run("document.getElementById('bar').checkVisibility()")
    browser.point(0.7, 0.5)
    assert re.search(r"column 4\d, row 3\d", browser.text("readout"))


def embedded(page, kind):
    data = re.search(rf"data:image/{kind};base64,([^\"]*)", page.read_text(encoding="utf-8"))[1]
    return np.asarray(Image.open(io.BytesIO(b64decode(data))))


def test_the_page_holds_the_map_and_the_scene(made, scene):
    values = embedded(made.files.page, "png")
    assert values.shape == (made.height, made.width, 3)
    import rasterio

    with rasterio.open(made.files.classes) as classes, rasterio.open(made.files.confidence) as confidence:
        np.testing.assert_array_equal(values[..., 0], classes.read(1))
        np.testing.assert_array_equal(values[..., 1], confidence.read(1))
    with rasterio.open(scene) as dataset:
        seen = embedded(made.files.page, "jpeg").astype(float)
        assert np.abs(seen - dataset.read().transpose(1, 2, 0)).mean() < 8


class Tags(HTMLParser):
    """Collects what a page would load or run."""

    def __init__(self):
        super().__init__()
        self.addresses, self.policy = [], ""

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.addresses += [given[name] for name in ("src", "href") if name in given]
        if given.get("http-equiv") == "Content-Security-Policy":
            self.policy = given["content"]
        assert not [name for name in given if name.startswith("on")]


def test_its_policy_allows_nothing_from_outside(made):
    tags = Tags()
    tags.feed(made.files.page.read_text(encoding="utf-8"))
    assert all(address.startswith("data:") for address in tags.addresses)
    assert "default-src 'none'" in tags.policy
    assert "script-src 'sha256-" in tags.policy
    assert "unsafe-eval" not in tags.policy


def test_warnings_areas_and_provenance_are_said(made, tiny_model, tmp_path):
    text = made.files.page.read_text(encoding="utf-8")
    assert "hectares" in text
    assert made.files.classes.stem in str(made.files.page)
    assert load(tiny_model, threads=1).record.name in text
    noise = np.random.default_rng(0).integers(200, 255, (3, 64, 64)).astype(np.uint8)
    warned = map_scene(load(tiny_model, threads=1), noise, out=tmp_path / "m.tif", rescale="off", stride=64)
    assert warned.warnings
    assert 'class="warnings" role="note"' in warned.files.page.read_text(encoding="utf-8")


def test_a_thousand_pixels_a_side_stay_below_five_megabytes(tmp_path, tiny_model):
    # The worst there is: a picture that no codec makes smaller, and a class of its own for every pixel.
    noise = np.random.default_rng(0).integers(1, 255, (3, 1000, 1000)).astype(np.uint8)
    found = map_scene(load(tiny_model, threads=1), noise, out=tmp_path / "map.tif", stride=64, rescale="off")
    assert found.files.page.stat().st_size < 5_000_000


def test_a_large_scene_is_shown_smaller_and_says_so(tmp_path, tiny_model):
    values = np.full((3, 40, 2100), 90, np.uint8)
    found = map_scene(load(tiny_model, threads=1), values, out=tmp_path / "map.tif", stride=64)
    assert embedded(found.files.page, "png").shape == (20, 1050, 3)
    assert embedded(found.files.page, "jpeg").shape == (20, 1050, 3)
    assert "1 of 2 pixels each way" in found.files.page.read_text(encoding="utf-8")


@pytest.mark.parametrize("step", [1, 3, 7, 50])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_a_small_scene_is_the_mean_of_what_has_data(step, dtype):
    rng = np.random.default_rng(step)
    values = rng.integers(0, 200, (2, 50, 37)).astype(dtype)
    valid = rng.random((50, 37)) > 0.3
    valid[8:12, 4:8] = False
    small = SmallScene(50, 37, 2, dtype=dtype, longest=13)  # 4 to 1
    for start in range(0, 50, step):
        small.add(start, values[:, start : start + step], valid[start : start + step])
    found, there = small.result()
    assert found.shape == (2, 13, 10)
    for row in range(13):
        for column in range(10):
            part = np.s_[4 * row : 4 * row + 4, 4 * column : 4 * column + 4]
            assert there[row, column] == valid[part].any()
            if there[row, column]:
                expected = values[:, *part][:, valid[part]].mean(axis=1)
                assert np.abs(found[:, row, column] - expected).max() <= 0.51
