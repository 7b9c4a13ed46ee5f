"""The page Assess: points of a map, labeled one by one without seeing the map, and how good the map is by them."""

from __future__ import annotations

import base64
import secrets
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from swath.app import settings
from swath.app.elements import Bar, bars, watch
from swath.app.sentences import as_it_is, plain, sentences
from swath.app.session import saved, workspace
from swath.pages.text import counted, percent, with_interval

if TYPE_CHECKING:
    from streamlit.runtime.uploaded_file_manager import UploadedFile

    from swath.app.job import Job
    from swath.app.labeling import SampleLabels
    from swath.app.map_job import MapJob
    from swath.assessment import Assessment
    from swath.assessment.results import MapEstimates
    from swath.assessment.sample import Allocation
    from swath.progress import Progress

_HERE, _OWN = "The map made here", "A map of mine"
_JOB = "assess"
_RASTERS = ["tif", "tiff"]
_SCENES = ["tif", "tiff", "jp2", "png", "jpg", "jpeg"]
_GRAY = "8a98a1"  # of a class without a color
_SHARED: dict[str, Allocation] = {"By area": "proportional", "The same for every class": "equal"}
_FEW, _MOST, _USUAL = 10, 500, 50  # points
# Within the page: a picture that is fetched by its address may be gone when somebody labels fast.
_FIGURE = (
    "<figure style='flex:1;min-width:0;margin:0'><img style='width:100%;border-radius:.4rem' "
    "alt='The scene around the point, which is framed in the middle' src='data:image/jpeg;base64,{}'>"
    "<figcaption style='font-size:.875rem;opacity:.8'>{}</figcaption></figure>"
)
_RESULT = "assess shows the result"  # in the state of the session


def page() -> None:
    """Show the page."""
    st.title("How good is the map?")
    mine = workspace()
    job = mine.jobs.get(_JOB)
    if job is not None and job.made is not None:
        mine.labels = job.made
        mine.jobs.pop(_JOB)
    if job is not None and job.is_running:
        watch(job, what="Preparing the points")
    elif mine.labels is not None:
        with sentences():
            position = mine.labels.position
            if position is None or st.session_state.get(_RESULT):
                _result(mine.labels)
            else:
                _point(mine.labels, position)
            _downloads(mine.labels)
        st.button(
            "Draw other points",
            key="other points",
            icon=":material/refresh:",
            on_click=_forget,
            help="Of this map or another one. The answers given are lost, unless you have taken the sample with you.",
        )
    else:
        _begin(job)


def _begin(job: Job[SampleLabels] | None) -> None:
    """Ask for a map and its scene, and draw the points."""
    st.write(
        "Points are drawn at random from a map. You look at the scene there, say what you see, and learn how much of "
        "the map is right and how large each class really is, with intervals. What the map says at a point is not "
        "shown: who knows it tends to agree."
    )
    made = workspace().job
    there = made is not None and made.made is not None and made.folder.exists() and made.scene.exists()
    source = st.segmented_control(
        "Which map?",
        [_HERE, _OWN],
        default=_HERE if there else _OWN,
        required=True,
        key="assess source",
        help="The map that you have made on the page Map a scene, or a raster of classes that you have.",
    )
    files: list[UploadedFile | None] = [None, None, None]
    if source == _OWN:
        files = _uploads()
    left, right = st.columns(2, gap="medium")
    n = left.number_input(
        "Points",
        _FEW,
        _MOST,
        _USUAL,
        10,
        key="assess points",
        disabled=files[2] is not None,
        help="More points take longer to look at and make intervals narrower: four times as many, half as wide.",
    )
    shared = right.selectbox(
        "How are they shared among the classes?",
        list(_SHARED),
        key="assess shared",
        disabled=files[2] is not None,
        help="By area is best for the map as a whole; the same for every class also says something of small classes.",
    )
    missing = not there if source == _HERE else files[0] is None or files[1] is None
    asked = st.button(
        "Go on with the sample" if files[2] is not None else "Draw the points",
        type="secondary" if st.context.theme.type == "dark" else "primary",
        key="assess draw",
        disabled=missing,
        help="A map and its scene are needed." if missing else "The first point appears below.",
    )
    if asked:
        with sentences():
            _draw(made if source == _HERE else None, files, int(n), _SHARED[shared])
            st.rerun()
    elif job is not None and job.problem is not None:
        st.error(plain(job.problem))
    elif job is not None and job.was_stopped:
        st.info("It was stopped, and nothing of it was kept.")
    elif missing:
        st.info("Make a map on the page Map a scene first." if source == _HERE else "Add a map and its scene above.")


def _uploads() -> list[UploadedFile | None]:
    """Uploaders for a map, its scene and a sample."""
    limit = f"up to {settings.UPLOAD_MB} MB"
    left, right = st.columns(2, gap="medium")
    return [
        left.file_uploader(
            "The map: a GeoTIFF of classes",
            type=_RASTERS,
            key="assess map",
            help=f"From the page Map a scene, or any raster of one band of whole numbers with coordinates; {limit}.",
        ),
        right.file_uploader(
            "The scene to look at",
            type=_SCENES,
            key="assess scene",
            help=f"What was mapped, or a finer image of the same place; with coordinates; {limit}.",
        ),
        st.file_uploader(
            "A sample to go on with, if you have one",
            type=["gpkg"],
            key="assess sample",
            help="The GeoPackage that this page gave you, or that swath sample has written, with its labels so far.",
        ),
    ]


def _draw(made: MapJob | None, files: list[UploadedFile | None], n: int, allocation: Allocation) -> None:
    """Begin to draw points, of a map made here or of uploaded files."""
    from swath.app.job import Job
    from swath.app.labeling import draw_sample, resume_sample

    mine = workspace()
    folder, given = mine.new_folder(), mine.new_folder()
    sample: Path | None = None
    if made is not None and made.made is not None:
        map_, scene = made.made.files.classes, made.scene
    else:
        map_, scene, *more = saved([file for file in files if file is not None], given)
        sample = more[0] if more else None

    def work(progress: Progress) -> SampleLabels:
        try:
            if sample is not None:
                return resume_sample(map_, scene, sample, folder, progress=progress)
            seed = secrets.randbelow(2**31)  # other points each time: those of before are known
            return draw_sample(map_, scene, folder, n=n, allocation=allocation, seed=seed, progress=progress)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    st.session_state.pop(_RESULT, None)
    mine.jobs[_JOB] = Job(work, then=lambda: shutil.rmtree(given, ignore_errors=True))


def _point(labels: SampleLabels, position: int) -> None:
    """The scene around a point, and the classes to choose from."""
    passed = f", of {labels.passed - labels.hidden} of them nobody can tell" if labels.passed > labels.hidden else ""
    st.progress(
        labels.answered / len(labels),
        f"{labels.answered - labels.hidden} of {counted(len(labels) - labels.hidden, 'point', 'points')} "
        f"answered{passed}",
    )
    _views(*labels.pictures(position))
    st.markdown("**What is in the frame?** Press a button, or its key.")
    with st.container(horizontal=True, key="classes", gap="small"):
        for number, (name, key) in enumerate(labels.keys().items()):
            st.button(
                as_it_is(name),
                key=f"label {position} {number}",
                shortcut=key,
                on_click=labels.answer,
                args=(position, name),
            )
    with st.container(horizontal=True, key="steps", gap="small"):
        st.button(
            "Cannot tell",
            key=f"pass {position}",
            shortcut="0",
            icon=":material/help:",
            on_click=labels.answer,
            args=(position, None),
            help="Better than a guess: the point is left out.",
        )
        st.button(
            "Back",
            key=f"undo {position}",
            shortcut="Backspace",
            icon=":material/undo:",
            on_click=labels.undo,
            disabled=not labels.can_undo,
            help="Takes the last answer back.",
        )
        with st.popover("Another class", icon=":material/add:", help="For what the map has no class for."):
            other = st.text_input("Its name", key=f"other {position}", max_chars=60)
            st.button(
                "Take it",
                key=f"take {position}",
                on_click=labels.answer,
                args=(position, other.strip()),
                disabled=not other.strip(),
            )
        if labels.labeled:
            st.button(
                "Result so far",
                key=f"result {position}",
                icon=":material/fact_check:",
                on_click=_show_result,
                args=(True,),
                help="The points come in random order: those that are answered are a sample, too.",
            )


def _views(near: Path, far: Path) -> None:
    """Both pictures of a point side by side, on a phone, too: the buttons must be in view below them."""
    figures = (
        _FIGURE.format(base64.b64encode(path.read_bytes()).decode("ascii"), caption)
        for path, caption in ((near, "Near"), (far, "Its surroundings"))
    )
    st.html(f"<div style='display:flex;gap:.6rem;max-width:760px'>{''.join(figures)}</div>")


def _show_result(shown: bool) -> None:
    st.session_state[_RESULT] = shown


def _forget() -> None:
    """Put the sample away, for another one."""
    mine = workspace()
    if mine.labels is not None:
        shutil.rmtree(mine.labels.folder, ignore_errors=True)
    mine.labels = None
    mine.jobs.pop(_JOB, None)
    st.session_state.pop(_RESULT, None)


def _result(labels: SampleLabels) -> None:
    """Accuracy and areas with intervals, by the points that have a class."""
    left = len(labels) - labels.answered
    if left:
        st.button(
            "Go on with the points",
            key="more points",
            icon=":material/arrow_back:",
            on_click=_show_result,
            args=(False,),
        )
    elif labels.can_undo:
        st.button("Back to the last point", key="last point", icon=":material/undo:", on_click=_last, args=(labels,))
    if not labels.labeled:
        st.info("No point has a class, so nothing can be said of the map.")
        return
    found = labels.result()
    one = found.maps[0]
    value, interval = percent(one.accuracy.overall)
    st.metric(
        "Overall accuracy of the map",
        value,
        f"{interval}, with 95 % confidence",
        delta_color="off",
        delta_arrow="off",
        help="The share of the mapped ground whose class is right. The interval is that of the whole map.",
    )
    st.caption(_of_points(labels, found))
    for note in found.notes:
        st.info(plain(note))
    _classes(labels, one)


def _of_points(labels: SampleLabels, found: Assessment) -> str:
    """How many points the numbers come from."""
    parts = [f"By {counted(found.n, 'point', 'points')} of {len(labels):,}"]
    if labels.passed > labels.hidden:
        parts.append(f"{labels.passed - labels.hidden:,} could not be told")
    if labels.hidden:
        parts.append(f"{labels.hidden:,} lie outside the scene")
    if left := len(labels) - labels.answered:
        parts.append(f"{left:,} are still open")
    return f"{'; '.join(parts)}."


def _classes(labels: SampleLabels, one: MapEstimates) -> None:
    """Areas as bars, and the accuracies and the errors as tables."""
    from swath.assessment.results import class_table, occurring

    kept = occurring(one.accuracy)
    names = [name for k, name in enumerate(one.accuracy.per_class) if k in kept]
    if one.hectares is not None:
        st.subheader("How large each class really is")
        drawn = []
        for name in names:
            scores = one.accuracy.per_class[name]
            words = f"{with_interval(scores.area)}; the map shows {100 * scores.mapped:.1f} %"
            drawn.append(Bar(name, labels.colors.get(name, _GRAY), scores.area.value, words))
        bars(sorted(drawn, key=lambda bar: -bar.share))
        st.caption(
            "Estimated from the points: what the map wrongly calls a class is taken off, what it misses is added."
        )
    st.subheader("How often it is right")
    table = class_table(one, full=True)
    st.table({column: [row[k] for row in table.rows] for k, column in enumerate(table.columns)})
    st.caption(
        "User's accuracy: of the ground that the map calls so, how much is so. Producer's accuracy: of the ground that "
        "is so, how much the map calls so. In parentheses, intervals of 95 %."
    )
    with st.expander("Which classes are mistaken for which"):
        counts = one.accuracy.counts
        rows = {name: [counts[k][j] for k in kept] for name, j in zip(names, kept, strict=True)}
        st.table({"map (down), you (across)": names} | rows)


def _last(labels: SampleLabels) -> None:
    labels.undo()
    _show_result(False)


def _downloads(labels: SampleLabels) -> None:
    """Buttons for the sample with its labels, and for the result if it is shown."""
    from swath.app.labeling import RESULTS, SAMPLE
    from swath.assessment.page import MATRIX, NUMBERS, PAGE

    stem, results = labels.map.stem, labels.folder / RESULTS
    shown = labels.labeled and (labels.position is None or st.session_state.get(_RESULT))
    st.subheader("Take it with you")
    with st.container(horizontal=True):
        if shown:
            for label, name, mime, words in (
                ("Report (HTML)", PAGE, "text/html", "Everything on one page that opens in any browser."),
                ("Numbers (JSON)", NUMBERS, "application/json", "All numbers with intervals and standard errors."),
                ("Errors (CSV)", MATRIX, "text/csv", "Points of each class of the map and of each class that you saw."),
            ):
                st.download_button(
                    label,
                    (results / name).read_bytes,
                    file_name=f"{stem}-{'assessment.html' if name == PAGE else name}",
                    mime=mime,
                    on_click="ignore",
                    help=words,
                )
        st.download_button(
            "Sample with answers (GeoPackage)",
            lambda: labels.write().read_bytes(),
            file_name=f"{stem}-{SAMPLE}",
            mime="application/geopackage+sqlite3",
            on_click="ignore",
            help="To go on later: here, in QGIS, or on the command line. Nothing stays here when this page is closed.",
        )
    with st.expander("For somebody who types commands"):
        st.code(
            f"swath assess {labels.map.name} --reference {stem}-{SAMPLE} --out assessment/",
            language="sh",
            wrap_lines=True,
        )
        st.caption("The numbers are the same: this page calls the same functions.")
