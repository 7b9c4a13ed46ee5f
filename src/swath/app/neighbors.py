"""A part of the page Classify: the shipped patches that a picture looks most like to the model.

Their features are computed once per model, while visitors look at their first answer.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import streamlit as st

from swath.app import samples, settings
from swath.app.elements import inline
from swath.app.session import classifier
from swath.errors import SwathError
from swath.pages.text import counted, listed, sentence

if TYPE_CHECKING:
    from swath.evaluation.neighbors import LabeledFeatures, Neighbor, Role
    from swath.inference import Classifier

_SIDE = 128  # pixels of a patch on the screen
_EVERY = 1.0  # seconds between two looks at whether the features are there
_ROLES: dict[Role, str] = {
    "trained on": "learned from",
    "chosen by": "used to select the model",
    "not seen": "not seen in training",
    "not known": "",
}
_UNKNOWN = "Whether the model learned from any of them is not known: its file does not say."


class FeatureJob:
    """Features of the shipped patches, computed on a thread of its own.

    Attributes
    ----------
    found : LabeledFeatures or None
        Once they are there.
    problem : str or None
        Why there are none, in a sentence.
    share : float
        How far it is, 0-1.
    """

    def __init__(self, model: Classifier) -> None:
        self.found: LabeledFeatures | None = None
        self.problem: str | None = None
        self.share = 0.0
        self._thread = threading.Thread(target=self._run, args=(model,), daemon=True)
        self._thread.start()

    @property
    def is_running(self) -> bool:
        """Whether it is still under way."""
        return self._thread.is_alive()

    def wait(self, seconds: float | None = None) -> None:
        """Wait until it has ended."""
        self._thread.join(seconds)

    def _run(self, model: Classifier) -> None:
        from swath.evaluation.neighbors import labeled_features

        try:
            pixels, labels, names = samples.labeled(model, progress=self._progress)
            self.found = labeled_features(model, pixels, labels=labels, names=names, progress=self._progress)
        except SwathError as error:
            self.problem = sentence(error.problem)

    def _progress(self, stage: str, done: int, total: int, *, note: str = "") -> None:
        del note
        self.share = (done / max(total, 1) + (stage == "features")) / 2


@st.cache_resource(show_spinner=False)
def _job(model: str, engine: str, threads: int | None) -> FeatureJob:
    del model, engine, threads  # of what classifier() gives
    return FeatureJob(classifier())


def feature_job() -> FeatureJob:
    """The features of the shipped patches, begun once for all visitors."""
    chosen = settings.current
    return _job(chosen.model, chosen.engine, chosen.threads)


def show(model: Classifier, pixels: Any, label: str) -> None:
    """Show the five shipped patches that a picture looks most like, next to what the model calls it."""
    st.subheader("What does it look like to the model?")
    job = feature_job()
    if job.is_running:
        _wait(job)
    elif job.found is None:
        st.info(f"There is nothing to compare the picture with. {job.problem or ''}")
    else:
        near = job.found.nearest(model, pixels)
        _tiles(job.found, near, model.record.input.bands)
        st.caption(
            summary(near, label, model.record.class_names),
            help="Nearest by the cosine between the features of the model, its own summary of a picture. How similar "
            "is said by comparison: two shipped patches are called very similar if half of them have no nearer one.",
        )


@st.fragment(run_every=_EVERY)
def _wait(job: FeatureJob) -> None:
    """How far the features are, until they are there."""
    if not job.is_running:
        st.rerun()
    st.progress(job.share, "Looking at the shipped patches, once for this model ...")


def _tiles(found: LabeledFeatures, near: list[Neighbor], bands: tuple[str, ...]) -> None:
    from swath.pages.figures import tile

    with st.container(horizontal=True):
        for one in near:
            role = _ROLES[one.role]
            st.image(
                inline(tile(found.pixels[one.row], bands, side=_SIDE)),
                caption=f"**{one.label}**, {one.words}" + (f"; {role}" if role else ""),
                width=_SIDE,
                alt=f"Shipped patch {one.name}",
            )


def summary(near: list[Neighbor], label: str, classes: tuple[str, ...]) -> str:
    """What the nearest patches say of an answer, in words.

    Parameters
    ----------
    near : list of Neighbor
        Nearest first.
    label : str
        What the model calls the picture.
    classes : tuple of str
        Of the model; labels of the patches that are none of these are not compared with the answer.
    """
    labels = [one.label for one in near]
    said = [f"The {len(near)} nearest of the patches of EuroSAT that are shipped with swath."]
    if set(labels) <= set(classes) and label:
        same = labels.count(label)
        others = sorted(set(labels) - {label})
        if same == len(labels):
            said.append(f"All of them are labeled {label}, as the picture is by the model.")
        elif not same:
            said.append(f"None of them is labeled {label}, as the picture is by the model: be careful.")
        else:
            said.append(f"{counted(same, 'of them is', 'of them are')} labeled {label}; the others {listed(others)}.")
    if any(one.words == "hardly similar" for one in near[:1]):
        said.append("Even the nearest is hardly similar: the model has little to go by.")
    if any(one.role == "not known" for one in near):
        said.append(_UNKNOWN)
    return " ".join(said)
