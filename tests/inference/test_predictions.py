from __future__ import annotations

import numpy as np
import pytest

import swath
from swath.errors import MissingExtraError, SettingError
from swath.inference import Predictions, predict_files
from swath.inference.predictions import concatenate, to_predictions
from tests.tiny import CLASSES, patches, tiny_graph, tiny_record, write_patches, write_tiny_model


@pytest.fixture(scope="module")
def classifier(tiny_model):
    return swath.load(tiny_model, threads=1)


@pytest.fixture(scope="module")
def found(classifier):
    return classifier.predict(np.concatenate([patches(name, 2) for name in CLASSES]))


def several() -> Predictions:
    record = tiny_record(tiny_graph(task="multi-label"), task="multi-label", thresholds=dict.fromkeys(CLASSES[1:], 0.9))
    return to_predictions(record, np.array([[0.5, 0.1, 0.95, 0.2], [0.4, 0.8, 0.1, 0.1]], np.float32))


def test_it_is_a_sequence_of_rows(found):
    assert len(found) == len(list(found)) == 8
    for place, row in enumerate(found):
        assert row == found[place]
        assert (row.path, row.label, row.labels) == (f"image {place}", found.labels[place], (row.label,))
        assert row.confidence == max(row.probabilities.values()) == row.probabilities[row.label]
        assert (row.is_ood, row.ood_score) == (None, None)
    assert found[-1] == found[7]
    with pytest.raises(IndexError):
        found[8]


@pytest.mark.parametrize("which", [slice(2, 5), slice(None, None, -1), np.array([3, 1]), np.arange(8) > 5, slice(0, 0)])
def test_a_selection_is_predictions_again(found, which):
    chosen = found[which]
    rows = np.arange(8)[which]
    assert list(chosen) == [found[int(row)] for row in rows]
    np.testing.assert_array_equal(chosen.probabilities, found.probabilities[rows])
    assert chosen.to_table().num_rows == len(rows)


def test_parts_put_together_are_the_whole(found):
    whole = concatenate([found[:3], found[3:]])
    assert list(whole) == list(found)


def test_its_repr_counts_labels(found):
    assert repr(found).startswith("<Predictions of 8 images: ")
    for label, n in found.counts.items():
        assert f"{n} {label}" in repr(found)
    many = Predictions(CLASSES, np.zeros((0, 4), np.float32), np.zeros(0, np.float32), [], [])
    assert repr(many) == "<Predictions of 0 images: none>"


def test_ood_is_in_rows_repr_and_table():
    images = np.concatenate(
        [np.zeros((1, 3, 64, 64), np.uint8), np.random.default_rng(0).integers(0, 256, (2, 3, 64, 64), np.uint8)]
    )
    found = swath.load("eurosat", threads=1).predict(images)
    assert [row.is_ood for row in found] == found.is_ood.tolist()
    assert [row.ood_score for row in found] == pytest.approx(found.ood_score.tolist())
    assert found.to_table()["is_ood"].to_pylist() == found.is_ood.tolist()
    assert f"{found.is_ood.sum()} unlike the training data" in repr(found)


def test_its_table_is_what_predict_writes(classifier, tmp_path):
    import pyarrow.parquet as pq

    folder = write_patches(tmp_path / "in", n=2)
    predict_files(classifier, [folder], tmp_path / "p.parquet", top_k=3)
    table = classifier.predict(sorted(folder.rglob("*.png"))).to_table(top_k=3)
    assert table.equals(pq.read_table(tmp_path / "p.parquet"))


def test_its_data_frame_is_its_table(found):
    pytest.importorskip("pandas")
    frame = found.to_pandas()
    assert frame.to_dict("list") == found.to_table().to_pydict()


def test_without_pandas_the_sentence_names_it(found, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    monkeypatch.setattr(Predictions, "to_table", lambda *_, **__: NoPandas())
    with pytest.raises(MissingExtraError, match="pip install pandas"):
        found.to_pandas()


class NoPandas:
    """A table where pandas is not installed."""

    def to_pandas(self):
        import pandas  # noqa: F401


def test_top_k_is_ordered_and_ties_keep_class_order():
    probabilities = np.array([[0.2, 0.5, 0.3, 0.0], [0.25, 0.25, 0.25, 0.25]], np.float32)
    top = to_predictions(tiny_record(tiny_graph()), probabilities).top(2)
    assert [[name for name, _ in row] for row in top] == [["Residential", "River"], ["Forest", "Residential"]]
    assert top[0][0][1] == pytest.approx(0.5)


@pytest.mark.parametrize("top_k", [0, 5])
def test_more_classes_than_there_are(found, top_k):
    with pytest.raises(SettingError, match="between 1 and 4"):
        found.to_table(top_k=top_k)


def test_several_labels_are_joined_in_the_table_and_apart_in_a_row():
    found = several()
    assert found[0].labels == ("Forest", "River")
    assert found[1].labels == ()
    assert found.to_table(top_k=1).to_pydict()["labels"] == ["Forest;River", ""]
    assert found.to_table(top_k=1).to_pydict()["top_1"] == ["River", "Residential"]
    assert repr(found) == "<Predictions of 2 images: 1 Forest, 1 River, 1 (no label)>"


def test_the_decided_class_comes_first_even_if_less_probable(tmp_path):
    names = ("Forest", "River")
    path = write_tiny_model(tmp_path / "b.onnx", names, task="binary", thresholds={"River": 1e-9})
    table = swath.load(path, threads=1).predict(patches("Forest", 1)).to_table(top_k=2).to_pydict()
    assert (table["label"], table["top_2"]) == (["River"], ["Forest"])
    assert table["confidence"] == table["p_River"]
