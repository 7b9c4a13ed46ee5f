from __future__ import annotations

import base64
import io
import re
from pathlib import Path
from urllib.parse import unquote

import pytest
from PIL import Image as Pillow

from swath.errors import DataError, OutputError
from swath.model.record import Estimate
from swath.pages.html import MAX_IMAGE_BYTES, Image, Link, Number, Section, Swatch, Table, write_report
from tests.evaluation.cases import HOSTILE, Page

SURE = Estimate(value=0.98, low=0.97, high=0.985, n=5000)


def picture_bytes(kind: str = "PNG") -> bytes:
    stream = io.BytesIO()
    Pillow.new("RGB", (4, 3), (10, 90, 40)).save(stream, kind)
    return stream.getvalue()


def written(out: Path, *sections: Section, **options) -> Page:
    write_report(out, sections, **{"title": "A report"} | options)
    return Page(out.read_text(encoding="utf-8"))


@pytest.fixture
def whole(tmp_path) -> Page:
    (tmp_path / "a.png").write_bytes(picture_bytes())
    section = Section(
        "Result",
        text=("One paragraph.",),
        numbers=(Number("accuracy", SURE, "n = 5,000"), Number("time", "3 min")),
        warnings=("few patches",),
        tables=(Table(("class", "n", "area", "F1"), [(Swatch("1B6B3A", "Forest"), 21600, 12.5, SURE)], "Classes"),),
        images=(Image(tmp_path / "a.png", "what it shows", "A caption."),),
        links=(Link("metrics.json", tmp_path / "metrics.json", "all numbers"),),
    )
    return written(tmp_path / "index.html", section, Section("Map"), summary="In short.", numbers=(Number("n", "3"),))


def test_every_piece_is_on_the_page(whole):
    for text in (
        "A report",
        "In short.",
        "One paragraph.",
        "98.00 %",
        "97.00\u201398.50 %",
        "n = 5,000",
        "3 min",
        "few patches",
        "21,600",
        "12.5",
        "Forest",
        "A caption.",
        "metrics.json",
        "all numbers",
    ):
        assert text in whole.text
    assert whole.all("img", "alt") == ["what it shows"]
    assert whole.all("section", "id") == ["result", "map"]
    assert {"#result", "#map"} <= set(whole.all("a", "href"))


def test_the_page_loads_nothing_and_runs_nothing(whole, tmp_path):
    html = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"https?:|//[a-z]|url\(|@import|javascript:", re.sub(r"base64,[\w+/=]+", "", html))
    names = {tag for tag, _ in whole.tags}
    assert not names & {"script", "link", "iframe", "object", "embed", "base", "form"}
    assert not [key for _, attributes in whole.tags for key in attributes if key.startswith("on")]
    policy = [a["content"] for t, a in whole.tags if t == "meta" and a.get("http-equiv")]
    assert policy == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]


def test_pictures_are_inside_the_page(tmp_path):
    (tmp_path / "a.png").write_bytes(picture_bytes())
    page = written(
        tmp_path / "index.html",
        Section(
            "Pictures",
            images=(
                Image(tmp_path / "a.png", "one"),
                Image(picture_bytes("JPEG"), "two"),
                Image(picture_bytes("GIF"), "3"),
            ),
        ),
    )
    sources = page.all("img", "src")
    for source, kind in zip(sources, ("png", "jpeg", "gif"), strict=True):
        head, _, data = source.partition(",")
        assert head == f"data:image/{kind};base64"
        with Pillow.open(io.BytesIO(base64.b64decode(data))) as picture:
            assert picture.size == (4, 3)


def test_hostile_text_is_only_ever_text(tmp_path):
    section = Section(
        HOSTILE,
        text=(HOSTILE,),
        numbers=(Number(HOSTILE, HOSTILE, HOSTILE),),
        warnings=(HOSTILE,),
        tables=(Table((HOSTILE,), [(HOSTILE,), (Swatch("000000", HOSTILE),)], HOSTILE),),
        images=(Image(picture_bytes(), HOSTILE, HOSTILE),),
        links=(Link(HOSTILE, tmp_path / "x", HOSTILE),),
    )
    page = written(tmp_path / "index.html", section, title=HOSTILE, summary=HOSTILE)
    assert "script" not in {tag for tag, _ in page.tags}
    assert page.all("img", "alt") == [HOSTILE]
    assert page.text.count(HOSTILE) >= 13


@pytest.mark.parametrize(
    ("target", "href"),
    [
        ("report/metrics.json", "metrics.json"),
        ("map.tif", "../map.tif"),
        ("report/50 % of it#1?.csv", "50%20%25%20of%20it%231%3F.csv"),
        ("report/javascript:alert(1)", "javascript%3Aalert%281%29"),
        ('report/"><script>.csv', "%22%3E%3Cscript%3E.csv"),
        ("report/for\u00eat.tif", "for%C3%AAt.tif"),
    ],
)
def test_links_are_relative_and_percent_encoded(tmp_path, target, href):
    page = written(tmp_path / "report" / "index.html", Section("Files", links=(Link("it", tmp_path / target),)))
    (found,) = [a for a in page.all("a", "href") if not a.startswith("#")]
    assert found == href
    assert (tmp_path / "report" / unquote(found)).resolve() == (tmp_path / target).resolve()


def test_links_hold_when_the_page_is_named_relatively(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = written(Path("report/index.html"), Section("Files", links=(Link("it", Path("map.tif")),)))
    assert "../map.tif" in page.all("a", "href")


def test_a_missing_picture_stops_the_report(tmp_path):
    section = Section("Pictures", images=(Image(tmp_path / "gone.png", "nothing"),))
    with pytest.raises(DataError, match=r"cannot read .*gone\.png for the report \(No such file"):
        written(tmp_path / "index.html", section)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"<svg onload='alert(1)'/>", b"", b"RIFF"])
def test_only_plain_pictures_are_embedded(tmp_path, content):
    with pytest.raises(DataError, match="is not a PNG, JPEG or GIF picture"):
        written(tmp_path / "index.html", Section("Pictures", images=(Image(content, "x"),)))


def test_a_picture_too_large_to_embed_is_refused(tmp_path):
    path = tmp_path / "huge.png"
    with path.open("wb") as file:
        file.truncate(MAX_IMAGE_BYTES + 1)
    with pytest.raises(DataError, match=r"huge\.png has 16 MiB, too many to embed"):
        written(tmp_path / "index.html", Section("Pictures", images=(Image(path, "x"),)))


def test_an_existing_page_is_kept_unless_told(tmp_path):
    out = tmp_path / "index.html"
    out.write_text("mine")
    with pytest.raises(OutputError, match="exists already"):
        write_report(out, (), title="A report")
    assert out.read_text() == "mine"
    write_report(out, (), title="A report", overwrite=True)
    assert out.read_text().startswith("<!doctype html>")


def test_sections_of_one_title_have_addresses_of_their_own(tmp_path):
    page = written(tmp_path / "a.html", Section("Map"), Section("Map"), Section("\u68ee\u6797"), Section("!"))
    ids = page.all("section", "id")
    assert len(set(ids)) == 4
    assert all(re.fullmatch(r"[a-z0-9-]+", name) for name in ids)


def test_every_tag_is_closed_in_order(whole, tmp_path):
    html = (tmp_path / "index.html").read_text(encoding="utf-8")
    alone = {"meta", "img", "br"}
    open_tags: list[str] = []
    for closing, name in re.findall(r"<(/?)([a-z0-9]+)[^>]*>", html):
        if closing:
            assert open_tags.pop() == name
        elif name not in alone:
            open_tags.append(name)
    assert open_tags == []


def test_what_is_not_known_is_not_drawn(tmp_path):
    nothing = Estimate(value=0, low=0, high=1, n=0)
    page = written(tmp_path / "a.html", Section("S", tables=(Table(("c", "F1"), [("Forest", nothing)]),)))
    assert "no patch" in page.text
    assert not [a for _, a in page.tags if a.get("class") == "dot"]
