"""What to try next: what helped in the measurements at hand, and what was tried without a clear gain.

Every function returns one sentence with its numbers, or an empty string where there is nothing to say.
"""

from __future__ import annotations

from swath.evaluation.intervals import proportion
from swath.evaluation.results import BinaryEvaluation, Evaluation, SingleLabelEvaluation
from swath.evaluation.run_report.findings import Confused
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


def labels(confused: Confused | None) -> str:
    """Whose labels to collect and check first."""
    if confused is None or not confused.errors or len(confused.weakest) < 2:
        return ""
    n, wrong = confused.n, confused.errors
    missed = sum(sum(w.called.values()) for w in confused.weakest)
    held = sum(w.scores.recall.n for w in confused.weakest)
    share = proportion(missed, wrong)
    # More than their patches' share of the mistakes: else more labels of any class do as well.
    if share.low <= held / n:
        return ""
    names = listed([written(w.name) for w in confused.weakest])
    part = f"{100 * held / n:.0f} % of the patches of the split '{confused.split}'"
    now, best = proportion(n - wrong, n), proportion(n - wrong + missed, n)
    return (
        f"collect and check labels of {names} first: they hold {with_interval(share)} of {wrong} mistakes but {part}; "
        f"with all of theirs right, accuracy would go from {with_interval(now)} to {with_interval(best)} at most"
    )
