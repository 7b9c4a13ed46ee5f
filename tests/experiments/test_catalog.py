from __future__ import annotations

import pytest

from swath.errors import SettingError
from swath.experiments import ExperimentSettings, experiment_names
from swath.experiments.catalog import make_experiment
from swath.experiments.compare import folder_name
from swath.training import load_recipe

OF_LABELS = ("scratch-vs-transfer", "learning-curve", "high-resolution-first")


@pytest.mark.parametrize("name", experiment_names())
@pytest.mark.parametrize("fractions", [None, (1, 0.001, 0.1, 0.1)])
def test_every_experiment_makes_variants_that_can_be_run_in_their_order(name, fractions):
    choices = ExperimentSettings(fractions=fractions if name in OF_LABELS else None, sizes=(64, 32, 64))
    experiment = make_experiment(name, choices)
    assert experiment.name == name
    assert experiment.question.endswith("?")
    before = set()
    for variant in experiment.variants:
        recipe = load_recipe(variant.recipe, changes=[*variant.changes, "seed=0"])
        assert recipe.epochs >= load_recipe(variant.recipe).epochs
        for other in (variant.against, variant.minutes_of, variant.pace_of, variant.shares, variant.weights_of):
            assert other is None or other in before
        before.add(variant.name)
    folders = {folder_name(variant.name) for variant in experiment.variants}
    assert len(folders) == len(before) == len(experiment.variants)
    assert all(set(f) <= set("abcdefghijklmnopqrstuvwxyz0123456789.-") and f[0] not in ".-" for f in folders)
    assert any(variant.against for variant in experiment.variants)


def test_fewer_labels_get_more_epochs_of_the_recipe_asked_for():
    variants = make_experiment(
        "learning-curve", ExperimentSettings(scratch="flash", fractions=(0.01, 0.25, 1))
    ).variants
    assert [load_recipe(a.recipe, changes=[*a.changes]).epochs for a in variants] == [30, 6, 3]
    assert [a.against for a in variants] == [None, "1 %", "25 %"]


@pytest.mark.parametrize("name", ["input-size", "preprocessing", "sensor-shift", "upsampling"])
def test_variants_compared_for_something_else_have_one_share_of_the_labels(name):
    asked = ExperimentSettings(fractions=(0.25,), transfer="linear-probe", sizes=(32, 64))
    for choices, share, more in ((ExperimentSettings(transfer="linear-probe"), 1, 1), (asked, 0.25, 2)):
        for variant in make_experiment(name, choices).variants:
            assert variant.fraction == share
            epochs = load_recipe(variant.recipe, changes=[*variant.changes]).epochs
            assert epochs == more * load_recipe(variant.recipe).epochs
    with pytest.raises(SettingError, match="takes one share of them; give --fractions"):
        make_experiment(name, ExperimentSettings(fractions=(0.1, 1)))


def test_changes_reach_every_variant_and_weights_the_transfer_variants_alone():
    choices = ExperimentSettings(fractions=(1,), changes=("epochs=1", "loss.label_smoothing=0"), weights="none")
    for name in experiment_names():
        for variant in make_experiment(name, choices).variants:
            recipe = load_recipe(variant.recipe, changes=[*variant.changes])
            assert (recipe.epochs, recipe.loss.label_smoothing) == (1, 0)
    scratch, transfer, _ = make_experiment("scratch-vs-transfer", choices).variants
    assert 'weights="none"' in transfer.changes
    assert not [change for change in scratch.changes if change.startswith("weights")]


def test_sensor_variants_are_compared_under_the_same_view():
    variants = {variant.name: variant for variant in make_experiment("sensor-shift", ExperimentSettings()).variants}
    for variant in variants.values():
        if variant.against:
            assert variants[variant.against].view == variant.view
            assert variants[variant.against].changes != variant.changes
        assert variant.shares is None or variants[variant.shares].changes == variant.changes
    assert sum(variant.shares is None for variant in variants.values()) == 2


@pytest.mark.parametrize(
    ("name", "choices", "message"),
    [
        ("learning-curv", ExperimentSettings(), "did you mean 'learning-curve'"),
        ("zzz", ExperimentSettings(), "use one of high-resolution-first, input-size"),
        ("learning-curve", ExperimentSettings(fractions=(0, 1)), "above 0 and at most 1"),
        ("learning-curve", ExperimentSettings(fractions=(1.5,)), "above 0 and at most 1"),
        ("learning-curve", ExperimentSettings(fractions=()), "above 0 and at most 1"),
        ("input-size", ExperimentSettings(sizes=()), "give --sizes"),
        ("learning-curve", ExperimentSettings(scratch="quik"), "there is no recipe 'quik'"),
    ],
)
def test_bad_choices_are_one_message(name, choices, message):
    with pytest.raises(SettingError, match=message):
        make_experiment(name, choices)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("sensor-shift", "augmentation.sensor_shift=0.4"),
        ("sensor-shift", "augmentation={sensor: 0.4}"),
        ("input-size", "size=64"),
        ("scratch-vs-transfer", "weights=imagenet"),
        ("learning-curve", "seed=5"),
    ],
)
def test_what_variants_set_themselves_cannot_be_set(name, change):
    with pytest.raises(SettingError, match=r"sets what the variants of .* set themselves; (leave|give)"):
        make_experiment(name, ExperimentSettings(changes=(change,)))


def test_epochs_that_are_asked_for_are_those_on_all_labels():
    variants = make_experiment(
        "learning-curve", ExperimentSettings(fractions=(0.01, 1), changes=("epochs=5",))
    ).variants
    assert [load_recipe(variant.recipe, changes=[*variant.changes]).epochs for variant in variants] == [50, 5]


def test_crops_of_enlarged_patches_cover_the_same_ground():
    plain, bicubic, _ = make_experiment("upsampling", ExperimentSettings(scratch="fast")).variants
    ours, theirs = (load_recipe(a.recipe, changes=[*a.changes]).augmentation for a in (plain, bicubic))
    assert (theirs.crop, theirs.shift) == (2 * ours.crop, 2 * ours.shift)
    with pytest.raises(SettingError, match="would shrink again"):
        make_experiment("upsampling", ExperimentSettings(scratch="mobilenetv2-finetune"))
