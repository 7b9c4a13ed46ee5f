"""What an evaluation of a second opinion found: numbers with intervals, their tables, and a verdict."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from swath.config import Settings
from swath.evaluation.compare import ClassComparison, McNemar
from swath.evaluation.metrics import Metrics
from swath.evaluation.predictions import SplitPredictions
from swath.evaluation.results import Result, text_table
from swath.evaluation.seen import SeenCount
from swath.model.record import Estimate
from swath.opinion.cost import Cost, money
from swath.opinion.prompt import Question
from swath.pages.html import Cell, Table
from swath.pages.text import counted, p_text, p_value, points, sentence, with_interval

NO_CLASS = "(no class)"
Mask = npt.NDArray[np.bool_]


class Pairs(Settings):
    """Patches by who is right."""

    both: int
    only_classifier: int
    only_other: int
    neither: int


class Replacement(Settings):
    """What would come of taking the other model's class in place of the classifier's; swath never does.

    Attributes
    ----------
    asked : int
        Patches that would be asked about.
    accuracy : Estimate
        With its class where it names one, the classifier's elsewhere.
    gain : Estimate
        That accuracy minus the classifier's, paired.
    net : int
        Patches put right less patches put wrong.
    usd_per_1000 : float or None
        Cost of 1,000 patches classified; None without a price.
    requests_per_net, usd_per_net : float or None
        Requests and US dollars per patch of `net`; None where that is not above 0.
    """

    asked: int
    accuracy: Estimate
    gain: Estimate
    net: int
    usd_per_1000: float | None
    requests_per_net: float | None
    usd_per_net: float | None


class Review(Settings):
    """A sign by which patches are picked for a person to look at.

    Attributes
    ----------
    share : Estimate
        Of the patches that have the sign.
    found : Estimate
        Share of the classifier's mistakes that have it.
    mistaken : Estimate
        Share of mistakes among the patches that have it.
    """

    share: Estimate
    found: Estimate
    mistaken: Estimate


class OpinionEvaluation(Result):
    """A second opinion measured on labeled patches, next to the classifier on the same ones.

    Attributes
    ----------
    classifier, vision_model, host : str
        Who answered, and where the second was asked.
    split, fingerprint : str
        Of the index.
    sample, n : int
        Patches drawn, and those on which the other model was heard: all numbers are of these.
    outcomes : dict of str to int
        Of the patches drawn.
    unsure_rule : str
        When the classifier counts as unsure.
    seen : SeenCount
        How many of the patches the classifier has seen.
    first, second : Metrics
        Of the classifier and of the other model; where that names no class it is not right.
    answered : Estimate
        Accuracy of the other model where it names a class.
    accuracy, macro_f1 : Estimate
        The other model minus the classifier, paired.
    kappa_first, kappa_second, kappa_between : Estimate
        Cohen's kappa of the classifier with the labels, of the other model with the labels, and of both.
    pairs : Pairs
        Who is right.
    test : McNemar
        On the patches that only one gets right; the classifier is the first.
    per_class : dict of str to ClassComparison
        Recall of both; the classifier is the first.
    confusion : tuple of tuple of int
        Of the other model: true classes in rows; the last column has no class.
    always, where_unsure : Replacement
        What would come of taking its class.
    disagreement, unsure : Review
        Signs of a mistake: that the other model names another class, and that the classifier is unsure, which costs
        nothing.
    cost : Cost
        Of the `n` answers, those that were kept from before among them.
    requests : int
        Sent in this run.
    """

    classifier: str
    vision_model: str
    host: str
    split: str
    fingerprint: str
    sample: int
    n: int
    outcomes: dict[str, int]
    unsure_rule: str
    seen: SeenCount
    first: Metrics
    second: Metrics
    answered: Estimate
    accuracy: Estimate
    macro_f1: Estimate
    kappa_first: Estimate
    kappa_second: Estimate
    kappa_between: Estimate
    pairs: Pairs
    test: McNemar
    per_class: dict[str, ClassComparison]
    confusion: tuple[tuple[int, ...], ...]
    always: Replacement
    where_unsure: Replacement
    disagreement: Review
    unsure: Review
    cost: Cost
    requests: int

    @property
    def verdict(self) -> str:
        """Whether asking pays, in one sentence."""
        found = self.where_unsure
        if not found.asked:
            return "The classifier is unsure of none of these patches: there is nothing to ask."
        head = f"Asking where the classifier is unsure ({found.asked:,} of {self.n:,} patches)"
        change = f"taking its class there would change the accuracy by {points(found.gain)}"
        if found.gain.low > 0:
            return f"{head} pays: {change}; {price_of_gain(found)}."
        if found.gain.high < 0:
            return f"{head} does not pay: {change}."
        return f"{head} is not shown to pay: {change}."

    def tables(self) -> list[Table]:
        """Both models, who is right, whether asking pays, and the signs of a mistake."""
        both: list[tuple[Cell, ...]] = [
            (name, made.accuracy, made.macro_f1, plain_kappa(kappa))
            for name, made, kappa in (
                (self.classifier, self.first, self.kappa_first),
                (self.vision_model, self.second, self.kappa_second),
            )
        ]
        right: list[tuple[Cell, ...]] = [
            (f"{self.classifier} right", self.pairs.both, self.pairs.only_classifier),
            (f"{self.classifier} wrong", self.pairs.only_other, self.pairs.neither),
        ]
        replaced: list[tuple[Cell, ...]] = [
            (name, made.asked, made.accuracy, points(made.gain), _usd(made.usd_per_1000), price_of_gain(made))
            for name, made in (("where unsure", self.where_unsure), ("always", self.always))
        ]
        signs: list[tuple[Cell, ...]] = [
            (name, one.share, one.found, one.mistaken)
            for name, one in (("it names another class", self.disagreement), ("classifier unsure", self.unsure))
        ]
        return [
            Table(("model", "accuracy", "macro-F1", "kappa with the labels"), both),
            Table(("patches", f"{self.vision_model} right", "wrong"), right),
            Table(
                ("its class taken", "asked", "accuracy", "gain", "per 1,000 patches", "per patch gained"),
                replaced,
                "If its class were taken in place of the classifier's (swath never does that)",
            ),
            Table(
                ("sign", "patches", "mistakes found", "mistakes among them"),
                signs,
                "Signs of a mistake of the classifier, for a person to look at",
            ),
        ]

    def class_table(self) -> Table:
        """Recall of both models, class by class."""
        rows: list[tuple[Cell, ...]] = [
            (name, c.first.n, c.first, c.second, c.only_first, c.only_second, p_text(c.p_value))
            for name, c in self.per_class.items()
        ]
        names = ("class", "patches", self.classifier, self.vision_model, "first alone", "second alone", "p (Holm)")
        return Table(names, rows, "Recall, class by class")

    def lines(self) -> list[str]:
        """Plain text for a terminal."""
        other = ", ".join(f"{count:,} {outcome}" for outcome, count in self.outcomes.items())
        first, *more = self.tables()
        lines = [
            sentence(self.seen.sentence),
            f"{self.vision_model} at {self.host}, split {self.split}: {counted(self.sample, 'patch', 'patches')} "
            f"({other})",
            "",
            *text_table(first),
            f"accuracy where {self.vision_model} names a class: {with_interval(self.answered)}",
            f"difference in accuracy: {points(self.accuracy)}; {p_value(self.test.p_value)} (McNemar, exact)",
            f"kappa of the two models: {plain_kappa(self.kappa_between)}",
        ]
        for table in (*more, self.class_table()):
            lines += ["", *text_table(table)]
        lines += [
            "",
            self.verdict,
            f"It took {self.cost.sentence} ({counted(self.requests, 'request', 'requests')} now).",
        ]
        return [line.rstrip() for line in lines]


@dataclass(frozen=True, repr=False)
class PreparedEvaluation:
    """A sample of labeled patches with the classifier's answers, and the questions; nothing has been asked yet.

    Attributes
    ----------
    found : SplitPredictions
        The patches, and what the classifier says.
    unsure : numpy.ndarray
        ``[N]`` bool.
    rule : str
        When it counts as unsure.
    questions : tuple of Question
        One per patch.
    estimate : Cost
        What it will take to ask those that have not been answered before.
    """

    found: SplitPredictions
    unsure: Mask
    rule: str
    questions: tuple[Question, ...]
    estimate: Cost


def price_of_gain(made: Replacement) -> str:
    """Requests and money per patch gained, in words; a dash where none is gained."""
    if made.requests_per_net is None:
        return "\u2013"
    requests = f"{made.requests_per_net:,.1f} requests"
    return requests if made.usd_per_net is None else f"{requests}, {money(made.usd_per_net)}"


def _usd(amount: float | None) -> str:
    return "\u2013" if amount is None else money(amount)


def plain_kappa(kappa: Estimate) -> str:
    """Write a kappa with its interval.

    >>> plain_kappa(Estimate(value=0.812, low=0.75, high=0.871, n=200))
    '0.81 (0.75 to 0.87)'
    """
    return "\u2013" if kappa.n == 0 else f"{kappa.value:.2f} ({kappa.low:.2f} to {kappa.high:.2f})"
