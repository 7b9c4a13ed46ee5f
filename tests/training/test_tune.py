from __future__ import annotations

import csv
import math

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from swath.errors import DataError, SettingError
from swath.training import load_recipe
from swath.training import tune as tuning
from swath.training.tune import place_of, tune

from .runs import small_fit, small_recipe


class Stop(Exception):
    pass


def table(out):
    with (out / "trials.csv").open() as file:
        return list(csv.DictReader(file))


def search(index, out, recipe=None, **options):
    given = {"trials": 3, "pruner": "none", "threads": 1} | options
    return tune(index, recipe or small_recipe("epochs=2"), out=out, **given)


@pytest.fixture(scope="module")
def searched(tiny_index, tmp_path_factory):
    """A search of three trials that was stopped in its second, taken up, and grew to five."""
    out = tmp_path_factory.mktemp("search") / "out"

    def stop(stage, done, total, *, note=""):
        # Seven steps a trial: 72 patches in batches of 16 are four an epoch.
        if stage == "training" and done > 4 and (out / "study.db").is_file():
            names = list((out / "running").iterdir())
            if len(seen | {n.name for n in names}) > 1 and any((n / "checkpoint.safetensors").exists() for n in names):
                raise Stop
            seen.update(n.name for n in names)

    seen: set[str] = set()
    with pytest.raises(Stop):
        search(tiny_index, out, progress=stop)
    left = [p.name for p in (out / "running").iterdir()]
    three = search(tiny_index, out)
    first = table(out)
    five = search(tiny_index, out, trials=5)
    return out, left, three, first, five


def test_a_search_leaves_its_files_and_nothing_else(searched):
    out, *_ = searched
    assert sorted(p.name for p in out.iterdir()) == [
        "best.yaml",
        "index.html",
        "parallel.svg",
        "study.db",
        "trials.csv",
    ]
    assert (out / "parallel.svg").read_text(encoding="utf-8").startswith("<svg")


def test_an_interrupted_search_tries_what_it_would_have_tried(searched, tiny_index, tmp_path):
    _, left, _, first, _ = searched
    assert len(left) == 1  # the trial in hand
    search(tiny_index, tmp_path / "whole")
    whole = table(tmp_path / "whole")
    told = ("trial", "ended", "val_accuracy", "optimizer.lr", "loss.label_smoothing", "augmentation.crop")
    first, whole = ([{name: row[name] for name in told} for row in rows] for rows in (first, whole))
    assert first == whole


def test_more_trials_are_added_to_those_there_are(searched):
    out, _, three, first, five = searched
    rows = table(out)
    assert (three.trials, five.trials, len(rows)) == (3, 5, 5)
    assert rows[:3] == first
    rates = [row["optimizer.lr"] for row in rows]
    assert len(set(rates)) == 5
    assert float(rates[0]) == small_recipe().optimizer.lr


def test_the_best_recipe_is_the_best_trial_and_can_be_loaded(searched):
    out, *_, five = searched
    rows = table(out)
    scores = [float(row["val_accuracy"]) for row in rows]
    best = load_recipe(str(five.best))
    row = rows[scores.index(max(scores))]
    assert five.score == pytest.approx(max(scores), abs=1e-5)
    assert five.start == pytest.approx(scores[0], abs=1e-5)
    assert best.optimizer.lr == pytest.approx(float(row["optimizer.lr"]), rel=1e-3)
    assert (best.augmentation.crop is not None) == (row["augmentation.crop"] == "True")
    assert best.epochs == 2


def test_the_sentence_says_that_the_score_is_optimistic_or_that_nothing_was_better(searched):
    *_, five = searched
    if five.score > five.start:
        assert "optimistic" in five.text
        assert f"{100 * five.score:.2f} % against {100 * five.start:.2f} % of 'fast'" in five.text
    else:
        assert five.text.startswith("None of 5 recipes tried beat 'fast'")


def test_a_search_from_another_recipe_is_refused_and_overwritten_if_asked(searched, tiny_index, tmp_path):
    out, *_ = searched
    before = (out / "trials.csv").read_bytes()
    with pytest.raises(DataError, match=r"another recipe, on other patches.*--overwrite"):
        search(tiny_index, out, small_recipe("epochs=1"))
    with pytest.raises(DataError, match="with other options"):
        search(tiny_index, out, seed=1)
    assert (out / "trials.csv").read_bytes() == before
    (tmp_path / "study.db").write_bytes(b"not a data base at all")
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(DataError, match="is not a search"):
        search(tiny_index, tmp_path, trials=1)
    result = search(tiny_index, tmp_path, trials=1, overwrite=True)
    assert "None of 1 recipes tried" in result.text
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_poor_trial_is_cut_short_and_a_diverging_one_is_told(tiny_index, tmp_path, monkeypatch):
    """The loop stands aside here: what is tried is how its end is taken."""
    calls = []

    class Scripted:
        def __init__(self, run, _initial):
            calls.append(run.identity)

        def fit(self, *, on_epoch):
            if len(calls) == 3:
                raise SettingError("the training loss is no longer a number in epoch 1")
            good = len(calls) == 1
            history = [{"epoch": e, "val_accuracy": (0.9 if good else 0.1) + e / 100} for e in (1, 2, 3)]
            for row in history:
                on_epoch(row)
            return type("Fitted", (), {"history": history, "kept": 2})

    monkeypatch.setattr(tuning, "TrainingLoop", Scripted)
    result = search(tiny_index, tmp_path, small_recipe(), trials=4, pruner="asha")
    ended = [row["ended"] for row in table(tmp_path)]
    assert ended == ["complete", "cut short", "failed", "cut short"]
    assert table(tmp_path)[2]["problem"].startswith("the training loss")
    assert result.score == pytest.approx(0.93)
    assert "2 of them cut short" in result.text
    assert load_recipe(str(result.best)) == small_recipe()


def test_a_recipe_that_does_not_train_at_all_is_its_own_message(tiny_index, tmp_path):
    with pytest.raises(SettingError, match="no longer a number"):
        search(tiny_index, tmp_path, small_recipe("optimizer.lr=1e30", "optimizer.adamw_lr=1e30"))


@pytest.mark.parametrize(
    ("options", "message"),
    [({"trials": 0}, "--trials 2"), ({"pruner": "hyper"}, "asha, median, none"), ({"threads": 0}, "--threads 1")],
)
def test_options_out_of_range(tiny_index, tmp_path, options, message):
    with pytest.raises(SettingError, match=message):
        search(tiny_index, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_optuna_keeps_quiet_and_is_left_as_it_was(tiny_index, tmp_path, capfd):
    before = optuna.logging.get_verbosity()
    search(tiny_index, tmp_path, small_recipe("epochs=1"), trials=2, pruner="median")
    assert optuna.logging.get_verbosity() == before
    assert capfd.readouterr() == ("", "")


def test_places_on_the_axes_follow_the_scale():
    assert place_of(FloatDistribution(0.01, 1.0, log=True), 0.1) == pytest.approx(0.5)
    assert place_of(FloatDistribution(0.0, 0.2), 0.05) == pytest.approx(0.25)
    assert place_of(IntDistribution(0, 8), 2) == pytest.approx(0.25)
    assert place_of(CategoricalDistribution([True, False]), False) == 1.0
    assert math.isclose(place_of(FloatDistribution(0.02, 0.5, log=True), 0.5), 1.0)


def test_the_loop_tells_each_epoch_after_its_checkpoint(tmp_path):
    rows = []

    def on_epoch(row):
        rows.append((row["epoch"], (tmp_path / "checkpoint.safetensors").exists()))
        if len(rows) == 2:
            raise Stop

    with pytest.raises(Stop):
        small_fit(tmp_path, on_epoch=on_epoch)
    assert rows == [(1, True), (2, True)]
    fitted = small_fit(tmp_path)
    assert [h["epoch"] for h in fitted.history] == [1, 2, 3]
