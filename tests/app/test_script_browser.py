"""All pages in a real Chromium: no barrier that axe-core finds, in light and dark, on a desk and on a phone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from swath.app.samples import names
from swath.app.server import HOST
from tests.app.test_server import running, seen_in
from tests.app.visitor import Visitor
from tests.browser import PROGRAM
from tests.opinion.servers import KEY, ChatServer, chat_server, says
from tests.tiny import write_tiny_model

pytestmark = [pytest.mark.slow, pytest.mark.skipif(PROGRAM is None, reason="needs a Chromium on the path")]
WIDTHS = (1280, 390)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model of the classes of the shipped patches."""
    return write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.onnx", tuple(names()))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of temporary files of the servers."""
    return tmp_path_factory.mktemp("server")


@pytest.fixture(scope="module")
def alone(folder: Path, model: Path) -> Iterator[str]:
    """A page without a key for second opinions."""
    with pytest.MonkeyPatch.context() as patched:
        for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "SWATH_VISION_MODEL"):
            patched.delenv(name, raising=False)
        with running(folder, "--model", str(model)) as (found, _):
            yield found
    assert set(seen_in(folder).read_text().splitlines()) <= {HOST}, "the server asks nobody for anything"


def stays_here(visitor: Visitor) -> None:
    """The console is empty, and all that was asked for came from this machine."""
    assert visitor.console == []
    hosts = {urlsplit(request).hostname for request in visitor.requests if not request.startswith(("data:", "blob:"))}
    assert hosts <= {HOST, "", None}


def check(visitor: Visitor, page: str, *, dark: bool) -> list[str]:
    """What is a barrier on a page, at all widths."""
    found = []
    for width in WIDTHS:
        visitor.looks(width=width, dark=dark)
        found += [f"{page}, {width} px: {barrier}" for barrier in visitor.barriers()]
    visitor.looks(width=WIDTHS[0], dark=dark)
    return found


@pytest.mark.parametrize("dark", [False, True])
def test_no_page_is_a_barrier(alone: str, *, dark: bool) -> None:
    with Visitor() as visitor:
        visitor.open(alone, width=1280, dark=dark)
        visitor.sees("choose a sample")
        visitor.clicks("River")
        visitor.sees("nearest of the patches")
        found = check(visitor, "Classify pictures", dark=dark)
        links = "[...document.querySelectorAll('[data-testid=stPageLink] a')].map(e => e.innerText.split('\\n').pop())"
        pages = visitor.run(links)
        assert {"Second opinion", "Model"} <= set(pages)
        for page in pages[1:]:
            heading = visitor.run("document.querySelector('h1').innerText")
            visitor.clicks(page)
            visitor.until(f"document.querySelector('h1')?.innerText !== {heading!r}", f"the page {page}")
            visitor.sees("")
            if page == "Second opinion":
                visitor.sees("Nobody can be asked yet")
            if page == "Model":
                visitor.sees("Sound: it gives on its")
                visitor.clicks("Measure")
                visitor.sees("All numbers (JSON)")
                drawn = "[...document.querySelectorAll('.drawn .wide')].filter(e => e.naturalWidth > 300).length"
                visitor.until(f"{drawn} === 3", "three charts")
            found += check(visitor, page, dark=dark)
        assert found == []
        stays_here(visitor)


@pytest.fixture
def other() -> Iterator[ChatServer]:
    """A server that repeats the key wherever it can."""
    with chat_server(lambda request: says("Forest", reason=f"Dark, even, {KEY}.")) as server:
        yield server


def test_a_second_opinion_is_asked_and_shown(
    other: ChatServer, tmp_path: Path, model: Path, tiny_patches: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_BASE_URL", other.url)
    with running(tmp_path, "--model", str(model)) as (address, _), Visitor() as visitor:
        visitor.open(address, width=1280)
        visitor.sees("choose a sample")
        visitor.gives(sorted((tiny_patches / "River").iterdir())[0])
        visitor.sees("Take it with you")
        visitor.clicks("Second opinion")
        visitor.sees("1 picture goes to gpt-4o at 127.0.0.1")
        assert not other.requests, "nothing is sent before it is asked for"
        visitor.clicks("Ask")
        visitor.sees("It took 540 tokens")
        visitor.sees("Dark, even, [key].")
        assert KEY not in visitor.run("document.documentElement.outerHTML")
        assert len(other.requests) == 1
        assert visitor.barriers() == []
        stays_here(visitor)
