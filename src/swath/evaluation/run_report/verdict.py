"""The verdict of a report: strengths, failures, caveats and next steps of a model, from its measurements alone.

Pure rules. A sentence is written only where there is a number for it, and carries it with its 95 % interval:

- *Good for*: the score, in a word that depends on the lower end of its interval (0.95 very good, 0.85 good, 0.70
  fair); explanation maps that pass their checks; calibrated probabilities (calibration error clearly at most 0.02).
- *Fails*: a score below that (poor), or not clearly above a simple rule's; the two most frequent confused pairs that
  occur more than once; up to three classes whose F1 does not clearly reach 0.85; up to three shifts that at severity 5
  clearly cost accuracy (intervals apart; surface reflectance first), and whether the model stays confident; the worst
  slice that differs by more than chance; maps that fail; probabilities that are far off (error clearly above 0.05).
- *Beware*: few patches, optimistic splits, patches that trained or selected the model, patches unlike the training
  data, prediction sets that contain the true class clearly less often than they promise.
- *Try next*: what helped in these measurements, and labels of classes that are clearly worse than the rest, corrected
  for the number of classes; what was tried without a clear gain is named as well.
"""

from __future__ import annotations

from dataclasses import dataclass

from swath.config import Settings
from swath.data.spatial import TOO_HIGH
from swath.evaluation.calibration import Reliability, level_percent
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
    reliability_of,
)
from swath.evaluation.robustness import RobustnessResult
from swath.evaluation.robustness.measure import shown
from swath.evaluation.run_report.color_match import SHIFT, ColorMatchResult
from swath.evaluation.seen import SeenCount
from swath.model.record import Estimate
from swath.pages.html import Kind, Point
from swath.pages.text import counted, listed, percent, points, points_more, sentence, with_interval, written

KEPT = "0.90"  # share of answers kept when the uncertain ones are left out
SHIFTS, PAIRS, CLASSES = 3, 2, 3  # named at most
_RULES = {"majority": "always naming the commonest class", "color": "a rule that sees colors alone"}
# A word depends on the lower end of an interval: few patches never flatter.
SCORES = ((0.95, "very good"), (0.85, "good"), (0.70, "fair"), (0.0, "poor"))
LOWEST = "70 %"  # of the last word above poor
WEAK = 0.85  # F1 of a class that is not clearly reached: the class is named
HONEST, DISHONEST = 0.02, 0.05  # calibration error clearly at most, or clearly above
NOTABLE_OOD_SHARE = 0.05  # share of patches unlike the training data, clearly above
BLIND = 0.20  # confidence above accuracy


@dataclass(frozen=True)
class ConfusedClasses:
    """Confused pairs of classes on a split."""

    split: str
    pairs: tuple[ConfusedPair, ...]


@dataclass(frozen=True)
class Findings:
    """The measurements; None where one was not made.

    Attributes
    ----------
    score : Evaluation
        On the split that the report is about.
    confused : ConfusedClasses or None
        Confused pairs of classes.
    errors : ErrorAnalysis or None
        Of a split that may be acted on.
    robustness : RobustnessResult or None
        Under the suite of shifts.
    maps : MapCheck or None
        Of the explanation maps.
    color_match : ColorMatchResult or None
        Effect of matching colors on shifted patches.
    optimistic : str
        Why the split is optimistic; empty where it is not known to be.
    origin : str
        Why nothing can be said of shared ground across the splits.
    """

    score: Evaluation
    confused: ConfusedClasses | None = None
    errors: ErrorAnalysis | None = None
    robustness: RobustnessResult | None = None
    maps: MapCheck | None = None
    color_match: ColorMatchResult | None = None
    optimistic: str = ""
    origin: str = ""


class Verdict(Settings):
    """Sentences, each with its numbers.

    Attributes
    ----------
    seen : tuple of str
        What the model has seen of the patches that the score is of, and which score counts.
    good, fails, caveats : tuple of str
        Strengths, failures, and reasons to read the numbers with care.
    attempts : tuple of str
        What to try, and what was tried without a clear gain.
    """

    seen: tuple[str, ...]
    good: tuple[str, ...]
    fails: tuple[str, ...]
    caveats: tuple[str, ...]
    attempts: tuple[str, ...]

    @property
    def parts(self) -> dict[str, tuple[str, ...]]:
        """Sentences by heading; headings without any are left out."""
        named = {
            "Patches seen": self.seen,
            "Good for": self.good,
            "Fails": self.fails,
            "Beware": self.caveats,
            "Try next": self.attempts,
        }
        return {name: sentences for name, sentences in named.items() if sentences}


def verdict(found: Findings) -> Verdict:
    """Word the measurements as a verdict: strengths are of patches that the model has not seen, failures of any."""
    tested = found.score.tested
    counts = tested or found.score
    good = reliability_of(tested) if tested else None
    reliability = reliability_of(counts)
    return Verdict(
        seen=(found.score.seen.sentences,),
        good=_all(score(tested, good=True) if tested else "", maps(found.maps, good=True), calibrated(good, good=True)),
        fails=_all(
            score(counts, good=False),
            pairs(found.confused),
            weak_classes(counts),
            *shifts(found.robustness),
            worst_slice(found.errors),
            maps(found.maps, good=False),
            calibrated(reliability, good=False),
        ),
        caveats=_all(*_caveats(found)),
        attempts=_all(
            abstain(counts, good),
            rescale(found.color_match, mark=found.robustness.seen.mark if found.robustness else ""),
            labels(
                found.errors,
                classes=len(found.score.per_class) if isinstance(found.score, SingleLabelEvaluation) else 2,
            ),
        ),
    )


def _all(*texts: str) -> tuple[str, ...]:
    return tuple(sentence(text) for text in texts if text)


def score(score: Evaluation, *, good: bool) -> str:
    """The score in words, as a strength (`good`) or as a failure."""
    name, value = next(iter(score.headline().items()))
    text = (
        f"{display_name(name)}{score.seen.mark} {with_interval(value)} on {score.n:,} patches of the split "
        f"'{score.split}'"
    )
    leads, what = _leads(score), _what(score)
    kind = "average precision" if isinstance(score, BinaryEvaluation) else "accuracy"
    behind = [rule for rule, lead in leads.items() if lead.low <= 0]
    if behind:
        rule = behind[-1]
        lead = f"not clearly better than {_RULES.get(rule, rule)} (lead in {kind} {points(leads[rule])})"
        return "" if good else f"{what}, {lead}: {text}"
    word, limit = score_word(value)
    if good != (limit > 0):
        return ""
    reason = f"its interval begins at {100 * limit:g} % or above" if limit else f"its interval begins below {LOWEST}"
    lead = ""
    if leads:
        rule = min(leads, key=lambda name: leads[name].value)
        lead = f"; {points_more(leads[rule])} in {kind} than {_RULES.get(rule, rule)}"
    return f"{what}: {word}, as {reason}: {text}{lead}"


def _what(score: Evaluation) -> str:
    if isinstance(score, BinaryEvaluation):
        return f"finding {written(score.positive)}"
    count = len(getattr(score, "per_class", ()))
    return f"finding {count} labels" if score.task == "multi-label" else f"separating {count} classes"


def _leads(score: Evaluation) -> dict[str, Estimate]:
    if isinstance(score, BinaryEvaluation):
        return {name: rule.difference.average_precision for name, rule in score.baselines.items()}
    if isinstance(score, SingleLabelEvaluation):
        return {name: rule.difference.accuracy for name, rule in score.baselines.items()}
    return {}


def score_word(score: Estimate) -> tuple[str, float]:
    """Choose the word for a score by the lower end of its interval; also the limit that it reaches."""
    limit, word = next((limit, word) for limit, word in SCORES if score.low >= limit or limit == 0)
    return word, limit


def calibration_word(error: Estimate) -> str:
    """Choose ``close``, ``rough`` or ``far off`` for a calibration error."""
    if error.low > DISHONEST:
        return "far off"
    # A few confident and right predictions show little error and prove little.
    return "close" if error.high <= HONEST and error.n >= FEW else "rough"


def maps(check: MapCheck | None, *, good: bool) -> str:
    """That its explanation maps pass their checks (`good`), or fail one."""
    if check is None or good == bool(check.failures):
        return ""
    cost = f"hiding what they mark first costs {points(check.deletion.lead_on_random)}"
    if good:
        return f"its explanation maps hold on {check.n:,} patches: {cost} of probability beyond hiding at random"
    return (
        f"its explanation maps are unreliable ({check.n:,} patches; {cost} beyond hiding at random): "
        f"{'; '.join(check.failures)}"
    )


def calibrated(reliability: Reliability | None, *, good: bool) -> str:
    """How close its probabilities are to observed frequencies."""
    if reliability is None:
        return ""
    error = reliability.calibration.ece
    word = calibration_word(error)
    if word == "rough" or (word == "close") != good:
        return ""
    limit = f"clearly at most {100 * HONEST:g} %" if good else f"clearly more than {100 * DISHONEST:g} %"
    near = "close to" if good else "far from"
    return f"its probabilities are {near} observed frequencies: calibration error {with_interval(error)}, {limit}"


def pairs(confused: ConfusedClasses | None) -> str:
    """Which classes it confuses."""
    often = [p for p in confused.pairs if p.n > 1][:PAIRS] if confused else []
    if confused is None or not often:
        return ""
    named = [
        f"{written(p.truth)} for {written(p.predicted)} ({p.n} of {p.share.n} patches, {with_interval(p.share)})"
        for p in often
    ]
    return f"it takes {listed(named)} on the split '{confused.split}'"


def weak_classes(score: Evaluation) -> str:
    """Classes with a low F1."""
    if not isinstance(score, SingleLabelEvaluation | MultiLabelEvaluation):
        return ""
    weak = [(name, c.f1) for name, c in score.per_class.items() if c.recall.n and c.f1.low < WEAK]
    if not weak:
        return ""
    weak.sort(key=lambda item: item[1].value)
    named = listed([f"{written(name)} {with_interval(f1)}" for name, f1 in weak[:CLASSES]])
    more = f", the weakest of {len(weak)}" if len(weak) > CLASSES else ""
    return f"an F1 of {100 * WEAK:g} % is not clearly reached for {named}{more}"


def shifts(robustness: RobustnessResult | None) -> list[str]:
    """What other sensors and weather cost, and whether its confidence falls too; one sentence for each."""
    if robustness is None:
        return []
    clean = robustness.clean.accuracy
    costly = [(name, s.severities[-1]) for name, s in robustness.ordered if s.severities[-1].accuracy.high < clean.low]
    if not costly:
        return []
    # Users meet another rendering first, so it is named before worse shifts.
    costly.sort(key=lambda item: (item[0] != SHIFT, item[1].accuracy.value))
    named = listed(
        [f"{shown(name)} ({last.strength}) to {with_interval(last.accuracy)}" for name, last in costly[:SHIFTS]]
    )
    found = [
        f"on {robustness.n:,} patches of the split '{robustness.split}'{robustness.seen.mark} accuracy falls from "
        f"{with_interval(clean)} under {named}"
    ]
    blind = [
        f"{shown(name)} (confidence {100 * last.confidence:.1f} %, accuracy {with_interval(last.accuracy)})"
        for name, last in costly
        if last.confidence - last.accuracy.value > BLIND
    ]
    if blind:
        found.append(f"it is overconfident by more than 20 points under {listed(blind[:SHIFTS])}")
    return found


def worst_slice(errors: ErrorAnalysis | None) -> str:
    """The slice on which it is worse than elsewhere, by more than chance."""
    if errors is None:
        return ""
    # A slice of classes that are hard everywhere is not worse because of its light, or whatever defines it.
    worse = [s for s in errors.slices if s.clear and s.difference.value < 0 and s.accuracy.high < s.expected]
    if not worse:
        return ""
    worst = min(worse, key=lambda s: s.difference.value)
    return (
        f"it is worse {worst.where}: accuracy {with_interval(worst.accuracy)} of "
        f"{worst.accuracy.n:,} patches of the split '{errors.split}'{errors.seen.mark}, "
        f"{points_more(worst.difference)} than elsewhere; its classes alone would give {100 * worst.expected:.1f} %"
    )


def _caveats(found: Findings) -> list[str]:
    score = found.score.tested or found.score
    name, value = next(iter(score.headline().items()))
    texts = []
    if score.n < FEW:
        texts.append(f"only {score.n} patches were measured, fewer than {FEW}: read intervals before values")
    if found.optimistic:
        texts.append(
            f"the split is {found.optimistic}, so expect less than {display_name(name)}{score.seen.mark} "
            f"{with_interval(value)} on new land"
        )
    if found.origin:
        why = found.origin.removesuffix(f": {TOO_HIGH}")
        texts.append(f"{why}, so {display_name(name)} {with_interval(value)} may be far too high")
    if score.ood is not None and score.ood.low > NOTABLE_OOD_SHARE:
        texts.append(f"{with_interval(score.ood)} of the patches are unlike the training data")
    texts.append(short_sets(reliability_of(score)))
    return texts


def short_sets(reliability: Reliability | None) -> str:
    """Which prediction sets contain the true class clearly less often than promised."""
    if reliability is None or not reliability.broken:
        return ""
    named = [
        f"{with_interval(sets.coverage)} of the {level_percent(level)} sets"
        for level, sets in reliability.broken.items()
    ]
    return f"its prediction sets contain the true class clearly less often than they promise: {listed(named)}"


def abstain(score: Evaluation, reliability: Reliability | None) -> str:
    """Whether to leave uncertain predictions to a person."""
    if reliability is None or not isinstance(score, SingleLabelEvaluation | BinaryEvaluation):
        return ""
    every, kept = score.accuracy, reliability.selective.accuracy.get(KEPT)
    if kept is None or every.value == 1:
        return ""
    change = f"accuracy from {with_interval(every)} to {with_interval(kept)}"
    if kept.low > every.value:
        return f"give the least confident 10 % of the predictions to a person: that raises {change}"
    return f"leaving out the least confident 10 % of the predictions is no clear gain: {change}"


def rescale(found: ColorMatchResult | None, *, mark: str = "") -> str:
    """Whether to rescale scenes to the rendering of the training data."""
    if found is None:
        return ""
    effect = (
        f"under the surface shift (severity 5) {with_interval(found.before)} of {found.n:,} patches{mark} are "
        f"right as they are and {with_interval(found.after)} rescaled, {points_more(found.gain)}"
    )
    if found.gain.low > 0:
        otherwise = points_more(found.clean_gain) if found.clean_changed else "it changes nothing"
        return f"for scenes in another rendering, --rescale auto: {effect}; without a shift {otherwise}"
    return f"--rescale auto is no clear gain: {effect}"


def labels(errors: ErrorAnalysis | None, *, classes: int) -> str:
    """Which classes' labels to collect and check first: those clearly worse than the rest."""
    if errors is None or not errors.errors:
        return ""
    n, wrong = errors.n, errors.errors
    chosen = []
    for weak in errors.weakest:
        own, missed = weak.scores.recall.n, sum(weak.predicted.values())
        # One of many classes is worst by chance: the level is divided by their number (Bonferroni).
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
        f"with all of these right, accuracy would go from {with_interval(now)} to {with_interval(best)} at most"
    )


def key_points(found: Findings) -> list[Point]:
    """The verdict in three to six lines of one number each; intervals stand in small print.

    Patches that the model has seen first, where there are any; then the score, as a strength or a failure; what it
    fails at most (a pair of classes, and the shift of the pictures that costs most); the first reason for care;
    prediction sets that break their promise; and the first thing to do.
    """
    counts = found.score.tested or found.score
    unsure = reliability_of(found.score.tested) if found.score.tested else None
    candidates = [
        _seen_point(found.score.seen),
        _score_point(found),
        _pair_point(found.confused),
        _shift_point(found.robustness),
        None if found.score.seen.seen else _caveat_point(found),
        _sets_point(reliability_of(counts)),
        _next_point(found, counts, unsure),
    ]
    return [point for point in candidates if point is not None]


def _interval(value: Estimate, of: str) -> str:
    return f"95 % interval {percent(value)[1]}, {of}"


def _score_point(found: Findings) -> Point:
    score = found.score.tested or found.score
    name, value = next(iter(score.headline().items()))
    word, limit = score_word(value)
    beaten = all(lead.low > 0 for lead in _leads(score).values())
    good = found.score.tested is not None and beaten and limit > 0
    kind: Kind = "good" if good else "fails"
    told = word if beaten else "no better than a simple rule"
    return Point(
        kind,
        f"{display_name(name)}{found.score.seen.mark if score is found.score else ''} at {_what(score)}: {told}",
        percent(value)[0],
        _interval(value, f"{score.n:,} patches of the split '{score.split}'"),
    )


def _pair_point(confused: ConfusedClasses | None) -> Point | None:
    often = [pair for pair in confused.pairs if pair.n > 1] if confused else []
    if confused is None or not often:
        return None
    pair = often[0]
    where = f"split '{confused.split}'"
    return Point(
        "fails",
        f"of {pair.share.n:,} patches of {written(pair.truth)} are taken for {written(pair.predicted)}",
        f"{pair.n:,}",
        f"{percent(pair.share)[0]}, {_interval(pair.share, where)}",
    )


def _shift_point(robustness: RobustnessResult | None) -> Point | None:
    if robustness is None:
        return None
    clean = robustness.clean.accuracy
    last = {name: shift.severities[-1] for name, shift in robustness.shifts.items()}
    costly = {name: c for name, c in last.items() if c.accuracy.high < clean.low}
    if not costly:
        return None
    # Users meet another rendering first, so it is named before worse shifts.
    name = SHIFT if SHIFT in costly else min(costly, key=lambda n: costly[n].accuracy.value)
    worst = costly[name].accuracy
    return Point(
        "fails",
        f"accuracy under {shown(name)} at its strongest, from {percent(clean)[0]} without",
        percent(worst)[0],
        _interval(worst, f"{robustness.n:,} patches of the split '{robustness.split}'{robustness.seen.mark}"),
    )


def _seen_point(seen: SeenCount) -> Point | None:
    if not seen.seen:
        return None
    text = f"of {seen.patches:,} patches have been seen by the model: on them this is no test"
    return Point("beware", text, f"{seen.seen:,}", sentence(seen.remainder_sentence))


def _caveat_point(found: Findings) -> Point | None:
    score = found.score.tested or found.score
    if score.n < FEW:
        return Point("beware", f"patches were measured, fewer than {FEW}: read intervals before values", f"{score.n:,}")
    if score.ood is not None and score.ood.low > NOTABLE_OOD_SHARE:
        interval = _interval(score.ood, f"{score.ood.n:,} patches")
        return Point("beware", "of the patches are unlike the training data", percent(score.ood)[0], interval)
    if found.optimistic:
        value, interval = percent(next(iter(score.headline().values())))
        text = f"is more than to expect on new land: the split is {found.optimistic}"
        return Point("beware", text, value, f"95 % interval {interval} on these patches")
    if found.origin:
        return Point("beware", sentence(found.origin))
    if not score.seen.known:
        return Point("beware", sentence(score.seen.sentence))
    return None


def _sets_point(reliability: Reliability | None) -> Point | None:
    """The prediction sets that fall furthest short of what they promise."""
    if reliability is None or not reliability.broken:
        return None
    level, sets = next(iter(reliability.broken.items()))
    found = sets.coverage
    text = f"of the prediction sets contain the true class: clearly fewer than the {level_percent(level)} they promise"
    return Point("beware", text, percent(found)[0], _interval(found, f"{found.n:,} patches"))


def _next_point(found: Findings, counts: Evaluation, reliability: Reliability | None) -> Point | None:
    match = found.color_match
    if match is not None and match.gain.low > 0:
        return Point(
            "next",
            "of accuracy by --rescale auto, on scenes in another rendering",
            f"{100 * match.gain.value:+.1f} points",
            f"95 % interval {100 * match.gain.low:+.1f} to {100 * match.gain.high:+.1f} points, {match.n:,} patches "
            "under the surface shift",
        )
    kept = reliability.selective.accuracy.get(KEPT) if reliability else None
    if kept is not None and isinstance(counts, SingleLabelEvaluation | BinaryEvaluation):
        every = counts.accuracy
        if kept.low > every.value:
            return Point(
                "next",
                f"accuracy instead of {percent(every)[0]} if a person takes the least confident 10 %",
                percent(kept)[0],
                _interval(kept, f"{kept.n:,} patches"),
            )
    text = labels(found.errors, classes=len(getattr(found.score, "per_class", ())) or 2)
    if text and found.errors is not None:
        return Point("next", sentence(text.split(":")[0]))
    if found.errors is not None and found.errors.errors:
        n = found.errors.errors
        return Point(
            "next", "to look at: some may be wrong labels (swath label-issues)", counted(n, "mistake", "mistakes")
        )
    return None
