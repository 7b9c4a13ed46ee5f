"""Which word a number earns, and how numbers stand in a sentence."""

from __future__ import annotations

from collections.abc import Sequence

from swath.evaluation.results import FEW
from swath.evaluation.wording import percent, points
from swath.model.record import Estimate

# A word is earned by the lower end of an interval: few patches never flatter.
SCORES = ((0.95, "very good"), (0.85, "good"), (0.70, "fair"), (0.0, "poor"))
LOWEST = "70 %"  # of the last word above poor
WEAK = 0.85  # F1 of a class that is not clearly reached: the class is named
HONEST, DISHONEST = 0.02, 0.05  # calibration error clearly at most, or clearly above
STRANGE = 0.05  # share of patches unlike the training data, clearly above
BLIND = 0.20  # confidence above accuracy


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
