"""Decoding in processes that die: nobody's image is lost but the one that kills."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import numpy as np
import pytest

from swath.errors import SwathError
from swath.imagery import Picture, decode
from swath.service.decoding import Decoders, Encoded
from swath.service.settings import KEY
from tests.service.conftest import jpeg
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


def with_decoders(body: Callable[[Decoders], Awaitable[None]], count: int = 1, timeout: float = PATIENCE) -> None:
    """Run `body` with decoders of its own."""

    async def run() -> None:
        decoders = Decoders(count, max_pixels=10**6, timeout=timeout, room=lambda: True)
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


def test_decoders_do_not_see_the_key(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(KEY, "correct-horse-battery")

    async def body(decoders: Decoders) -> None:
        for process in decoders.process_ids:
            assert b"correct-horse" not in Path(f"/proc/{process}/environ").read_bytes()

    with_decoders(body)
