"""What is let in, and what a body holds."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swath.service.intake import Admission, RefusedError, uploads_of
from tests.service.servers import multipart


def uploads(body: bytes, kind: str, most: int = 10) -> list[tuple[str, bytes]]:
    found = asyncio.run(uploads_of(body, {"content-type": kind}, max_images=most))
    return [(one.name, one.data) for one in found]


def test_after_it_was_full_the_low_mark_holds_for_a_while():
    now = 0.0
    gate = Admission(high=4, low=2, memory=100, clock=lambda: now)
    for _ in range(4):
        gate.enter()
    with pytest.raises(RefusedError, match="busy with 4 requests; try again in 1 s") as refused:
        gate.enter()
    assert (refused.value.status, refused.value.headers) == (429, {"Retry-After": "1"})
    gate.leave(seconds=0.1)
    gate.leave(seconds=0.1)
    now = 1.0
    with pytest.raises(RefusedError):
        gate.enter()  # two are left, and a flood may go on
    gate.leave(seconds=0.1)
    gate.enter()
    now = 1.6  # however many were refused meanwhile
    gate.enter()
    gate.enter()
    with pytest.raises(RefusedError):
        gate.enter()
    gate.leave(seconds=0.1)
    with pytest.raises(RefusedError):
        gate.enter()


def test_clients_that_come_back_at_once_are_all_let_in_again_soon_after_a_flood():
    now = 0.0
    gate = Admission(high=4, low=2, memory=100, clock=lambda: now)
    for _ in range(5):
        with contextlib.suppress(RefusedError):
            gate.enter()
    refused = 0
    for step in range(200):  # four clients, each back as soon as it is answered or refused
        now = step / 100
        gate.leave(seconds=0.1)
        while gate.under_way < gate.high:
            try:
                gate.enter()
            except RefusedError:
                refused = step
                break
    assert 100 < refused < 160
    assert gate.under_way == 4


def test_as_many_as_the_high_mark_are_never_refused():
    """However often they come back."""
    gate = Admission(high=4, low=2, memory=100)
    for _ in range(4):
        gate.enter()
    for _ in range(100):
        gate.leave(seconds=0.1)
        gate.enter()


def test_retry_after_grows_with_what_is_under_way():
    gate = Admission(high=100, low=50, memory=100)
    for _ in range(100):
        gate.enter()
    for _ in range(200):
        gate.leave(seconds=30.0)  # 100 requests, 30 s each, so 0.3 s between two answers
        gate.enter()
    assert 20 <= gate.retry_after <= 31


def test_bodies_take_half_of_the_memory_at_most():
    gate = Admission(high=4, low=2, memory=100)
    gate.hold_body(50)
    with pytest.raises(RefusedError, match="holds as many images as it may"):
        gate.hold_body(1)
    assert gate.has_room  # for decoded ones


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("field.jpg", "field.jpg"),
        ("../../etc/passwd", "passwd"),
        ("C:\\data\\a.tif", "a.tif"),
        ("", "image 1"),
        ("bell\x07.png", "image 1"),
        ("x" * 500, "x" * 120),
    ],
)
def test_a_name_is_its_last_part(name: str, said: str):
    assert uploads(*multipart((name, b"data"))) == [(said, b"data")]


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=5))
def test_parts_come_out_as_they_went_in(parts: list[bytes]):
    parts = [part for part in parts if b"--edge" not in part] or [b""]
    files = [(f"{number}.bin", part) for number, part in enumerate(parts)]
    assert uploads(*multipart(*files)) == files


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("text/plain", "the content type is text/plain"),
        ("", "the content type is missing"),
        ("multipart/form-data", "has no boundary"),
    ],
)
def test_other_types_are_refused(kind: str, says: str):
    with pytest.raises(RefusedError, match=says):
        uploads(b"data", kind)


def test_json_is_closed_to_what_it_does_not_know():
    with pytest.raises(RefusedError, match=r"images\.0\.url: Extra inputs"):
        uploads(b'{"images": [{"data": "AA==", "url": "http://x"}]}', "application/json")
    assert uploads(b'{"images": [{"data": "AA=="}]}', "application/json; charset=utf-8") == [("image 1", b"\0")]
