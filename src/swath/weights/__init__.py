"""Weights to start from: found or fetched, verified, understood, and loaded.

A specification (``imagenet``, a file, ``hf:REPO/FILE``, ``torchgeo:NAME``, ``none``) becomes a file in one
content-addressed store, whose SHA-256 is verified at every use; the file becomes tensors, where nothing is
unpickled but through torch's restricted reader; and the tensors go into a network by exact names. What the weights
expect as input, and under which license they come, travels with them into the model file.
"""

from __future__ import annotations

from swath.weights.expects import Expectation, check_expectation
from swath.weights.facts import (
    OWN,
    WeightFacts,
    license_allows_shipping,
    license_warning,
    run_expectation,
    weights_metadata,
)
from swath.weights.load import add_weights, load_weights
from swath.weights.sources import WeightsFile, locate, parse_spec, weights_fingerprint
from swath.weights.store import Entry, Store
from swath.weights.tensors import write_weights

__all__ = [
    "OWN",
    "Entry",
    "Expectation",
    "Store",
    "WeightFacts",
    "WeightsFile",
    "add_weights",
    "check_expectation",
    "license_allows_shipping",
    "license_warning",
    "load_weights",
    "locate",
    "parse_spec",
    "run_expectation",
    "weights_fingerprint",
    "weights_metadata",
    "write_weights",
]
