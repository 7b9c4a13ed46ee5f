"""The verdict: no sentence without its number, and no better word for worse numbers."""

from __future__ import annotations

import re
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swath.evaluation import BinaryEvaluation, measure_binary
from swath.evaluation.calibration import Conformal, measure_reliability
from swath.evaluation.errors.findings import ErrorAnalysis, confused_pairs, weakest_classes
from swath.evaluation.errors.slices import Slice
from swath.evaluation.intervals import proportion, proportion_difference
from swath.evaluation.metrics import measure, paired_average_precision
from swath.evaluation.results import BinaryBaseline, BinaryDifference
from swath.evaluation.robustness.measure import Condition, RobustnessResult, ShiftResult
from swath.evaluation.run_report import ColorMatchResult, Findings, Verdict, key_points, verdict
from swath.evaluation.run_report.verdict import (
    SCORES,
    ConfusedClasses,
    calibration_word,
    labels,
    score_word,
    worst_slice,
)
from swath.evaluation.seen import SeenCount
from swath.model.record import Estimate
from swath.pages.text import percent, points_more
from tests.evaluation.cases import answers, evaluation

NAMES = ("Forest", "River", "SeaLake")
RANKS = {word: place for place, (_, word) in enumerate(reversed(SCORES))}
INTERVAL = re.compile(r"\d\u2013\d|\d to [+-]?\d")


class Record:
    """What trust asks of a record."""

    task = "single-label"
    conformal: ClassVar[dict[str, float]] = {}


def condition(right: int, n: int, *, severity: int = 5, confidence: float = 0.9) -> Condition:
    return Condition(
        severity=severity,
        strength=f"level {severity}",
        accuracy=proportion(right, n),
        calibration_error=0.1,
        confidence=confidence,
        unsure=proportion(0, n),
    )


def stressed(**right: int) -> RobustnessResult:
    n = 200
    shifts = {
        name: ShiftResult(
            what=name, severities=(condition(k, n),), drop=Estimate(value=0.97 - k / n, low=0, high=1, n=n)
        )
        for name, k in right.items()
    }
    return RobustnessResult(
        model="tiny",
        split="val",
        engine="e",
        fingerprint="f",
        n=n,
        seen=SeenCount(patches=n),
        seed=0,
        clean=condition(194, n, severity=0),
        shifts=shifts,
        score=proportion(100, n),
        drop=proportion(90, n),
        skipped={},
        warnings=(),
    )


def confused(counts: list[list[int]]) -> ConfusedClasses:
    return ConfusedClasses("val", confused_pairs(np.array(counts, np.int64), NAMES))


def analyzed(counts: npt.ArrayLike, *slices: Slice) -> ErrorAnalysis:
    """Mistakes of a split, from its confusion matrix."""
    table = np.array(counts, np.int64)
    names = [f"class {k}" for k in range(len(table))]
    wrong = int(table.sum() - np.trace(table))
    return ErrorAnalysis(
        model="tiny",
        split="val",
        engine="e",
        fingerprint="f",
        trained_on="t",
        n=int(table.sum()),
        errors=wrong,
        seen=SeenCount(patches=int(table.sum())),
        accuracy=proportion(int(np.trace(table)), int(table.sum())),
        pairs=confused_pairs(table, names),
        weakest=weakest_classes(table, names, measure(table, names)),
        slices=slices,
        alike=(),
        warnings=(),
    )


def trusting(right: float, *, sure: float = 0.9, n: int = 1000):
    """An evaluation whose answers are all as sure, but for the wrong ones."""
    truth, predicted = answers(n, right=right)
    probabilities = np.full((n, 3), (1 - sure) / 2)
    probabilities[np.arange(n), predicted] = sure
    hit = truth == predicted
    probabilities[~hit] = 0.3
    probabilities[np.flatnonzero(~hit), predicted[~hit]] = 0.4
    found = evaluation(NAMES, n=n)
    reliability = measure_reliability(Record, truth, probabilities)  # type: ignore[arg-type]
    return found.model_copy(update={"reliability": reliability, "accuracy": proportion(int(hit.sum()), n)})


def color_match(gain: float) -> ColorMatchResult:
    return ColorMatchResult(
        split="val",
        n=200,
        before=proportion(60, 200),
        after=proportion(60 + round(200 * gain), 200),
        gain=Estimate(value=gain, low=gain - 0.05, high=gain + 0.05, n=200),
        clean_changed=False,
        clean_gain=Estimate(value=0, low=0, high=0, n=200),
        sentence="color_match",
    )


RICH = Findings(
    score=trusting(0.9),
    confused=confused([[60, 9, 1], [4, 66, 0], [0, 1, 69]]),
    robustness=stressed(surface=60, noise=30, gain=193),
    color_match=color_match(0.6),
    optimistic="optimistic: patches of one scene lie on both sides",
)


def rich() -> Verdict:
    return verdict(RICH)


def test_every_sentence_carries_a_number_and_its_interval():
    said = rich()
    assert list(said.parts) == ["Patches seen", "Good for", "Fails", "Beware", "Try next"]
    assert said.seen == ("The model has seen none of these 1,000 patches.",)
    sentences = [text for name, part in said.parts.items() for text in part if name != "Patches seen"]
    for text in sentences:
        assert INTERVAL.search(text), text
        assert text[0].isupper()
        assert text.endswith(".")
        assert not text.endswith("..")


def test_the_points_tell_good_and_bad_with_one_number_each():
    said = key_points(RICH)
    assert [point.kind for point in said] == ["good", "fails", "fails", "beware", "next"]
    assert [point.word for point in said] == ["Good for", "Fails at", "Fails at", "Beware", "Do next"]
    score, pair, shift, split, todo = said
    assert score.number == percent(RICH.score.accuracy)[0]
    assert score.text == "accuracy at separating 3 classes: good"
    assert (pair.number, pair.text) == ("9", "of 70 patches of Forest are taken for River")
    assert pair.small.startswith("12.9 %, 95 % interval ")
    assert shift.number == "30.0 %"
    assert shift.text == "accuracy under surface at its strongest, from 97.0 % without"
    assert split.number == score.number
    assert todo.number.endswith(" points")
    assert all(len(point.text) < 130 for point in said)


def test_patches_seen_come_before_every_number():
    score = trusting(0.99)
    seen = SeenCount(patches=1000, train=1000)
    first, second, *_ = key_points(Findings(score=score.model_copy(update={"seen": seen})))
    assert (first.kind, first.number) == ("beware", "1,000")
    assert second.kind == "fails"  # no strength is claimed of patches that the model has seen


def test_a_score_no_better_than_a_rule_is_no_strength():
    assert all(point.kind != "good" for point in key_points(Findings(score=trusting(0.4))))


@given(st.integers(1, 3000), st.data())
def test_worse_scores_never_earn_a_better_word(n, data):
    low, high = sorted((data.draw(st.integers(0, n)), data.draw(st.integers(0, n))))
    words = [score_word(proportion(k, n))[0] for k in (low, high)]
    assert RANKS[words[0]] <= RANKS[words[1]]


@given(st.integers(1, 500), st.floats(0, 1), st.integers(2, 20))
def test_fewer_patches_never_earn_a_better_word(n, share, times):
    few, many = proportion(round(share * n), n), proportion(times * round(share * n), times * n)
    assert RANKS[score_word(few)[0]] <= RANKS[score_word(many)[0]]


@given(st.floats(0, 0.5), st.floats(0, 0.1), st.floats(0, 0.4), st.sampled_from([12, 400]))
def test_worse_calibration_never_earns_a_better_word(value, half, worse, n):
    order = ("close", "rough", "far off")
    words = [
        calibration_word(Estimate(value=v, low=max(0, v - half), high=v + half, n=n)) for v in (value, value + worse)
    ]
    assert order.index(words[0]) <= order.index(words[1])


def test_a_dozen_sure_and_right_answers_do_not_show_calibration():
    words = [calibration_word(Estimate(value=0.005, low=0.003, high=0.007, n=n)) for n in (12, 400)]
    assert words == ["rough", "close"]


def test_a_poor_score_is_a_failure_and_nothing_is_called_good():
    poor = evaluation(n=400).model_copy(update={"accuracy": proportion(200, 400)})
    said = verdict(Findings(poor))
    assert not said.good
    assert said.fails[0].startswith("Separating 3 classes: poor")


def test_a_lead_that_is_not_clear_is_a_failure_however_high_the_score():
    found = evaluation(n=400).model_copy(update={"accuracy": proportion(399, 400)})
    base = found.baselines["majority"]
    level = Estimate(value=0.001, low=-0.01, high=0.012, n=400)
    tied = base.model_copy(update={"difference": base.difference.model_copy(update={"accuracy": level})})
    said = verdict(Findings(found.model_copy(update={"baselines": {"majority": tied}})))
    assert not said.good
    assert "not clearly better than always naming the commonest class" in said.fails[0]


def found_rarely(*, clear: bool) -> BinaryEvaluation:
    """Dumps, 5 % of the patches, well ranked; or no better than a rule ranks them."""
    random = np.random.default_rng(0)
    truth = random.random(2000) < 0.05
    scores = 1 / (1 + np.exp(3 - 4 * truth - random.normal(size=2000)))
    rule = np.zeros(2000) if clear else scores / 4
    names = ("other", "dump")
    difference = BinaryDifference(
        accuracy=Estimate(value=0.1, low=0.05, high=0.15, n=2000),
        average_precision=paired_average_precision(truth, scores, rule),
    )
    baseline = BinaryBaseline(**dict(measure_binary(truth, rule, threshold=0.5, names=names)), difference=difference)
    facts = evaluation().model_dump(include={"model", "split", "fingerprint", "trained_on", "protocol", "engine"})
    facts |= {"seen": SeenCount(patches=2000), "is_test": True}
    return BinaryEvaluation(
        **dict(measure_binary(truth, scores, threshold=0.4, names=names)) | facts,
        baselines={"majority" if clear else "color": baseline},
        absent_classes=(),
        warnings=(),
    )


def test_a_binary_model_leads_in_average_precision():
    (told,) = verdict(Findings(found_rarely(clear=True))).good
    assert "in average precision than always naming the commonest class" in told
    poor = verdict(Findings(found_rarely(clear=False)))
    assert not poor.good
    assert "not clearly better than a rule that sees colors alone (lead in average precision +0.0" in poor.fails[0]


@pytest.mark.parametrize(("n", "named"), [(40, True), (400, False)])
def test_few_patches_are_named(n, named):
    said = verdict(Findings(evaluation(n=n)))
    assert any(f"Only {n} patches" in text for text in said.caveats) == named


def test_a_shift_is_named_only_where_it_clearly_costs_and_surface_reflectance_first():
    said = verdict(Findings(evaluation(), robustness=stressed(noise=20, blur=30, haze=40, surface=150, gain=190)))
    (falls,) = [text for text in said.fails if "accuracy falls" in text]
    assert re.findall("noise|blur|haze|surface|gain", falls) == ["surface", "noise", "blur"]
    assert not verdict(Findings(evaluation(), robustness=stressed(gain=190))).fails[1:]


def test_suggestions_are_measured_or_left_out():
    nothing = verdict(Findings(evaluation()))
    assert nothing.attempts == ()
    helped = verdict(Findings(evaluation(), color_match=color_match(0.6)))
    assert "--rescale auto: under the surface shift" in helped.attempts[0]
    assert "60.0 points more (+55.0 to +65.0)" in helped.attempts[0]
    vain = verdict(Findings(evaluation(), color_match=color_match(0.01)))
    assert "no clear gain" in vain.attempts[0]


def test_abstaining_is_suggested_with_its_effect_only_where_it_clearly_helps():
    assert "raises accuracy from" in verdict(Findings(trusting(0.9))).attempts[0]
    blind = trusting(0.9)
    same = blind.reliability.selective.model_copy(update={"accuracy": {"0.90": blind.accuracy}})
    reliability = blind.reliability.model_copy(update={"selective": same})
    assert "no clear gain" in verdict(Findings(blind.model_copy(update={"reliability": reliability}))).attempts[0]


def promised(level: str, contained: int, n: int = 1000) -> Findings:
    """A model whose prediction sets of one level contain the true class so often."""
    found = trusting(0.9, n=n)
    sets = Conformal(
        quantile=0.5, coverage=proportion(contained, n), size=Estimate(value=1, low=1, high=1, n=n), empty=0, single=1
    )
    reliability = found.reliability.model_copy(update={"conformal": {level: sets}})
    return Findings(found.model_copy(update={"reliability": reliability}))


def test_prediction_sets_that_contain_the_truth_less_often_than_promised_are_told():
    short = promised("0.90", 870)
    (told,) = verdict(short).caveats
    assert told.startswith("Its prediction sets contain the true class clearly less often than they promise: 87.0 % (")
    assert told.endswith(" of the 90 % sets.")
    (point,) = [point for point in key_points(short) if point.kind == "beware"]
    assert point.number == "87.0 %"
    assert point.text.endswith("the 90 % they promise")
    for kept in (promised("0.90", 890), promised("0.90", 930), promised("0.80", 870)):
        assert not verdict(kept).caveats
        assert all(point.kind != "beware" for point in key_points(kept))


def test_labels_are_asked_for_where_classes_hold_more_than_their_share_of_mistakes():
    one = analyzed([[40, 30, 0], [0, 70, 0], [0, 0, 700]])
    (asked,) = verdict(Findings(evaluation(), errors=one)).attempts
    # All 30 mistakes are patches of the first class; of 840 patches 810 are right and could be 840.
    assert "labels of class 0 first: it holds 100.0 %" in asked
    assert "from 96.4 % (" in asked
    assert "to 100.00 % (" in asked
    even = analyzed([[60, 5, 5], [5, 60, 5], [5, 5, 60]])
    assert verdict(Findings(evaluation(), errors=even)).attempts == ()


def test_the_weakest_of_classes_that_are_alike_is_no_advice():
    random, told = np.random.default_rng(0), 0
    for _ in range(200):
        truth = np.repeat(np.arange(20), 50)
        said = np.where(random.random(1000) < 0.03, random.integers(0, 20, 1000), truth)
        table = np.zeros((20, 20), np.int64)
        np.add.at(table, (truth, said), 1)
        told += bool(labels(analyzed(table), classes=20))
    assert told <= 20  # at most one in twenty is meant; naming the three weakest of them told 69 %


def test_a_slice_is_blamed_only_for_what_its_classes_do_not_explain():
    def dark(expected: float) -> Slice:
        return Slice(
            by="brightness",
            name="lowest quarter",
            accuracy=proportion(127, 200),
            difference=proportion_difference(127, 200, 780, 800),
            expected=expected,
            p=1e-9,
            corrected=1e-8,
        )

    table = [[600, 40], [53, 307]]
    assert worst_slice(analyzed(table, dark(0.635))) == ""
    told = worst_slice(analyzed(table, dark(0.95)))
    assert "it is worse in the lowest quarter of brightness: " in told
    assert "of 200 patches of the split 'val'" in told
    assert told.endswith("its classes alone would give 95.0 %")


def test_words_for_differences():
    assert points_more(Estimate(value=0.123, low=0.1, high=0.14, n=9)) == "12.3 points more (+10.0 to +14.0)"
    assert points_more(Estimate(value=-0.2, low=-0.3, high=-0.1, n=9)) == "20.0 points fewer (-30.0 to -10.0)"
