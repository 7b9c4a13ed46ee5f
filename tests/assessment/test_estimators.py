"""Estimates from stratified samples: the papers' examples to the last digit, censuses, and what must add up."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swath.assessment.estimators import StratifiedSample, measure_difference, measure_map
from swath.errors import DataError

# Olofsson et al. 2014, Remote Sensing of Environment 148, 42-57: a change map of 10,000,000 pixels of 30 m.
CHANGES = ("deforestation", "forest gain", "stable forest", "stable non-forest")
COUNTS = np.array([[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]])
PIXELS = np.array([200_000, 150_000, 3_200_000, 6_450_000])
HECTARES = 0.09


def from_counts(counts: Any, areas: Any, classes: tuple[str, ...], **more: Any) -> StratifiedSample:
    """A sample with the map's classes as strata, from its error matrix."""
    counts = np.asarray(counts)
    mapped, reference = np.nonzero(counts)
    times = counts[mapped, reference]
    mapped, reference = np.repeat(mapped, times), np.repeat(reference, times)
    return StratifiedSample(
        classes, stratum=mapped, mapped=mapped, reference=reference, areas=np.asarray(areas, float), **more
    )


def test_the_example_of_olofsson_2014_to_its_last_digit() -> None:
    found = measure_map(from_counts(COUNTS, PIXELS, CHANGES, pixels=PIXELS))
    total = PIXELS.sum() * HECTARES
    users = [(f"{c.users.value:.2f}", f"{c.users.margin:.2f}") for c in found.per_class.values()]
    producers = [(f"{c.producers.value:.2f}", f"{c.producers.margin:.2f}") for c in found.per_class.values()]
    areas = [(f"{total * c.area.value:,.0f}", f"{total * c.area.margin:,.0f}") for c in found.per_class.values()]
    assert users == [("0.88", "0.07"), ("0.73", "0.10"), ("0.93", "0.04"), ("0.96", "0.02")]
    assert producers == [("0.75", "0.21"), ("0.85", "0.25"), ("0.93", "0.03"), ("0.96", "0.02")]
    assert areas == [("21,158", "6,158"), ("11,686", "3,756"), ("285,770", "15,510"), ("581,386", "16,282")]
    assert (f"{found.overall.value:.2f}", f"{found.overall.margin:.2f}") == ("0.95", "0.02")
    assert (np.array(found.counts) == COUNTS).all()


def test_the_example_of_the_docs_prints_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    page = Path(__file__).parents[2] / "docs" / "assessment.md"
    (code,) = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    exec(code, {})
    printed = capsys.readouterr().out.splitlines()
    said = [line.rpartition("  # ")[2] for line in code.splitlines() if line.startswith("print")]
    assert [line.partition(", as in")[0] for line in said] == printed


def stehman() -> StratifiedSample:
    """Stehman 2014, Int. J. Remote Sens. 35, 4923-4939: 40 points in four strata that are not the map's classes."""
    strata = "A" * 10 + "B" * 10 + "C" * 10 + "D" * 10
    mapped = "A" * 7 + "BBB" + "A" + "B" * 11 + "C" * 6 + "BB" + "D" * 10
    reference = "AAAAACBABC" + "ABBBBBAABB" + "CCCCCDDBBA" + "DDDDDDDCCB"
    numbers = [np.array(["ABCD".index(letter) for letter in text]) for text in (strata, mapped, reference)]
    areas = np.array([40_000.0, 30_000, 20_000, 10_000])
    return StratifiedSample(
        tuple("ABCD"),
        stratum=numbers[0],
        mapped=numbers[1],
        reference=numbers[2],
        areas=areas,
        pixels=areas.astype(int),
    )


def test_the_example_of_stehman_2014() -> None:
    found = measure_map(stehman())
    values = [found.per_class["A"].area, found.per_class["C"].area, found.overall]
    values += [found.per_class["B"].users, found.per_class["B"].producers]
    assert [f"{estimate.value:.3f}" for estimate in values] == ["0.350", "0.200", "0.630", "0.574", "0.794"]
    assert found.matrix[1][2] == pytest.approx(0.08)


@pytest.mark.parametrize("k", range(4))
def test_standard_errors_are_those_of_stehmans_equations(k: int) -> None:
    """Equations 25 and 28, written out with variances and covariances of the indicators."""
    sample = stehman()
    mapped, size = sample.mapped[0], sample.share * 100_000

    def ratio_error(y: Any, x: Any) -> float:
        within = [sample.stratum == h for h in range(4)]
        below = sum(n * x[h].mean() for n, h in zip(size, within, strict=True))
        ratio = sum(n * y[h].mean() for n, h in zip(size, within, strict=True)) / below
        parts = [
            n**2 * (np.var(y[h], ddof=1) + ratio**2 * np.var(x[h], ddof=1) - 2 * ratio * np.cov(y[h], x[h])[0, 1]) / 10
            for n, h in zip(size, within, strict=True)
        ]
        return float(np.sqrt(sum(parts)) / below)

    here, there, all_ = (part.astype(float) for part in (mapped == k, sample.reference == k, mapped >= 0))
    found = measure_map(sample).per_class["ABCD"[k]]
    assert found.users.se == pytest.approx(ratio_error(here * there, here))
    assert found.producers.se == pytest.approx(ratio_error(here * there, there))
    assert found.area.se == pytest.approx(ratio_error(there, all_))


def test_a_census_is_the_truth() -> None:
    """All pixels of three classes, of different sizes on the ground."""
    random = np.random.default_rng(0)
    mapped, reference = random.integers(0, 3, 400), random.integers(0, 3, 400)
    ground = random.uniform(1, 2, 400)
    found = measure_map(
        StratifiedSample(
            ("a", "b", "c"),
            stratum=mapped,
            mapped=mapped,
            reference=reference,
            areas=np.bincount(mapped, ground),
            pixels=np.bincount(mapped),
            weights=ground,
        )
    )
    assert found.overall.value == pytest.approx(ground[mapped == reference].sum() / ground.sum())
    for k, scores in enumerate(found.per_class.values()):
        for estimate, part, whole in (
            (scores.area, reference == k, mapped >= 0),
            (scores.users, (reference == k) & (mapped == k), mapped == k),
            (scores.producers, (reference == k) & (mapped == k), reference == k),
        ):
            assert estimate.value == pytest.approx(ground[part].sum() / ground[whole].sum())
            assert estimate.se == 0
            assert estimate.low == estimate.high == estimate.value


matrices = st.lists(st.lists(st.integers(0, 9), min_size=3, max_size=3), min_size=3, max_size=3).filter(
    lambda rows: all(map(sum, rows))
)


@given(matrices, st.lists(st.floats(0.001, 1e6), min_size=3, max_size=3))
def test_parts_add_up_whatever_the_sample(counts: list[list[int]], areas: list[float]) -> None:
    found = measure_map(from_counts(counts, areas, ("a", "b", "c")))
    assert np.sum(found.matrix) == pytest.approx(1)
    assert sum(scores.area.value for scores in found.per_class.values()) == pytest.approx(1)
    assert [scores.mapped for scores in found.per_class.values()] == pytest.approx(np.array(areas) / sum(areas))
    assert found.overall.value == pytest.approx(np.trace(found.matrix))
    for scores in found.per_class.values():
        for estimate in (found.overall, scores.users, scores.producers, scores.area):
            assert 0 <= estimate.low <= estimate.value + 1e-12
            assert estimate.value - 1e-12 <= estimate.high <= 1
            assert estimate.n == 0 or estimate.high > estimate.low


def test_what_no_point_has_is_not_known() -> None:
    found = measure_map(from_counts([[5, 0, 0], [1, 4, 0], [3, 2, 0]], [1, 1, 1], ("a", "b", "c")))
    nothing = found.per_class["c"].producers
    assert (nothing.n, nothing.low, nothing.high) == (0, 0.0, 1.0)
    assert found.per_class["c"].area.value == 0
    assert 0 < found.per_class["c"].area.high < 0.5


def test_limits_know_of_errors_that_no_point_showed() -> None:
    """All 50 points of the large class agree, yet a little of it may be of the small one: that is much for that one."""
    found = measure_map(from_counts([[50, 0], [0, 50]], [1, 99], ("small", "large")))
    assert found.overall.value == 1
    assert 0.9 < found.overall.low < 0.98
    assert found.per_class["small"].producers.low < 0.5
    assert found.per_class["large"].producers.low > 0.99


def test_a_map_is_not_different_from_itself() -> None:
    one = from_counts(COUNTS, PIXELS, CHANGES)
    both = StratifiedSample(
        CHANGES, stratum=one.stratum, mapped=np.repeat(one.mapped, 2, axis=0), reference=one.reference, areas=PIXELS
    )
    found = measure_difference(both, 0, 1)
    assert found.overall.value == found.overall.se == 0
    assert -0.02 < found.overall.low <= 0 <= found.overall.high < 0.02
    assert all(estimate.value == 0 for estimate in (*found.users.values(), *found.producers.values()))


def test_pairing_is_worth_points() -> None:
    """Maps that err in the same places differ by little, and that is seen."""
    random = np.random.default_rng(1)
    truth = random.integers(0, 2, 400)
    first = np.where(random.random(400) < 0.8, truth, 1 - truth)
    second = np.where(random.random(400) < 0.05, 1 - first, first)
    sample = StratifiedSample(
        ("a", "b"), stratum=first, mapped=np.stack([first, second]), reference=truth, areas=np.array([1.0, 1.0])
    )
    found = measure_difference(sample, 0, 1).overall
    alone = [measure_map(sample, which=k).overall for k in (0, 1)]
    assert found.value == pytest.approx(alone[0].value - alone[1].value)
    assert found.high - found.low < 0.6 * (alone[0].high - alone[0].low)
    assert found.low < found.value < found.high


@pytest.mark.parametrize(
    ("areas", "weights"),
    [([1.0, 1, 1], None), ([1.0, 0], None), ([1.0, np.nan], None), ([1.0, 1], [1.0, 0]), ([1.0, 1], [1.0, np.inf])],
)
def test_sizes_are_positive_and_no_stratum_is_empty(areas: list[float], weights: list[float] | None) -> None:
    two = np.array([0, 1])
    with pytest.raises(DataError):
        StratifiedSample(
            ("a", "b"),
            stratum=two,
            mapped=two,
            reference=two,
            areas=np.array(areas),
            weights=None if weights is None else np.array(weights),
        )


def test_a_class_that_no_point_shows_may_be_on_another_map() -> None:
    """Where its classes are the strata the map is known everywhere; another map may show the class elsewhere."""
    truth = np.repeat([0, 1, 2], [30, 30, 6])
    mapped = np.stack([np.repeat([0, 1], [30, 36]), np.tile([0, 1], 33)])
    sample = StratifiedSample(
        ("a", "b", "c"), stratum=mapped[0], mapped=mapped, reference=truth, areas=np.array([1.0, 1.0])
    )
    own, other = (measure_map(sample, which=k).per_class["c"].producers for k in (0, 1))
    assert (own.value, own.low, own.high) == (0, 0, 0)
    assert (other.value, other.low) == (0, 0)
    assert 0.3 < other.high < 0.5  # Wilson's for 0 of 6


def test_a_class_that_no_point_is_mapped_as_may_be_on_a_map_that_is_not_known_everywhere() -> None:
    """Without strata, points that one class is mapped at do not say that the map has no other."""
    mapped, truth = np.zeros(30, np.intp), np.repeat([0, 1], [29, 1])
    for whole in (True, False):
        sample = StratifiedSample(
            ("a", "b"), stratum=mapped, mapped=mapped, reference=truth, areas=np.array([1.0]), whole=whole
        )
        found = measure_map(sample).per_class["b"].producers
        assert (found.value, found.low, found.n) == (0, 0, 1)
        assert found.high == 0 if whole else found.high > 0.5  # Wilson's for 0 of 1


def test_one_point_in_a_stratum_has_limits() -> None:
    found = measure_map(from_counts([[1, 0], [0, 30]], [1, 9], ("a", "b")))
    assert found.overall.se > 0
    assert found.per_class["a"].users.low < 0.5
