"""One page on a model: a verdict in plain words, and every measurement it rests on.

:func:`report` measures a model in every way of the evaluation room and writes one HTML page. :func:`measure_report`
only measures, :func:`write_report_folder` only writes, with room for further sections. :func:`verdict` says in
sentences, each with its number and interval, what the model is good for, where it fails and what to try next.
"""

from __future__ import annotations

from swath.evaluation.run_report.color_match import ColorMatchResult
from swath.evaluation.run_report.measure import ReportMeasurements, RunFolder, measure_report, open_run
from swath.evaluation.run_report.page import PAGE, SCORE, Report, report, write_report_folder
from swath.evaluation.run_report.verdict import Findings, Verdict, key_points, verdict

__all__ = [
    "PAGE",
    "SCORE",
    "ColorMatchResult",
    "Findings",
    "Report",
    "ReportMeasurements",
    "RunFolder",
    "Verdict",
    "key_points",
    "measure_report",
    "open_run",
    "report",
    "verdict",
    "write_report_folder",
]
