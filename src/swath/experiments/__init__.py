"""Experiments: a question, arms that train alike but for one choice, and an answer with intervals.

``run_experiment`` trains every arm once, lets all of them answer for the same patches, and writes a table, a
picture and a paragraph made from the numbers. Needs the ``train`` extra.
"""

from __future__ import annotations

from swath.experiments.catalogue import Choices, experiment_names
from swath.experiments.run import ExperimentResult, run_experiment

__all__ = ["Choices", "ExperimentResult", "experiment_names", "run_experiment"]
