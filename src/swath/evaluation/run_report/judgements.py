"""What a model is good for and where it fails; the limits are those of :mod:`swath.evaluation.run_report.words`.

Every function returns one sentence with its numbers, or an empty string where there is nothing to say.
"""

from __future__ import annotations

from swath.evaluation.errors import ErrorAnalysis
from swath.evaluation.faithfulness_result import MapCheck
from swath.evaluation.results import (
    BinaryEvaluation,
    Evaluation,
    MultiLabelEvaluation,
    SingleLabelEvaluation,
    spoken,
)
from swath.evaluation.run_report.findings import Confused
from swath.evaluation.run_report.harmonised import SHIFT
from swath.evaluation.run_report.words import (
    BLIND,
    DISHONEST,
    HONEST,
    LOWEST,
    WEAK,
    calibration_word,
    gained,
    listed,
    score_word,
    whole,
    with_interval,
)
from swath.evaluation.stress import StressResult
from swath.evaluation.stress.results import shown
from swath.evaluation.trust import Trust
from swath.evaluation.wording import points
from swath.explain.figures import written
from swath.model.record import Estimate

SHIFTS, PAIRS, CLASSES = 3, 2, 3  # named at most
_RULES = {"majority": "always naming the commonest class", "colour": "a rule that sees colours alone"}


def score(score: Evaluation, *, good: bool) -> str:
    """How well it does its task, if that is good news, or if it is not."""
    name, value = next(iter(score.headline().items()))
    told = f"{spoken(name)} {with_interval(value)} on {score.n:,} patches of the split '{score.split}'"
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


def maps_hold(maps: MapCheck | None) -> str:
    """That its maps of where it looked can be believed."""
    if maps is None or maps.failures:
        return ""
    return (
        f"its maps of where it looked hold on {maps.n:,} patches: hiding what they mark first costs "
        f"{points(maps.deletion.lead_on_random)} of probability beyond hiding at random"
    )


def maps_fail(maps: MapCheck | None) -> str:
    """That they cannot."""
    if maps is None or not maps.failures:
        return ""
    return (
        f"its maps of where it looked are not to be believed ({maps.n:,} patches; hiding what they mark first "
        f"costs {points(maps.deletion.lead_on_random)} beyond hiding at random): {'; '.join(maps.failures)}"
    )


def calibrated(trust: Trust | None, *, good: bool) -> str:
    """How close its probabilities come to what happens."""
    if trust is None:
        return ""
    error = trust.calibration.ece
    word = calibration_word(error)
    if word == "rough" or (word == "close") != good:
        return ""
    limit = f"clearly at most {whole(HONEST)}" if good else f"clearly more than {whole(DISHONEST)}"
    near = "close to" if good else "far off from"
    return f"its probabilities come {near} what happens: calibration error {with_interval(error)}, {limit}"


def pairs(confused: Confused | None) -> str:
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


def shifts(stress: StressResult | None) -> list[str]:
    """What other sensors and weather cost, and whether it notices; one sentence for each."""
    if stress is None:
        return []
    clean = stress.clean.accuracy
    costly = [(name, s.levels[-1]) for name, s in stress.ordered if s.levels[-1].accuracy.high < clean.low]
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
        f"on {stress.n:,} patches of the split '{stress.split}' accuracy falls from {with_interval(clean)} under {told}"
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
