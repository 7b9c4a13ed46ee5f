"""Experiments: a question, variants that train alike but for one choice, and an answer with intervals.

``run_experiment`` trains every variant once, lets all of them answer for the same patches, and writes a table, a
picture and a paragraph generated from the numbers. Needs the ``train`` extra.
"""

from __future__ import annotations

from swath.experiments.catalog import ExperimentSettings, experiment_names
from swath.experiments.compare import ExperimentResult, run_experiment

__all__ = ["ExperimentResult", "ExperimentSettings", "experiment_names", "run_experiment"]
