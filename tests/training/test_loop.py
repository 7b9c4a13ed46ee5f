from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from swath.errors import DataError, SettingError
from swath.training.batches import Normalization, Patches
from swath.training.run import make_fabric, resolved

from .runs import small_fit, small_recipe, some


class Stop(Exception):
    pass


def stop_at(step):
    def progress(stage, done, total, *, note=""):
        if done == step:
            raise Stop

    return progress


def untimed(history):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in history]


def same(a, b):
    assert untimed(a.history) == untimed(b.history)
    for name, value in a.network.state_dict().items():
        assert torch.equal(value, b.network.state_dict()[name]), name


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return small_fit(tmp_path_factory.mktemp("fit"))


def test_it_learns(tmp_path):
    fitted = small_fit(tmp_path, small_recipe("epochs=8"))
    assert fitted.history[-1]["train_loss"] < fitted.history[0]["train_loss"]
    assert max(row["val_accuracy"] for row in fitted.history) > 0.6
    assert [row["epoch"] for row in fitted.history] == list(range(1, 9))


def test_the_same_fit_twice_gives_the_same_digits(tmp_path, whole):
    same(whole, small_fit(tmp_path))


def test_another_seed_gives_another_network(tmp_path, whole):
    other = small_fit(tmp_path, small_recipe("seed=1"))
    assert not torch.equal(other.network.head.weight, whole.network.head.weight)


@pytest.mark.parametrize("step", [1, 3, 4, 7, 9])
def test_an_interrupted_fit_ends_where_a_whole_one_does(tmp_path, whole, step):
    """Three epochs of three steps: stopped in the first, at the end of the first, in the second..."""
    with pytest.raises(Stop):
        small_fit(tmp_path, progress=stop_at(step))
    same(whole, small_fit(tmp_path))


def test_random_gain_and_dropout_resume_too(tmp_path):
    recipe = small_recipe("augmentation.gain=0.1", "network.dropout=0.3")
    with pytest.raises(Stop):
        small_fit(tmp_path / "a", recipe, progress=stop_at(5))
    same(small_fit(tmp_path / "b", recipe), small_fit(tmp_path / "a", recipe))


@pytest.mark.parametrize("rest", ["freeze.epochs=2", "optimizer={name: sgd, momentum: 0}"])
def test_a_fit_resumes_while_an_optimizer_has_no_state(tmp_path, rest):
    with pytest.raises(Stop):
        small_fit(tmp_path / "b", small_recipe(rest), progress=stop_at(5))
    same(small_fit(tmp_path / "a", small_recipe(rest)), small_fit(tmp_path / "b", small_recipe(rest)))


def test_a_fit_that_goes_on_tells_of_all_its_epochs(tmp_path):
    with pytest.raises(Stop):
        small_fit(tmp_path, progress=stop_at(5))
    seen = []
    fitted = small_fit(tmp_path, on_epoch=seen.append)
    assert seen == fitted.history
    assert [row["epoch"] for row in seen] == [1, 2, 3]


def test_a_finished_fit_is_not_trained_again(tmp_path, whole):
    small_fit(tmp_path)
    same(whole, small_fit(tmp_path, progress=stop_at(1)))


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    small_fit(tmp_path, small_recipe("epochs=1"))
    with pytest.raises(DataError, match="another recipe"):
        small_fit(tmp_path, identity="b")


def test_the_weights_kept_are_the_latest_that_chance_cannot_tell_from_the_best(tmp_path):
    fitted = small_fit(tmp_path, small_recipe("epochs=6"))
    val = some(4, seed=1)
    with torch.no_grad():
        logits = fitted.network(fitted.normalization.apply(torch.from_numpy(val.pixels))).logits
    accuracy = float((logits.argmax(1).numpy() == val.labels).mean())
    assert accuracy == pytest.approx(fitted.history[fitted.kept]["val_accuracy"])


def test_progress_counts_steps_of_the_whole_run_and_notes_validation(tmp_path):
    seen = []
    fitted = small_fit(tmp_path, progress=lambda stage, done, total, note="": seen.append((stage, done, total, note)))
    steps = [s[1] for s in seen]
    assert {(s[0], s[2]) for s in seen} == {("training", 9)}
    assert steps == sorted(steps)
    assert set(steps) == set(range(1, 10))
    assert seen[0][3] == "epoch 1"
    for done in (3, 6, 9):  # the last word on an epoch is its own accuracy
        last = [s[3] for s in seen if s[1] == done][-1]
        assert last.startswith(f"epoch {done // 3} · val ")
    assert seen[-1][3].endswith(f"{100 * fitted.history[-1]['val_accuracy']:.1f} %")


def test_memory_mapped_patches_give_the_same_without_a_warning(tmp_path, whole):
    parts = {}
    for name, patches in {"train": some(), "val": some(4, seed=1)}.items():
        np.save(tmp_path / f"{name}.npy", patches.pixels)
        mapped = np.load(tmp_path / f"{name}.npy", mmap_mode="r")
        parts[name] = dataclasses.replace(patches, pixels=mapped)
    same(whole, small_fit(tmp_path / "run", **parts))


def test_sixteen_bit_patches_train(tmp_path):
    parts = {
        name: Patches(patches.pixels.astype(np.uint16) * 40, patches.labels)
        for name, patches in {"train": some(), "val": some(4, seed=1)}.items()
    }
    fitted = small_fit(tmp_path, small_recipe("epochs=1"), **parts)
    assert np.isfinite(fitted.history[0]["train_loss"])


def test_fewer_patches_than_a_batch(tmp_path):
    fitted = small_fit(tmp_path, small_recipe("batch_size=256", "epochs=1"))
    assert np.isfinite(fitted.history[0]["val_loss"])


def test_a_training_that_diverges_stops_and_says_what_to_lower(tmp_path):
    with pytest.raises(SettingError, match=r"no longer a number in epoch .*optimizer.lr"):
        small_fit(tmp_path, small_recipe("optimizer.adamw_lr=1e25", "optimizer.warmup=0", "epochs=20"))


def test_normalization_is_that_of_numpy_and_survives_a_constant_band():
    pixels = some(3).pixels
    pixels[:, 2] = 7
    measured = Normalization.of(pixels)
    np.testing.assert_allclose(measured.mean, pixels.mean((0, 2, 3)), rtol=1e-5)
    np.testing.assert_allclose(measured.sd[:2], pixels.std((0, 2, 3))[:2], rtol=1e-4)
    assert measured.sd[2] == 1
    applied = measured.apply(torch.from_numpy(pixels))
    assert torch.allclose(applied.mean((0, 2, 3)), torch.zeros(3), atol=1e-4)
    assert applied.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("options", [{"accelerator": "quantum"}, {"accelerator": "cpu", "devices": 0}])
def test_an_accelerator_that_is_not_there(options):
    with pytest.raises(SettingError, match=r"cannot train on accelerator.*--accelerator auto"):
        make_fabric(small_recipe(), **options)


def test_automatic_precision_is_resolved_before_it_is_recorded():
    assert resolved(small_recipe("precision=auto"), accelerator="cpu").precision in {"bf16", "fp32"}
    assert resolved(small_recipe("precision=bf16"), accelerator="cpu").precision == "bf16"


def test_precision_follows_the_recipe():
    assert make_fabric(small_recipe("precision=fp32"), accelerator="cpu")._precision.precision == "32-true"
    assert make_fabric(small_recipe("precision=bf16"), accelerator="cpu")._precision.precision == "bf16-mixed"


def test_bf16_trains_too(tmp_path):
    fitted = small_fit(tmp_path, small_recipe("precision=bf16", "epochs=1"))
    assert np.isfinite(fitted.history[0]["train_loss"])
    assert next(fitted.network.parameters()).dtype == torch.float32


def test_crops_are_used_until_their_share_of_the_run(tmp_path):
    def losses(name, *changes):
        recipe = small_recipe("augmentation.shift=0", *changes)
        return [row["train_loss"] for row in small_fit(tmp_path / name, recipe).history]

    whole = losses("whole", "augmentation.crop=null")
    never = losses("never", "augmentation.crop=16", "augmentation.crop_until=0")
    late = losses("late", "augmentation.crop=16", "augmentation.crop_until=0.4")
    assert never == whole
    assert late != whole
