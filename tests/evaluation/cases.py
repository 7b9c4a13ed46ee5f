"""Small results to draw and write about."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import numpy as np

from swath.evaluation import BaselineResult, SingleLabelEvaluation, confusion_matrix, measure
from swath.evaluation.metrics import paired_differences
from swath.evaluation.results import Difference, warnings_for
from swath.evaluation.seen import SeenCount

HOSTILE = "<script>alert('x')</script> & \"quoted\""


def answers(n: int, *, right: float, classes: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """True classes, and answers of which about a share `right` fits."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, classes, n)
    return truth, np.where(rng.random(n) < right, truth, rng.integers(0, classes, n))


def evaluation(
    names: tuple[str, ...] = ("Forest", "River", "SeaLake"), *, n: int = 400, **fields: Any
) -> SingleLabelEvaluation:
    """A whole evaluation of made-up answers; `fields` replace its own."""
    truth, predicted = answers(n, right=0.9, classes=len(names))
    plain = np.zeros(n, np.int64)
    accuracy, macro_f1 = paired_differences(truth, predicted, plain, classes=len(names))
    metrics = measure(confusion_matrix(truth, predicted, classes=len(names)), names)
    majority = measure(confusion_matrix(truth, plain, classes=len(names)), names)
    baselines = {
        "majority": BaselineResult(**dict(majority), difference=Difference(accuracy=accuracy, macro_f1=macro_f1))
    }
    leads = {"majority": accuracy}
    values = {
        "model": "tiny",
        "split": "test",
        "n": n,
        "seen": SeenCount(patches=n),
        "is_test": True,
        "fingerprint": "a" * 64,
        "trained_on": "a" * 64,
        "protocol": "stratified by class",
        "engine": "onnxruntime fp32",
        "absent_classes": (),
        "baselines": baselines,
        "warnings": warnings_for(n=n, absent=(), leads=leads),
    }
    return SingleLabelEvaluation(**dict(metrics), **values | fields)


class Page(HTMLParser):
    """What a browser would find on a page: tags with their attributes, and the text in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append(data.strip())

    def all(self, tag: str, attribute: str) -> list[str | None]:
        """One attribute of every tag of a kind."""
        return [attributes.get(attribute) for name, attributes in self.tags if name == tag]

    @property
    def text(self) -> str:
        """All text, pieces apart by one space."""
        return " ".join(self.texts)
