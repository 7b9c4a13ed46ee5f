from __future__ import annotations

import pytest

from swath.errors import SettingError
from swath.experiments import Choices, experiment_names
from swath.experiments.catalogue import make_experiment
from swath.experiments.run import folder_name
from swath.training import load_recipe

OF_LABELS = ("scratch-vs-transfer", "learning-curve", "high-resolution-first")


@pytest.mark.parametrize("name", experiment_names())
@pytest.mark.parametrize("fractions", [None, (1, 0.001, 0.1, 0.1)])
def test_every_experiment_makes_arms_that_can_be_run_in_their_order(name, fractions):
    choices = Choices(fractions=fractions if name in OF_LABELS else None, sizes=(64, 32, 64))
    experiment = make_experiment(name, choices)
    assert experiment.name == name
    assert experiment.question.endswith("?")
    before = set()
    for arm in experiment.arms:
        recipe = load_recipe(arm.recipe, changes=[*arm.changes, "seed=0"])
        assert recipe.epochs >= load_recipe(arm.recipe).epochs
        for other in (arm.against, arm.minutes_of, arm.pace_of, arm.shares, arm.weights_of):
            assert other is None or other in before
        before.add(arm.name)
    folders = {folder_name(arm.name) for arm in experiment.arms}
    assert len(folders) == len(before) == len(experiment.arms)
    assert all(set(f) <= set("abcdefghijklmnopqrstuvwxyz0123456789.-") and f[0] not in ".-" for f in folders)
    assert any(arm.against for arm in experiment.arms)


def test_fewer_labels_get_more_epochs_of_the_recipe_asked_for():
    arms = make_experiment("learning-curve", Choices(scratch="flash", fractions=(0.01, 0.25, 1))).arms
    assert [load_recipe(a.recipe, changes=[*a.changes]).epochs for a in arms] == [30, 6, 3]
    assert [a.against for a in arms] == [None, "1 %", "25 %"]


@pytest.mark.parametrize("name", ["input-size", "preprocessing", "sensor-shift", "upsampling"])
def test_arms_compared_for_something_else_have_one_share_of_the_labels(name):
    asked = Choices(fractions=(0.25,), transfer="linear-probe", sizes=(32, 64))
    for choices, share, more in ((Choices(transfer="linear-probe"), 1, 1), (asked, 0.25, 2)):
        for arm in make_experiment(name, choices).arms:
            assert arm.fraction == share
            epochs = load_recipe(arm.recipe, changes=[*arm.changes]).epochs
            assert epochs == more * load_recipe(arm.recipe).epochs
    with pytest.raises(SettingError, match="takes one share of them; give --fractions"):
        make_experiment(name, Choices(fractions=(0.1, 1)))


def test_changes_reach_every_arm_and_weights_the_transfer_arms_alone():
    choices = Choices(fractions=(1,), changes=("epochs=1", "loss.label_smoothing=0"), weights="none")
    for name in experiment_names():
        for arm in make_experiment(name, choices).arms:
            recipe = load_recipe(arm.recipe, changes=[*arm.changes])
            assert (recipe.epochs, recipe.loss.label_smoothing) == (1, 0)
    scratch, transfer, _ = make_experiment("scratch-vs-transfer", choices).arms
    assert 'weights="none"' in transfer.changes
    assert not [change for change in scratch.changes if change.startswith("weights")]


def test_sensor_arms_are_compared_under_the_same_view():
    arms = {arm.name: arm for arm in make_experiment("sensor-shift", Choices()).arms}
    for arm in arms.values():
        if arm.against:
            assert arms[arm.against].view == arm.view
            assert arms[arm.against].changes != arm.changes
        assert arm.shares is None or arms[arm.shares].changes == arm.changes
    assert sum(arm.shares is None for arm in arms.values()) == 2


@pytest.mark.parametrize(
    ("name", "choices", "message"),
    [
        ("learning-curv", Choices(), "did you mean 'learning-curve'"),
        ("zzz", Choices(), "use one of high-resolution-first, input-size"),
        ("learning-curve", Choices(fractions=(0, 1)), "above 0 and at most 1"),
        ("learning-curve", Choices(fractions=(1.5,)), "above 0 and at most 1"),
        ("learning-curve", Choices(fractions=()), "above 0 and at most 1"),
        ("input-size", Choices(sizes=()), "give --sizes"),
        ("learning-curve", Choices(scratch="quik"), "there is no recipe 'quik'"),
    ],
)
def test_bad_choices_are_one_message(name, choices, message):
    with pytest.raises(SettingError, match=message):
        make_experiment(name, choices)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("sensor-shift", "augmentation.sensor=0.4"),
        ("sensor-shift", "augmentation={sensor: 0.4}"),
        ("input-size", "size=64"),
        ("scratch-vs-transfer", "weights=imagenet"),
        ("learning-curve", "seed=5"),
    ],
)
def test_what_arms_set_themselves_cannot_be_set(name, change):
    with pytest.raises(SettingError, match=r"sets what the arms of .* set themselves; (leave|give)"):
        make_experiment(name, Choices(changes=(change,)))


def test_epochs_that_are_asked_for_are_those_on_all_labels():
    arms = make_experiment("learning-curve", Choices(fractions=(0.01, 1), changes=("epochs=5",))).arms
    assert [load_recipe(arm.recipe, changes=[*arm.changes]).epochs for arm in arms] == [50, 5]


def test_crops_of_enlarged_patches_cover_the_same_ground():
    plain, bicubic, _ = make_experiment("upsampling", Choices(scratch="fast")).arms
    ours, theirs = (load_recipe(a.recipe, changes=[*a.changes]).augmentation for a in (plain, bicubic))
    assert (theirs.crop, theirs.shift) == (2 * ours.crop, 2 * ours.shift)
    with pytest.raises(SettingError, match="would shrink again"):
        make_experiment("upsampling", Choices(scratch="mobilenetv2-finetune"))
