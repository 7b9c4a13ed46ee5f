"""The page Classify: pictures in, labels with confidence, candidates, warnings and heat maps out."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

from swath.app import neighbors
from swath.app.elements import Bar, bars, inline
from swath.app.samples import names
from swath.app.sentences import plain, sentences
from swath.app.session import classifier, saved, workspace
from swath.app.settings import MOST_PICTURES, PICTURE_PIXELS

if TYPE_CHECKING:
    from swath.app.answers import Answers, Why
    from swath.inference import Classifier

_TYPES = ["jpg", "jpeg", "png", "tif", "tiff", "webp", "gif", "bmp", "jp2", "npy", "zip"]
_TOP = 5


def page() -> None:
    """Show the page."""
    st.title("What does this picture show?")
    st.write(
        "Give small satellite pictures, each of one kind of land. For each you get a label, how sure the model is, and "
        "a heat map of what it looked at. Your pictures stay on this machine and are deleted when you close the page."
    )
    uploads = st.file_uploader(
        "Pictures, or a zip of pictures",
        type=_TYPES,
        accept_multiple_files=True,
        key="pictures",
        help=f"JPEG, PNG, TIFF, GeoTIFF and others; up to {MOST_PICTURES} at a time, each of at most "
        f"{PICTURE_PIXELS // 1_000_000} million pixels.",
    )
    label = st.pills(
        "No picture at hand? Take a sample of",
        list(names()),
        key="sample",
        help="Real Sentinel-2 patches of 640 x 640 m that are shipped with swath (EuroSAT).",
        disabled=bool(uploads),
    )
    if not uploads and label is None:
        st.info("Add a picture above, or choose a sample, and the answer appears here.")
        return
    with sentences():
        with st.spinner("Loading the model ..."):
            from swath.app.answers import answer, sample_answers

            model, mine = classifier(), workspace()
        if uploads:
            key = tuple(one.file_id for one in uploads)

            def made() -> Answers:
                bar = st.progress(0.0, "Reading the pictures ...")

                def progress(stage: str, done: int, total: int, *, note: str = "") -> None:
                    del note
                    part = done / max(total, 1) / 2 + (stage != "read") / 2
                    bar.progress(min(part, 1.0), f"{'Reading' if stage == 'read' else 'Classifying'} the pictures ...")

                folder = mine.new_folder()
                try:
                    return answer(model, saved(uploads, folder), progress=progress)
                finally:
                    shutil.rmtree(folder, ignore_errors=True)  # what is shown is in memory
                    bar.empty()

            found = mine.remembered(key, made)
        else:
            key = ("sample", str(label))
            found = mine.remembered(key, lambda: sample_answers(model, str(label)))
        mine.answers = found  # a second opinion may be asked on them
        _show(model, found, key)


def _show(model: Classifier, answers: Answers, key: Any) -> None:
    """Show the answers: what could not be used, a picture to look at, and the table of all."""
    if answers.problems:
        some = answers.problems[:5]
        more = [f"and {len(answers.problems) - 5:,} more"] if len(answers.problems) > 5 else []
        st.error("Not used:\n\n" + "\n".join(f"- {plain(line)}" for line in (*some, *more)))
    if not len(answers):
        return
    chosen = 0
    if len(answers) > 1:
        names = [f"{one.path}: {one.label or '(no label)'}" for one in answers.predictions]
        chosen = st.selectbox(
            f"Look at one of the {len(answers):,} pictures",
            range(len(answers)),
            format_func=names.__getitem__,
            key=f"chosen {key}",
            help="The table at the end of the page lists all of them.",
        )
    _answer(model, answers, chosen)
    why = _heat_map(model, answers, chosen, key)
    neighbors.show(model, answers.pixels[chosen], answers.predictions[chosen].label)
    if len(answers) > 1:
        _table(answers)
    _downloads(model, answers, chosen, why)


def _answer(model: Classifier, answers: Answers, chosen: int) -> None:
    """The picture, its label and confidence, what else it may be, and what to be careful about."""
    from swath.app.answers import candidates, picture_png, size_note

    one, record = answers.predictions[chosen], model.record
    left, right = st.columns([2, 3], gap="medium")
    with left:
        st.image(
            inline(picture_png(answers.pixels[chosen], record.input.bands)),
            caption=f"{one.path}, {answers.pixels[chosen].shape[2]} x {answers.pixels[chosen].shape[1]} pixels",
            width="stretch",
            alt=f"The picture {one.path}",
        )
    with right:
        st.metric(
            "This looks like",
            one.label or "(no label)",
            f"{100 * one.confidence:.1f} % confident",
            delta_color="off",
            delta_arrow="off",
            help="Confidence is calibrated: of answers with 90 %, about 90 % are right on pictures like those the "
            "model was trained on.",
        )
        if one.is_ood:
            st.warning(
                "**Unlike the training data.** The model has seen nothing like this picture, and its answer is "
                "unreliable here, however sure it seems.",
                icon=":material/warning:",
            )
        colors = {info.name: info.color_hint for info in record.classes}
        top = answers.predictions.top(min(_TOP, len(colors)))[chosen]
        bars([Bar(name, colors[name], p, f"{100 * p:.1f} %") for name, p in top])
        words = candidates(record, answers.predictions.probabilities[chosen])
        if words is not None:
            st.caption(
                words,
                help="Conformal prediction: on pictures like those the model was trained on, the true class is among "
                "the candidates as often as the level says.",
            )
        note = size_note(model, answers.pixels[chosen])
        if note is not None:
            st.info(note)


def _heat_map(model: Classifier, answers: Answers, chosen: int, key: Any) -> Why:
    """The picture next to its heat map, with the class and the opacity to choose."""
    from swath.app.answers import explain, picture_png

    st.subheader("Why?")
    names = list(model.record.class_names)
    best = answers.predictions.top(1)[chosen][0][0]
    one = answers.predictions[chosen].labels
    of, opacity = st.columns(2, gap="medium")
    asked = of.selectbox(
        "Show the evidence for",
        names,
        index=names.index(one[0] if one else best),
        key=f"class {key} {chosen}",
        help="Red places speak for this class, blue ones against it. Choose another class to see what speaks for it.",
    )
    share = opacity.slider(
        "Strength of the colors",
        0,
        100,
        100,
        format="%d %%",
        key="opacity",
        help="How much the heat map covers the picture beneath it.",
    )
    with st.spinner("Looking for the evidence ..."):
        why = workspace().remembered((key, chosen, asked), lambda: explain(model, answers.pixels[chosen], asked))
    left, right = st.columns(2, gap="medium")
    bands, path = model.record.input.bands, answers.predictions.paths[chosen]
    left.image(
        inline(picture_png(why.pixels, bands)), caption="The picture", width="stretch", alt=f"The picture {path}"
    )
    right.image(
        inline(why.shown(bands, opacity=share / 100)),
        caption=f"Evidence for {asked}: red for, blue against; the line encloses the tenth with the most",
        width="stretch",
        alt=f"Heat map of the evidence for {asked} in {path}",
    )
    (st.caption if why.check.holds else st.warning)(why.note)
    return why


def _table(answers: Answers) -> None:
    """All answers, one per line."""
    st.subheader("All pictures")
    st.dataframe(
        {
            "picture": answers.predictions.paths,
            "label": answers.predictions.named,
            "confidence": [100 * float(value) for value in answers.predictions.confidence],
            "note": ["unlike the training data" if one.is_ood else "" for one in answers.predictions],
        },
        column_config={
            "confidence": st.column_config.ProgressColumn("confidence", format="%.1f %%", min_value=0, max_value=100)
        },
        hide_index=True,
        width="stretch",
    )


def _downloads(model: Classifier, answers: Answers, chosen: int, why: Why) -> None:
    """Buttons for the table, the picture and the page."""
    from swath.app.answers import explained_png, write_page, write_table

    predictions = answers.predictions
    folder, stem = workspace().folder, Path(predictions.paths[chosen]).stem
    st.subheader("Take it with you")
    with st.container(horizontal=True):
        st.download_button(
            "Table (CSV)",
            lambda: write_table(folder / "answers.csv", predictions).read_bytes(),
            file_name="answers.csv",
            mime="text/csv",
            on_click="ignore",
            help="Label, confidence and the probability of every class, one line per picture.",
        )
        st.download_button(
            "Heat map (PNG)",
            lambda: explained_png(why, model.record.input.bands, name=stem),
            file_name=f"{stem}-why.png",
            mime="image/png",
            on_click="ignore",
            help="The picture next to its heat map, with the scale and the note.",
        )
        st.download_button(
            "Page (HTML)",
            lambda: write_page(folder / "answers.html", model, answers, chosen=chosen, why=why).read_bytes(),
            file_name="answers.html",
            mime="text/html",
            on_click="ignore",
            help="One page with everything on it, which opens in any browser without a network.",
        )
