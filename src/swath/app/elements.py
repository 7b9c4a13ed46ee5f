"""Pieces of a page that Streamlit does not have: bars with a class's color, a legend with areas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import streamlit as st

_BAR = (
    "<div style='display:flex;flex-wrap:wrap;gap:0 .6rem;align-items:baseline;margin-top:.45rem'>"
    "<span style='flex:1 1 6rem;min-width:0;overflow-wrap:anywhere'>{name}</span>"
    "<span style='font-variant-numeric:tabular-nums'>{text}</span></div>"
    "<div aria-hidden='true' style='height:.7rem;border-radius:.2rem;background:rgba(128,128,128,.22)'>"
    "<div style='height:100%;width:{width:.2f}%;min-width:2px;border-radius:.2rem;background:#{color};"
    "box-shadow:inset 0 0 0 1px rgba(128,128,128,.75)'></div></div>"
)


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
