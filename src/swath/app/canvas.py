"""A scene with its map over it, to look at and to click: an element of the page that Streamlit does not have.

It pans and zooms by pointer, wheel, touch and keyboard, and shows one panel or several that move together. A click
comes back as pixel coordinates of the scene. Clicks are kept in the browser until they have been answered, so that none
is lost while the page is being drawn. Pictures are at most :data:`~swath.app.overview.LONGEST` pixels long; of a
larger scene, the part in view is read with all of its pixels once it is that small.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

import streamlit as st
from streamlit.runtime import get_instance

from swath.app.overview import LONGEST, Box, Overview, Picture, map_part
from swath.mapping import Map
from swath.mapping.styles import confidence_color

_FILES = resources.files("swath.app")
_component = st.components.v2.component(
    "swath.canvas",
    html=_FILES.joinpath("canvas.html").read_text("utf-8"),
    css=_FILES.joinpath("canvas.css").read_text("utf-8"),
    js=_FILES.joinpath("canvas.js").read_text("utf-8"),
)


@dataclass(frozen=True)
class Panel:
    """A map over the scene, under a title.

    Attributes
    ----------
    title : str
        What it is.
    made : Map or None
        The map, on disk; None shows the scene alone.
    """

    title: str
    made: Map | None = None


@dataclass(frozen=True)
class Marker:
    """A place on the scene.

    Attributes
    ----------
    text : str
        Its number, shown in it.
    column, row : float
        Where it is.
    color : str or None
        Of its class, RRGGBB; None where it has no class yet.
    name : str
        What it is, in words.
    current : bool
        Whether it is the one in question, which is drawn larger.
    """

    text: str
    column: float
    row: float
    color: str | None = None
    name: str = ""
    current: bool = False


@dataclass(frozen=True)
class Click:
    """A place that was clicked, in pixels of the scene, and the class that was chosen then, if there are classes."""

    column: float
    row: float
    label: str | None = None


@dataclass(frozen=True)
class _Shown:
    scene: list[Picture]
    maps: list[list[Picture]] = field(default_factory=list)


def canvas(
    overview: Overview,
    panels: Sequence[Panel],
    *,
    key: str,
    label: str,
    clicked: Callable[[Click], None],
    clicking: str = "",
    classes: Mapping[str, str] | None = None,
    choose: tuple[str, int] | None = None,
    markers: Sequence[Marker] = (),
    remembered: Callable[[Any, Callable[[], Any]], Any] = lambda _, make: make(),
) -> None:
    """Show a scene that can be clicked.

    Parameters
    ----------
    overview : Overview
        The scene.
    panels : sequence of Panel
        One or more, side by side where there is room.
    key : str
        Of this element, as of any of Streamlit's.
    label : str
        What it shows, for those who do not see it.
    clicked : callable
        Called with each click, before the page is drawn again.
    clicking : str
        What a click does, in a few words, where there are no classes.
    classes : mapping of str to str, optional
        Color (RRGGBB) by name of the classes of which clicks are: one is chosen above the scene, see :func:`chosen`.
    choose : tuple of str and int, optional
        Choose this class now; a larger number than before makes it another time.
    markers : sequence of Marker
        Places on it.
    remembered : callable
        Keeps what is costly to make, by a key.
    """
    state = st.session_state.get(key) or {}
    part = _part(overview, state.get("view"))
    shown = _shown(overview, panels, part, remembered)
    answered = f"{key} answered"

    def answer() -> None:
        for number, column, row, name in sorted(st.session_state[key].get("clicks") or [], key=lambda one: one[0]):
            if number > st.session_state.get(answered, 0):
                st.session_state[answered] = number
                at = min(max(column, 0.0), overview.width - 0.01), min(max(row, 0.0), overview.height - 0.01)
                clicked(Click(*at, name))

    _component(
        key=key,
        data={
            "width": overview.width,
            "height": overview.height,
            "aspect": overview.aspect,
            "meters": overview.meters,
            "window": overview.spec.size,
            "longest": LONGEST,
            "label": label,
            "clicking": clicking,
            "classes": [{"name": name, "color": color} for name, color in (classes or {}).items()],
            "choose": choose,
            "answered": st.session_state.get(answered, 0),
            "ramp": [tuple(bytes.fromhex(confidence_color(percent))) for percent in range(101)],
            "scene": [_address(picture, f"{key} scene {at}") for at, picture in enumerate(shown.scene)],
            "panels": [
                {
                    "title": panel.title,
                    "names": {} if panel.made is None else {e.value: e.name for e in panel.made.legend},
                    "colors": {} if panel.made is None else {e.value: e.rgb for e in panel.made.legend},
                    "ood": panel.made is not None and panel.made.ood_share is not None,
                    "map": [_address(picture, f"{key} map {number} {at}") for at, picture in enumerate(pictures)],
                }
                for number, (panel, pictures) in enumerate(zip(panels, shown.maps, strict=True))
            ],
            "markers": [
                {
                    "text": one.text,
                    "at": [one.column, one.row],
                    "color": one.color,
                    "name": one.name,
                    "current": one.current,
                }
                for one in markers
            ],
        },
        on_clicks_change=answer,
        on_view_change=lambda: None,
        on_chosen_change=lambda: None,
    )


def chosen(key: str) -> str | None:
    """The class that is chosen above a scene."""
    name: str | None = (st.session_state.get(key) or {}).get("chosen")
    return name


def _part(overview: Overview, view: Any) -> Box | None:
    """The part in view, inside the scene; None if the whole is shown with all of its pixels anyway."""
    if not view or max(overview.width, overview.height) <= LONGEST:
        return None
    left, top = (min(max(int(at), 0), side - 1) for at, side in zip(view, (overview.width, overview.height)))  # noqa: B905 the first two of four
    width, height = min(int(view[2]), overview.width - left), min(int(view[3]), overview.height - top)
    return (left, top, width, height) if 0 < width <= LONGEST and 0 < height <= LONGEST else None


def _shown(overview: Overview, panels: Sequence[Panel], part: Box | None, remembered: Any) -> _Shown:
    """Pictures of the whole, then those of the part in view."""
    whole = (0, 0, overview.width, overview.height)
    boxes = [whole] if part is None else [whole, part]
    scene = [overview.whole]
    if part is not None:
        scene.append(remembered(("part", overview.path, part), lambda: overview.part(part)))
    maps = []
    for panel in panels:
        made = panel.made
        files = None if made is None else made.files
        maps.append(
            []
            if files is None
            else [remembered(("part", files.classes, box), lambda f=files, b=box: map_part(f, b)) for box in boxes]
        )
    return _Shown(scene, maps)


def _address(picture: Picture, place: str) -> dict[str, Any]:
    """Where the browser gets a picture from; Streamlit drops it when the page shows it no more."""
    url = get_instance().media_file_mgr.add(picture.data, picture.mime, place)
    return {"url": url, "box": picture.box}
