"""The data report: whether to believe a data set, before a minute is spent on training.

:func:`data_report` writes one HTML page about an index that opens anywhere, and the same facts as JSON. It
uses what other rooms measure; its own are the shortcut score and the map of similarity.
"""

from __future__ import annotations

from swath.datareport.page import data_report, verdict
from swath.datareport.shortcuts import Shortcut, Shortcuts

__all__ = ["Shortcut", "Shortcuts", "data_report", "verdict"]
