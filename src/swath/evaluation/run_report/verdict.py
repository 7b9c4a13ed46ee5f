"""What a model is good for, where it fails and what to try next, from what was measured and nothing else.

Pure rules. A sentence is written only where there is a number for it, and carries it with its 95 % interval:

- *Good for*: the score, with a word that the lower end of its interval must earn (0.95 very good, 0.85 good, 0.70
  fair); maps that hold; probabilities that are close (calibration error clearly at most 0.02).
- *Fails*: a score below that (poor), or not clearly above a simple rule's; the two most confused pairs seen more
  than once; up to three classes whose F1 does not clearly reach 0.85; up to three shifts that at level 5 clearly
  cost accuracy (intervals apart; the atmosphere first), and whether the model notices; the worst slice that more than
  chance sets apart; maps that fail; probabilities that are far off (clearly above 0.05).
- *Beware*: few patches, optimistic splits, patches that trained or chose the model, patches unlike the training data.
- *Try*: what helped in these measurements, and labels of classes that are clearly worse than the rest, corrected for
  the number of classes; what was tried without a clear gain is said as well.
"""

from __future__ import annotations

from swath.config import Settings
from swath.evaluation.results import FEW, BinaryEvaluation, Evaluation, SingleLabelEvaluation, spoken
from swath.evaluation.run_report import attempts, judgements
from swath.evaluation.run_report.findings import Findings
from swath.evaluation.run_report.words import STRANGE, sentence, with_interval
from swath.evaluation.trust import Trust


class Verdict(Settings):
    """Sentences, each with its numbers."""

    good: tuple[str, ...]
    fails: tuple[str, ...]
    beware: tuple[str, ...]
    attempts: tuple[str, ...]  # what to try, and what was tried in vain

    @property
    def parts(self) -> dict[str, tuple[str, ...]]:
        """Sentences by their heading, those without any left out."""
        named = {"Good for": self.good, "Fails": self.fails, "Beware": self.beware, "Try next": self.attempts}
        return {name: sentences for name, sentences in named.items() if sentences}

    @property
    def paragraph(self) -> str:
        """The weightiest of them in one paragraph: the first of each kind, and the first two failures."""
        shown = {name: said[: 2 if name == "Fails" else 1] for name, said in self.parts.items()}
        return " ".join(f"{name}: {' '.join(said)}" for name, said in shown.items())


def verdict(found: Findings) -> Verdict:
    """Say what the measurements mean."""
    trust = _trust(found.score)
    return Verdict(
        good=_all(
            judgements.score(found.score, good=True),
            judgements.maps_hold(found.maps),
            judgements.calibrated(trust, good=True),
        ),
        fails=_all(
            judgements.score(found.score, good=False),
            judgements.pairs(found.confused),
            judgements.weak_classes(found.score),
            *judgements.shifts(found.stress),
            judgements.worst_slice(found.errors),
            judgements.maps_fail(found.maps),
            judgements.calibrated(trust, good=False),
        ),
        beware=_all(*_doubts(found)),
        attempts=_all(
            attempts.abstain(found.score, trust),
            attempts.harmonise(found.harmonised),
            attempts.labels(found.errors, classes=_classes(found.score)),
        ),
    )


def _all(*texts: str) -> tuple[str, ...]:
    return tuple(sentence(text) for text in texts if text)


def _trust(score: Evaluation) -> Trust | None:
    return score.trust if isinstance(score, SingleLabelEvaluation | BinaryEvaluation) else None


def _classes(score: Evaluation) -> int:
    return len(score.per_class) if isinstance(score, SingleLabelEvaluation) else 2


def _doubts(found: Findings) -> list[str]:
    score = found.score
    name, value = next(iter(score.headline().items()))
    told = []
    if score.n < FEW:
        told.append(f"only {score.n} patches were measured, fewer than {FEW}: read intervals before values")
    if found.optimistic:
        told.append(
            f"the split is {found.optimistic}, so expect less than {spoken(name)} {with_interval(value)} on new land"
        )
    if score.same_index and score.split != "test":
        chosen = "trained on" if score.split == "train" else "chosen by"
        told.append(
            f"the model was {chosen} these {score.n:,} patches, so {with_interval(value)} flatters it"
        )
    if score.unlike is not None and score.unlike.low > STRANGE:
        told.append(f"{with_interval(score.unlike)} of the patches are not like the training data")
    return told
