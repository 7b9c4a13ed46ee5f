"""The page Map: a scene in, a land map to look at and to take along out."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from swath.app import settings
from swath.app.elements import Bar, bars
from swath.app.sentences import plain, sentences
from swath.app.session import classifier, saved, workspace
from swath.pages.text import three_digits

if TYPE_CHECKING:
    from streamlit.runtime.uploaded_file_manager import UploadedFile

    from swath.app.map_job import MapJob
    from swath.inference import Classifier
    from swath.mapping import Map

_SAMPLE, _OWN = "The sample scene", "A scene of mine"
_TYPES = ["tif", "tiff", "jp2", "png", "jpg", "jpeg"]
_HEIGHT = 960  # of the map on the page, pixels: measured by its content it would never end
_EVERY = 0.5  # seconds between two looks at a map under way
_DETAILS = {"Automatic": None, "Coarse": 1, "Medium": 2, "Fine": 4, "Finest": 8}
_RENDERINGS = {
    "Find out": "auto",
    "As it is": "off",
    "Sentinel-2 reflectance, level 1C": "l1c",
    "Sentinel-2 reflectance, level 2A": "l2a",
    "Sentinel-2 true color picture (TCI)": "tci",
    "Another sensor: match the colors": "match",
}


def page() -> None:
    """Show the page."""
    st.title("What covers this land?")
    st.write(
        "Give a satellite scene, and every place in it is named: forest, river, houses and so on. You see the map over "
        "the scene, how much there is of each class, and take files for QGIS with you."
    )
    source = st.segmented_control(
        "Which scene?",
        [_SAMPLE, _OWN],
        default=_SAMPLE,
        required=True,
        key="source",
        help="The sample is a mosaic of real Sentinel-2 patches that are shipped with swath; its place is made up.",
    )
    upload = None
    if source == _OWN:
        upload = st.file_uploader(
            "A GeoTIFF, JPEG 2000 or picture",
            type=_TYPES,
            key="scene",
            help=f"Red, green and blue, or the bands the model was trained on, at about 10 m per pixel; up to "
            f"{settings.UPLOAD_MB} MB and {settings.SCENE_PIXELS // 1_000_000} million pixels.",
        )
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
    rendering = right.selectbox(
        "How was the scene drawn?",
        list(_RENDERINGS),
        key="rendering",
        help="A model sees colors as it was trained on. By default this follows from the file's name, tags and values.",
    )
    job = workspace().job
    running = job is not None and job.is_running
    missing = source == _OWN and upload is None
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
            _start(upload if source == _OWN else None, _DETAILS[detail], _RENDERINGS[rendering])
            st.rerun()  # with the button out of reach
        return
    if job is None:
        st.info("Add a scene above, then make its map." if missing else "Make the map, and it appears here.")
    elif running:
        _watch(job)
    elif job.problem is not None:
        st.error(plain(job.problem))
    elif job.was_stopped:
        st.info("The map was stopped, and nothing of it was kept.")
    elif job.made is not None and job.folder.exists():
        with sentences():
            _result(classifier(), job, job.made)


def _start(upload: UploadedFile | None, detail: int | None, rescale: str) -> None:
    """Begin the map of an upload, or of the sample scene, in place of the one before."""
    from swath.app.map_job import MapJob, check_scene
    from swath.app.samples import write_scene

    mine = workspace()
    with st.spinner("Loading the model ..."):
        model = classifier()
    if mine.job is not None:
        shutil.rmtree(mine.job.folder, ignore_errors=True)
        shutil.rmtree(mine.job.scene.parent, ignore_errors=True)
        mine.job = None
    folder = mine.new_folder()
    if upload is None:
        with st.spinner("Laying out the sample scene ..."):
            scene, name = write_scene(folder / "sample.tif"), "the sample scene"
    else:
        (scene,) = saved([upload], folder)
        name = scene.name
    check_scene(scene, name=name)
    stride = None if detail is None else max(1, model.size // detail)
    mine.job = MapJob(model, scene, mine.new_folder(), name=name, stride=stride, rescale=rescale)


@st.fragment(run_every=_EVERY)
def _watch(job: MapJob) -> None:
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
    st.iframe(made.files.page, height=_HEIGHT, alt=f"The map of {job.name} over the scene")
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
