"""Pieces of a page that Streamlit does not have: colored bars, charts of reports, work that can be stopped."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import streamlit as st
from PIL import Image

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from swath.app.job import Job
    from swath.pages.charts import Chart

_EVERY = 1.0  # seconds between two looks: a busy machine must get the first one done before the next

_BAR = (
    "<div style='display:flex;flex-wrap:wrap;gap:0 .6rem;align-items:baseline;margin-top:.45rem'>"
    "<span style='flex:1 1 6rem;min-width:0;overflow-wrap:anywhere'>{name}</span>"
    "<span style='font-variant-numeric:tabular-nums'>{text}</span></div>"
    "<div aria-hidden='true' style='height:.7rem;border-radius:.2rem;background:rgba(128,128,128,.22)'>"
    "<div style='height:100%;width:{width:.2f}%;min-width:2px;border-radius:.2rem;background:#{color};"
    "box-shadow:inset 0 0 0 1px rgba(128,128,128,.75)'></div></div>"
)


def inline(picture: bytes | npt.NDArray[np.uint8]) -> str:
    """A picture, PNG or ``[H, W, 3]``, as an address that holds it.

    Of a picture that Streamlit serves, the next view may take the place before the browser has asked for it.
    """
    if not isinstance(picture, bytes):
        stream = io.BytesIO()
        Image.fromarray(picture).save(stream, "PNG")
        picture = stream.getvalue()
    return f"data:image/png;base64,{base64.b64encode(picture).decode('ascii')}"


@dataclass(frozen=True)
class Bar:
    """A line of :func:`bars`: `share` (0-1) is its length, `text` stands at its end."""

    name: str
    color: str
    share: float
    text: str


def bars(rows: Sequence[Bar]) -> None:
    """Draw shares as bars, each under its name and its numbers; no reader depends on a color."""
    drawn = (
        _BAR.format(
            name=escape(row.name), text=escape(row.text), width=100 * min(max(row.share, 0), 1), color=escape(row.color)
        )
        for row in rows
    )
    lines = (f"<li style='list-style:none;margin:0'>{bar}</li>" for bar in drawn)
    st.html(f"<ul style='margin:0;padding:0'>{''.join(lines)}</ul>")


_FIGURE = (
    "<style>.drawn {{ margin: 0; }} .drawn img {{ max-width: 100%; height: auto; border-radius: .4rem; "
    "padding: .6rem; background: {paper}; border: 1px solid rgba(128,128,128,.3); }} "
    ".drawn .narrow {{ display: none; }} .drawn figcaption {{ font-size: .875rem; opacity: .8; }} "
    "@media (max-width: 700px) {{ .drawn .wide {{ display: none; }} .drawn .narrow {{ display: block; }} }}</style>"
    "<figure class='drawn'><img class='wide' alt='{alt}' src='{wide}'><img class='narrow' alt='{alt}' src='{narrow}'>"
    "<figcaption>{caption}</figcaption></figure>"
)


def figure(chart: Chart) -> None:
    """Draw a chart of a report, for the width and in the colors of the screen."""
    dark = st.context.theme.type == "dark"
    wide, narrow = (
        f"data:image/svg+xml;base64,{base64.b64encode(chart.to_svg(narrow=small, dark=dark)).decode('ascii')}"
        for small in (False, True)
    )
    alt = escape(chart.alt, quote=True)
    paper = "#1a2227" if dark else "#ffffff"  # as in charts.css
    st.html(_FIGURE.format(paper=paper, alt=alt, wide=wide, narrow=narrow, caption=escape(chart.caption)))


@st.fragment(run_every=_EVERY)
def watch(job: Job[Any], *, what: str) -> None:
    """How far a job is, with a button to stop it, until it has ended; `what` is its stages in plain words."""
    if not job.is_running:
        st.rerun()
    state = job.state
    st.progress(state.share, f"{what}: {state.stage} ... {state.text}")
    if st.button("Stop", key=f"stop {what}", help="Nothing of it is kept.", disabled=job.was_stopped):
        job.cancel()
        st.caption("Stopping ...")
