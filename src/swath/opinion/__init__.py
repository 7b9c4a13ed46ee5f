"""A second opinion: what a vision-language model says of the same patches, next to the classifier, never in its place.

``prompt`` makes the question of one patch, ``client`` asks it and keeps the answer, ``protocol`` speaks OpenAI's chat
completions with any server, ``answers`` reads what comes back, ``cost`` counts tokens and money before and after.
:func:`prepare_images` and :func:`ask_images` are for images, all of them or only those the classifier is unsure of
(``selection``), :func:`prepare_predictions` for images that it has answered already; :func:`prepare_evaluation` and
:func:`evaluate_opinions` measure on labeled patches what a second opinion is worth. The model is never shown the
classifier's answer, the label or the name of a file. Asking needs the ``opinion`` extra.
"""

from __future__ import annotations

from swath.opinion.answers import Opinion
from swath.opinion.client import OpinionSettings, VisionModel
from swath.opinion.evaluation import evaluate_opinions, prepare_evaluation
from swath.opinion.images import OpinionTable, ask_images, prepare_images, prepare_predictions
from swath.opinion.prompt import read_definitions
from swath.opinion.results import OpinionEvaluation

__all__ = [
    "Opinion",
    "OpinionEvaluation",
    "OpinionSettings",
    "OpinionTable",
    "VisionModel",
    "ask_images",
    "evaluate_opinions",
    "prepare_evaluation",
    "prepare_images",
    "prepare_predictions",
    "read_definitions",
]
