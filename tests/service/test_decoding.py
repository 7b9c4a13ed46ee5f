"""Decoding in processes that die: nobody's image is lost but the one that kills."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import zlib
from collections.abc import Awaitable, Callable
from pathlib import Path

import numpy as np
import pytest

from swath.errors import SwathError
from swath.imagery import Picture, decode
from swath.service.decoding import BATCH, Decoders, Encoded, memory_of
from swath.service.settings import KEY
from tests.service.conftest import jpeg
from tests.service.hostile import png
from tests.service.servers import PATIENCE

Result = Picture | SwathError


async def results(decoders: Decoders, images: list[bytes]) -> list[Result]:
    """Have images decoded together and wait for all of them."""
    loop = asyncio.get_running_loop()
    futures: list[asyncio.Future[Result]] = [loop.create_future() for _ in images]
    for number, data in enumerate(images):
        decoders.submit(Encoded(f"image {number}", data, futures[number].set_result))
    async with asyncio.timeout(PATIENCE):
        return await asyncio.gather(*futures)


def with_decoders(
    body: Callable[[Decoders], Awaitable[None]],
    *,
    timeout: float = PATIENCE,
    max_pixels: int = 10**6,
    room: Callable[[], bool] = lambda: True,
) -> None:
    """Run `body` with a decoder of its own."""

    async def run() -> None:
        decoders = Decoders(1, max_pixels=max_pixels, seconds=60, timeout=timeout, room=room)
        try:
            await decoders.start()
            await body(decoders)
        finally:
            await decoders.close()
        assert not decoders.process_ids

    asyncio.run(run())


def test_pictures_are_those_of_decode():
    images = [jpeg(label, size=side, kind=kind) for label, side, kind in (("Forest", 64, "JPEG"), ("River", 40, "PNG"))]

    async def body(decoders: Decoders) -> None:
        for found, data in zip(await results(decoders, images), images, strict=True):
            assert isinstance(found, Picture)
            expected = decode(data)
            np.testing.assert_array_equal(found.pixels, expected.pixels)
            assert (found.bands, found.units, found.mode) == (expected.bands, expected.units, expected.mode)

    with_decoders(body)


def test_a_bad_image_is_named_among_good_ones():
    async def body(decoders: Decoders) -> None:
        first, second, third = await results(decoders, [jpeg("Forest"), b"", jpeg("River")])
        assert isinstance(first, Picture)
        assert isinstance(third, Picture)
        assert str(second) == "image 1 is an empty file; replace it or leave it out"

    with_decoders(body)


def test_a_killed_decoder_loses_no_image():
    async def body(decoders: Decoders) -> None:
        (first,) = decoders.process_ids
        os.kill(first, signal.SIGSTOP)  # it holds what it is given
        waiting = asyncio.create_task(results(decoders, [jpeg("Forest", seed=n) for n in range(20)]))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        os.kill(first, signal.SIGKILL)
        assert all(isinstance(found, Picture) for found in await waiting)
        assert decoders.deaths == 1
        assert decoders.process_ids != [first]

    with_decoders(body)


def test_what_takes_too_long_is_refused_and_the_decoder_replaced():
    async def body(decoders: Decoders) -> None:
        before = decoders.process_ids
        (refused,) = await results(decoders, [jpeg("Forest")])
        assert str(refused).startswith("image 0 could not be decoded within the limits of memory and time")
        assert decoders.deaths == 2  # once among others, once alone
        assert decoders.process_ids != before

    with_decoders(body, timeout=1e-6)


def test_processor_time_is_limited():
    """Whatever an image makes its decoder compute, it ends; how busy the machine is does not count."""
    code = "from swath.service.decoder import allow_processor_time\nallow_processor_time(1)\nwhile True: pass"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGXCPU


def test_a_decoder_holds_one_decoded_image_at_a_time():
    """Together these unpack to more than a process may take; none of them is refused for that."""
    side = 3000
    image = png(side, side, zlib.compress(bytes(side * (3 * side + 1))))
    shapes: list[tuple[int, ...]] = []

    async def body(decoders: Decoders) -> None:
        loop = asyncio.get_running_loop()
        ended = loop.create_future()

        def done(found: Result) -> None:
            assert isinstance(found, Picture), found
            shapes.append(found.pixels.shape)
            if len(shapes) == BATCH:
                ended.set_result(None)

        for number in range(BATCH):
            decoders.submit(Encoded(f"image {number}", image, done))
        await asyncio.wait_for(ended, PATIENCE)
        assert decoders.deaths == 0

    with_decoders(body, max_pixels=side * side)
    assert shapes == [(3, side, side)] * BATCH
    assert BATCH * 3 * side * side > memory_of(side * side) * 2**20 / 1.5


def test_what_has_no_room_waits():
    room = True

    async def body(decoders: Decoders) -> None:
        nonlocal room
        found: list[Result] = []
        more = asyncio.Event()

        def done(result: Result) -> None:
            nonlocal room
            found.append(result)
            room = False  # for the next one
            more.set()

        for _ in range(3):
            decoders.submit(Encoded("a.jpg", jpeg("Forest"), done))
        for number in (1, 2, 3):
            await asyncio.wait_for(more.wait(), PATIENCE)
            more.clear()
            for _ in range(10):
                await asyncio.sleep(0.001)
            assert len(found) == number
            room = True
            decoders.wake()
        assert all(isinstance(one, Picture) for one in found)

    with_decoders(body, room=lambda: room)


def test_decoders_do_not_see_the_key(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(KEY, "correct-horse-battery")

    async def body(decoders: Decoders) -> None:
        for process in decoders.process_ids:
            assert b"correct-horse" not in Path(f"/proc/{process}/environ").read_bytes()

    with_decoders(body)
