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

from collections.abc import Sequence
from dataclasses import dataclass

from swath.config import Settings
from swath.evaluation.calibration import Reliability
from swath.evaluation.errors import ConfusedPair, ErrorAnalysis
from swath.evaluation.errors.slices import LEVEL, fisher_exact
from swath.evaluation.faithfulness import MapCheck
from swath.evaluation.intervals import proportion
from swath.evaluation.results import (
    FEW,
    BinaryEvaluation,
    Evaluation,
    MultiLabelEvaluation,
    SingleLabelEvaluation,
    display_name,
)
from swath.evaluation.robustness import RobustnessResult
from swath.evaluation.robustness.results import shown
from swath.evaluation.run_report.color_match import SHIFT, ColorMatchResult
from swath.model.record import Estimate
from swath.pages.wording import percent, points, written

KEPT = "0.90"  # share of answers kept when the unsure ones are left out
SHIFTS, PAIRS, CLASSES = 3, 2, 3  # named at most
_RULES = {"majority": "always naming the commonest class", "color": "a rule that sees colors alone"}
# A word is earned by the lower end of an interval: few patches never flatter.
SCORES = ((0.95, "very good"), (0.85, "good"), (0.70, "fair"), (0.0, "poor"))
LOWEST = "70 %"  # of the last word above poor
WEAK = 0.85  # F1 of a class that is not clearly reached: the class is named
HONEST, DISHONEST = 0.02, 0.05  # calibration error clearly at most, or clearly above
NOTABLE_OOD_SHARE = 0.05  # share of patches unlike the training data, clearly above
BLIND = 0.20  # confidence above accuracy


def abstain(score: Evaluation, reliability: Reliability | None) -> str:
    """Whether to leave unsure answers to a person."""
    if reliability is None or not isinstance(score, SingleLabelEvaluation | BinaryEvaluation):
        return ""
    every, kept = score.accuracy, reliability.selective.accuracy.get(KEPT)
    if kept is None or every.value == 1:
        return ""
    change = f"accuracy from {with_interval(every)} to {with_interval(kept)}"
    if kept.low > every.value:
        return f"give the least sure 10 % of the answers to a person: that raises {change}"
    return f"leaving out the least sure 10 % of the answers is no clear gain: {change}"


def match_colors(found: ColorMatchResult | None) -> str:
    """Whether to match scenes to the training data."""
    if found is None:
        return ""
    effect = (
        f"under the atmosphere shift (all the way) {with_interval(found.before)} of {found.n:,} patches are right as "
        f"they are and {with_interval(found.after)} color-matched, {gained(found.gain)}"
    )
    if found.gain.low > 0:
        harm = (
            f"; without a shift {gained(found.clean_gain)}"
            if found.clean_changed
            else "; without a shift it left them alone"
        )
        return f"for scenes in another rendering, --match-colors auto: {effect}{harm}"
    return f"--match-colors auto is no clear gain: {effect}"


def labels(errors: ErrorAnalysis | None, *, classes: int) -> str:
    """Whose labels to collect and check first: of classes that are clearly worse than the rest, all classes tried."""
    if errors is None or not errors.errors:
        return ""
    n, wrong = errors.n, errors.errors
    chosen = []
    for weak in errors.weakest:
        own, missed = weak.scores.recall.n, sum(weak.called.values())
        # One of many classes is worst by chance: each is held against the level over their number.
        p = fisher_exact(missed, own, wrong - missed, n - own)
        if missed * n > wrong * own and p * classes < LEVEL:
            chosen.append((weak.name, own, missed))
    if not chosen:
        return ""
    missed, held = sum(c[2] for c in chosen), sum(c[1] for c in chosen)
    part = f"{100 * held / n:.0f} % of the patches of the split '{errors.split}'"
    now, best = proportion(n - wrong, n), proportion(n - wrong + missed, n)
    they = "they hold" if len(chosen) > 1 else "it holds"
    return (
        f"collect and check labels of {listed([written(name) for name, _, _ in chosen])} first: {they} "
        f"{with_interval(proportion(missed, wrong))} of {wrong} mistakes but {part}; "
        f"with all of theirs right, accuracy would go from {with_interval(now)} to {with_interval(best)} at most"
    )


def score(score: Evaluation, *, good: bool) -> str:
    """How well it does its task, if that is good news, or if it is not."""
    name, value = next(iter(score.headline().items()))
    told = f"{display_name(name)} {with_interval(value)} on {score.n:,} patches of the split '{score.split}'"
    leads, what = _leads(score), _what(score)
    kind = "average precision" if isinstance(score, BinaryEvaluation) else "accuracy"
    behind = [rule for rule, lead in leads.items() if lead.low <= 0]
    if behind:
        rule = behind[-1]
        lead = f"not clearly better than {_RULES.get(rule, rule)} (lead in {kind} {points(leads[rule])})"
        return "" if good else f"{what}, {lead}: {told}"
    word, limit = score_word(value)
    if good != (limit > 0):
        return ""
    earned = (
        f"its interval begins at {whole(limit)} or above" if limit else f"its interval begins below {LOWEST}"
    )
    beside = ""
    if leads:
        rule = min(leads, key=lambda name: leads[name].value)
        beside = f"; {gained(leads[rule])} in {kind} than {_RULES.get(rule, rule)}"
    return f"{what}: {word}, as {earned}: {told}{beside}"


def _what(score: Evaluation) -> str:
    if isinstance(score, BinaryEvaluation):
        return f"finding {written(score.positive)}"
    count = len(score.per_class) if isinstance(score, SingleLabelEvaluation | MultiLabelEvaluation) else 0
    return f"finding {count} labels" if score.task == "multi-label" else f"telling {count} classes apart"


def _leads(score: Evaluation) -> dict[str, Estimate]:
    if isinstance(score, BinaryEvaluation):
        return {name: rule.difference.average_precision for name, rule in score.baselines.items()}
    if isinstance(score, SingleLabelEvaluation):
        return {name: rule.difference.accuracy for name, rule in score.baselines.items()}
    return {}


def maps_faithful(maps: MapCheck | None) -> str:
    """That its maps of where it looked can be believed."""
    if maps is None or maps.failures:
        return ""
    return (
        f"its maps of where it looked hold on {maps.n:,} patches: hiding what they mark first costs "
        f"{points(maps.deletion.lead_on_random)} of probability beyond hiding at random"
    )


def maps_unfaithful(maps: MapCheck | None) -> str:
    """That they cannot."""
    if maps is None or not maps.failures:
        return ""
    return (
        f"its maps of where it looked are not to be believed ({maps.n:,} patches; hiding what they mark first "
        f"costs {points(maps.deletion.lead_on_random)} beyond hiding at random): {'; '.join(maps.failures)}"
    )


def calibrated(reliability: Reliability | None, *, good: bool) -> str:
    """How close its probabilities come to what happens."""
    if reliability is None:
        return ""
    error = reliability.calibration.ece
    word = calibration_word(error)
    if word == "rough" or (word == "close") != good:
        return ""
    limit = f"clearly at most {whole(HONEST)}" if good else f"clearly more than {whole(DISHONEST)}"
    near = "close to" if good else "far off from"
    return f"its probabilities come {near} what happens: calibration error {with_interval(error)}, {limit}"


def pairs(confused: ConfusedClasses | None) -> str:
    """Which classes it takes for which."""
    often = [p for p in confused.pairs if p.n > 1][:PAIRS] if confused else []
    if confused is None or not often:
        return ""
    told = [
        f"{written(p.truth)} for {written(p.called)} ({p.n} of {p.share.n} patches, {with_interval(p.share)})"
        for p in often
    ]
    return f"it takes {listed(told)} on the split '{confused.split}'"


def weak_classes(score: Evaluation) -> str:
    """Classes that it does not find well."""
    if not isinstance(score, SingleLabelEvaluation | MultiLabelEvaluation):
        return ""
    weak = [(name, c.f1) for name, c in score.per_class.items() if c.recall.n and c.f1.low < WEAK]
    if not weak:
        return ""
    weak.sort(key=lambda item: item[1].value)
    told = listed([f"{written(name)} {with_interval(f1)}" for name, f1 in weak[:CLASSES]])
    more = f", the weakest of {len(weak)}" if len(weak) > CLASSES else ""
    return f"an F1 of {whole(WEAK)} is not clearly reached for {told}{more}"


def shifts(robustness: RobustnessResult | None) -> list[str]:
    """What other sensors and weather cost, and whether it notices; one sentence for each."""
    if robustness is None:
        return []
    clean = robustness.clean.accuracy
    costly = [
        (name, s.severities[-1])
        for name, s in robustness.ordered
        if s.severities[-1].accuracy.high < clean.low
    ]
    if not costly:
        return []
    # Another rendering is what users meet first, so that it is named before worse ones.
    costly.sort(key=lambda item: (item[0] != SHIFT, item[1].accuracy.value))
    told = listed(
        [
            f"{shown(name)} ({last.strength}) to {with_interval(last.accuracy)}"
            for name, last in costly[:SHIFTS]
        ]
    )
    found = [
        f"on {robustness.n:,} patches of the split '{robustness.split}' accuracy falls from "
        f"{with_interval(clean)} under {told}"
    ]
    blind = [
        f"{shown(name)} (confidence {100 * last.confidence:.1f} %, accuracy {with_interval(last.accuracy)})"
        for name, last in costly
        if last.confidence - last.accuracy.value > BLIND
    ]
    if blind:
        found.append(f"it stays more than 20 points too sure under {listed(blind[:SHIFTS])}")
    return found


def worst_slice(errors: ErrorAnalysis | None) -> str:
    """Where it is worse than elsewhere, by more than chance."""
    if errors is None:
        return ""
    # Where its classes are as hard everywhere, it is not the light, or whatever parts the patches, that is to blame.
    worse = [s for s in errors.slices if s.clear and s.difference.value < 0 and s.accuracy.high < s.expected]
    if not worse:
        return ""
    worst = min(worse, key=lambda s: s.difference.value)
    return (
        f"it is worse where {worst.by} is {written(worst.name)}: accuracy {with_interval(worst.accuracy)} of "
        f"{worst.accuracy.n:,} patches of the split '{errors.split}', {gained(worst.difference)} than elsewhere; its "
        f"classes alone would give {100 * worst.expected:.1f} %"
    )


@dataclass(frozen=True)
class ConfusedClasses:
    """Which classes are taken for which on a split."""

    split: str
    pairs: tuple[ConfusedPair, ...]


@dataclass(frozen=True)
class Findings:
    """What was measured; None where it was not.

    Attributes
    ----------
    score : Evaluation
        On the split that the report is about.
    confused : Confused or None
        Classes taken for each other.
    errors : ErrorAnalysis or None
        Of a split that may be acted on.
    robustness : StressResult or None
        The suite of shifts.
    maps : MapCheck or None
        Of the maps of evidence.
    color_match : Harmonized or None
        What matching colors did to shifted patches.
    optimistic : str
        Why the split flatters; empty where it is not known to.
    """

    score: Evaluation
    confused: ConfusedClasses | None = None
    errors: ErrorAnalysis | None = None
    robustness: RobustnessResult | None = None
    maps: MapCheck | None = None
    color_match: ColorMatchResult | None = None
    optimistic: str = ""


def score_word(score: Estimate) -> tuple[str, float]:
    """The word for a score, and the limit that the lower end of its interval reaches."""
    limit, word = next((limit, word) for limit, word in SCORES if score.low >= limit or limit == 0)
    return word, limit


def calibration_word(error: Estimate) -> str:
    """``close``, ``rough`` or ``far off``: how near stated probabilities come to what happens."""
    if error.low > DISHONEST:
        return "far off"
    # A few sure and right answers show little error and prove little.
    return "close" if error.high <= HONEST and error.n >= FEW else "rough"


def with_interval(estimate: Estimate) -> str:
    """Write ``98.2 % (96.7-99.0 %)``, with a dash for a range."""
    value, interval = percent(estimate)
    return f"{value} ({interval})"


def gained(difference: Estimate) -> str:
    """Write ``12.3 points more (10.1 to 14.0)``, or fewer."""
    value, interval = points(difference).split(" points ")
    return f"{value.lstrip('+-')} points {'fewer' if difference.value < 0 else 'more'} {interval}"


def whole(share: float) -> str:
    """Write a limit: ``95 %``."""
    return f"{100 * share:g} %"


def listed(names: Sequence[str]) -> str:
    """Join ``a, b and c``."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def sentence(text: str) -> str:
    """Begin with a capital and end with one full stop."""
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


class Verdict(Settings):
    """Sentences, each with its numbers."""

    good: tuple[str, ...]
    fails: tuple[str, ...]
    caveats: tuple[str, ...]
    attempts: tuple[str, ...]  # what to try, and what was tried in vain

    @property
    def parts(self) -> dict[str, tuple[str, ...]]:
        """Sentences by their heading, those without any left out."""
        named = {
            "Good for": self.good,
            "Fails": self.fails,
            "Beware": self.caveats,
            "Try next": self.attempts,
        }
        return {name: sentences for name, sentences in named.items() if sentences}

    @property
    def paragraph(self) -> str:
        """The weightiest of them in one paragraph: the first of each kind, and the first two failures."""
        shown = {name: said[: 2 if name == "Fails" else 1] for name, said in self.parts.items()}
        return " ".join(f"{name}: {' '.join(said)}" for name, said in shown.items())


def verdict(found: Findings) -> Verdict:
    """Say what the measurements mean."""
    reliability = _reliability(found.score)
    return Verdict(
        good=_all(
            score(found.score, good=True),
            maps_faithful(found.maps),
            calibrated(reliability, good=True),
        ),
        fails=_all(
            score(found.score, good=False),
            pairs(found.confused),
            weak_classes(found.score),
            *shifts(found.robustness),
            worst_slice(found.errors),
            maps_unfaithful(found.maps),
            calibrated(reliability, good=False),
        ),
        caveats=_all(*_caveats(found)),
        attempts=_all(
            abstain(found.score, reliability),
            match_colors(found.color_match),
            labels(found.errors, classes=_classes(found.score)),
        ),
    )


def _all(*texts: str) -> tuple[str, ...]:
    return tuple(sentence(text) for text in texts if text)


def _reliability(score: Evaluation) -> Reliability | None:
    return score.reliability if isinstance(score, SingleLabelEvaluation | BinaryEvaluation) else None


def _classes(score: Evaluation) -> int:
    return len(score.per_class) if isinstance(score, SingleLabelEvaluation) else 2


def _caveats(found: Findings) -> list[str]:
    score = found.score
    name, value = next(iter(score.headline().items()))
    told = []
    if score.n < FEW:
        told.append(f"only {score.n} patches were measured, fewer than {FEW}: read intervals before values")
    if found.optimistic:
        told.append(
            f"the split is {found.optimistic}, so expect less than {display_name(name)} "
            f"{with_interval(value)} on new land"
        )
    if score.same_index and score.split != "test":
        chosen = "trained on" if score.split == "train" else "chosen by"
        told.append(
            f"the model was {chosen} these {score.n:,} patches, so {with_interval(value)} flatters it"
        )
    if score.ood is not None and score.ood.low > NOTABLE_OOD_SHARE:
        told.append(f"{with_interval(score.ood)} of the patches are not like the training data")
    return told
