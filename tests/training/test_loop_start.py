"""A network that began whole may stay as it began, or keep a share of it."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from swath.errors import SettingError
from swath.model import read_model
from swath.model.card import model_card
from swath.training.batches import Patches

from .runs import small_fit, small_recipe, small_train, some


class Stop(Exception):
    pass


@pytest.fixture(scope="module")
def start(trained):
    return trained.model.parent / "weights.safetensors"


def misled(n=12):
    """Patches that teach something wrong."""
    patches = some(n)
    return Patches(patches.pixels, np.roll(patches.labels, n))


def recipe(start, *changes):
    return small_recipe(f"weights={start}", "optimizer.lr=0.02", *changes)


def is_start(network, start):
    held = load_file(start)
    return all(torch.equal(value, held[name]) for name, value in network.state_dict().items() if name in held)


def test_what_teaches_nothing_leaves_the_start_as_it_was(start, tmp_path, caplog):
    seen = []
    fitted = small_fit(tmp_path, recipe(start), train=misled(), on_epoch=seen.append)
    assert [row["epoch"] for row in fitted.history] == [0, 1, 2, 3]
    assert [row["epoch"] for row in seen] == [0, 1, 2, 3]
    assert np.isnan(fitted.history[0]["train_loss"])
    assert fitted.kept == 0
    assert is_start(fitted.network, start)
    assert fitted.facts.untouched
    (line,) = [m for m in caplog.messages if "stay as they are" in m]
    assert f"weights.safetensors stay as they are: {100 * fitted.history[0]['val_accuracy']:.1f} % on val" in line
    assert "keep_start=false" in line


@pytest.mark.parametrize("step", [1, 4, 7])
def test_an_interrupted_fit_returns_to_the_start_too(start, tmp_path, step):
    def stop(stage, done, total, *, note=""):
        if done == step:
            raise Stop

    with pytest.raises(Stop):
        small_fit(tmp_path, recipe(start), train=misled(), progress=stop)
    fitted = small_fit(tmp_path, recipe(start), train=misled())
    assert [row["epoch"] for row in fitted.history] == [0, 1, 2, 3]
    assert fitted.kept == 0
    assert is_start(fitted.network, start)


def test_what_is_better_by_more_than_chance_replaces_the_start(start, tmp_path):
    val = some(4, seed=1)
    wanted = Patches(val.pixels, np.roll(val.labels, 4))
    fitted = small_fit(tmp_path, recipe(start, "epochs=12"), train=misled(), val=wanted)
    assert fitted.history[0]["val_accuracy"] < 0.5 < fitted.history[fitted.kept]["val_accuracy"]
    assert fitted.kept > 0
    assert not is_start(fitted.network, start)
    assert not fitted.facts.untouched


def test_who_wants_the_trained_network_gets_it(start, tmp_path):
    fitted = small_fit(tmp_path, recipe(start, "keep_start=false"), train=misled())
    assert [row["epoch"] for row in fitted.history] == [1, 2, 3]
    assert not is_start(fitted.network, start)


def test_a_start_of_other_classes_is_no_candidate(start, tiny_index, tmp_path):
    others = tiny_index.with_columns({"label": [f"my {name}" for name in tiny_index.labels]})
    made = small_train(others, tmp_path / "run", recipe(start, "epochs=1"))
    assert [row["epoch"] for row in made.history] == [1]


def test_a_frozen_start_is_one_with_features_computed_once(start, tmp_path):
    frozen = ["freeze.epochs=all", "augmentation={flips: false, transpose: false, shift: 0}"]
    fitted = small_fit(tmp_path, recipe(start, *frozen, "optimizer={name: adamw, lr: 0.1}"), train=misled())
    assert (fitted.kept, fitted.history[0]["epoch"]) == (0, 0)
    assert is_start(fitted.network, start)


def test_the_run_and_the_record_say_that_the_start_was_kept(start, tiny_index, tmp_path):
    made = small_train(tiny_index, tmp_path / "run", recipe(start, "optimizer.lr=0.000001", "optimizer.adamw_lr=1e-9"))
    with (tmp_path / "run" / "history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["epoch"], row["kept"]) for row in rows] == [("0", "1"), ("1", "0"), ("2", "0"), ("3", "0")]
    assert "3 epochs" in repr(made)
    file = read_model(made.model)
    record = file.record
    assert "the weights as they came from weights.safetensors" in model_card(file)
    assert record.started_from["untouched"] is True
    assert "whole" not in record.started_from
    assert is_start(made.network(), start)


def test_a_share_of_the_start_stays(start, tmp_path):
    trained, mixed, began = (
        small_fit(tmp_path / "trained", recipe(start, "keep_start=false")).network.state_dict(),
        small_fit(tmp_path / "mixed", recipe(start, "keep_start=false", "start_share=0.25")).network.state_dict(),
        load_file(start),
    )
    for name, value in mixed.items():
        if value.is_floating_point() and "running" not in name:
            torch.testing.assert_close(value, 0.75 * trained[name] + 0.25 * began[name], msg=name)
    statistics = [name for name in mixed if "running_var" in name]
    assert statistics
    for name in statistics:
        assert not torch.equal(mixed[name], 0.75 * trained[name] + 0.25 * began[name]), "measured again"
        assert (mixed[name] > 0).all()


def test_an_interrupted_fit_keeps_the_same_share(start, tmp_path):
    def stop(stage, done, total, *, note=""):
        if done == 7:
            raise Stop

    settings = recipe(start, "keep_start=false", "start_share=0.5")
    whole = small_fit(tmp_path / "whole", settings).network.state_dict()
    with pytest.raises(Stop):
        small_fit(tmp_path / "parts", settings, progress=stop)
    parts = small_fit(tmp_path / "parts", settings).network.state_dict()
    assert all(torch.equal(value, parts[name]) for name, value in whole.items())


def test_a_share_of_nothing_is_refused(tmp_path):
    with pytest.raises(SettingError, match=r"start_share=0\.5 .* begins with none.*or leave it out"):
        small_fit(tmp_path, small_recipe("start_share=0.5"))
