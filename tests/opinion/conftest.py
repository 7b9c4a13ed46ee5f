"""What the tests of second opinions share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from swath.imagery import RGB
from swath.opinion import OpinionSettings, VisionModel
from swath.opinion.prompt import Question, make_question
from tests.opinion.servers import KEY, Answer, Behavior, ChatServer, chat_server
from tests.tiny import CLASSES, patch


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key of the tests' own, and nothing else of the environment."""
    for name in ("OPENAI_BASE_URL", "SWATH_VISION_MODEL", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


@pytest.fixture
def small_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures are sent as large as they are: enlarging and compressing hundreds takes most of a test's time."""
    monkeypatch.setattr("swath.opinion.prompt.SIDE", 64)


@pytest.fixture
def serve() -> Iterator[Callable[[Behavior | Answer], ChatServer]]:
    """Start servers that end with the test."""
    with ExitStack() as stack:
        yield lambda behave: stack.enter_context(chat_server(behave))


@pytest.fixture
def slept() -> list[float]:
    """The waits of a model made by :func:`ask_at`: nothing waits."""
    return []


@pytest.fixture
def ask_at(tmp_path: Path, slept: list[float]) -> Callable[..., VisionModel]:
    """A model at a server, with a cache of the test's own."""

    def made(server: ChatServer, **settings: Any) -> VisionModel:
        values = OpinionSettings(base_url=server.url, **settings)
        return VisionModel(values, cache=tmp_path / "kept", sleep=slept.append)

    return made


def question(label: str = "Forest", *, seed: int = 0) -> Question:
    """A question about a patch of a class."""
    pixels = np.ascontiguousarray(patch(label, seed=seed).transpose(2, 0, 1))
    return make_question(pixels, bands=RGB, classes=CLASSES, gsd=10.0)
