"""Every measurement says first how many of its patches the model has seen, whatever index and files are called."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import swath
from swath.data import PatchIndex, build_index, cached_pixels, split_index
from swath.data.splits import fold_index
from swath.errors import ModelFileError
from swath.evaluation import evaluate
from swath.evaluation.compare import compare
from swath.evaluation.errors import find_errors
from swath.evaluation.predictions import learned_from, predict_split
from swath.evaluation.robustness import robustness
from swath.evaluation.run_report import report
from swath.evaluation.seen import FEWEST, SeenCount, seen_rows
from swath.evaluation.thresholds import rethreshold
from swath.imagery import RGB
from swath.model import read_model
from swath.model.seen import salt_of, with_seen
from swath.pipelines import find_label_issues
from tests.tiny import write_patches, write_tiny_model


def pixels_of(index: PatchIndex, split: str) -> np.ndarray:
    return cached_pixels(index.where(split))


def model_of(index: PatchIndex, path: Path, **fields: object) -> Path:
    """The tiny model as if it had been trained from `index`."""
    seen = with_seen(
        (),
        bands=RGB,
        train=pixels_of(index, "train"),
        val=pixels_of(index, "val"),
        size=64,
        salt=salt_of(index.fingerprint),
    )
    return write_tiny_model(path, seen=seen, **fields)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_patches(tmp_path_factory.mktemp("patches"), n=60, seed=3)


@pytest.fixture(scope="module")
def index(folder: Path) -> PatchIndex:
    """240 patches, 144 / 48 / 48."""
    return split_index(build_index(folder))


@pytest.fixture(scope="module")
def model(index: PatchIndex, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model_of(index, tmp_path_factory.mktemp("model") / "own.onnx")


def expected(index: PatchIndex, other: PatchIndex, split: str) -> tuple[int, int]:
    """How many patches of a split of `other` are train and val in `index`, by the bytes of their files."""
    of = dict(zip(index.column("sha256"), index.column("split"), strict=True))
    there = [of.get(content) for content in other.where(split).column("sha256")]
    return there.count("train"), there.count("val")


def test_a_test_of_the_models_own_index_is_one(model, index):
    found = evaluate(model, index, split="test")
    assert found.lines()[0] == "The model has seen none of these 48 patches."
    assert (found.is_test, found.unseen, found.tested) == (True, None, found)
    assert "seen)" not in "\n".join(found.lines())


@pytest.mark.parametrize("split", ["train", "val"])
def test_its_train_and_val_are_none(model, index, split):
    found = evaluate(model, index, split=split)
    n, what = {"train": (144, "were trained on"), "val": (48, "chose the model")}[split]
    assert found.lines()[0] == f"All {n} patches {what}: this is no test."
    assert (found.is_test, found.tested) == (False, None)
    assert json.loads(found.to_json())["is_test"] is False
    assert found.lines()[1] == "None of them is left to test it on; --split test has 48 patches."
    assert found.lines()[3].startswith("  accuracy (seen)")
    alone = evaluate(model, index.where(split), split=split)
    assert alone.lines()[1] == "None of them is left to test it on."


def dropped(index: PatchIndex) -> PatchIndex:
    return replace(index, table=index.table.slice(1))


def relabeled(index: PatchIndex) -> PatchIndex:
    turned = {"Forest": "River", "River": "Forest"}
    return index.with_columns({"label": [turned.get(label, label) for label in index.labels]})


def renamed(index: PatchIndex) -> PatchIndex:
    return replace(index, name="other")


@pytest.mark.parametrize("change", [dropped, relabeled, renamed])
@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_another_index_of_the_same_patches_changes_nothing(model, index, change, split):
    other = change(index)
    seen = evaluate(model, other, split=split).seen
    assert (seen.train, seen.val, seen.similar) == (*expected(index, other, split), 0)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_split_again_the_counts_are_right_to_the_patch_and_the_rest_is_measured_by_itself(model, index, seed):
    other = split_index(index, keep=False, seed=seed)
    found = evaluate(model, other, split="test")
    train, val = expected(index, other, "test")
    assert train > 10
    assert (found.seen.train, found.seen.val, found.seen.similar) == (train, val, 0)
    assert f"{train} of {found.n} patches were trained on and {val} chose the model: this is no test." in str(found)
    left = found.n - train - val
    assert (found.unseen is not None) == (left >= FEWEST)
    if found.unseen is not None:
        assert (found.unseen.n, found.unseen.is_test) == (left, True)
        assert found.unseen.accuracy.n == left


@pytest.mark.parametrize("change", [dropped, relabeled, renamed])
def test_a_model_knows_its_own_data_however_it_was_changed_since(model, index, change, tmp_path):
    classifier = swath.load(model)
    assert learned_from(classifier, change(index))
    assert not learned_from(classifier, change(index).where("test"))
    assert not learned_from(classifier, split_index(build_index(write_patches(tmp_path, n=5, seed=8))))


def test_folds_know_what_models_of_other_folds_have_seen(index, tmp_path):
    first, second = (fold_index(index, folds=4, fold=fold, val=0.1, seed=0) for fold in (0, 1))
    model = model_of(first, tmp_path / "fold.onnx")
    assert evaluate(model, first, split="test").is_test
    seen = evaluate(model, second, split="test").seen
    assert (seen.train, seen.val) == expected(first, second, "test")
    assert seen.seen == 60


def png_again(data: bytes) -> tuple[bytes, str]:
    stream = io.BytesIO()
    Image.open(io.BytesIO(data)).save(stream, "PNG", compress_level=1)
    return stream.getvalue(), ".png"


def jpeg(quality: int):
    def made(data: bytes) -> tuple[bytes, str]:
        stream = io.BytesIO()
        Image.open(io.BytesIO(data)).save(stream, "JPEG", quality=quality)
        return stream.getvalue(), ".jpg"

    return made


def tiff(data: bytes) -> tuple[bytes, str]:
    stream = io.BytesIO()
    Image.open(io.BytesIO(data)).save(stream, "TIFF")
    return stream.getvalue(), ".tif"


def copied(index: PatchIndex, folder: Path, made, *, split: str = "train", zipped: bool = False) -> PatchIndex:
    """Patches of one split as the test of another index: other files, other names."""
    part = index.where(split)
    for number, (path, label) in enumerate(zip(part.paths, part.labels, strict=True)):
        data, suffix = made((Path(str(index.root)) / path).read_bytes())
        (folder / "set" / label).mkdir(parents=True, exist_ok=True)
        (folder / "set" / label / f"image_{900 - number}{suffix}").write_bytes(data)
    source = folder / "set"
    if zipped:
        with zipfile.ZipFile(folder / "set.zip", "w") as archive:
            for file in sorted(source.rglob("image_*")):
                archive.write(file, file.relative_to(source))
        shutil.rmtree(source)
        source = folder / "set.zip"
    other = build_index(source)
    return other.with_columns({"split": ["test"] * len(other)}, split_protocol="by hand")


@pytest.mark.parametrize(("made", "zipped"), [(png_again, False), (tiff, False), (png_again, True)])
def test_files_written_again_are_known_by_their_pixels(model, index, tmp_path, made, zipped):
    other = copied(index, tmp_path, made, zipped=zipped)
    assert not set(other.column("sha256")) & set(index.column("sha256"))
    seen = evaluate(model, other, split="test").seen
    assert (seen.train, seen.val, seen.similar) == (144, 0, 0)


@pytest.mark.parametrize("quality", [95, 75])
def test_lossy_copies_are_said_to_look_like_what_was_seen(model, index, tmp_path, quality):
    found = evaluate(model, copied(index, tmp_path, jpeg(quality)), split="test")
    assert 137 <= found.seen.similar <= 144
    assert found.lines()[0].startswith(f"About {found.seen.similar} of 144 patches look like patches it has seen")
    assert found.is_test is False


def test_a_few_that_look_alike_by_chance_are_not_told(index, model):
    record = read_model(model).record
    pixels = pixels_of(index, "test")
    twin = pixels_of(index, "train")[:1].copy()
    twin[0, 0, 0, 0] ^= 1
    one = np.concatenate([pixels, twin])
    assert seen_rows(record, one).count == SeenCount(patches=49)
    assert seen_rows(record, np.concatenate([pixels, np.repeat(twin, 6, axis=0)])).count.similar == 6


def test_a_model_that_does_not_say_makes_it_unknown(tiny_model, index):
    found = evaluate(tiny_model, index, split="test")
    assert found.lines()[0].startswith("Whether the model has seen any of these 48 patches is not known")
    assert found.is_test is None


def test_damaged_codes_are_one_message(index, tmp_path):
    (seen,) = with_seen((), bands=RGB, train=pixels_of(index, "train"), size=64, salt=salt_of("x"))
    broken = seen.model_copy(update={"train": seen.train.model_copy(update={"n": 7})})
    path = write_tiny_model(tmp_path / "broken.onnx", seen=(broken,))
    with pytest.raises(ModelFileError, match=r"record of model 'tiny' is damaged: codes of seen patches"):
        evaluate(path, index, split="test")


def test_what_the_start_learned_with_other_bands_cannot_be_compared(index, tmp_path):
    own = with_seen((), bands=RGB, train=pixels_of(index, "train"), size=64, salt=salt_of("x"))
    start = own[0].model_copy(update={"bands": ("nir",)})
    lines = evaluate(write_tiny_model(tmp_path / "m.onnx", seen=(*own, start)), index, split="test").lines()
    assert lines[0] == (
        "The model has seen none of these 48 patches; what the weights it started from learned from could not be "
        "compared."
    )
    gray = own[0].model_copy(update={"bands": ("red",)})  # a part of the bands can
    assert evaluate(write_tiny_model(tmp_path / "g.onnx", seen=(*own, gray)), index, split="test").is_test


@pytest.fixture(scope="module")
def mixed(index: PatchIndex) -> PatchIndex:
    """A test split of which the model has seen a part, and 20 or more not."""
    for seed in range(1, 20):
        other = split_index(index, keep=False, seed=seed, test=0.4, val=0.2)
        if 96 - sum(expected(index, other, "test")) >= FEWEST:
            return other
    raise AssertionError("no such split")


def test_errors_say_it_first(model, mixed, index, tmp_path):
    found = find_errors(model, mixed, split="test", out=tmp_path / "e")
    train, val = expected(index, mixed, "test")
    assert found.lines()[0] == f"{train} of 96 patches were trained on and {val} chose the model: this is no test."
    assert found.unseen_accuracy is not None
    assert found.unseen_accuracy.n == 96 - train - val
    assert f"(accuracy ({train + val} of 96 seen) " in "\n".join(found.lines())
    page = (tmp_path / "e" / "index.html").read_text(encoding="utf-8")
    assert page.index("this is no test") < page.index("the most frequent mistake")
    assert json.loads((tmp_path / "e" / "errors.json").read_text())["seen"]["train"] == train


@pytest.mark.slow
def test_robustness_says_it_first(model, mixed, index, tmp_path):
    found = robustness(model, mixed, split="test", patches=0, out=tmp_path / "r")
    train, val = expected(index, mixed, "test")
    assert found.lines()[0].startswith(f"{train} of 96 patches were trained on and {val} chose the model")
    assert {estimate.n for estimate in found.unseen.values()} == {96 - train - val}
    page = (tmp_path / "r" / "index.html").read_text(encoding="utf-8")
    assert "this is no test" in page
    assert page.count("96 seen)") >= 2


def test_compare_says_it_of_each_and_concludes_from_what_neither_has_seen(model, tiny_model, mixed, index, tmp_path):
    found = compare(model, tiny_model, mixed, split="test", out=tmp_path / "c")
    train, val = expected(index, mixed, "test")
    assert found.lines()[0] == f"A: {train} of 96 patches were trained on and {val} chose the model: this is no test"
    assert found.lines()[1].startswith("B: whether the model has seen any of these 96 patches is not known")
    assert found.unseen is not None
    assert found.unseen.n == 96 - train - val
    assert found.conclusion.startswith(f"On the {found.unseen.n} patches that neither has seen: ")
    page = (tmp_path / "c" / "index.html").read_text(encoding="utf-8")
    assert "accuracy of A, unseen patches" in page
    only = compare(model, tiny_model, index, split="train", out=tmp_path / "d")
    assert "accuracy of A (seen)" in (tmp_path / "d" / "index.html").read_text(encoding="utf-8")
    assert only.unseen is None
    assert only.conclusion.startswith("On patches that a model has seen, this is no test")


@pytest.mark.slow
def test_the_verdict_is_of_what_the_model_has_not_seen(model, mixed, index, tmp_path):
    made = report(model, mixed, out=tmp_path / "r", quick=True, engine="onnxruntime", threads=1)
    train, val = expected(index, mixed, "test")
    left = 96 - train - val
    assert next(iter(made.verdict.parts)) == "Patches seen"
    assert made.verdict.seen[0].startswith(f"{train} of 96 patches were trained on and {val} chose the model")
    scores = [text for text in (*made.verdict.good, *made.verdict.fails) if "Separating" in text]
    assert scores
    assert all(f"on {left} patches" in text for text in scores)
    facts = json.loads((tmp_path / "r" / "report.json").read_text())
    assert (facts["is_test"], facts["seen"]["train"]) == (False, train)
    on_train = report(model, index, out=tmp_path / "t", split="train", quick=True, engine="onnxruntime", threads=1)
    assert not [text for text in on_train.verdict.good if "accuracy" in text]


def test_thresholds_chosen_again_add_to_what_chose_the_model(folder, tmp_path):
    index = split_index(build_index(folder))
    pair = index.with_columns({"label": [("Forest", "River")[label == "River"] for label in index.labels]})
    made = model_of(pair, tmp_path / "two.onnx", classes=("Forest", "River"), task="binary")
    other = split_index(pair, keep=False, seed=9)
    rethreshold(swath.load(made), other, tmp_path / "new.onnx", split="val")
    (before,), (after,) = (read_model(path).record.seen for path in (made, tmp_path / "new.onnx"))
    assert after.train == before.train
    assert after.val.n == before.val.n + len(other.where("val")) - sum(expected(pair, other, "val"))


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"train": 1}, "1 of 9 patches was trained on: this is no test"),
        ({"val": 2}, "2 of 9 patches chose the model: this is no test"),
        ({"train": 2, "val": 3, "similar": 1}, "2 of 9 patches were trained on, 3 chose the model and about 1 looks"),
        ({"similar": 9}, "about 9 of 9 patches look like patches it has seen"),
        ({"train": 9}, "all 9 patches were trained on: this is no test"),
    ],
)
def test_counts_in_words(fields, text):
    assert SeenCount(patches=9, **fields).sentence.startswith(text)


def test_part_of_the_patches_can_be_taken(model, index):
    found = predict_split(swath.load(model), index, split="test")
    some = found.take(np.arange(48) % 2 == 0)
    assert some.paths == found.paths[::2]
    assert (some.right == found.right[::2]).all()
    assert (some.probabilities == found.probabilities[::2]).all()


def test_label_issues_say_what_the_model_learned_with_its_labels(model, tiny_model, index, tmp_path):
    found = find_label_issues(index, model=model, out=tmp_path / "look")
    assert found.seen.startswith("144 of 192 patches were trained on and 48 chose the model: the model's features may")
    assert "144 of 192 patches" in (tmp_path / "look" / "label_issues.html").read_text(encoding="utf-8")
    assert "is not known" in find_label_issues(index, model=tiny_model).seen
