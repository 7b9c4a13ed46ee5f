"""What a service is started with: models, limits and places, checked before anything is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr

from swath.config import Settings
from swath.machine import free_cores

KEY = "SWATH_API_KEY"  # environment variable
TOKEN = "NGROK_AUTHTOKEN"  # noqa: S105  (the variable that ngrok's SDK reads)
SECRETS = frozenset((KEY, TOKEN))  # that no process of the service but itself has
SHORTEST_KEY = 16  # letters
LOW_WATER = 0.75  # share of the queue that is used for a while after it was full
_MIB = 2**20


class ServiceSettings(Settings):
    """Settings of one service.

    Attributes
    ----------
    models : tuple of str
        Model files and names of shipped models; each is served under its record's name.
    engine : str
        As for :func:`swath.load`.
    threads : int, optional
        Threads of the engine of each model; by default one per available core.
    queue : int
        Requests under way at most (high-water mark); three quarters of them (low-water mark) for a while after it was
        full. Further ones get status 429.
    timeout : float
        Seconds from a request's first byte to its answer.
    max_bytes, max_images, max_pixels : int
        Of the body of a request, of the images in it, and of the pixels (width x height) of each image.
    max_memory : int
        Bytes of bodies and decoded images held at a time.
    decoders : int
        Processes that decode images.
    decode_seconds : int
        Of processor time for decoding an image; past them its process ends.
    decode_timeout : float
        Seconds by the clock for it, on a machine however busy.
    drain : float
        Seconds that requests under way have to be answered when the service is told to stop.
    api_key : SecretStr, optional
        Required of every request but those for health and for the API's description; never printed.
    prediction_log : pathlib.Path, optional
        Folder for a table of predictions; none is kept by default.
    jobs : pathlib.Path, optional
        Folder for scenes and the maps made of them; no maps are made by default.
    max_scene_bytes, max_scene_pixels : int
        Of a scene to be mapped: of its file, and width x height.
    max_map_memory : int
        Bytes that the process which makes a map may take beyond its model.
    """

    models: Annotated[tuple[str, ...], Field(min_length=1)] = ("eurosat",)
    engine: str = "auto"
    threads: Annotated[int, Field(ge=1)] | None = None
    queue: Annotated[int, Field(ge=1, le=100_000)] = 64
    timeout: Annotated[float, Field(gt=0, le=3600)] = 10.0
    max_bytes: Annotated[int, Field(ge=1024)] = 32 * _MIB
    max_images: Annotated[int, Field(ge=1, le=1024)] = 64
    max_pixels: Annotated[int, Field(ge=1)] = 16_000_000
    max_memory: Annotated[int, Field(ge=_MIB)] = 512 * _MIB
    decoders: Annotated[int, Field(ge=1, le=64)] = Field(default_factory=lambda: min(2, free_cores()))
    decode_seconds: Annotated[int, Field(ge=1)] = 5
    decode_timeout: Annotated[float, Field(gt=0)] = 60.0
    drain: Annotated[float, Field(ge=0)] = 30.0
    api_key: Annotated[SecretStr, Field(min_length=SHORTEST_KEY)] | None = None
    prediction_log: Path | None = None
    jobs: Path | None = None
    max_scene_bytes: Annotated[int, Field(ge=1024)] = 2048 * _MIB
    max_scene_pixels: Annotated[int, Field(ge=1)] = 2_000_000_000
    max_map_memory: Annotated[int, Field(ge=256 * _MIB)] = 4096 * _MIB

    @property
    def low_water(self) -> int:
        """Requests under way at most for a while after the queue was full."""
        return max(1, int(self.queue * LOW_WATER))
