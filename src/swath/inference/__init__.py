"""Inference: a model file and an engine in, calibrated probabilities out.

Nothing is done to pixels here: scaling, resizing, normalization and temperature are inside the file.
"""

from __future__ import annotations

from swath.inference.check import CheckResult, check_model
from swath.inference.classifier import Classifier, load
from swath.inference.engines import silence_engine_logs
from swath.inference.predictions import Predictions
from swath.inference.tables import PredictSummary, predict_files

__all__ = ["CheckResult", "Classifier", "PredictSummary", "Predictions", "check_model", "load", "predict_files"]

silence_engine_logs()  # engines are loaded when one is made, not before
