"""Pretrained weights: found or fetched, verified, and loaded.

A specification (``imagenet``, a shipped model, a file, ``hf:REPO/FILE``, ``torchgeo:NAME``, ``none``) is resolved to a
file of the user's or one in a content-addressed store, whose SHA-256 is verified at every use. Its tensors are read
without unpickling anything but through torch's restricted reader, or out of a model file's graph, and loaded into a
network by exact names. The input the weights expect and their license are recorded in the model file.
"""

from __future__ import annotations

from swath.weights.facts import OWN, Expectation, WeightFacts, check_expectation, license_warning, weights_metadata
from swath.weights.load import add_weights, load_weights
from swath.weights.sources import classes_of_weights, locate, network_of_weights, parse_spec, weights_fingerprint
from swath.weights.store import Entry, Store
from swath.weights.tensors import write_weights

__all__ = [
    "OWN",
    "Entry",
    "Expectation",
    "Store",
    "WeightFacts",
    "add_weights",
    "check_expectation",
    "classes_of_weights",
    "license_warning",
    "load_weights",
    "locate",
    "network_of_weights",
    "parse_spec",
    "weights_fingerprint",
    "weights_metadata",
    "write_weights",
]
