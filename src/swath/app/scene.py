"""The scene of a visitor: chosen, checked, and kept in their folder until they take another or leave."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from swath.app import settings
from swath.app.session import VisitorScene, saved, workspace

if TYPE_CHECKING:
    from streamlit.runtime.uploaded_file_manager import UploadedFile

    from swath.app.overview import Overview
    from swath.inference import Classifier

SAMPLE, OWN, KEPT = "The sample scene", "A scene of mine", "The scene from before"
RENDERINGS = {
    "Find out": "auto",
    "As it is": "off",
    "Sentinel-2 reflectance, level 1C": "l1c",
    "Sentinel-2 reflectance, level 2A": "l2a",
    "Sentinel-2 true color picture (TCI)": "tci",
    "Another sensor: match the colors": "match",
}
_TYPES = ["tif", "tiff", "jp2", "png", "jpg", "jpeg"]


@dataclass(frozen=True)
class Choice:
    """What a visitor has chosen; `upload` is None until there is one, and for the sample."""

    which: str
    upload: UploadedFile | None = None

    @property
    def missing(self) -> bool:
        """Whether a file is still to be given."""
        return self.which == OWN and self.upload is None


def choose() -> Choice:
    """Let the visitor choose: the sample, a file, or the scene they gave before."""
    kept = workspace().scene
    options = [SAMPLE, OWN, *([KEPT] if kept is not None and kept.source != SAMPLE else [])]
    which = st.segmented_control(
        "Which scene?",
        options,
        default=options[-1] if len(options) > 2 else SAMPLE,
        required=True,
        key="source",
        help="The sample is a mosaic of real Sentinel-2 patches that are shipped with swath; its place is made up.",
    )
    if which != OWN:
        if which == KEPT and kept is not None:
            st.caption(f"`{kept.name}`")
        return Choice(which)
    upload = st.file_uploader(
        "A GeoTIFF, JPEG 2000 or picture",
        type=_TYPES,
        key="scene",
        help=f"Red, green and blue, or the bands the model was trained on, at about 10 m per pixel; up to "
        f"{settings.UPLOAD_MB} MB and {settings.SCENE_PIXELS // 1_000_000} million pixels.",
    )
    return Choice(which, upload)


def rendering() -> str:
    """Let the visitor say how the scene was drawn."""
    chosen = st.selectbox(
        "How was the scene drawn?",
        list(RENDERINGS),
        key="rendering",
        help="A model sees colors as it was trained on. By default this follows from the file's name, tags and values.",
    )
    return RENDERINGS[chosen]


def keep(choice: Choice) -> VisitorScene:
    """The chosen scene as a file of the visitor, in place of the one before with all that was made of it.

    Raises
    ------
    DataError
        If it is no scene, or too large; the one before is then still there.
    """
    from swath.app.map_job import check_scene
    from swath.app.samples import write_scene

    mine = workspace()
    source = choice.upload.file_id if choice.upload is not None else SAMPLE
    if mine.scene is not None and (choice.which == KEPT or mine.scene.source == source):
        return mine.scene
    folder = mine.new_folder()
    try:
        if choice.upload is None:
            with st.spinner("Laying out the sample scene ..."):
                found = VisitorScene(write_scene(folder / "sample.tif"), "the sample scene", SAMPLE)
        else:
            (path,) = saved([choice.upload], folder)
            found = VisitorScene(path, path.name, source)
        check_scene(found.path, name=found.name)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    mine.take(found)
    return found


def overview_of(scene: VisitorScene, model: Classifier, rescale: str) -> Overview:
    """The scene as it is shown; read once.

    Raises
    ------
    SwathError
        If the model cannot take it.
    """
    from swath.app.overview import look_at

    def made() -> Overview:
        with st.spinner("Reading the scene ..."):
            return look_at(scene.path, model.record.input, rescale=rescale)

    return workspace().remembered(("overview", scene.path, rescale), made)
