"""Fifty hostile uploads: each gets a sentence and a 4xx, and the next good request is answered."""

from __future__ import annotations

import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service.hostile import GOOD, HOSTILE, SLOW, png
from tests.service.servers import Running, running

MAX_BYTES, MAX_PIXELS = 4 * 2**20, 4_000_000


@pytest.fixture(scope="module")
def strict(tiny_model: Path) -> Iterator[Running]:
    with running(tiny_model, max_bytes=MAX_BYTES, max_pixels=MAX_PIXELS, decoders=2) as one:
        yield one


def test_there_are_fifty_of_them():
    assert len(HOSTILE) >= 50
    assert not HOSTILE.keys() & SLOW.keys()


@pytest.fixture(scope="module")
def impatient(tiny_model: Path) -> Iterator[Running]:
    with running(tiny_model, timeout=1.0) as one:
        yield one


@pytest.mark.parametrize("name", SLOW)
def test_a_slow_upload_gets_a_sentence(impatient: Running, name: str):
    refused = SLOW[name](impatient.client)
    assert refused.status == 408
    assert refused.error == "the body did not come within 1 s; send fewer images per request"
    assert impatient.client.get("/healthz").status == 200
    assert impatient.client.metric("swath_held_bytes") == 0


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_upload_gets_a_sentence(strict: Running, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    refused = HOSTILE[name](strict.client)
    assert 400 <= refused.status < 500, refused
    assert refused.status != 429
    assert 10 < len(refused.error) < 1500
    assert "\n" not in refused.error
    assert "Traceback" not in refused.error
    assert "/etc" not in refused.error
    assert not list(tmp_path.iterdir())
    assert strict.client.predict(("a.jpg", GOOD)).status == 200
    assert strict.client.metric("swath_held_bytes") == 0


def test_a_bad_image_among_good_ones_is_named(strict: Running):
    refused = strict.client.predict(("good.jpg", GOOD), ("bad.jpg", b"nothing"), ("fine.jpg", GOOD))
    assert refused.status == 422
    assert refused.error.startswith("bad.jpg is not a JPEG")


def test_an_image_that_stops_its_decoder_takes_no_other_along(strict: Running):
    """A picture that unpacks to more than a decoder may hold: refused, whether the decoder says so or dies."""
    service = strict.service
    huge = png(1999, 2000, zlib.compress(bytes(1999 * 2000 * 3 + 2000)))
    answers = [strict.client.predict(("huge.png", huge)), strict.client.predict(("a.jpg", GOOD))]
    assert [answer.status for answer in answers] == [200, 200]  # within its limits
    assert len(service.decoders.process_ids) == 2
