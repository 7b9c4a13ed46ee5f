"""One page on a model: a verdict in plain words, and every measurement it rests on.

:func:`report` puts a model through what the other rooms measure and gathers it in one HTML page;
:func:`verdict` says in sentences, each with its number and interval, what the model is good for, where it fails
and what to try next.
"""

from __future__ import annotations

from swath.evaluation.run_report.harmonised import Harmonised, measure_harmonising
from swath.evaluation.run_report.page import Report, report
from swath.evaluation.run_report.verdict import Findings, Verdict, verdict

__all__ = ["Findings", "Harmonised", "Report", "Verdict", "measure_harmonising", "report", "verdict"]
