"""The page Model: what a model is, how good it is on labeled patches, and whether another one is better."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import streamlit as st

from swath.app import samples, settings
from swath.app.elements import figure, inline
from swath.app.sentences import as_it_is, plain, sentences
from swath.app.session import saved, workspace
from swath.pages.text import counted, points, sentence, with_interval

if TYPE_CHECKING:
    from pathlib import Path

    from streamlit.runtime.uploaded_file_manager import UploadedFile

    from swath.app.measurement import Measurement, OpenedModel
    from swath.data import PatchIndex
    from swath.evaluation import Comparison
    from swath.progress import Progress

_PAGE, _OWN = "The model of this page", "A model file of mine"
_SHIPPED, _MINE = "The shipped test patches", "Patches of mine"
_TILE = 250  # pixels of a patch and its maps on the screen
_STAGES = {"decode": "Reading the patches", "index": "Reading the patches", "maps": "Looking for the evidence"}
T = TypeVar("T")


def page() -> None:
    """Show the page."""
    st.title("How good is the model?")
    st.write(
        "What the model is, what it learned from, and how often it is right on labeled patches, with intervals that "
        "say how sure these numbers are. You can look at a model file of your own, and compare two."
    )
    source = st.segmented_control(
        "Which model?",
        [_PAGE, _OWN],
        default=_PAGE,
        required=True,
        key="model source",
        help="A model file is the .onnx file that swath writes. It is checked before it is run, is seen by you alone, "
        "and is deleted when you close the page.",
    )
    upload = _model_uploader("A model file", key="model file") if source == _OWN else None
    if source == _OWN and upload is None:
        st.info("Add a model file above, and what it is appears here.")
        return
    with sentences():
        model = _opened("first model", upload)
        _card(model)
        _measure(model, upload)


def _model_uploader(label: str, *, key: str) -> UploadedFile | None:
    return st.file_uploader(
        label,
        type=["onnx"],
        key=key,
        max_upload_size=settings.MODEL_MB,
        help=f"An .onnx file written by swath train or swath teach, {settings.MODEL_MB} MB at most.",
    )


def _opened(place: str, upload: UploadedFile | None) -> OpenedModel:
    """The visitor's model, or that of the page; checked once."""
    from swath.app.measurement import open_model

    chosen, mine = settings.current, workspace()

    def make() -> OpenedModel:
        with st.spinner("Checking the model ..."):
            if upload is None:
                return open_model(chosen.model, engine=chosen.engine, threads=chosen.threads)
            with _only_here([upload]) as (file,):
                return open_model(file, threads=chosen.threads)

    return mine.latest(place, _name(upload), make)


def _name(upload: UploadedFile | None) -> str:
    return "" if upload is None else upload.file_id


@contextmanager
def _only_here(uploads: list[UploadedFile]) -> Iterator[list[Path]]:
    """Uploads as files for as long as the block takes."""
    folder = workspace().new_folder()
    try:
        yield saved(uploads, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _card(model: OpenedModel) -> None:
    """What the model says of itself."""
    from swath.app.measurement import learned, stated

    record = model.classifier.record
    st.subheader(as_it_is(record.name))
    st.write(f"Knows {counted(len(record.classes), 'class', 'classes')}: {as_it_is(', '.join(record.class_names))}")
    for line in learned(record):
        st.write(as_it_is(line))
    numbers = stated(record)
    if numbers:
        st.write("On the patches that it was chosen by, which flatters it a little:")
        with st.container(horizontal=True):
            for name, value in numbers:
                _number(name, value)
    st.caption(as_it_is(model.checked))
    with st.expander("Everything in its record"):
        st.table(
            {"what": [name for name, _ in model.card], "value": [as_it_is(value) for _, value in model.card]},
            hide_index=True,
            alt="The record of the model",
        )


def _number(name: str, value: str) -> None:
    """A number with its interval below it."""
    first, _, rest = value.partition(" (")
    with st.container(width=210):
        st.metric(name, first, f"95 %: {rest.rstrip(')')}" if rest else None, delta_color="off", delta_arrow="off")


def _measure(model: OpenedModel, upload: UploadedFile | None) -> None:
    """Let the visitor measure the model, and compare it with another one."""
    st.subheader("Measure it")
    source = st.segmented_control(
        "On which patches?",
        [_SHIPPED, _MINE],
        default=_SHIPPED,
        required=True,
        key="patch source",
        help="600 patches of EuroSAT's test list are shipped with swath. Do not choose a model by them: for that, give "
        "labeled patches of the place you care about.",
    )
    archive = None
    if source == _MINE:
        archive = st.file_uploader(
            "A zip of labeled patches",
            type=["zip"],
            key="patches",
            help="Folders named after classes, with pictures in them; or pictures with a table (CSV) of labels. At "
            f"most {settings.MOST_PATCHES:,} patches. What you get is measured on all of them.",
        )
        if archive is None:
            st.info("Add a zip of labeled patches, and the numbers appear here.")
            return
    key = (_name(upload), "" if archive is None else archive.file_id)
    if st.button("Measure", key="measure", help="It takes seconds to minutes."):
        st.session_state["measured"] = key
    if st.session_state.get("measured") != key:
        return
    result = workspace().remembered(("measurement", *key), lambda: _measured(model, archive))
    _result(result)
    _comparison(model, upload, archive)


def _measured(model: OpenedModel, archive: UploadedFile | None) -> Measurement:
    from swath.app.measurement import measure

    return _with_patches(
        archive, lambda patches, folder, progress: measure(model.classifier, patches, folder, progress=progress)
    )


def _with_patches(archive: UploadedFile | None, work: Callable[[PatchIndex, Path, Progress], T]) -> T:
    """Do something with the labeled patches, showing how far it is; nothing stays on disk."""
    from swath.app.measurement import open_patches, shipped_part

    bar = st.progress(0.0, "Reading the patches ...")

    def progress(stage: str, done: int, total: int, *, note: str = "") -> None:
        del note
        bar.progress(min(done / max(total, 1), 1.0), f"{_STAGES.get(stage, 'Classifying the patches')} ...")

    try:
        with _only_here([archive] if archive is not None else []) as files:
            patches = open_patches(files[0], progress=progress) if files else shipped_part(samples.patches())
            folder = workspace().new_folder()
            try:
                return work(patches, folder, progress)
            finally:
                shutil.rmtree(folder, ignore_errors=True)
    finally:
        bar.empty()


def _result(found: Measurement) -> None:
    """Numbers, charts and patches to look at."""
    from swath.evaluation.results import display_name

    whole = found.evaluation
    st.write(as_it_is(whole.seen.sentences))
    counts = whole.tested
    shown = counts or whole
    mark = "" if counts is not None else whole.seen.mark
    with st.container(horizontal=True):
        for name, value in shown.headline().items():
            _number(f"{display_name(name)}{mark}", with_interval(value))
    st.caption(f"On {counted(shown.n, 'patch', 'patches')}; intervals at 95 %.")
    for warning in shown.warnings:
        st.warning(plain(warning))
    titles = {
        "confusion.svg": "Which classes it confuses",
        "per_class.svg": "How good it is at each class",
        "reliability.svg": "Whether its confidence can be believed",
        "curves.svg": "Precision and recall",
    }
    for name, title in titles.items():
        if name in shown.charts:
            st.subheader(title)
            figure(shown.charts[name])
    for title, tiles in found.galleries.items():
        st.subheader(title)
        with st.container(horizontal=True):
            for tile in tiles:
                st.image(inline(tile.picture), caption=as_it_is(tile.caption), width=_TILE, alt=tile.alt)
    if found.note:
        st.caption(as_it_is(found.note))
    st.download_button(
        "All numbers (JSON)",
        whole.to_json,
        file_name="evaluation.json",
        mime="application/json",
        on_click="ignore",
        help="As swath evaluate writes them.",
    )


def _comparison(model: OpenedModel, upload: UploadedFile | None, archive: UploadedFile | None) -> None:
    """Compare with another model on the same patches."""
    st.subheader("Is another model better?")
    choices = [_PAGE, "Another model file"] if upload is not None else ["Another model file"]
    with_which = st.segmented_control(
        "Compare it with",
        choices,
        default=choices[0],
        required=True,
        key="compared with",
        help="Both answer the same patches, so that even a small difference can show.",
    )
    other = None
    if with_which != _PAGE:
        other = _model_uploader("The other model file", key="other model file")
        if other is None:
            st.info("Add the other model file, and the comparison appears here.")
            return
    with sentences():
        second = _opened("second model", other)
        key = ("comparison", _name(upload), _name(other), "" if archive is None else archive.file_id)
        _compared(workspace().remembered(key, lambda: _compare(model, second, archive)))


def _compare(first: OpenedModel, second: OpenedModel, archive: UploadedFile | None) -> Comparison:
    from swath.app.measurement import compare

    return _with_patches(
        archive,
        lambda patches, folder, progress: compare(
            first.classifier, second.classifier, patches, folder, progress=progress
        ),
    )


def _compared(found: Comparison) -> None:
    """Which is better, if that can be said."""
    from swath.evaluation.compare import recall_chart

    counts = found.unseen or found
    st.write(f"**{as_it_is(found.conclusion)}**")
    with st.container(horizontal=True):
        for name, value in ((counts.first, counts.accuracy_first), (counts.second, counts.accuracy_second)):
            _number(f"accuracy of {as_it_is(name)}", with_interval(value))
        _number("difference in accuracy", points(counts.accuracy))
        _number("difference in macro-F1", points(counts.macro_f1))
    for name, seen in zip((found.first, found.second), found.seen, strict=True):
        st.caption(as_it_is(f"{name}: {sentence(seen.sentence)}"))
    figure(recall_chart(counts.per_class, first=counts.first, second=counts.second))
