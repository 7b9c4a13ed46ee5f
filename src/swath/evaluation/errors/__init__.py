"""Where a model errs, and where the labels do.

:func:`find_errors` gathers a model's mistakes on one split: confused pairs, weakest classes, slices that
are worse than the rest, and galleries with maps of where the network looked. :func:`suspects` ranks patches
by how probably their label is wrong, from probabilities that did not learn from it;
:func:`feature_probabilities` makes such probabilities in seconds from a finished model's features, and
:func:`write_suspects` writes the list that a person reviews; :func:`plant_flips` plants wrong labels to measure
how many it finds.
"""

from __future__ import annotations

from swath.evaluation.errors.analyse import find_errors
from swath.evaluation.errors.confident import Suspects, estimated_joint, plant_flips, suspects
from swath.evaluation.errors.crossfit import feature_probabilities
from swath.evaluation.errors.findings import ErrorAnalysis, Pair, WeakClass
from swath.evaluation.errors.review import SuspectList, write_suspects
from swath.evaluation.errors.slices import Slice

__all__ = [
    "ErrorAnalysis",
    "Pair",
    "Slice",
    "SuspectList",
    "Suspects",
    "WeakClass",
    "estimated_joint",
    "feature_probabilities",
    "find_errors",
    "plant_flips",
    "suspects",
    "write_suspects",
]
