"""The page Map: a scene in, a land map to look at and to take along out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from swath.app.elements import Bar, bars, inline
from swath.app.scene import choose, keep, overview_of, rendering
from swath.app.sentences import plain, sentences
from swath.app.session import classifier, workspace
from swath.pages.text import three_digits

if TYPE_CHECKING:
    from swath.app.canvas import Click
    from swath.app.map_job import MapJob
    from swath.app.overview import Overview
    from swath.app.scene import Choice
    from swath.inference import Classifier
    from swath.mapping import Map

_EVERY = 0.5  # seconds between two looks at a map under way
_DETAILS = {"Automatic": None, "Coarse": 1, "Medium": 2, "Fine": 4, "Finest": 8}


def page() -> None:
    """Show the page."""
    st.title("What covers this land?")
    st.write(
        "Give a satellite scene, and every place in it is named: forest, river, houses and so on. You see the map over "
        "the scene, how much there is of each class, and take files for QGIS with you."
    )
    choice = choose()
    left, right = st.columns(2, gap="medium")
    detail = left.segmented_control(
        "Detail",
        list(_DETAILS),
        default="Automatic",
        required=True,
        wrap=True,
        key="detail",
        help="Finer borders take longer: each step to the right up to four times.",
    )
    with right:
        rescale = rendering()
    job = workspace().job
    running = job is not None and job.is_running
    missing = choice.missing
    asked = st.button(
        "Make the map",
        # On the bright color of a dark screen Streamlit's white letters could not be read.
        type="secondary" if st.context.theme.type == "dark" else "primary",
        key="make",
        disabled=running or missing,
        help="Add a scene first." if missing else "It appears below.",
    )
    if asked and not running:
        with sentences():
            _start(choice, _DETAILS[detail], rescale)
            st.rerun()  # with the button out of reach
        return
    if job is None:
        st.info("Add a scene above, then make its map." if missing else "Make the map, and it appears here.")
    elif running:
        watch(job)
    elif job.problem is not None:
        st.error(plain(job.problem))
    elif job.was_stopped:
        st.info("The map was stopped, and nothing of it was kept.")
    elif job.made is not None and job.folder.exists():
        with sentences():
            _result(classifier(), job, job.made)


def _start(choice: Choice, detail: int | None, rescale: str) -> None:
    """Begin the map of the chosen scene, in place of the one before."""
    from swath.app.map_job import MapJob

    mine = workspace()
    with st.spinner("Loading the model ..."):
        model = classifier()
    scene = keep(choice)
    if mine.job is not None:
        mine.job.remove()
    stride = None if detail is None else max(1, model.size // detail)
    mine.job = MapJob(model, scene.path, mine.new_folder(), name=scene.name, stride=stride, rescale=rescale)


@st.fragment(run_every=_EVERY)
def watch(job: MapJob) -> None:
    """How far the map is, until it is there."""
    if not job.is_running:
        st.rerun()
    state = job.state
    st.progress(state.share, f"{state.stage[:1].upper()}{state.stage[1:]} ... {state.text}")
    if st.button("Stop the map", key="stop", help="Nothing of the map is kept.", disabled=job.was_stopped):
        job.cancel()
        st.caption("Stopping at the next row ...")


def _result(model: Classifier, job: MapJob, made: Map) -> None:
    """The map with its warnings and legend, what it covers, and its files."""
    if made.rescale.rescaling is not None and made.rescale.warning is None:
        st.caption(f"The scene was {made.rescale.sentence}.")
    _look(model, job, made)
    st.subheader("How much there is of each class")
    entries = sorted(made.legend, key=lambda entry: -entry.pixels)
    bars(
        [
            Bar(
                entry.name,
                entry.color,
                entry.share,
                f"{100 * entry.share:.1f} %"
                + ("" if entry.hectares is None else f", {three_digits(entry.hectares)} hectares"),
            )
            for entry in entries
            if entry.pixels
        ]
    )
    st.caption(
        f"{made.width:,} x {made.height:,} pixels, {made.classified:,} windows, one every {made.stride} pixels, in "
        f"{made.seconds:.1f} s with the model {model.record.name}. Areas are counted in the map; how right it is, only "
        "reference places can tell."
    )
    _downloads(job, made)


def _look(model: Classifier, job: MapJob, made: Map) -> None:
    """The map over the scene, and what is where it is clicked."""
    from swath.app.canvas import Marker, Panel, canvas

    mine = workspace()
    assert mine.scene is not None  # noqa: S101  (a map has one)
    overview = overview_of(mine.scene, model, job.rescale)
    asked = f"asked {job.folder.name}"

    def clicked(click: Click) -> None:
        st.session_state[asked] = click

    click: Click | None = st.session_state.get(asked)
    canvas(
        overview,
        [Panel("the map over the scene", made)],
        key="map canvas",
        label=f"The map of {job.name} over the scene",
        clicking="Click the map to see why it says what it says.",
        clicked=clicked,
        markers=[] if click is None else [Marker("?", click.column, click.row)],
        remembered=mine.remembered,
    )
    if click is None:
        st.info("Click the map, and you see what the model looked at there.")
        return
    _at(model, job, made, overview, click)


def _at(model: Classifier, job: MapJob, made: Map, overview: Overview, click: Click) -> None:
    """What the map says of one place, and why."""
    from swath.app.answers import explain, picture_png
    from swath.app.overview import find

    mine, bands = workspace(), model.record.input.bands
    st.subheader("Why here?")
    found = find(made, click.column, click.row)
    where = overview.coordinates(click.column, click.row)
    if found.name is None:
        st.write(f"{where}: no data.")
        return
    pixels = overview.window(click.column, click.row, rescale=made.rescale.rendering.taken)
    names = list(model.record.class_names)
    first = model.answer(pixels[None]).top(1)[0][0][0]
    said, shown = st.columns([2, 3], gap="medium")
    with said:
        st.metric(
            "The map says",
            found.name,
            f"{found.confidence} % confident",
            delta_color="off",
            delta_arrow="off",
            help="Confidence of the map is the mean of all windows over the place.",
        )
        st.caption(where)
        if found.ood:
            st.warning("The ground is unlike the training data: the answer is unreliable here.")
        asked = st.selectbox(
            "Show the evidence for",
            names,
            index=names.index(found.name if found.name in names else first),
            key=f"class {job.folder.name} {click.column:.3f} {click.row:.3f}",
            help="Red places speak for this class, blue ones against it.",
        )
    key = (job.folder, click, asked)
    with shown, st.spinner("Looking for the evidence ..."):
        why = mine.remembered(key, lambda: explain(model, pixels, asked))
        left, right = st.columns(2, gap="small")
        left.image(
            inline(picture_png(pixels, bands)), caption="The window", width="stretch", alt="The window around the place"
        )
        right.image(
            inline(why.shown(bands, opacity=1.0)),
            caption=f"Evidence for {asked}: red for, blue against",
            width="stretch",
            alt=f"Heat map of the evidence for {asked} around the place",
        )
        (st.caption if why.check.holds else st.warning)(why.note)
    if first != found.name:
        st.caption(f"This window alone would be {first}; the map is the mean of all windows over the place.")


def _downloads(job: MapJob, made: Map) -> None:
    """Buttons for the files."""
    from swath.app.map_job import write_geopackage, write_zip

    files, stem = made.files, Path(job.name).stem.replace(" ", "-")
    st.subheader("Take it with you")
    with st.container(horizontal=True):
        for label, path, mime, words in (
            ("Page (HTML)", files.page, "text/html", "The map over the scene, to open in any browser or to send."),
            ("Map (GeoTIFF)", files.classes, "image/tiff", "Classes as a Cloud Optimized GeoTIFF, for any GIS."),
            ("Style (QGIS)", files.classes.with_suffix(".qml"), "text/xml", "Colors and names for the GeoTIFF."),
            ("Picture (PNG)", files.picture, "image/png", "The map with its legend, for a report."),
        ):
            st.download_button(
                label,
                path.read_bytes,
                file_name=f"{stem}-{path.name}" if not path.name.startswith("map.") else f"{stem}{path.suffix}",
                mime=mime,
                on_click="ignore",
                help=words,
            )
        if made.crs:
            st.download_button(
                "Polygons (GeoPackage)",
                lambda: write_geopackage(made, job.folder / "polygons.gpkg").read_bytes(),
                file_name=f"{stem}.gpkg",
                mime="application/geopackage+sqlite3",
                on_click="ignore",
                help="Each connected region of a class as a polygon.",
            )
        st.download_button(
            "Everything (zip)",
            lambda: write_zip(made, job.folder / "map.zip").read_bytes(),
            file_name=f"{stem}.zip",
            mime="application/zip",
            on_click="ignore",
            help="All rasters with confidence, styles, areas and provenance: unpack it and open map.tif in QGIS.",
        )
