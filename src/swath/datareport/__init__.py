"""The data report: whether a score on a data set can be trusted, before any training.

:func:`measure_data` measures an index; :func:`data_report` measures and writes one HTML page that opens anywhere, and
the same facts as JSON. It uses measures of other rooms; its own are the shortcut score and the map of similarity.
"""

from __future__ import annotations

from swath.datareport.facts import DataFacts, measure_data
from swath.datareport.page import data_report, reasons, verdict, write_data_report
from swath.datareport.shortcuts import Shortcut, Shortcuts

__all__ = [
    "DataFacts",
    "Shortcut",
    "Shortcuts",
    "data_report",
    "measure_data",
    "reasons",
    "verdict",
    "write_data_report",
]
