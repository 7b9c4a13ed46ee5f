"""The service's side of its decoding processes: a few of them, fed in batches, each replaced when it dies.

An image whose process died is tried once more, alone: so a process that was killed costs nobody an answer, and an image
that kills its process is refused and takes no other with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import sys
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

from swath.errors import DataError, SwathError
from swath.imagery import Picture
from swath.service.decoder import HEAD, header_length, pack, picture_of
from swath.service.settings import SECRETS

_log = logging.getLogger("swath.service")
BATCH = 16  # images in one message at most
_BATCH_BYTES = 4 * 2**20
_BYTES_A_PIXEL = 48  # of memory while an image is decoded: its values, a copy, and what the decoder holds
_LEAST = 512 * 2**20
_START_TIMEOUT = 120.0  # seconds; a cold disk on a busy machine
_PAUSE = 1.0  # seconds before a process that did not even start is started again

Done = Callable[[Picture | SwathError], None]


def memory_of(max_pixels: int) -> int:
    """MiB that a decoding process may take beyond what it has at rest, for images of up to `max_pixels`."""
    return max(_LEAST, max_pixels * _BYTES_A_PIXEL) // 2**20


class DecodersGoneError(SwathError):
    """No decoding process could be started."""


@dataclass
class Encoded:
    """An image that waits to be decoded; `done` is called with the picture or what is wrong with it.

    Attributes
    ----------
    name : str
        What messages call it.
    data : bytes
        Its content.
    done : callable
        Takes the result; called on the event loop.
    wanted : callable
        Whether anybody still waits for it.
    alone : bool
        Whether it is to be sent by itself, because its last decoder died.
    """

    name: str
    data: bytes
    done: Done
    wanted: Callable[[], bool] = lambda: True
    alone: bool = field(default=False)


class Decoders:
    """A pool of decoding processes on this event loop.

    Parameters
    ----------
    count : int
        Processes.
    max_pixels : int
        Most pixels of an image.
    seconds : int
        Of processor time for one image, after which the system ends its process.
    timeout : float
        Seconds by the clock for one image, after which its process is killed: for what hangs without computing, and
        long enough for a busy machine.
    room : callable
        Whether there is memory for another decoded image now; a process whose next one has no room waits with it.
    """

    def __init__(self, count: int, *, max_pixels: int, seconds: int, timeout: float, room: Callable[[], bool]) -> None:
        self.deaths = 0
        self._count, self._max_pixels, self._seconds, self._timeout = count, max_pixels, seconds, timeout
        self._room = room
        self._megabytes = memory_of(max_pixels)
        self._waiting: deque[Encoded] = deque()
        self._more = asyncio.Event()
        self._freed = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._processes: dict[int, asyncio.subprocess.Process] = {}
        self._closing = False

    async def start(self) -> None:
        """Start the processes and wait until all of them can decode."""
        ready = [asyncio.get_running_loop().create_future() for _ in range(self._count)]
        self._tasks = [asyncio.create_task(self._tend(number, ready[number])) for number in range(self._count)]
        await asyncio.gather(*ready)

    @property
    def process_ids(self) -> list[int]:
        """Of the processes that run now."""
        return [process.pid for process in self._processes.values() if process.returncode is None]

    @property
    def waiting(self) -> int:
        """Images that no process has taken yet."""
        return len(self._waiting)

    def submit(self, image: Encoded) -> None:
        """Have an image decoded."""
        self._waiting.append(image)
        self._more.set()

    def wake(self) -> None:
        """Look again whether there is room: memory has been given back."""
        self._freed.set()

    async def close(self) -> None:
        """End the processes; images that still wait are not decoded."""
        self._closing = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for process in list(self._processes.values()):
            await _end(process)
        self._processes.clear()

    async def _tend(self, number: int, ready: asyncio.Future[None]) -> None:
        """Keep one process running and give it work."""
        while not self._closing:
            try:
                process = await self._started(number)
            except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
                if not ready.done():
                    problem = f"a decoding process does not start ({type(error).__name__})"
                    ready.set_exception(DecodersGoneError(problem, fix="run: python -m swath.service.decoder 512 5"))
                    return
                _log.error("decoder_not_started", extra={"facts": {"reason": type(error).__name__}})
                await asyncio.sleep(_PAUSE)
                continue
            if not ready.done():
                ready.set_result(None)
            try:
                while True:
                    await self._exchange(process, await self._take())
            except (asyncio.IncompleteReadError, ConnectionError, TimeoutError, ValueError, KeyError) as error:
                # It died, hung, or said what cannot be read: what it had in hand has been put back.
                self.deaths += 1
                await _end(process)
                facts = {"reason": type(error).__name__, "status": process.returncode}
                _log.warning("decoder_replaced", extra={"facts": facts})

    async def _started(self, number: int) -> asyncio.subprocess.Process:
        environment = {name: value for name, value in os.environ.items() if name not in SECRETS}
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "swath.service.decoder",
            str(self._megabytes),
            str(self._seconds),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=environment,
        )
        self._processes[number] = process
        try:
            async with asyncio.timeout(_START_TIMEOUT):
                await _receive(process)
        except BaseException:
            await _end(process)
            raise
        return process

    async def _take(self) -> list[Encoded]:
        """The next images for one process, as soon as there are any."""
        while True:
            taken: list[Encoded] = []
            size = 0
            share = max(1, -(-len(self._waiting) // self._count))
            while self._waiting and len(taken) < min(BATCH, share) and size < _BATCH_BYTES:
                image = self._waiting[0]
                if not image.wanted():
                    self._waiting.popleft()
                    continue
                if image.alone and taken:
                    break
                taken.append(self._waiting.popleft())
                size += len(image.data)
                if image.alone:
                    break
            if taken:
                return taken
            self._more.clear()
            await self._more.wait()

    async def _exchange(self, process: asyncio.subprocess.Process, images: list[Encoded]) -> None:
        header = {
            "max_pixels": self._max_pixels,
            "images": [{"name": image.name, "bytes": len(image.data)} for image in images],
        }
        left = deque(images)
        try:
            # Not waited for: the process may be writing an answer while it has not read all of this.
            cast(asyncio.StreamWriter, process.stdin).write(pack(header, [image.data for image in images]))
            while left:
                while not self._room():
                    self._freed.clear()
                    await self._freed.wait()
                async with asyncio.timeout(self._timeout):
                    said, pixels = await _receive(process)
                problem = said.get("problem")
                result = picture_of(said, pixels) if problem is None else DataError(problem, fix=said["fix"])
                left.popleft().done(result)
        except asyncio.CancelledError:
            raise
        except BaseException:
            self._put_back(left)
            raise

    def _put_back(self, images: deque[Encoded]) -> None:
        for image in reversed(images):
            if image.alone:
                image.done(
                    DataError(
                        f"{image.name} could not be decoded within the limits of memory and time",
                        fix="send it as an ordinary JPEG or PNG",
                    )
                )
            else:
                image.alone = True
                self._waiting.appendleft(image)
        self._more.set()


async def _receive(process: asyncio.subprocess.Process) -> tuple[dict[str, Any], bytes]:
    """One message of a process: what it says, and pixels."""
    source = cast(asyncio.StreamReader, process.stdout)
    said = json.loads(await source.readexactly(header_length(await source.readexactly(HEAD))))
    return said, await source.readexactly(said["bytes"])


async def _end(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.wait()
