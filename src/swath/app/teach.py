"""The page Teach: places named on the scene, and a model that learns from them in seconds."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import streamlit as st

from swath.app import settings
from swath.app.elements import Bar, bars, inline
from swath.app.map import watch
from swath.app.scene import choose, keep, overview_of, rendering
from swath.app.sentences import plain, sentences
from swath.app.session import classifier, workspace
from swath.pages.text import counted, p_value, sentence

if TYPE_CHECKING:
    from swath.app.canvas import Click
    from swath.app.map_job import MapJob
    from swath.app.session import VisitorScene
    from swath.app.teach_job import SceneTeaching, Taught
    from swath.inference import Classifier
    from swath.progress import Progress

_CANVAS = "teach canvas"
_STAGES = {"windows": "Cutting windows", "features": "Looking at them", "teaching": "Learning"}


def page() -> None:
    """Show the page."""
    st.title("Teach the model your land")
    st.write(
        "Click places on a scene and say what they are, in your own words if you like. The model learns them in "
        "seconds, and you see how its map changes. A dozen places, three or more of each class, are a good beginning."
    )
    mine = workspace()
    if mine.scene is None:
        _begin()
        return
    with sentences():
        with st.spinner("Loading the model ..."):
            model = classifier()
        if mine.teaching is None:
            mine.teaching = _teaching(model, mine.scene, "auto" if mine.job is None else mine.job.rescale)
        _lesson(model, mine.scene, mine.teaching)


def _begin() -> None:
    """Let the visitor choose a scene."""
    choice = choose()
    rescale = rendering()
    if st.button("Show the scene", key="open", type=_strong(), disabled=choice.missing):
        with sentences():
            with st.spinner("Loading the model ..."):
                model = classifier()
            scene = keep(choice)
            try:
                workspace().teaching = _teaching(model, scene, rescale)
            except BaseException:
                workspace().take(None)
                raise
            st.rerun()
    elif choice.missing:
        st.info("Add a scene above, then click places on it.")
    else:
        st.info("Show the scene, then click places on it. A scene that you have mapped is here already.")


def _teaching(model: Classifier, scene: VisitorScene, rescale: str) -> SceneTeaching:
    from swath.app.teach_job import SceneTeaching
    from swath.errors import DataError

    mine, chosen = workspace(), settings.current
    overview = overview_of(scene, model, rescale)
    if not overview.crs:
        raise DataError(
            f"{scene.name} has no coordinate reference system, so places in it cannot be kept",
            fix="give a scene with coordinates, such as a GeoTIFF",
        )
    return SceneTeaching(
        overview, mine.new_folder(), model=chosen.model, name=scene.name, engine=chosen.engine, threads=chosen.threads
    )


def _lesson(model: Classifier, scene: VisitorScene, teaching: SceneTeaching) -> None:
    """The scene with its places, and what can be done with them."""
    mine, taught = workspace(), teaching.taught
    jobs = [job for job in (mine.job, None if taught is None else taught.job) if job is not None]
    running = next((job for job in jobs if job.is_running), None)
    top, other = st.columns([3, 1], vertical_alignment="center")
    top.caption(plain(f"{scene.name}, {teaching.overview.width:,} x {teaching.overview.height:,} pixels"))
    if other.button(
        "Another scene", key="other", width="stretch", help="This one, its places and its maps are then deleted."
    ):
        mine.take(None)
        st.rerun()
    # Two maps side by side need all of the width; a scene alone leaves room for the places.
    wide = taught is not None and taught.job.made is not None
    left, right = (st.container(), st.container()) if wide else st.columns([3, 2], gap="medium")
    with right:
        new = _new_class(teaching)
        _places(teaching)
        _proposals(teaching)
        _teach(model, teaching, busy=running is not None)
    with left:
        _canvas(teaching, mine.job, taught, new)
    if running is not None:
        st.caption(f"The map {'of the model before' if running is mine.job else 'of the taught model'}:")
        watch(running)
    if taught is not None:
        _result(teaching, taught, mine.job)
    elif teaching.places:
        st.subheader("Take it with you")
        with st.container(horizontal=True):
            _take_places(teaching)


def _new_class(teaching: SceneTeaching) -> list[str]:
    """A field for classes that the model does not have; those that no place has yet."""
    st.session_state.setdefault("new classes", [])

    def add() -> None:
        name = teaching.named(st.session_state["new class"])
        st.session_state["new class"] = ""
        if name is None:
            return
        if name not in (*teaching.labels, *st.session_state["new classes"]):
            st.session_state["new classes"].append(name)
        st.session_state["choose"] = (name, st.session_state.get("choose", ("", 0))[1] + 1)

    st.text_input(
        "A class of your own",
        key="new class",
        on_change=add,
        placeholder="type it, then Enter",
        help="Any word: quarry, solar park, dump ... It is then among the classes to choose from.",
    )
    return [name for name in st.session_state["new classes"] if name not in teaching.labels]


def _canvas(teaching: SceneTeaching, before: MapJob | None, taught: Taught | None, new: list[str]) -> None:
    """The scene, with the map there is or the two of them, and the places."""
    from swath.app.canvas import Marker, Panel, canvas

    colors = teaching.colors_with(new)
    markers = [
        Marker(str(number), place.column, place.row, colors[place.label], place.label)
        for number, place in enumerate(teaching.places, start=1)
    ]
    markers += [
        Marker("?", one.column, one.row, name="proposed", current=one is teaching.proposals[0])
        for one in reversed(teaching.proposals)  # the one in question above the others
    ]

    def clicked(click: Click) -> None:
        teaching.add(click.column, click.row, str(click.label))

    first = None if before is None else before.made
    second = None if taught is None else taught.job.made
    panels = [Panel("the scene" if first is None else "map of the model before", first)]
    if second is not None:
        panels.append(Panel("map of the taught model", second))
    canvas(
        teaching.overview,
        panels,
        key=_CANVAS,
        label="The scene to click places on",
        clicked=clicked,
        classes=colors,
        choose=st.session_state.get("choose"),
        markers=markers,
        remembered=workspace().remembered,
    )


def _places(teaching: SceneTeaching) -> None:
    """How many places there are of each class, and buttons to take them back."""
    if teaching.places:
        total, colors = len(teaching.places), teaching.colors_with()
        st.subheader(f"{counted(total, 'place', 'places')} named", anchor=False)
        bars([Bar(name, colors[name], count / total, str(count)) for name, count in teaching.counts.items()])
    else:
        st.info("The places you name are counted here.")
    with st.container(horizontal=True):
        st.button(
            "Undo the last place",
            key="undo place",
            on_click=teaching.undo,
            disabled=not teaching.can_undo,
            help="Takes back the last thing you did to the places.",
        )
        st.button(
            "Remove all places",
            key="clear",
            on_click=teaching.clear,
            disabled=not (teaching.places or teaching.proposals),
            help="Undo brings them back.",
        )
        asked = st.button(
            "Propose places",
            key="propose",
            help="The model looks at the whole scene and proposes places whose class would teach it most.",
        )
    if asked:
        with sentences():
            notes = _with_bar(lambda progress: teaching.propose(progress=progress))
            st.session_state["proposed"] = [sentence(note) for note in notes]
            st.rerun()


def _proposals(teaching: SceneTeaching) -> None:
    """The first proposed place that has no class yet."""
    from swath.app.canvas import chosen

    if not teaching.proposals:
        return
    label = chosen(_CANVAS)
    one = teaching.proposals[0]
    for note in st.session_state.get("proposed", []):
        st.caption(note)
    left, right = st.columns([1, 3], gap="medium")
    if one.picture is not None:
        left.image(
            inline(one.picture), width="stretch", alt="The proposed place; the frame is what the model sees of it"
        )
    with right:
        guess = "none of its classes" if one.guess is None else one.guess
        st.write(
            f"**{counted(len(teaching.proposals), 'proposed place', 'proposed places')}** to name, marked with a "
            "question mark: click them on the scene, or name them here. The model takes this one, with the largest "
            f"mark, for {guess} ({100 * one.confidence:.0f} %)."
        )
        with st.container(horizontal=True):
            st.button(
                f"It is {label}" if label else "Choose a class first",
                key="name it",
                on_click=lambda: teaching.add(one.column, one.row, str(label)),
                disabled=label is None,
                help="Gives the place the class that is chosen at the scene.",
            )
            st.button(
                "Leave it out",
                key="leave out",
                on_click=teaching.leave_out,
                args=(one,),
                help="Of places that hold several classes nothing good is learned.",
            )


def _teach(model: Classifier, teaching: SceneTeaching, *, busy: bool) -> None:
    """The button that teaches."""
    from swath.app.map_job import MapJob

    mine = workspace()
    few = len(teaching.counts) < 2
    asked = st.button(
        "Teach" if teaching.taught is None else "Teach again",
        key="teach",
        type=_strong(),
        disabled=few or busy,
        help="Name places of two classes or more first."
        if few
        else "A map is being made; wait for it, or stop it."
        if busy
        else "Learns all places from the model before, and maps the scene again.",
    )
    if not asked:
        return
    with sentences():
        stride = None if mine.job is None else mine.job.stride
        _with_bar(lambda progress: teaching.teach(stride=stride, progress=progress))
        if mine.job is None and mine.scene is not None:
            mine.job = MapJob(
                model, mine.scene.path, mine.new_folder(), name=mine.scene.name, rescale=teaching.overview.rescale
            )
        st.rerun()


def _result(teaching: SceneTeaching, taught: Taught, before: MapJob | None) -> None:
    """What was gained, what to know of it, and what can be taken along."""
    from swath.app.teach_job import compare

    result = taught.result
    st.subheader("What it has learned", anchor=False)
    left, right = st.columns([2, 3], gap="medium")
    with left:
        st.metric(
            "Places predicted as you named them",
            f"{100 * result.after.value:.0f} %",
            f"{100 * result.difference.value:+.0f} points, from {100 * result.before.value:.0f} %",
            delta_color="normal" if result.helped is not None else "off",
            help="By cross-validation: each place is predicted by a model that has not learned it.",
        )
        (st.warning if result.helped is False else st.success if result.helped else st.info)(
            sentence(result.verdict()), icon=None
        )
        low, high = 100 * result.difference.low, 100 * result.difference.high
        st.caption(f"Gain {low:+.0f} to {high:+.0f} points (95 %); paired test {p_value(result.test.p_value)}.")
        st.button(
            "Undo the teaching",
            key="undo teaching",
            on_click=teaching.undo_teaching,
            help="Back to the model before; the places stay.",
        )
    with right:
        st.table(
            {
                "class": [plain(gain.name).rstrip(".") for gain in result.classes],
                "places": [gain.places for gain in result.classes],
                "before": ["new" if gain.new else f"{100 * gain.before.value:.0f} %" for gain in result.classes],
                "after": [f"{100 * gain.after.value:.0f} %" for gain in result.classes],
            }
        )
        for note in result.notes:
            st.caption(plain(note))
    for job in (before, taught.job):
        if job is not None and job.problem is not None:
            st.error(plain(job.problem))
        elif job is not None and job.was_stopped:
            st.info("A map was stopped: teach again to make it.")
    if before is not None and before.made is not None and taught.job.made is not None:
        first, second = before.made, taught.job.made
        change = workspace().remembered(("change", taught.job.folder), lambda: compare(first, second))
        words = f"**{100 * change.share:.1f} % of the map has changed its class.**"
        if change.before is not None:
            words += f" The most, {100 * change.most:.1f} %, from {change.before} to {change.after}."
        st.write(words)
    _downloads(teaching, taught)


def _downloads(teaching: SceneTeaching, taught: Taught) -> None:
    """Buttons for places, model and map, and the commands that write the same."""
    from swath.app.map_job import write_zip
    from swath.app.teach_job import MODEL, commands

    made, folder = taught.job.made, taught.job.folder
    st.subheader("Take it with you", anchor=False)
    with st.container(horizontal=True):
        _take_places(teaching)
        st.download_button(
            "Model file",
            taught.result.path.read_bytes,
            file_name=MODEL,
            mime="application/octet-stream",
            on_click="ignore",
            help="The taught model, for swath app --model and every command.",
        )
        if made is not None:
            st.download_button(
                "Map (GeoTIFF)",
                made.files.classes.read_bytes,
                file_name="map.tif",
                mime="image/tiff",
                on_click="ignore",
                help="Classes of the taught model as a Cloud Optimized GeoTIFF.",
            )
            st.download_button(
                "Map, everything (zip)",
                lambda: write_zip(made, folder / "map.zip").read_bytes(),
                file_name="taught-map.zip",
                mime="application/zip",
                on_click="ignore",
                help="All rasters with confidence, styles, areas and provenance, and the page to look at.",
            )
    with st.expander("The same on the command line"):
        st.code("\n".join(commands(teaching, made)), language="bash", wrap_lines=True)
        if teaching.places != taught.places:
            st.caption("The places have changed since this teaching: teach again before you compare.")


def _take_places(teaching: SceneTeaching) -> None:
    from swath.app.teach_job import PLACES

    folder = workspace().folder  # what is downloaded is made where there is no visitor
    st.download_button(
        "Places (GeoPackage)",
        lambda: teaching.write(folder / PLACES).read_bytes(),
        file_name=PLACES,
        mime="application/geopackage+sqlite3",
        on_click="ignore",
        help="The places with their classes, for swath teach and QGIS.",
    )


def _with_bar(run: Callable[[Progress], Any]) -> Any:
    """Do something that reports its progress, under a bar."""
    bar = st.progress(0.0, "Beginning ...")

    def progress(stage: str, done: int, total: int, *, note: str = "") -> None:
        del note
        bar.progress(min(done / max(total, 1), 1.0), f"{_STAGES.get(stage, stage.capitalize())} ...")

    try:
        return run(progress)
    finally:
        bar.empty()


def _strong() -> Literal["primary", "secondary"]:
    # On the bright color of a dark screen Streamlit's white letters could not be read.
    return "secondary" if st.context.theme.type == "dark" else "primary"
