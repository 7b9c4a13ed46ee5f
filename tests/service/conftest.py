"""One server for most tests: starting one takes longer than asking it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from tests.service.servers import Client, Running, running
from tests.tiny import patch


@pytest.fixture(scope="session")
def served(tiny_model: Path) -> Iterator[Running]:
    """A service with the tiny model."""
    with running(tiny_model) as one:
        yield one


@pytest.fixture
def client(served: Running) -> Client:
    return served.client


@pytest.fixture(scope="session")
def forest() -> bytes:
    """A JPEG of 64 pixels that is Forest to the tiny model."""
    return jpeg("Forest")


def jpeg(label: str, *, seed: int = 0, size: int = 64, kind: str = "JPEG") -> bytes:
    """An encoded patch of a class."""
    stream = io.BytesIO()
    Image.fromarray(patch(label, seed=seed, size=size)).save(stream, kind)
    return stream.getvalue()
