"""What one visitor has given and got: a folder, answers and a map, all of which go when the visitor leaves."""

from __future__ import annotations

import contextlib
import re
import shutil
import tempfile
import threading
from collections.abc import Callable, Sequence
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
    from swath.app.map_job import MapJob
    from swath.app.opinion_job import OpinionJob
    from swath.inference import Classifier

_KEPT = 64  # results of one visitor at most; the oldest goes first
_warm = threading.Event()
T = TypeVar("T")


class Workspace:
    """A folder of one visitor, and what was computed for them.

    Attributes
    ----------
    folder : pathlib.Path
        Made when it is first needed; nobody else's files are in it.
    job : MapJob or None
        The last map asked for.
    answers : Answers or None
        The last pictures classified.
    opinion : OpinionJob or None
        The last second opinion asked for.
    """

    def __init__(self, owner: str = "") -> None:
        self.job: MapJob | None = None
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

    def close(self) -> None:
        """End the map under way and remove everything, also the uploads that Streamlit holds."""
        self._found.clear()
        self._latest.clear()
        self.answers = None
        if self.opinion is not None:
            self.opinion.cancel()
        if self._owner and exists():
            get_instance().uploaded_file_mgr.remove_session_files(self._owner)
        job, self.job = self.job, None
        if job is None or not job.is_running:
            shutil.rmtree(self.folder, ignore_errors=True)
            return
        job.cancel()
        # The map ends at its next row of windows; the server must not wait for it.
        threading.Thread(target=self._remove_after, args=(job,), daemon=True).start()

    def _remove_after(self, job: MapJob) -> None:
        job.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


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
