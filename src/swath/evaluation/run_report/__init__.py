"""One page on a model: a verdict in plain words, and every measurement it rests on.

:func:`report` puts a model through what the other rooms measure and gathers it in one HTML page;
:func:`verdict` says in sentences, each with its number and interval, what the model is good for, where it fails
and what to try next.
"""

from __future__ import annotations

from swath.evaluation.run_report.color_match import ColorMatchResult, measure_color_match
from swath.evaluation.run_report.page import Report, report
from swath.evaluation.run_report.verdict import Findings, Verdict, verdict

__all__ = ["ColorMatchResult", "Findings", "Report", "Verdict", "measure_color_match", "report", "verdict"]
