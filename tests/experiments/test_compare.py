from __future__ import annotations

import csv
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from swath.errors import DataError
from swath.evaluation.metrics import paired_differences
from swath.evaluation.seen import SeenCount
from swath.experiments.catalog import Experiment
from swath.experiments.compare import experiment_chart, make_rows, paired_difference, paragraph, write_page, write_table
from swath.experiments.variants import Variant, VariantResult
from tests.drawings import both, outside
from tests.evaluation.cases import Page

TRUTH = np.arange(400) % 4


def answers(wrong, *, seed=0):
    """Answers of which this share is wrong."""
    rng = np.random.default_rng(seed)
    predicted = TRUTH.copy()
    rows = rng.permutation(len(TRUTH))[: round(wrong * len(TRUTH))]
    predicted[rows] = (predicted[rows] + 1) % 4
    return predicted


def result(name, wrong, *, against=None, seed=0, fraction=1.0, labels=100, draw_seed=0):
    variant = Variant(name, against=against, fraction=fraction)
    return VariantResult(variant, seed, TRUTH, answers(wrong, seed=draw_seed), 12.0, labels, 3)


QUESTION = Experiment("two", "Is one better?", ())


def test_one_seed_agrees_with_the_exact_test_and_the_paired_bootstrap():
    one, two = result("one", 0.2), result("two", 0.1, against="one", draw_seed=1)
    rows = make_rows([one, two])
    first_right, second_right = one.predicted == TRUTH, two.predicted == TRUTH
    only = int((second_right & ~first_right).sum()), int((first_right & ~second_right).sum())
    assert rows[1].p == pytest.approx(binomtest(only[0], sum(only)).pvalue)
    reference, _ = paired_differences(TRUTH, two.predicted, one.predicted, classes=4)
    assert rows[1].difference.value == pytest.approx(reference.value)
    assert rows[1].difference.low == pytest.approx(reference.low, abs=0.01)
    assert rows[1].difference.high == pytest.approx(reference.high, abs=0.01)
    wilson = binomtest(320, 400).proportion_ci(method="wilson")
    assert (rows[0].accuracy.low, rows[0].accuracy.high) == pytest.approx((wilson.low, wilson.high))
    assert rows[0].difference is None
    assert rows[0].sd is None


def test_several_seeds_are_averaged_and_told_by_their_interval():
    results = [result("one", 0.2, seed=s, draw_seed=s) for s in (0, 1)]
    results += [result("two", w, against="one", seed=s, draw_seed=9 + s) for s, w in ((0, 0.1), (1, 0.05))]
    _, row = make_rows(results)
    assert row.accuracies == pytest.approx((0.9, 0.95))
    assert row.accuracy.value == pytest.approx(0.925)
    assert row.sd == pytest.approx(np.std([0.9, 0.95], ddof=1))
    assert row.difference.value == pytest.approx(0.125)
    assert row.p is None
    assert row.clear
    assert "Means of 2 seeds" in paragraph(QUESTION, make_rows(results), patches=400)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_a_difference_lies_in_its_interval_and_turns_with_the_variants(pairs):
    first, second = np.array(pairs).T
    one, other = paired_difference([first], [second]), paired_difference([second], [first])
    assert one.low - 1e-12 <= one.value <= one.high + 1e-12 or len(pairs) < 8
    assert one.value == pytest.approx(-other.value)
    assert one.value == pytest.approx(first.mean() - second.mean())
    assert -1 <= one.low <= one.high <= 1


def test_what_is_compared_stands_after_what_it_is_compared_with():
    results = [result("a", 0.2), result("b", 0.2), result("c", 0.1, against="a"), result("d", 0.1, against="c")]
    assert [row.name for row in make_rows(results)] == ["a", "c", "d", "b"]


def test_answers_for_different_patches_are_never_paired():
    one, two = result("one", 0.2), result("two", 0.1, against="one")
    other = VariantResult(two.variant, 0, TRUTH[:200], two.predicted[:200], 1, 1, 1)
    with pytest.raises(DataError, match="'two' and 'one' answered for different patches"):
        make_rows([one, other])


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (0.02, "better than one (+18.0 points, "),
        (0.5, "worse than one (-30.0 points, "),
        (0.19, "no clear difference from one"),
    ],
)
def test_the_paragraph_says_what_the_numbers_hold(wrong, said):
    rows = make_rows([result("one", 0.2), result("two", wrong, against="one", draw_seed=5)])
    text = paragraph(QUESTION, rows, patches=400)
    assert said in text
    assert "one reaches 80.0 % (75.8 to 83.6) after 12 s of training" in text
    assert "400 patches" in text
    assert "One seed per variant" in text
    if wrong == 0.02:
        assert "p < 0.001" in text


def test_many_comparisons_are_counted_and_the_farthest_told():
    results = []
    for k, wrong in enumerate((0.2, 0.02, 0.1, 0.19, 0.5, 0.05, 0.03, 0.21)):
        results += [result(f"plain {k}", 0.2), result(f"other {k}", wrong, against=f"plain {k}", draw_seed=5 + k)]
    text = paragraph(QUESTION, make_rows(results), patches=400)
    assert text.count("reaches") == 1
    assert "Of 7 other comparisons 4 are clearly better, 1 clearly worse and 2 not clearly different" in text
    assert "at one end other 4 50.0 %" in text
    assert "at the other other 1 98.0 %" in text


def test_a_paragraph_without_a_comparison_speaks_of_none():
    text = paragraph(QUESTION, make_rows([result("one", 0.2)]), patches=400)
    assert "McNemar" not in text


def test_what_a_variant_has_seen_is_said_before_its_number():
    plain = replace(result("plain", 0.2), seen=SeenCount(patches=400))
    transfer = replace(result("transfer", 0.1, against="plain", draw_seed=1), seen=SeenCount(patches=400, train=90))
    text = paragraph(QUESTION, make_rows([plain, transfer]), patches=400)
    assert text.index("Transfer: 90 of 400 patches were trained on: this is no test.") < text.index("90.0 %")
    assert "(90 of 400 seen)" in text
    assert "no variant has seen" not in text
    assert "On 400 patches that no variant has seen:" in paragraph(QUESTION, make_rows([plain]), patches=400)


def test_the_table_holds_every_number(tmp_path):
    rows = make_rows([result("one", 0.2), result("two", 0.1, against="one", draw_seed=1)])
    write_table(tmp_path / "table.csv", rows)
    with (tmp_path / "table.csv").open() as file:
        one, two = csv.DictReader(file)
    assert (one["compared_with"], one["difference"], one["mcnemar_p"]) == ("", "", "")
    assert two["compared_with"] == "one"
    assert float(two["accuracy"]) == 0.9
    assert float(two["difference"]) == pytest.approx(0.1)
    assert float(two["mcnemar_p"]) == pytest.approx(rows[1].p, rel=0.01)


@pytest.mark.parametrize("across", ["fraction", "variant"])
def test_both_charts_hold_every_variant(across):
    results = [result(f"one, {f}", 0.3 - f / 10, fraction=f, labels=round(100 * f)) for f in (0.5, 1.0)]
    results += [result(f"two, {f}", 0.1, against=f"one, {f}", fraction=f, labels=round(100 * f)) for f in (0.5, 1.0)]
    chart = experiment_chart(Experiment("two", "Is one better?", (), across=across), make_rows(results))
    for drawing in both(chart):
        assert outside(drawing) == []
        if across == "variant":
            assert {row.variant.name for row in results} <= set(drawing.words)
        else:
            assert {"50", "100", "one", "two"} <= set(drawing.words)


def test_the_page_names_the_best_and_what_differs(tmp_path):
    rows = make_rows([result("one", 0.3), result("two", 0.05, against="one", draw_seed=1)])
    experiment = Experiment("two", "Is one better?", (), across="variant")
    write_page(tmp_path / "index.html", experiment, rows, "In words.", index="mine")
    page = Page((tmp_path / "index.html").read_text(encoding="utf-8"))
    for said in ("accuracy of 'two', the highest", "of accuracy: 'two' against 'one'", "p < 0.001", "In words."):
        assert said in page.text
