"""The labeled patches an image looks most like: by features, with what each was to the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from swath.data import PatchIndex
from swath.errors import DataError, ModelFileError
from swath.evaluation.neighbors import LabeledFeatures, labeled_features
from swath.evaluation.predictions import model_pixels
from swath.inference import Classifier, load
from swath.model.seen import salt_of, with_seen
from tests.tiny import RGB, SIZE, patches, write_tiny_model


@pytest.fixture(scope="module")
def tiny(tiny_model: Path) -> Classifier:
    return load(tiny_model, threads=1)


def known(model: Classifier, index: PatchIndex) -> LabeledFeatures:
    """Features of the patches of an index."""
    return labeled_features(model, model_pixels(model, index), labels=index.labels, names=index.paths)


def test_the_nearest_are_those_whose_features_point_the_same_way(tiny: Classifier, tiny_index: PatchIndex) -> None:
    found = known(tiny, tiny_index)
    image = patches("SeaLake", 1, seed=77)[0]
    near = found.nearest(tiny, image)
    own = tiny.run(image[None], wanted=("features",))["features"][0]
    others = tiny.run(np.asarray(found.pixels), wanted=("features",))["features"]
    cosine = others @ own / np.linalg.norm(others, axis=1) / np.linalg.norm(own)
    assert [one.row for one in near] == np.argsort(-cosine, kind="stable")[:5].tolist()
    assert [one.similarity for one in near] == pytest.approx(np.sort(cosine)[::-1][:5].tolist(), abs=1e-5)
    assert near[0].label == tiny_index.labels[near[0].row]
    assert [one.name for one in near] == [tiny_index.paths[one.row] for one in near]
    assert {one.words for one in near} <= {"very similar", "similar", "somewhat similar", "hardly similar"}


def test_a_picture_finds_itself_and_a_strange_one_finds_nothing_near(tiny: Classifier, tiny_index: PatchIndex) -> None:
    found = known(tiny, tiny_index)
    first = found.nearest(tiny, np.asarray(found.pixels[30]), k=1)[0]
    assert (first.row, first.words) == (30, "the same picture")
    strange = np.zeros((3, SIZE, SIZE), np.uint8)
    strange[1] = 255  # green: no class has this color
    assert {one.words for one in found.nearest(tiny, strange)} <= {"somewhat similar", "hardly similar"}


def test_what_a_patch_was_to_the_model_is_said(tiny: Classifier, tiny_index: PatchIndex, tmp_path: Path) -> None:
    assert set(known(tiny, tiny_index).roles) == {"not known"}, "the file does not say what it has seen"
    parts = {name: model_pixels(tiny, tiny_index.where(name)) for name in ("train", "val")}
    seen = with_seen((), bands=RGB, size=SIZE, salt=salt_of("test"), **parts)
    model = load(write_tiny_model(tmp_path / "seen.onnx", seen=seen), threads=1)
    roles = {"train": "trained on", "val": "chosen by", "test": "not seen"}
    assert known(model, tiny_index).roles == tuple(roles[name] for name in tiny_index.column("split"))


def test_one_patch_alone_is_near(tiny: Classifier, tiny_index: PatchIndex) -> None:
    found = known(tiny, tiny_index.take([0]))
    assert len(found.nearest(tiny, patches("River", 1)[0])) == 1


def test_a_model_without_features_is_refused(
    tiny: Classifier, tiny_index: PatchIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiny, "outputs", ("probabilities", "logits"))
    with pytest.raises(ModelFileError, match="gives no features"):
        known(tiny, tiny_index)


def test_features_that_are_no_numbers_are_refused(
    tiny: Classifier, tiny_index: PatchIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Classifier.run

    def broken(self: Classifier, pixels: Any, *, wanted: Any = ("probabilities",)) -> Any:
        return {name: values * np.float32(np.nan) for name, values in run(self, pixels, wanted=wanted).items()}

    monkeypatch.setattr(Classifier, "run", broken)
    with pytest.raises(DataError, match="not finite"):
        known(tiny, tiny_index)
