from __future__ import annotations

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from pydantic import ValidationError

from swath.errors import DataError, ModelFileError
from swath.evaluation import auroc
from swath.evaluation.thresholds import with_calibration, write_calibration
from swath.imagery.renderings import AS_STORED, SHARES
from swath.inference import load
from swath.inference.ood import (
    NEEDED,
    TAUGHT_FALSE_ALARMS,
    OodScorer,
    PatchOutputs,
    energies,
    extend_out_of_distribution,
    fit_out_of_distribution,
    pixel_features,
    window_pixel_features,
)
from swath.model import Record
from swath.model.ood import OutOfDistribution
from tests.tiny import CLASSES, patches


@pytest.fixture(scope="module")
def classifier(tiny_model):
    return load(tiny_model, engine="onnxruntime", threads=1)


def seen(classifier, n: int, seed: int) -> tuple[PatchOutputs, np.ndarray]:
    pixels = np.concatenate([patches(name, n, seed=seed) for name in CLASSES])
    found = classifier.run(pixels, wanted=NEEDED)
    return PatchOutputs(pixels, found["features"], found["logits"]), np.repeat(np.arange(len(CLASSES)), n)


@pytest.fixture(scope="module")
def kept(classifier) -> OutOfDistribution:
    train, classes = seen(classifier, 60, 1)
    val, _ = seen(classifier, 50, 2)
    found = fit_out_of_distribution(train, classes, val, task="single-label", temperature=1.0, size=64)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def strange(classifier, kept) -> OodScorer:
    return scorer(kept)


def scorer(kept: OutOfDistribution) -> OodScorer:
    return OodScorer(kept, name="tiny", task="single-label", temperature=1.0, size=64)


def score(classifier, strange: OodScorer, pixels: np.ndarray) -> np.ndarray:
    found = classifier.run(pixels, wanted=NEEDED)
    return strange.score(pixels, found["features"], found["logits"])


def test_few_usual_patches_are_called_ood(classifier, kept, strange):
    val, _ = seen(classifier, 50, 2)
    flagged = strange.score(val.pixels, val.features, val.logits) >= kept.threshold
    assert flagged.mean() <= 0.02  # chosen on these
    new_modules, _ = seen(classifier, 100, 3)
    assert (strange.score(new_modules.pixels, new_modules.features, new_modules.logits) >= kept.threshold).mean() < 0.08


@pytest.mark.parametrize("what", ["noise", "swapped", "black", "stripes"])
def test_strange_patches_are(classifier, kept, strange, what):
    val, _ = seen(classifier, 50, 2)
    rng = np.random.default_rng(0)
    stripes = np.broadcast_to((np.arange(64) % 2 * 255).astype(np.uint8), (40, 3, 64, 64))
    pixels = {
        "noise": rng.integers(0, 256, (40, 3, 64, 64)).astype(np.uint8),
        "swapped": np.ascontiguousarray(patches("SeaLake", 40, seed=5)[:, ::-1]),
        "black": np.zeros((40, 3, 64, 64), np.uint8),
        "stripes": np.ascontiguousarray(stripes),
    }[what]
    usual = strange.score(val.pixels, val.features, val.logits)
    scores = score(classifier, strange, pixels)
    assert auroc(np.repeat([False, True], [len(usual), 40]), np.concatenate([usual, scores])) > 0.95
    assert (scores >= kept.threshold).mean() > 0.9


def test_a_patch_scores_alone_as_among_others_and_at_another_size(classifier, strange):
    pixels = patches("River", 6, seed=9)
    whole = score(classifier, strange, pixels)
    alone = np.concatenate([score(classifier, strange, pixels[i : i + 1]) for i in range(6)])
    assert alone == pytest.approx(whole, rel=1e-4, abs=1e-4)
    twice = np.repeat(np.repeat(pixels, 2, axis=2), 2, axis=3)
    assert np.isfinite(score(classifier, strange, twice)).all()


def mosaic(rows: int, columns: int) -> np.ndarray:
    """Patches side by side ``[3, H, W]``, of the tiny model's classes and of noise."""
    noise = np.random.default_rng(4).integers(0, 256, (2, 3, 64, 64)).astype(np.uint8)
    drawn = np.concatenate([*(patches(name, rows * columns, seed=7) for name in CLASSES), noise])
    chosen = drawn[np.random.default_rng(5).integers(0, len(drawn), rows * columns)]
    return chosen.reshape(rows, columns, 3, 64, 64).transpose(2, 0, 3, 1, 4).reshape(3, 64 * rows, 64 * columns)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(
    ("size", "stride"), [(64, 16), (64, 64), (64, 8), (64, 24), (37, 5), (16, 3), (21, 7), (9, 4), (20, 33)]
)
def test_windows_are_described_as_patches_are(size, stride, dtype):
    pixels = mosaic(2, 3)[:, : size + 3 * stride, : size + 5 * stride].astype(dtype) * dtype(
        1 if dtype == np.uint8 else 97
    )
    cut = sliding_window_view(pixels, (size, size), axis=(1, 2))[:, ::stride, ::stride].transpose(1, 2, 0, 3, 4)
    found = window_pixel_features(pixels, size=size, stride=stride)
    assert found.shape[:2] == cut.shape[:2]
    expected = pixel_features(np.ascontiguousarray(cut).reshape(-1, 3, size, size), size=size)
    np.testing.assert_allclose(found.reshape(expected.shape), expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("task", ["single-label", "binary", "multi-label"])
def test_windows_score_as_patches_do(classifier, kept, task, monkeypatch):
    monkeypatch.setattr("swath.inference.ood._AT_ONCE", 16)
    scored = OodScorer(kept, name="tiny", task=task, temperature=0.7, size=64)
    pixels = mosaic(3, 4)
    cut = sliding_window_view(pixels, (64, 64), axis=(1, 2))[:, ::16, ::16].transpose(1, 2, 0, 3, 4)
    flat = np.ascontiguousarray(cut).reshape(-1, 3, 64, 64)
    found = classifier.run(flat, wanted=NEEDED)
    logits = found["logits"][:, :1] if task == "binary" else found["logits"]
    expected = scored.score(flat, found["features"], logits)
    maps = (values.T.reshape(-1, *cut.shape[:2]) for values in (found["features"], logits))
    scores = scored.score_windows(pixels, *maps, stride=16)
    np.testing.assert_allclose(scores.ravel(), expected, rtol=1e-4, atol=1e-3)
    if task == "single-label":  # whose threshold it is
        flagged = expected >= scored.threshold
        assert 0 < flagged.mean() < 1
        np.testing.assert_array_equal(scores.ravel() >= scored.threshold, flagged)


def test_too_few_validation_patches_give_no_threshold(classifier):
    train, classes = seen(classifier, 20, 1)
    val, _ = seen(classifier, 12, 2)  # 48; 2 % of false alarms need 49
    assert fit_out_of_distribution(train, classes, val, task="single-label", temperature=1.0, size=64) is None


def test_no_rendering_of_the_validation_patches_is_flagged_more_often_than_promised(classifier, kept):
    train, classes = seen(classifier, 60, 1)
    val, _ = seen(classifier, 50, 2)
    bright, _ = seen(classifier, 50, 2)
    pixels = np.minimum(bright.pixels.astype(int) * 2, 255).astype(np.uint8)
    outputs = classifier.run(pixels, wanted=NEEDED)
    others = {"bright": PatchOutputs(pixels, outputs["features"], outputs["logits"])}
    options = {"task": "single-label", "temperature": 1.0, "size": 64}
    found = fit_out_of_distribution(train, classes, val, others=others, **options)
    shares = {
        name: float((scorer(found).score(part.pixels, part.features, part.logits) >= found.threshold).mean())
        for name, part in {"as stored": val, **others}.items()
    }
    assert found.renderings == pytest.approx(shares)
    assert max(shares.values()) <= 0.02
    assert (scorer(kept).score(pixels, outputs["features"], outputs["logits"]) >= kept.threshold).mean() > 0.5
    assert kept.renderings == {}


def test_all_equal_patches_do_not_break_the_fit(classifier):
    pixels = np.full((60, 3, 64, 64), 90, np.uint8)
    found = classifier.run(pixels, wanted=NEEDED)
    same = PatchOutputs(pixels, found["features"], found["logits"])
    made = fit_out_of_distribution(same, np.zeros(60, np.int64), same, task="single-label", temperature=1.0, size=64)
    assert made is not None
    far = scorer(made)
    assert score(classifier, far, patches("Forest", 3)).min() > made.threshold


def test_energies_of_each_task():
    logits = np.array([[2.0, -1.0]])
    assert energies(logits, task="single-label", temperature=2.0) == pytest.approx([-np.log(np.exp(1) + np.exp(-0.5))])
    assert energies(logits, task="multi-label", temperature=1.0) == pytest.approx(
        [-np.log1p(np.exp(2)) - np.log1p(np.exp(-1))]
    )
    pair = energies(np.array([[1.5, -1.5]]) / 2, task="single-label", temperature=1.0)
    assert energies(np.array([[1.5]]), task="binary", temperature=1.0) == pytest.approx(pair)


def test_the_record_keeps_it_and_refuses_damage(classifier, kept):
    record = classifier.record.model_copy(update={"out_of_distribution": kept})
    assert Record.model_validate_json(record.model_dump_json()).out_of_distribution == kept
    with pytest.raises(ValidationError, match="differ in length"):
        OutOfDistribution.model_validate(kept.model_dump() | {"mean": kept.mean[:-1]})
    hurt = kept.model_copy(update={"classes": kept.classes.model_copy(update={"values": "AAAA"})})
    with pytest.raises(ModelFileError, match="damaged"):
        scorer(hurt)
    old = classifier.record.model_dump() | {"out_of_distribution": {}}
    assert Record.model_validate(old).out_of_distribution is None


@pytest.mark.parametrize("field", ["energy", "distance"])
def test_a_score_that_is_no_number_is_refused(classifier, kept, field):
    tiny = getattr(kept, field).model_copy(update={"spread": 1e-300})
    with pytest.raises(ModelFileError, match="of model 'tiny' give scores that are not numbers; fit them again"):
        score(classifier, scorer(kept.model_copy(update={field: tiny})), patches("Forest", 2))


def test_a_finished_file_learns_it(classifier, tiny_index, tmp_path):
    few = len(tiny_index.where("val"))
    share = 1 / (few + 1) + 1e-6
    with pytest.raises(DataError, match="too few"):
        with_calibration(classifier, tiny_index, false_alarms=share / 2)
    out = tmp_path / "new.onnx"
    record = write_calibration(classifier, tiny_index, out, false_alarms=share)
    assert set(record.conformal) == {"0.90", "0.95"}
    model = load(out, engine="onnxruntime", threads=1)
    assert model.detects_ood
    answers = model.predict(patches("Forest", 2))
    assert answers.is_ood is not None
    assert answers.ood_score is not None
    assert answers.labels == classifier.predict(patches("Forest", 2)).labels
    assert model.predict(np.random.default_rng(0).integers(0, 256, (3, 3, 64, 64)).astype(np.uint8)).is_ood.all()


@pytest.mark.parametrize("forget", [False, True])
def test_taught_land_is_no_longer_ood(classifier, kept, forget):
    """Patches in other light are unlike the training data until some of them extend the statistics."""

    def other_light(n, seed):
        outputs, classes = seen(classifier, n, seed)
        pixels = np.clip(outputs.pixels * 0.6 + 70, 0, 255).astype(np.uint8)
        found = classifier.run(pixels, wanted=NEEDED)
        return PatchOutputs(pixels, found["features"], found["logits"]), classes

    taught, classes = other_light(30, 3)
    folds, scored = np.arange(len(classes)) % 5, np.ones(len(classes), bool)
    extended = extend_out_of_distribution(
        kept, taught, classes, folds, scored, task="single-label", temperature=1.0, size=64, forget=forget
    )
    assert extended.classes.shape[0] == len(CLASSES) * (1 if forget else 2)
    assert extended.patches == len(classes)
    assert extended.false_alarms == TAUGHT_FALSE_ALARMS  # as its threshold was chosen
    others, _ = other_light(30, 4)
    before, after = (
        (scorer(one).score(others.pixels, others.features, others.logits) >= one.threshold).mean()
        for one in (kept, extended)
    )
    assert before > 0.5
    assert after < 0.15


def test_what_was_neither_known_nor_taught_stays_ood(classifier, kept):
    """One place of a class that no other place has is unlike all others, and moves no threshold."""

    def shown(gain, shift, seed):
        outputs, classes = seen(classifier, 30, seed)
        pixels = np.clip(outputs.pixels * gain + shift, 0, 255).astype(np.uint8)
        found = classifier.run(pixels, wanted=NEEDED)
        return PatchOutputs(pixels, found["features"], found["logits"]), classes

    taught, classes = shown(0.6, 70, 3)
    noise = np.random.default_rng(0).integers(0, 256, (1, *taught.pixels.shape[1:])).astype(np.uint8)
    odd = classifier.run(noise, wanted=NEEDED)
    joined = PatchOutputs(
        np.concatenate([taught.pixels, noise]),
        np.concatenate([taught.features, odd["features"]]),
        np.concatenate([taught.logits, odd["logits"]]),
    )
    numbers = np.append(classes, classes.max() + 1)
    extended = extend_out_of_distribution(
        kept,
        joined,
        numbers,
        np.arange(len(numbers)) % 5,
        np.ones(len(numbers), bool),
        task="single-label",
        temperature=1.0,
        size=64,
    )
    assert extended.patches == len(classes)  # without the odd one
    third, _ = shown(0.35, 10, 4)
    marked = scorer(extended).score(third.pixels, third.features, third.logits) >= extended.threshold
    assert marked.mean() > 0.5


def test_few_places_keep_the_older_threshold(classifier, kept):
    taught, classes = seen(classifier, 5, 3)
    extended = extend_out_of_distribution(
        kept, taught, classes, np.arange(20) % 4, np.ones(20, bool), task="single-label", temperature=1.0, size=64
    )
    assert extended.threshold == kept.threshold
    assert extended.patches == kept.patches


def test_a_model_that_is_meant_for_other_renderings_is_calibrated_in_them(classifier, tiny_index):
    plain = with_calibration(classifier, tiny_index, false_alarms=0.1)
    assert plain.out_of_distribution.renderings == {}
    record = with_calibration(classifier, tiny_index, false_alarms=0.1, rendering=0.7)
    found = record.out_of_distribution.renderings
    assert list(found) == [AS_STORED, *SHARES]
    assert max(found.values()) <= 0.1
    assert record.conformal == plain.conformal
