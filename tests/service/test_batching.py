"""Images of several requests share calls of the engine, and only those that somebody waits for."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

import swath
from swath.inference import Classifier
from swath.service.batching import Batcher, Work
from tests.service.servers import PATIENCE
from tests.tiny import patches


@pytest.fixture(scope="module")
def classifier(tiny_model: Path) -> Classifier:
    return swath.load(tiny_model, engine="openvino", threads=1)


class Ran:
    """A batcher on this loop, and what it reported."""

    def __init__(self, classifier: Classifier) -> None:
        self.sizes: list[int] = []
        self.released = 0
        self.batcher = Batcher(classifier, asyncio.get_running_loop(), finished=self._finished, released=self._released)

    def _finished(self, images: int, seconds: float, waits: object) -> None:
        self.sizes.append(images)

    def _released(self, size: int) -> None:
        self.released += size


def test_requests_share_batches_and_get_their_own_results(classifier: Classifier):
    pixels = {label: patches(label, 6) for label in ("Forest", "Residential", "SeaLake")}
    expected = {label: classifier.answer(one).probabilities for label, one in pixels.items()}

    async def run() -> None:
        ran = Ran(classifier)
        works = {label: Work(6, asyncio.get_running_loop()) for label in pixels}
        with ran.batcher._changed:  # the engine's thread sees all of them at once
            for place in range(6):
                for label, work in works.items():
                    ran.batcher.submit(pixels[label][place], work, place)
        for label, work in works.items():
            found = await asyncio.wait_for(work.future, PATIENCE)
            got = np.array([list(one.probabilities.values()) for one in found])
            np.testing.assert_allclose(got, expected[label], atol=1e-6)
        await asyncio.sleep(0)
        assert ran.sizes == [8, 8, 2]  # 18 images, of which one thread of the engine runs 8 at once
        assert ran.released == 18 * 3 * 64 * 64
        ran.batcher.close()
        ran.batcher.join()

    asyncio.run(run())


def test_sizes_are_not_mixed_and_unwanted_images_not_classified(classifier: Classifier):
    async def run() -> None:
        ran = Ran(classifier)
        loop = asyncio.get_running_loop()
        kept, gone = Work(4, loop), Work(3, loop)
        with ran.batcher._changed:
            for place in range(3):
                ran.batcher.submit(patches("River", 1)[0], gone, place)
            for place in range(4):
                ran.batcher.submit(patches("Forest", 1, size=64 if place % 2 else 96)[0], kept, place)
            gone.fail(ConnectionError("gone"))
        found = await asyncio.wait_for(kept.future, PATIENCE)
        assert [one.label for one in found] == ["Forest"] * 4
        await asyncio.sleep(0)
        assert sorted(ran.sizes) == [2, 2]
        assert ran.released == 3 * (3 * 64 * 64) + 2 * 3 * (64 * 64 + 96 * 96)
        with pytest.raises(ConnectionError):
            await gone.future
        ran.batcher.close()
        ran.batcher.join()

    asyncio.run(run())


def test_a_retired_batcher_ends_after_its_last_request(classifier: Classifier):
    async def run() -> None:
        ran = Ran(classifier)
        work = Work(1, asyncio.get_running_loop())
        ran.batcher.enter()
        ran.batcher.retire()
        ran.batcher.submit(patches("Forest", 1)[0], work, 0)
        assert (await asyncio.wait_for(work.future, PATIENCE))[0].label == "Forest"
        ran.batcher.leave()
        await asyncio.to_thread(ran.batcher.join)

    asyncio.run(run())


def test_an_engine_that_fails_fails_its_requests_and_goes_on(classifier: Classifier):
    async def run() -> None:
        ran = Ran(classifier)
        bad, good = Work(1, asyncio.get_running_loop()), Work(1, asyncio.get_running_loop())
        ran.batcher.submit(np.zeros((2, 64, 64), np.uint8), bad, 0)
        with pytest.raises(swath.SwathError, match="pixels have shape"):
            await asyncio.wait_for(bad.future, PATIENCE)
        ran.batcher.submit(patches("Forest", 1)[0], good, 0)
        assert await asyncio.wait_for(good.future, PATIENCE)
        ran.batcher.close()
        ran.batcher.join()

    asyncio.run(run())
