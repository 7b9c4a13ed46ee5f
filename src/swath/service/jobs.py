"""Maps as jobs: one at a time, each in a process and a folder of its own, and still there after a restart.

A job's folder appears when its scene has arrived whole. ``job.json`` in it says what is asked and what has become of
it, and is replaced at once whenever that changes; a job that was under way when the service ended starts over.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import re
import shutil
import sys
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, ValidationError

from swath.files import check_output, write_text
from swath.service.intake import RefusedError
from swath.service.logs import LOGGER
from swath.service.settings import SECRETS, ServiceSettings

_log = logging.getLogger(LOGGER)
_RECORD, _SCENE, _MAP = "job.json", "scene.tif", "map"
_ID = re.compile(r"[0-9a-f]{32}")
MOST_JOBS = 1000
ATTEMPTS = 3  # a job that ended this many services is not started again

State = Literal["queued", "running", "done", "failed"]


class Job(BaseModel):
    """One map, asked for or made."""

    id: str
    state: State = "queued"
    model: str
    stride: int | None = None
    rescale: str = "auto"
    created: str
    attempts: int = 0
    error: str | None = Field(None, description="Why it failed, in one sentence.")
    stage: str = Field("", description="What is being done.")
    done: int = 0
    total: int = 0
    files: Annotated[list[str], Field(description="Names of what was made, once it is done.")] = []


class Jobs:
    """Jobs in a folder.

    Parameters
    ----------
    folder : pathlib.Path
        Where they are kept.
    settings : ServiceSettings
        Engine, threads and limits.
    source_of : callable
        The file of a model by its name; None if it is not served any more.

    Raises
    ------
    OutputError
        If the folder cannot be written.
    """

    def __init__(self, folder: Path, settings: ServiceSettings, source_of: Callable[[str], str | None]) -> None:
        check_output(folder / _RECORD, overwrite=True)
        self._folder, self._settings, self._source_of = folder, settings, source_of
        self._jobs: dict[str, Job] = {}
        self._arrived = asyncio.Event()
        self._runner: asyncio.Task[None] | None = None
        self._running: tuple[str, asyncio.subprocess.Process] | None = None

    def open(self) -> None:
        """Take up what an earlier service left, and begin to work."""
        found: list[Job] = []
        for place in self._folder.iterdir():
            if not _ID.fullmatch(place.name):
                if place.name.endswith(".partial"):  # a scene that did not arrive
                    shutil.rmtree(place, ignore_errors=True)
                continue
            with contextlib.suppress(OSError, ValidationError):
                found.append(Job.model_validate_json((place / _RECORD).read_text(encoding="utf-8")))
        for job in sorted(found, key=lambda job: job.created):
            self._jobs[job.id] = job
            if job.state == "running":
                job.state = "queued"
        self._runner = asyncio.create_task(self._run())
        self._arrived.set()

    async def close(self) -> None:
        """End the map that is being made; it starts over with the next service."""
        if self._runner is not None:
            self._runner.cancel()
            await asyncio.gather(self._runner, return_exceptions=True)

    def get(self, name: str) -> Job:
        """A job by its id; 404 if there is none."""
        job = self._jobs.get(name)
        if job is None:
            raise RefusedError(404, "there is no such job", fix="use the id that POST /v1/map gave")
        return job

    def record(self, name: str) -> Path:
        """The ``map.json`` of a finished map; 404 if there is no such job, 409 if it has made no map."""
        job = self.get(name)
        if job.state == "failed":
            raise RefusedError(409, f"the map was not made: {job.error}")
        if job.state != "done":
            raise RefusedError(
                409, f"the map is not finished, its job is {job.state}", fix=f"wait until /v1/map/{name} says done"
            )
        return self._folder / name / _MAP / "map.json"

    def file(self, name: str, file: str) -> Path:
        """A file that a job made; 404 if it made none of that name."""
        if file not in self.get(name).files:
            raise RefusedError(404, f"the job has no file '{file[:80]}'", fix="use a name in its 'files'")
        return self._folder / name / _MAP / file

    async def add(self, receive: Callable[[], Awaitable[Any]], *, model: str, stride: int | None, rescale: str) -> Job:
        """Take in a scene and queue its map.

        Raises
        ------
        RefusedError
            429 if there are too many jobs, 400, 408 or 413 if the scene does not arrive as it should.
        """
        if len(self._jobs) >= MOST_JOBS:
            raise RefusedError(
                429, f"there are {MOST_JOBS:,} jobs", fix="delete old ones", headers={"Retry-After": "60"}
            )
        job = Job(
            id=uuid.uuid4().hex, model=model, stride=stride, rescale=rescale, created=datetime.now(UTC).isoformat()
        )
        arriving = self._folder / f"{job.id}.partial"
        arriving.mkdir()
        try:
            await self._receive(receive, arriving / _SCENE)
            write_text(arriving / _RECORD, job.model_dump_json(indent=2))
            arriving.rename(self._folder / job.id)
        except BaseException:
            shutil.rmtree(arriving, ignore_errors=True)
            raise
        self._jobs[job.id] = job
        self._arrived.set()
        return job

    async def remove(self, name: str) -> Job:
        """Cancel a job if it is not done, and delete all there is of it."""
        job = self.get(name)
        del self._jobs[name]
        if self._running is not None and self._running[0] == name:
            await _end(self._running[1])
        await asyncio.to_thread(shutil.rmtree, self._folder / name, ignore_errors=True)
        return job

    async def _receive(self, receive: Callable[[], Awaitable[Any]], target: Path) -> None:
        size, most = 0, self._settings.max_scene_bytes
        with target.open("wb") as file:
            while True:
                try:
                    async with asyncio.timeout(self._settings.timeout):
                        message = await receive()
                except TimeoutError:
                    raise RefusedError(408, "the scene stopped coming", fix="send it again") from None
                if message["type"] == "http.disconnect":
                    raise RefusedError(400, "the scene was not sent to its end")
                part = message.get("body", b"")
                size += len(part)
                if size > most:
                    raise RefusedError(
                        413,
                        f"the scene is larger than {most:,} bytes",
                        fix="map it with swath map, or raise --max-scene-mb",
                    )
                file.write(part)
                if not message.get("more_body", False):
                    break
        if not size:
            raise RefusedError(400, "the body is empty", fix="send the bytes of a GeoTIFF")

    async def _run(self) -> None:
        while True:
            job = next((job for job in self._jobs.values() if job.state == "queued"), None)
            if job is None:
                self._arrived.clear()
                await self._arrived.wait()
                continue
            await self._make(job)

    async def _make(self, job: Job) -> None:
        source = self._source_of(job.model)
        if source is None:
            self._finish(job, f"the model '{job.model}' is not served any more; send the scene again")
            return
        if job.attempts >= ATTEMPTS:
            self._finish(job, f"the service ended {ATTEMPTS} times while it was made; send a smaller scene")
            return
        job.state, job.attempts, job.error = "running", job.attempts + 1, None
        self._write(job)
        place = self._folder / job.id
        (place / _MAP).mkdir(exist_ok=True)
        asked = {
            "model": source,
            "engine": self._settings.engine,
            "threads": self._settings.threads,
            "scene": str(place / _SCENE),
            "out": str(place / _MAP / "map.tif"),
            "stride": job.stride,
            "rescale": job.rescale,
            "max_pixels": self._settings.max_scene_pixels,
            "max_memory": self._settings.max_map_memory,
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "swath.service.map_job",
            json.dumps(asked),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={name: value for name, value in os.environ.items() if name not in SECRETS},
        )
        self._running = (job.id, process)
        try:
            if self._jobs.get(job.id) is not job:  # deleted while its process was started
                return
            problem = await _follow(process, job)
        except asyncio.CancelledError:  # the service ends in good order, which is no fault of the job
            job.state, job.attempts = "queued", job.attempts - 1
            self._write(job)
            raise
        finally:
            self._running = None
            await _end(process)
        if self._jobs.get(job.id) is job:  # not deleted meanwhile
            self._finish(job, problem)

    def _finish(self, job: Job, problem: str | None) -> None:
        place = self._folder / job.id
        job.state, job.error = ("done", None) if problem is None else ("failed", problem)
        if problem is None:
            job.files = sorted(path.name for path in (place / _MAP).iterdir() if path.is_file())
        with contextlib.suppress(OSError):
            (place / _SCENE).unlink(missing_ok=True)  # scenes are large, and nothing needs it any more
        self._write(job)
        _log.info("map_job", extra={"facts": {"job": job.id, "state": job.state, "model": job.model}})

    def _write(self, job: Job) -> None:
        write_text(self._folder / job.id / _RECORD, job.model_dump_json(indent=2))


async def _follow(process: asyncio.subprocess.Process, job: Job) -> str | None:
    """Take in what the process says until it ends: None if the map is there, else why not."""
    problem = None
    if process.stdout is not None:
        async for line in process.stdout:
            with contextlib.suppress(ValueError):
                said = json.loads(line)
                problem = said.get("error", problem)
                job.stage, job.done, job.total = said.get("stage", ""), said.get("done", 0), said.get("total", 0)
    status = await process.wait()
    return problem if status == 0 or problem else f"the process that made it ended with status {status}"


async def _end(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.wait()
