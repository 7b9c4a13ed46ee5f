"""Pipelines: the whole path in one call. Wiring only: every step is a public function of its room.

:func:`demo` shows what a finished model does, without any training library; :func:`quickstart` goes all
the way from patches to a map. Both end in the page of a report (:mod:`swath.evaluation.run_report`) with a map on it.
:func:`find_label_issues` lists patches whose label is probably wrong.
"""

from __future__ import annotations

from swath.pipelines.label_issues import find_label_issues
from swath.pipelines.showcase import ShowcaseResult, demo, quickstart

__all__ = ["ShowcaseResult", "demo", "find_label_issues", "quickstart"]
