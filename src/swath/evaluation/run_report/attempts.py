"""What to try next: what helped in the measurements at hand, and what was tried without a clear gain.

Every function returns one sentence with its numbers, or an empty string where there is nothing to say.
"""

from __future__ import annotations

from swath.evaluation.errors import ErrorAnalysis
from swath.evaluation.errors.significance import fisher_exact
from swath.evaluation.errors.slices import LEVEL
from swath.evaluation.intervals import proportion
from swath.evaluation.results import BinaryEvaluation, Evaluation, SingleLabelEvaluation
from swath.evaluation.run_report.harmonised import Harmonised
from swath.evaluation.run_report.words import gained, listed, with_interval
from swath.evaluation.trust import Trust
from swath.explain.figures import written

KEPT = "0.90"  # share of answers kept when the unsure ones are left out


def abstain(score: Evaluation, trust: Trust | None) -> str:
    """Whether to leave unsure answers to a person."""
    if trust is None or not isinstance(score, SingleLabelEvaluation | BinaryEvaluation):
        return ""
    every, kept = score.accuracy, trust.selective.accuracy.get(KEPT)
    if kept is None or every.value == 1:
        return ""
    change = f"accuracy from {with_interval(every)} to {with_interval(kept)}"
    if kept.low > every.value:
        return f"give the least sure 10 % of the answers to a person: that raises {change}"
    return f"leaving out the least sure 10 % of the answers is no clear gain: {change}"


def harmonise(found: Harmonised | None) -> str:
    """Whether to match scenes to the training data."""
    if found is None:
        return ""
    effect = (
        f"under the atmosphere shift (all the way) {with_interval(found.before)} of {found.n:,} patches are right as "
        f"they are and {with_interval(found.after)} harmonised, {gained(found.gain)}"
    )
    if found.gain.low > 0:
        harm = (
            f"; without a shift {gained(found.clean_gain)}"
            if found.clean_changed
            else "; without a shift it left them alone"
        )
        return f"for scenes in another rendering, --harmonise auto: {effect}{harm}"
    return f"--harmonise auto is no clear gain: {effect}"


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
