"""Images of many requests go through the engine together: one thread per model takes what has gathered meanwhile.

Nothing waits for a batch to fill: an idle engine starts at once, and while it runs the next batch gathers by itself.
A batch is no larger than what the engine runs at once: all of a larger one would wait for its last image, and come
back together to decoders that had nothing to do meanwhile.
:class:`Work` is one request on its way: its images come back in any order, and it ends when the last one is there,
when its time is over, or when nobody waits for it any more.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from swath.errors import SwathError
from swath.inference import Classifier
from swath.inference.predictions import Prediction

_log = logging.getLogger("swath.service")
LARGEST = 64  # images in one call of the engine, on machines where many threads could run more at once
_LARGEST_BYTES = 32 * 2**20


class TimeOverError(SwathError):
    """A request was not answered in its time."""


class ClientGoneError(SwathError):
    """Nobody waits for the answer any more."""


class Work:
    """One request: as many results as images, in their order.

    Attributes
    ----------
    future : asyncio.Future
        The list of results, or what went wrong.
    queued_seconds, engine_seconds : float
        From the first decoded image to the engine, and in the engine, of the last batch it was in.
    sizes : list of tuple of int
        Width and height of each image, once decoded.
    """

    def __init__(self, images: int, loop: asyncio.AbstractEventLoop) -> None:
        self.future: asyncio.Future[list[Any]] = loop.create_future()
        self.queued_seconds = self.engine_seconds = 0.0
        self.sizes: list[tuple[int, int]] = [(0, 0)] * images
        self._results: list[Any] = [None] * images
        self._missing = images

    def wanted(self) -> bool:
        """Whether somebody still waits for the answer."""
        return not self.future.done()

    def deliver(self, place: int, result: Any) -> None:
        """One image is done."""
        self._results[place] = result
        self._missing -= 1
        if not self._missing and not self.future.done():
            self.future.set_result(self._results)

    def fail(self, error: Exception) -> None:
        """The whole request ends with this."""
        if not self.future.done():
            self.future.set_exception(error)


@dataclass(frozen=True)
class Decoded:
    """One decoded image of a request, on its way to the engine."""

    pixels: npt.NDArray[Any]
    work: Work
    place: int
    arrived: float


class Batcher:
    """Runs one model on a thread of its own.

    Parameters
    ----------
    classifier : Classifier
        A loaded model.
    loop : asyncio.AbstractEventLoop
        Where results are delivered.
    finished : callable
        Called on the loop after each batch with its images, seconds, and each image's seconds in the queue.
    released : callable
        Called on the loop with the bytes of pixels that are no longer held.
    """

    def __init__(
        self,
        classifier: Classifier,
        loop: asyncio.AbstractEventLoop,
        *,
        finished: Callable[[int, float, Sequence[float]], None],
        released: Callable[[int], None],
    ) -> None:
        self.classifier = classifier
        self._loop, self._finished, self._released = loop, finished, released
        engine = classifier._engine
        self._largest = min(LARGEST, engine.batch_size * engine.threads)
        self._queue: deque[Decoded] = deque()
        self._changed = threading.Condition()
        self._closing = self._retired = False
        self._users = 0
        self._thread = threading.Thread(target=self._run, name=f"engine-{classifier.record.name}", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Decoded images that the engine has not taken yet."""
        return len(self._queue)

    def submit(self, pixels: npt.NDArray[Any], work: Work, place: int) -> None:
        """Have one image ``[bands, H, W]`` classified."""
        with self._changed:
            self._queue.append(Decoded(pixels, work, place, time.perf_counter()))
            self._changed.notify()

    def enter(self) -> None:
        """A request will submit images; until it leaves, a retired batcher stays."""
        self._users += 1

    def leave(self) -> None:
        """The request is answered."""
        self._users -= 1
        if self._retired and not self._users:
            self.close()

    def retire(self) -> None:
        """End when the last request that entered has left."""
        self._retired = True
        if not self._users:
            self.close()

    def close(self) -> None:
        """Finish what is queued, then end; does not wait."""
        with self._changed:
            self._closing = True
            self._changed.notify()

    def join(self) -> None:
        """Wait until the thread has ended."""
        self._thread.join()

    def _take(self) -> tuple[list[Decoded], int] | None:
        """The next batch, all of one size, and the bytes of images that nobody wants; None at the end."""
        with self._changed:
            while not self._queue:
                if self._closing:
                    return None
                self._changed.wait()
            batch: list[Decoded] = []
            others: list[Decoded] = []
            unwanted = 0
            most = self._largest
            while self._queue and len(batch) < most:
                one = self._queue.popleft()
                if not one.work.wanted():
                    unwanted += one.pixels.nbytes
                elif not batch:
                    batch.append(one)
                    most = max(1, min(self._largest, _LARGEST_BYTES // one.pixels.nbytes))
                elif one.pixels.shape == batch[0].pixels.shape:
                    batch.append(one)
                else:
                    others.append(one)
            self._queue.extendleft(reversed(others))
            return batch, unwanted

    def _run(self) -> None:
        while (taken := self._take()) is not None:
            batch, unwanted = taken
            if unwanted:
                self._call(self._released, unwanted)
            if not batch:
                continue
            start = time.perf_counter()
            try:
                found = self.classifier.answer(np.stack([one.pixels for one in batch]))
                results: list[Prediction] | Exception = list(found)
            except SwathError as error:
                results = error
            except Exception as error:  # noqa: BLE001  (the thread must go on)
                _log.exception("engine_failed", extra={"facts": {"model": self.classifier.record.name}})
                results = error
            self._call(self._deliver, batch, results, start, time.perf_counter() - start)

    def _call(self, function: Callable[..., None], *arguments: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:  # the loop has ended, and with it everybody who waited
            return

    def _deliver(
        self, batch: Sequence[Decoded], results: list[Prediction] | Exception, start: float, seconds: float
    ) -> None:
        self._released(sum(one.pixels.nbytes for one in batch))
        waits = [start - one.arrived for one in batch]
        for place, one in enumerate(batch):
            one.work.queued_seconds = max(one.work.queued_seconds, waits[place])
            one.work.engine_seconds = seconds
            if isinstance(results, Exception):
                one.work.fail(results)
            else:
                one.work.deliver(one.place, results[place])
        self._finished(len(batch), seconds, waits)
