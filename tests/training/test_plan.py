from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swath.data import build_index, split_index
from swath.training import choose_recipe, load_recipe, recipe_for, recipe_names
from swath.training.plan import (
    BATCH,
    FEW,
    MANY,
    STEPS,
    note_cost,
    steps_per_epoch,
    with_enough_steps,
    with_network_of_start,
)
from swath.weights import network_of_weights
from tests.tiny import write_patches

from .runs import small_train


def steps_of(recipe, patches):
    return recipe.epochs * steps_per_epoch(patches, recipe.batch_size)


def relabeled(index):
    """The same patches under names of their own."""
    return index.with_columns({"label": [f"my {name}" for name in index.labels]})


@pytest.mark.parametrize(
    ("patches", "options", "name"),
    [
        (40, {}, "few"),
        (FEW - 1, {}, "few"),
        (200, {"known": True}, "refine"),
        (FEW, {"known": True}, "fast"),
        (FEW, {}, "fast"),
        (200, {"start": False}, "quickstart"),
        (16_200, {}, "fast"),
        (MANY, {"short": True, "start": False}, "flash"),
        (MANY - 1, {"short": True, "start": False}, "quickstart"),
    ],
)
def test_the_number_of_patches_names_the_recipe(patches, options, name):
    choice = choose_recipe(patches, **options)
    assert choice.name == name
    assert f"{patches:,}" in str(choice)
    load_recipe(choice.name)


@given(st.integers(2, 30_000), st.sampled_from([name for name in recipe_names() if load_recipe(name).min_steps > 1]))
def test_no_shipped_recipe_starves(patches, name):
    recipe = load_recipe(name)
    planned = with_enough_steps(recipe, patches)
    assert steps_of(planned, patches) >= recipe.min_steps == STEPS
    assert planned.epochs >= recipe.epochs
    assert planned.batch_size == recipe.batch_size or planned.batch_size >= min(BATCH, recipe.batch_size)
    if steps_of(recipe, patches) >= STEPS:
        assert planned == recipe


@pytest.mark.parametrize(
    ("name", "side", "times"), [("few", 256, 16), ("few", 128, 4), ("refine", 512, 64), ("fast", 256, 9)]
)
def test_large_patches_are_said_to_cost_what_they_do(name, side, times, caplog):
    note_cost(load_recipe(name), side)
    (line,) = caplog.messages
    assert f"patches of {side} px take about {times} times as long as the 64 px" in line
    assert "--set size=64" in line


@pytest.mark.parametrize(
    ("recipe", "side"),
    [
        (load_recipe("few"), 64),
        (load_recipe("few"), 120),
        (load_recipe("few", size=256), 256),  # somebody chose it
        (load_recipe("mobilenetv2-finetune"), 256),  # shown at 96
        (load_recipe("fast", augmentation={"crop_until": 1}), 256),
    ],
)
def test_nothing_is_said_of_the_size_where_there_is_nothing_to_say(recipe, side, caplog):
    note_cost(recipe, side)
    assert caplog.messages == []


def test_a_longer_run_is_said_in_one_line(caplog):
    planned = with_enough_steps(load_recipe("fast"), 200)
    assert (planned.epochs, planned.batch_size) == (100, 32)
    (line,) = caplog.messages
    assert "200 patches would be 26 optimizer steps" in line
    assert "100 epochs in batches of 32 instead of 26 in batches of 256 make 600" in line


def test_epochs_that_are_given_stay_and_few_steps_are_warned_of(caplog):
    for recipe in (load_recipe("fast", epochs=26), load_recipe("fast", changes=["epochs=26"])):
        assert with_enough_steps(recipe, 200) == recipe
    assert "26 optimizer steps (26 epochs) are few" in caplog.messages[0]
    assert with_enough_steps(load_recipe("fast", epochs=26, min_steps=600), 200).epochs == 100


def test_short_recipes_are_short_on_purpose(caplog):
    assert with_enough_steps(load_recipe("flash"), MANY) == load_recipe("flash")
    assert with_enough_steps(load_recipe("linear-probe"), 200) == load_recipe("linear-probe")
    assert not caplog.messages


def test_a_run_takes_the_steps_and_its_history_and_recipe_say_so(tiny_index, tmp_path):
    recipe = load_recipe("fast", network={"stem": 8, "widths": [16, 16]}, precision="fp32", size=32)
    recipe = recipe.model_copy(update={"epochs": 1, "min_steps": 4})
    seen = set()

    def progress(stage, done, total, *, note=""):
        if stage == "training":
            seen.add(total)

    result = small_train(tiny_index, tmp_path / "run", recipe, progress=progress)
    assert len(result.history) == 2  # of 72 patches in batches of 32
    assert seen == {4}
    assert load_recipe(tmp_path / "run" / "recipe.yaml").epochs == 2


def test_an_index_of_few_patches_starts_from_the_shipped_model(tiny_index, tmp_path):
    assert recipe_for(tiny_index).name == "refine"  # whose classes it knows
    assert recipe_for(relabeled(tiny_index)).name == "few"
    assert recipe_for(relabeled(tiny_index), changes=["weights=eurosat"]).name == "few"
    assert recipe_for(tiny_index, changes=["weights=none"]).name == "quickstart"
    assert recipe_for(tiny_index, changes=["network={name: resnet18}"]).name == "quickstart"
    other = recipe_for(tiny_index, changes=["bands=[red]"])
    assert other.name == "quickstart"
    assert "other bands" in other.reason


def test_patches_smaller_than_the_network_takes_are_learned_from_scratch(tmp_path):
    index = split_index(build_index(write_patches(tmp_path / "p", n=10, size=12)))
    choice = recipe_for(index)
    assert choice.name == "quickstart"
    assert "16 pixels" in choice.reason


def test_the_network_is_that_of_the_weights(caplog):
    recipe, start = with_network_of_start(load_recipe("fast", weights="eurosat")), network_of_weights("eurosat")
    assert (recipe.network.name, recipe.network.stem, recipe.network.widths) == (start.name, start.stem, start.widths)
    assert f"the network is that of the weights eurosat: {start.name}, stem {start.stem}" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.INFO):
        few = load_recipe("few")
        assert with_network_of_start(few) == few
        scratch = load_recipe("fast")
        assert with_network_of_start(scratch) == scratch
    assert not caplog.messages


def test_patches_that_the_shipped_model_has_seen_are_learned_from_scratch():
    choice = recipe_for(build_index("eurosat-mini"))
    assert choice.name == "quickstart"
    assert "the shipped model has seen 200 of the 200 val patches" in str(choice)
