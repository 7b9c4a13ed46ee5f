"""Weights to start from: found or fetched, verified, understood, and loaded without executing anything.

A specification (``imagenet``, a file, ``hf:REPO/FILE``, ``torchgeo:NAME``, ``none``) becomes a file in one
content-addressed store, whose SHA-256 is verified at every use; the file becomes tensors by readers of data
formats, never by unpickling; and the tensors go into a network by exact names. What the weights expect as
input, and under which license they come, travels with them into the model file.
"""

from __future__ import annotations

from swath.weights.adding import add_weights
from swath.weights.expects import Expectation, check_expectation
from swath.weights.facts import WeightFacts, run_expectation, weights_metadata
from swath.weights.licenses import OWN, license_allows_redistribution, license_warning
from swath.weights.load import load_weights
from swath.weights.sources import WeightLocation, locate
from swath.weights.store import Entry, Store
from swath.weights.write import write_weights

__all__ = [
    "OWN",
    "Entry",
    "Expectation",
    "Store",
    "WeightFacts",
    "WeightLocation",
    "add_weights",
    "check_expectation",
    "license_allows_redistribution",
    "license_warning",
    "load_weights",
    "locate",
    "run_expectation",
    "weights_metadata",
    "write_weights",
]
