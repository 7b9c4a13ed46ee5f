"""What the page is started with, and how much one visitor may give it at a time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

UPLOAD_MB = 500  # of one file
MOST_PICTURES = 300  # to be classified at a time
PICTURE_PIXELS = 16_000_000  # of one of them
ALL_PIXELS = 64_000_000  # of all of them, which are kept to be explained
ARCHIVE_PICTURES = 20_000  # labeled ones in a zip that is reported on
ARCHIVE_MB = 4_000  # of these, unpacked
MODEL_MB = 200  # of a model file
MOST_PATCHES = 5_000  # labeled ones to measure a model on
PATCH_PIXELS = 64_000_000  # of all of these
MOST_ASKED = 20  # pictures that a second opinion is asked on at a time
SCENE_PIXELS = 120_000_000  # of a scene to be mapped


@dataclass
class AppSettings:
    """Settings of the one page in this process.

    Attributes
    ----------
    model : str
        A model file or a shipped name.
    engine : str
        As for :func:`swath.load`.
    threads : int, optional
        Of the engine; by default one per available core.
    folder : pathlib.Path, optional
        Where visitors' folders are; by default the system's for temporary files.
    """

    model: str = "eurosat"
    engine: str = "auto"
    threads: int | None = None
    folder: Path | None = None


current = AppSettings()  # of this process; set before the server starts
