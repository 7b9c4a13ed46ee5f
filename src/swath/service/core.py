"""A running service without its routes: models, decoders and admission, and the way of one request through them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

import numpy.typing as npt

from swath.errors import SwathError
from swath.explain.pictures import Explanation, explanations
from swath.imagery import Picture
from swath.inference import Classifier
from swath.inference.predictions import Prediction
from swath.service.batching import Batcher, ClientGoneError, TimeOverError, Work
from swath.service.decoding import Decoders, Encoded
from swath.service.intake import Admission, RefusedError, Upload
from swath.service.jobs import Jobs
from swath.service.metrics import Metrics
from swath.service.models import Models, ServedModel
from swath.service.prediction_log import PredictionLog
from swath.service.settings import ServiceSettings

_log = logging.getLogger("swath.service")
_DRAWERS = 2  # tiles that are drawn at once
T = TypeVar("T")
Receive = Callable[[], Awaitable[Any]]


class Service:
    """Everything a service holds; one per event loop.

    Parameters
    ----------
    settings : ServiceSettings
        Models and limits.
    failed : callable
        Called with the error if the service cannot start.
    started : callable, optional
        Called when all is loaded, before the first request is answered.
    """

    def __init__(
        self,
        settings: ServiceSettings,
        *,
        failed: Callable[[BaseException], None],
        started: Callable[[], None] = lambda: None,
    ) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.admission = Admission(settings.queue, settings.low_water, settings.max_memory)
        self.decoders = Decoders(
            settings.decoders,
            max_pixels=settings.max_pixels,
            seconds=settings.decode_seconds,
            timeout=settings.decode_timeout,
            room=lambda: self.admission.has_room,
        )
        self.models = Models(
            settings.models, engine=settings.engine, threads=settings.threads, make_batcher=self._batcher
        )
        self.log = None if settings.prediction_log is None else PredictionLog(settings.prediction_log)
        self.jobs = None if settings.jobs is None else Jobs(settings.jobs, settings, self._source_of)
        self.ready = False
        self._explainer = ThreadPoolExecutor(1, thread_name_prefix="explain")
        self._explaining = asyncio.Lock()
        self._failed, self._started = failed, started
        self._drawers = ThreadPoolExecutor(_DRAWERS, thread_name_prefix="tiles")
        self._drawing, self._turns = 0, asyncio.Semaphore(_DRAWERS)
        self._starting: asyncio.Task[None] | None = None
        self._observe()

    def open(self) -> None:
        """Begin to load models and to start decoders; requests are answered with 503 until both are there."""
        self._starting = asyncio.create_task(self._start())
        if self.log is not None:
            self.log.open()

    async def close(self) -> None:
        """End decoders and models, after the last request has been answered."""
        self.ready = False
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.gather(self._starting, return_exceptions=True)
        if self.jobs is not None:
            await self.jobs.close()
        await self.decoders.close()
        await asyncio.to_thread(self.models.close)
        for pool in (self._explainer, self._drawers):
            pool.shutdown(wait=False, cancel_futures=True)
        if self.log is not None:
            await self.log.close()

    async def _start(self) -> None:
        try:
            await asyncio.gather(self.decoders.start(), self.models.load())
        except Exception as error:  # noqa: BLE001  (handed on to the one who started the service)
            self._failed(error)
            return
        self._started()
        self.ready = True
        if self.jobs is not None:
            self.jobs.open()
        facts = {one.name: one.version for one in self.models}
        _log.info("ready", extra={"facts": {"models": facts, "engine": next(iter(self.models)).classifier.engine}})

    def check_ready(self) -> None:
        """Refuse a request with 503 while models are loading or the service ends."""
        if not self.ready:
            raise RefusedError(503, "the service is not ready", fix="try again in 1 s", headers={"Retry-After": "1"})

    def model(self, name: str | None) -> ServedModel:
        """The model a request names, by default the first one; 404 if there is none of that name, 503 if not ready."""
        self.check_ready()
        found = self.models.get(name)
        if found is None:
            raise RefusedError(
                404, f"there is no model '{str(name)[:80]}' here", fix=f"use one of {', '.join(self.models.names)}"
            )
        return found

    async def classify(
        self, model: ServedModel, uploads: Sequence[Upload], receive: Receive, *, seconds: float
    ) -> tuple[list[Prediction], Work]:
        """Decode and classify the images of one request, together with those of others.

        Raises
        ------
        SwathError
            If an image cannot be used; the first one found ends the request.
        TimeOverError, ClientGoneError
            If it takes longer than `seconds`, or nobody waits any more.
        """
        model.batcher.enter()
        try:
            work = await self._decoded(model, uploads, receive, model.batcher.submit, seconds=seconds)
            return work.future.result(), work
        finally:
            model.batcher.leave()

    async def explain(
        self, model: ServedModel, uploads: Sequence[Upload], receive: Receive, *, class_name: str | None, seconds: float
    ) -> list[Explanation]:
        """Decode the images of one request and map the evidence in each, one explanation at a time.

        Raises
        ------
        SwathError, TimeOverError, ClientGoneError
            As for :meth:`classify`, and if the model has no class `class_name`, or several images take more than a
            quarter of the memory.
        """
        start = time.perf_counter()
        held = 0
        most = self.settings.max_memory // 4

        def decoded(pixels: npt.NDArray[Any], work: Work, place: int) -> None:
            nonlocal held
            held += pixels.nbytes
            if held > most and len(uploads) > 1:
                work.fail(RefusedError(413, "the images are too large to be explained together", fix="send one each"))
            else:
                work.deliver(place, pixels)

        def explained(images: list[tuple[str, npt.NDArray[Any]]]) -> list[Explanation]:
            return list(explanations(model.classifier, images, class_name=class_name, explain=model.explain))

        def left() -> float:
            return max(0.0, seconds - (time.perf_counter() - start))

        try:
            # One request at a time holds images that it has not explained: two with half of theirs would wait for ever.
            async with asyncio.timeout(seconds), self._explaining:
                work = await self._decoded(model, uploads, receive, decoded, seconds=left())
                images = [(one.name, pixels) for one, pixels in zip(uploads, work.future.result(), strict=True)]
                return await self.aside(explained, images)
        except TimeoutError:
            raise _late() from None
        finally:
            self._released(held)

    async def aside(self, function: Callable[..., T], *arguments: Any) -> T:
        """Run what explains or draws on a thread of its own, one after the other."""
        return await asyncio.get_running_loop().run_in_executor(self._explainer, partial(function, *arguments))

    async def draw(self, gone: Callable[[], Awaitable[bool]], function: Callable[..., T], *arguments: Any) -> T:
        """Run what draws a tile on one of a few threads of their own, when its turn comes.

        Parameters
        ----------
        gone : callable
            Whether the client has closed the connection: those of a map that is moved ask for tiles they leave again.
        function : callable
            What to do.
        arguments : object
            With what.

        Raises
        ------
        RefusedError
            429 if too many tiles wait.
        TimeOverError, ClientGoneError
            If it takes too long, or nobody waits any more.
        """
        if self._drawing >= self.settings.queue:
            raise RefusedError(
                429, f"{self._drawing:,} tiles wait", fix="try again in 1 s", headers={"Retry-After": "1"}
            )
        self._drawing += 1
        try:
            async with asyncio.timeout(self.settings.timeout), self._turns:
                if await gone():
                    raise ClientGoneError("the client closed the connection")
                return await asyncio.get_running_loop().run_in_executor(self._drawers, partial(function, *arguments))
        except TimeoutError:
            raise TimeOverError("the tile was not drawn in time", fix="ask for it again") from None
        finally:
            self._drawing -= 1

    async def _decoded(
        self,
        model: ServedModel,
        uploads: Sequence[Upload],
        receive: Receive,
        take: Callable[[npt.NDArray[Any], Work, int], None],
        *,
        seconds: float,
    ) -> Work:
        """Have images decoded and given to `take`, until the work is complete, late or not wanted any more."""
        loop = asyncio.get_running_loop()
        work = Work(len(uploads), loop)
        timer = loop.call_later(max(0.0, seconds), work.fail, _late())
        watch = loop.create_task(_watch(receive, work))

        def decoded(place: int, name: str, result: Picture | SwathError) -> None:
            if not work.wanted():
                return
            try:
                if isinstance(result, SwathError):
                    raise result
                pixels = model.classifier.pixels_of(result, name=name)
            except SwathError as error:
                work.fail(error)
                return
            self.admission.pixels += pixels.nbytes
            work.sizes[place] = (result.width, result.height)
            take(pixels, work, place)

        try:
            for place, upload in enumerate(uploads):
                done = partial(decoded, place, upload.name)
                self.decoders.submit(Encoded(upload.name, upload.data, done, work.wanted))
            await work.future
            return work
        finally:
            timer.cancel()
            watch.cancel()

    def count(self, model: ServedModel, found: Sequence[Prediction]) -> None:
        """Count what was answered."""
        for one in found:
            self.metrics.predictions.labels(model.name, one.label).inc()
            if one.is_ood:
                self.metrics.ood.labels(model.name).inc()

    def _source_of(self, name: str) -> str | None:
        model = self.models.get(name)
        return None if model is None else model.source

    def _batcher(self, classifier: Classifier) -> Batcher:
        return Batcher(classifier, asyncio.get_running_loop(), finished=self._finished, released=self._released)

    def _released(self, size: int) -> None:
        self.admission.pixels -= size
        self.decoders.wake()

    def _finished(self, images: int, seconds: float, waits: Sequence[float]) -> None:
        self.metrics.batch.observe(images)
        self.metrics.engine.inc(seconds)
        for wait in waits:
            self.metrics.wait.observe(wait)

    def _observe(self) -> None:
        """Have the gauges read what they show when they are asked."""
        self.metrics.under_way.set_function(lambda: self.admission.under_way)
        self.metrics.held.set_function(lambda: self.admission.bodies + self.admission.pixels)
        self.metrics.deaths.set_function(lambda: self.decoders.deaths)
        self.metrics.waiting.labels("decode").set_function(lambda: self.decoders.waiting)
        self.metrics.waiting.labels("engine").set_function(lambda: sum(one.batcher.waiting for one in self.models))


def _late() -> TimeOverError:
    return TimeOverError("the answer was not ready in time", fix="send fewer images, or try again later")


async def _watch(receive: Receive, work: Work) -> None:
    """Give a request up when its client closes the connection."""
    while (await receive())["type"] != "http.disconnect":
        pass
    work.fail(ClientGoneError("the client closed the connection"))
