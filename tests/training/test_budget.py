from __future__ import annotations

import re

import pytest

from swath.errors import SettingError
from swath.training.budget import Budget, as_duration, parse_duration
from swath.training.loop import TrainingLoop
from swath.training.run import initialize_network

from .runs import small_recipe, small_run, some


class Clock:
    """A second passes at every look."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


class Paced(Clock):
    """Time passes with the batches of a training, ten seconds each."""

    def __call__(self) -> float:
        return self.now

    def step(self, stage, done, total, *, note=""):
        self.now += 10.0


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("20min", 1200), ("1h", 3600), ("1h 30min", 5400), ("1.5 H", 5400), ("2m", 120)]
)
def test_times_are_read(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "20", "soon", "0s", "-5min", "5 parsecs", "1h and more", "1e400s"])
def test_other_text_is_no_time(text):
    with pytest.raises(SettingError, match="no time to train for; give for example --budget 90s"):
        parse_duration(text)


@pytest.mark.parametrize("seconds", [0.4, 13, 119, 120, 1200, 3599, 5400, 86_400, 100_000])
def test_a_written_time_is_enough_when_read_again(seconds):
    assert parse_duration(as_duration(seconds)) >= seconds


def fit(folder, budget, *, epochs=40, clock=None, on_epoch=None):
    """40 epochs of 3 steps and a validation: 40 seconds each, by a clock that the test winds."""
    clock = clock or Paced()
    run = small_run(
        folder,
        small_recipe(f"epochs={epochs}"),
        budget=None if budget is None else Budget.of(budget, clock=clock),
        clock=clock,
        progress=clock.step,
    )
    return TrainingLoop(run, initialize_network(run)).fit(on_epoch=on_epoch)


def test_a_budget_plans_the_epochs_and_says_what_it_cut(tmp_path, caplog):
    fitted = fit(tmp_path, 1000)
    # 1,000 seconds less 15 for the export are 24 epochs of 40 seconds, less what may go wrong.
    assert 20 <= len(fitted.history) <= 24
    assert len(fitted.history) == fitted.epochs
    assert re.search(r"a budget of 17min is enough for 2\d of 40 epochs", caplog.text)
    assert sum(row["seconds"] for row in fitted.history) < 1000


def test_the_learning_rate_still_falls_to_its_end(tmp_path, monkeypatch):
    shares = []
    monkeypatch.setattr(TrainingLoop, "_set_rates", lambda self, step, total: shares.append(step / total))
    fit(tmp_path, 1000)
    assert shares[-1] > 0.95
    assert max(shares) < 1


def test_a_long_budget_changes_nothing(tmp_path, caplog):
    fitted = fit(tmp_path, 1e6, epochs=3)
    assert len(fitted.history) == 3
    assert "budget" not in caplog.text


def test_a_resumed_run_has_what_is_left_of_the_budget(tmp_path):
    class Stop(Exception):
        pass

    def stop(row):
        if row["epoch"] == 5:
            raise Stop

    with pytest.raises(Stop):
        fit(tmp_path, 1000, on_epoch=stop)
    fitted = fit(tmp_path, 1000)
    assert 20 <= len(fitted.history) <= 24


def test_a_tiny_budget_is_one_sentence(tmp_path):
    with pytest.raises(SettingError, match=r"a budget of 5s is too short: one epoch takes about \d+s") as caught:
        fit(tmp_path, 5)
    assert str(caught.value).count("\n") == 0
    needed = parse_duration(caught.value.fix.split()[2])
    assert len(fit(tmp_path / "again", needed).history) >= 1


def test_the_pace_is_known_before_the_first_epoch_ends(tmp_path):
    """Of long epochs the first steps are enough to refuse a budget that no epoch fits into."""
    clock = Paced()
    run = small_run(
        tmp_path,
        small_recipe("epochs=2", "batch_size=2"),
        train=some(20),
        budget=Budget.of(60, clock=clock),
        clock=clock,
        progress=clock.step,
    )
    with pytest.raises(SettingError, match="too short"):
        TrainingLoop(run, initialize_network(run)).fit()
    assert clock.now < 100  # of 400 seconds that one epoch takes


def test_time_before_the_first_step_counts():
    clock = Clock()
    budget = Budget.of(100, clock=clock)
    clock.now += 50
    assert budget.left(0) < 50
    assert budget.left(20) < 30
