"""What one visitor has given and got: a folder, answers and a map, all of which go when the visitor leaves."""

from __future__ import annotations

import contextlib
import re
import shutil
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import streamlit as st
from streamlit.runtime import exists, get_instance
from streamlit.runtime.scriptrunner import get_script_run_ctx

from swath.app import settings
from swath.errors import SwathError

if TYPE_CHECKING:
    from streamlit.runtime.uploaded_file_manager import UploadedFile

    from swath.app.answers import Answers
    from swath.app.job import Job
    from swath.app.labeling import SampleLabels
    from swath.app.map_job import MapJob
    from swath.app.opinion_job import OpinionJob
    from swath.app.teach_job import SceneTeaching
    from swath.inference import Classifier

_KEPT = 64  # results of one visitor at most; the oldest goes first
_warm = threading.Event()
T = TypeVar("T")


@dataclass(frozen=True)
class VisitorScene:
    """A scene in a visitor's folder.

    Attributes
    ----------
    path : Path
        Where it lies.
    name : str
        What the visitor calls it.
    source : str
        Which upload it is, or that it is the sample.
    """

    path: Path
    name: str
    source: str

    def remove(self) -> None:
        """Delete it, with the folder that holds nothing else."""
        shutil.rmtree(self.path.parent, ignore_errors=True)


class Workspace:
    """A folder of one visitor, and what was computed for them.

    Attributes
    ----------
    folder : pathlib.Path
        Made when it is first needed; nobody else's files are in it.
    scene : VisitorScene or None
        The scene they have given, kept until they take another one or leave.
    job : MapJob or None
        Its map, the last one asked for.
    teaching : SceneTeaching or None
        What they teach from it.
    jobs : dict of str to Job
        Other work under way or done, by the page that asked for it.
    labels : SampleLabels or None
        The sample of a map that is being labeled.
    answers : Answers or None
        The last pictures classified.
    opinion : OpinionJob or None
        The last second opinion asked for.
    """

    def __init__(self, owner: str = "") -> None:
        self.scene: VisitorScene | None = None
        self.job: MapJob | None = None
        self.teaching: SceneTeaching | None = None
        self.jobs: dict[str, Job[Any]] = {}
        self.labels: SampleLabels | None = None
        self.answers: Answers | None = None
        self.opinion: OpinionJob | None = None
        self.folder = Path(tempfile.mkdtemp(prefix="visitor-", dir=settings.current.folder))
        self._owner = owner
        self._found: dict[Any, Any] = {}
        self._latest: dict[str, tuple[Any, Any]] = {}

    def remembered(self, key: Any, make: Callable[[], T]) -> T:
        """What `make` gives, computed once per key."""
        if key not in self._found:
            made = make()
            while len(self._found) >= _KEPT:
                self._found.pop(next(iter(self._found)), None)
            self._found[key] = made
        found: T = self._found[key]
        return found

    def latest(self, place: str, key: Any, make: Callable[[], T]) -> T:
        """What `make` gives, computed again when the key of a place changes: for what is too large to keep several."""
        if self._latest.get(place, (None,))[0] != key:
            self._latest.pop(place, None)
            self._latest[place] = (key, make())
        found: T = self._latest[place][1]
        return found

    def new_folder(self) -> Path:
        """An empty folder inside this one."""
        return Path(tempfile.mkdtemp(dir=self.folder))

    def take(self, scene: VisitorScene | None) -> None:
        """Keep a scene, or none, in place of the one before, which goes with all that was made of it."""
        jobs = self._jobs()
        before, self.scene, self.job, self.teaching = self.scene, scene, None, None
        self._found.clear()
        for job in jobs:
            job.remove()
        if before is not None:
            _after(jobs, before.remove)

    def close(self) -> None:
        """End what is under way and remove everything, also the uploads that Streamlit holds."""
        self._found.clear()
        self._latest.clear()
        self.answers = None
        if self.opinion is not None:
            self.opinion.cancel()
        if self._owner and exists():
            get_instance().uploaded_file_mgr.remove_session_files(self._owner)
        jobs: list[Job[Any]] = [*self._jobs(), *self.jobs.values()]
        self.job, self.teaching, self.scene, self.labels = None, None, None, None
        self.jobs.clear()
        for job in jobs:
            job.cancel()
        _after(jobs, lambda: shutil.rmtree(self.folder, ignore_errors=True))

    def _jobs(self) -> list[MapJob]:
        """The maps under way, or there."""
        taught = None if self.teaching is None else self.teaching.taught
        return [job for job in (self.job, None if taught is None else taught.job) if job is not None]


def _after(jobs: Sequence[Job[Any]], act: Callable[[], object]) -> None:
    """Do something once all work has ended, which it does at its next report of progress; nobody waits for it."""
    running = [job for job in jobs if job.is_running]
    if not running:
        act()
        return

    def wait() -> None:
        for job in running:
            job.wait()
        act()

    threading.Thread(target=wait, daemon=True).start()


@st.cache_resource(scope="session", on_release=Workspace.close, show_spinner=False)
def workspace() -> Workspace:
    """The workspace of this visitor; Streamlit closes it when the page is closed."""
    context = get_script_run_ctx()
    owner = context.session_id if context else ""
    mine = Workspace(owner)
    if exists() and not get_instance().is_active_session(owner):  # the visitor left while the page was being drawn
        mine.close()
        st.stop()
    return mine


@st.cache_resource(show_spinner=False)
def _classifier(model: str, engine: str, threads: int | None) -> Classifier:
    from swath.inference import load

    return load(model, engine=engine, threads=threads)


def classifier() -> Classifier:
    """The model, loaded once for all visitors.

    Raises
    ------
    SwathError
        If it cannot be loaded.
    """
    chosen = settings.current
    return _classifier(chosen.model, chosen.engine, chosen.threads)


def warm_up() -> None:
    """Load the model while the first visitor reads the page."""
    if not _warm.is_set():
        _warm.set()
        threading.Thread(target=_load_quietly, daemon=True).start()


def _load_quietly() -> None:
    with contextlib.suppress(SwathError):  # the visitor who needs the model is told what is wrong with it
        classifier()


def saved(uploads: Sequence[UploadedFile], folder: Path) -> list[Path]:
    """Write uploads into a folder, by names that are safe and differ."""
    paths: list[Path] = []
    for number, upload in enumerate(uploads):
        name = re.sub(r"[^\w.\- ()]+", "_", Path(upload.name.replace("\\", "/")).name).lstrip(".") or "upload"
        path = folder / name[-120:]
        if path.exists():
            path = folder / f"{path.stem}-{number}{path.suffix}"
        path.write_bytes(upload.getbuffer())
        paths.append(path)
    return paths
