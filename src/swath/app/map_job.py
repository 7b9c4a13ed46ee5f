"""A map of one visitor, made on a thread of its own: its progress can be watched, and it can be stopped."""

from __future__ import annotations

import shutil
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

from swath.app.sentences import said
from swath.app.settings import SCENE_PIXELS
from swath.errors import DataError, SwathError
from swath.imagery.decode import probe
from swath.inference import Classifier
from swath.mapping import Map, map_scene
from swath.mapping.places import read_places, write_places
from swath.progress import Pace

_one_map = threading.Lock()  # at a time: two would each take twice as long
_POLL = 0.2  # seconds
_WINDOWS = 64  # between two looks at whether the visitor still wants the map
WAITING = "waiting for another map"


class _StoppedError(Exception):
    """The visitor wants no map any more."""


@dataclass(frozen=True)
class State:
    """How far a map is."""

    stage: str
    share: float
    text: str


class MapJob:
    """A map under way, or what became of it.

    Parameters
    ----------
    classifier : Classifier
        The model.
    scene : pathlib.Path
        The scene.
    folder : pathlib.Path
        Where its files are written, all or none.
    name : str
        What the visitor calls the scene.
    stride, rescale
        As for :func:`swath.map_scene`.

    Attributes
    ----------
    scene : pathlib.Path
        The scene.
    stride, rescale
        As asked for.
    made : Map or None
        The map, once it is there.
    problem : str or None
        Why there is none, in a sentence.
    """

    def __init__(
        self,
        classifier: Classifier,
        scene: Path,
        folder: Path,
        *,
        name: str,
        stride: int | None = None,
        rescale: str = "auto",
    ) -> None:
        self.name, self.scene, self.folder, self.stride, self.rescale = name, scene, folder, stride, rescale
        self.made: Map | None = None
        self.problem: str | None = None
        self._stopped = threading.Event()
        self._stage, self._note = WAITING, ""
        self._pace = Pace(0, 1, now=time.monotonic())
        self._thread = threading.Thread(target=self._run, args=(classifier, scene, stride, rescale), daemon=True)
        self._thread.start()

    @property
    def is_running(self) -> bool:
        """Whether it is still under way."""
        return self._thread.is_alive()

    @property
    def was_stopped(self) -> bool:
        """Whether the visitor stopped it."""
        return self._stopped.is_set()

    @property
    def state(self) -> State:
        """How far it is now."""
        pace = self._pace
        share = min(pace.done / max(pace.total, 1), 1.0)
        return State(self._stage, share, f"{pace.text(time.monotonic())} {self._note}".strip())

    def cancel(self) -> None:
        """Stop it at its next row of windows; nothing of it is kept."""
        self._stopped.set()

    def remove(self) -> None:
        """Stop it, and remove its folder once it has ended; nobody waits for that."""
        if not self.is_running:
            shutil.rmtree(self.folder, ignore_errors=True)
            return
        self.cancel()
        threading.Thread(target=self._remove_after, daemon=True).start()

    def _remove_after(self) -> None:
        self.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def wait(self, seconds: float | None = None) -> None:
        """Wait until it has ended."""
        self._thread.join(seconds)

    def _run(self, classifier: Classifier, scene: Path, stride: int | None, rescale: str) -> None:
        try:
            while not _one_map.acquire(timeout=_POLL):
                self._check()
            try:
                self._check()
                self.made = map_scene(
                    classifier,
                    scene,
                    out=self.folder / "map.tif",
                    stride=stride,
                    rescale=rescale,
                    name=self.name,
                    batch_size=_WINDOWS,
                    progress=self._progress,
                )
            finally:
                _one_map.release()
        except _StoppedError:
            pass
        except SwathError as error:
            self.problem = said(error)
        except MemoryError:
            self.problem = "the map needs more memory than there is; choose a coarser detail or a smaller scene"

    def _check(self) -> None:
        if self._stopped.is_set():
            raise _StoppedError

    def _progress(self, stage: str, done: int, total: int, *, note: str = "") -> None:
        self._check()
        now = time.monotonic()
        if self._stage != stage or done < self._pace.done:
            self._pace = Pace(done, total, now=now)
        self._pace.update(done, total, now=now)
        self._stage, self._note = stage, note


def check_scene(scene: Path, *, name: str) -> tuple[int, int]:
    """Width and height of a scene, if it may be mapped.

    Raises
    ------
    DataError
        If it is no picture, or has more pixels than the page maps.
    """
    header = probe(scene, name=name)
    if header.width * header.height > SCENE_PIXELS:
        raise DataError(
            f"{name} has {header.width:,} x {header.height:,} pixels, and this page maps "
            f"{SCENE_PIXELS // 1_000_000} million at most",
            fix="cut a part out of it, or map it on the command line: swath map",
        )
    return header.width, header.height


def write_geopackage(made: Map, out: Path) -> Path:
    """Write the map as polygons, one per connected region of a class.

    Raises
    ------
    DataError
        If the map has no coordinates, or too many regions.
    """
    if not out.exists():
        write_places(out, read_places(made.files.classes))
    return out


def write_zip(made: Map, out: Path) -> Path:
    """Put all files of a map into one archive, for QGIS to find styles and names next to the rasters."""
    files = [path for path in (*made.files.all(), *made.files.systems()) if path.exists()]
    with ZipFile(out, "w", ZIP_DEFLATED) as archive:
        for path in files:
            archive.write(path, path.name)
    return out
