from __future__ import annotations

import csv
import json
import tracemalloc
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from swath.data import PatchIndex, build_index, split_index
from swath.errors import DataError, OutputError, SettingError
from swath.evaluation.errors import ErrorAnalysis, find_errors
from swath.evaluation.errors.analyze import _warnings
from swath.evaluation.predictions import TEST_ACCESSES, SplitPredictions
from swath.inference import Classifier, load
from tests.evaluation.cases import Page
from tests.evaluation.errors.cases import mislabeled, rows_of
from tests.explain.models import tiny_classifier
from tests.tiny import CLASSES, write_patches, write_tiny_model


@pytest.fixture(scope="module")
def classifier(tiny_model) -> Classifier:
    return load(tiny_model, engine="onnxruntime", threads=1)


@pytest.fixture(scope="module")
def flawed(tiny_index) -> PatchIndex:
    """Two Forest patches of val are labeled Residential."""
    return mislabeled(tiny_index, dict.fromkeys(rows_of(tiny_index, "Forest")[:2], "Residential"))


@pytest.fixture(scope="module")
def done(classifier, flawed, tmp_path_factory) -> tuple[Path, ErrorAnalysis]:
    out = tmp_path_factory.mktemp("run") / "errors"
    return out, find_errors(classifier, flawed, out=out)


def table(out: Path) -> list[dict[str, str]]:
    with (out / "errors.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_planted_pair_is_the_most_confused(done):
    out, found = done
    assert sorted(p.name for p in out.iterdir()) == ["errors.csv", "errors.json", "index.html"]
    first = found.pairs[0]
    assert (first.truth, first.predicted, first.n) == ("Residential", "Forest", 2)
    assert "Residential" in {w.name for w in found.weakest}
    assert found.n == 24
    assert ErrorAnalysis.model_validate_json((out / "errors.json").read_text()) == found


def test_every_patch_is_in_the_table_with_its_loss(done, classifier, flawed):
    out, found = done
    rows = table(out)
    part = flawed.where("val")
    assert [row["path"] for row in rows] == part.paths
    assert [row["label"] for row in rows] == part.labels
    wrong = [row for row in rows if row["label"] != row["predicted"]]
    assert len(wrong) == found.errors
    assert Counter((r["label"], r["predicted"]) for r in wrong)[("Residential", "Forest")] == 2
    with Image.open(flawed.root / rows[0]["path"]) as image:
        pixels = np.asarray(image).transpose(2, 0, 1)[None]
    p = classifier.run(np.ascontiguousarray(pixels))["probabilities"][0]
    assert float(rows[0]["loss"]) == pytest.approx(-np.log(p[CLASSES.index(rows[0]["label"])]), abs=1e-4)
    assert float(rows[0]["confidence"]) == pytest.approx(p.max(), abs=1e-4)
    assert float(rows[0]["brightness_value"]) == pytest.approx(pixels.mean(), abs=1e-3)
    assert rows[0]["brightness"].split(" (")[0].endswith("quarter")


def test_the_page_shows_mistakes_with_maps_and_loads_nothing(done):
    out, _ = done
    page = Page((out / "index.html").read_text(encoding="utf-8"))
    assert "Residential \u2192 Forest" in page.text
    assert "Red is evidence for the class" in page.text
    assert "Right, but unsure" in page.text
    assert page.text.count("swath explain MODEL INDEX --check") == 1
    sources = page.all("img", "src")
    assert len(sources) > 4
    assert all(source.startswith("data:image/") for source in sources)
    assert not page.all("script", "src")
    wrong = [row for row in table(out) if row["label"] != row["predicted"]]
    assert all(row["path"] in page.text for row in wrong)
    assert set(page.all("a", "href")) >= {"errors.csv", "errors.json"}


def test_the_terminal_is_told_the_same(done):
    _, found = done
    told = "\n".join(found.lines())
    assert f"{found.errors} of 24 patches wrong" in told
    assert "Residential" in told
    assert "only 24 patches" in told


def test_a_model_without_maps_still_has_a_page(flawed, tmp_path):
    find_errors(tiny_classifier(lacks="activations"), flawed, out=tmp_path / "e")
    page = Page((tmp_path / "e" / "index.html").read_text(encoding="utf-8"))
    assert "Patches are shown without maps" in page.text
    assert "--check" not in page.text
    assert len(page.all("img", "src")) > 4


def test_a_perfect_model_gets_a_page_that_says_so(classifier, tiny_index, tmp_path):
    first = find_errors(classifier, tiny_index, out=tmp_path / "a")
    rows = {row["path"]: row["predicted"] for row in table(tmp_path / "a")}
    right = {i: rows[p] for i, p in enumerate(tiny_index.paths) if p in rows}
    found = find_errors(classifier, mislabeled(tiny_index, right), out=tmp_path / "b")
    assert first.n == found.n
    assert (found.errors, found.pairs, found.weakest) == (0, (), ())
    page = Page((tmp_path / "b" / "index.html").read_text(encoding="utf-8"))
    assert "No mistake" in page.text
    assert "an error rate up to" in page.text


def test_a_split_of_one_class_is_analyzed_and_said_to_be_one(classifier, tiny_index, tmp_path):
    val = [i for i, s in enumerate(tiny_index.table.column("split").to_pylist()) if s == "val"]
    found = find_errors(classifier, mislabeled(tiny_index, dict.fromkeys(val, "River")), out=tmp_path / "e")
    assert "all patches are River: nothing is known of other classes" in found.warnings
    assert {p.truth for p in found.pairs} == {"River"}


def test_patches_that_are_all_alike(classifier, tmp_path):
    folder = tmp_path / "patches"
    for label in CLASSES:
        (folder / label).mkdir(parents=True)
        for i in range(4):
            Image.new("RGB", (64, 64), (70, 90, 100)).save(
                folder / label / f"{i}.png", compress_level=1 + i, dpi=(72 + len(label), 72)
            )
    index = build_index(folder)
    # Copies form one group, so the splits are given by hand.
    index = split_index(
        index.__class__(
            root=index.root,
            table=index.table.set_column(index.table.column_names.index("group"), "group", [[None] * len(index)]).cast(
                index.table.schema
            ),
        ),
        val=0.25,
        test=0.25,
    )
    found = find_errors(classifier, index, out=tmp_path / "e")
    assert {"brightness", "contrast", "greenness"} <= set(found.alike)
    assert "all patches are the same picture: no prediction can be right for two labels" in found.warnings
    assert found.slices == ()


def test_access_to_the_test_split_is_noted(classifier, tiny_index, tmp_path):
    found = find_errors(classifier, tiny_index, split="test", out=tmp_path / "run" / "errors")
    lines = (tmp_path / "run" / TEST_ACCESSES).read_text().splitlines()
    assert [json.loads(line)["n"] for line in lines] == [found.n]
    assert any("test" in warning for warning in found.warnings)
    find_errors(classifier, tiny_index, split="val", out=tmp_path / "run" / "again")
    assert (tmp_path / "run" / TEST_ACCESSES).read_text().splitlines() == lines


def test_classes_the_model_does_not_know_are_named(tiny_index, tmp_path):
    model = write_tiny_model(tmp_path / "m.onnx", ("Forest", "River", "SeaLake"))
    with pytest.raises(DataError, match="classes the model does not know: Residential"):
        find_errors(load(model, threads=1), tiny_index, out=tmp_path / "e")
    assert not (tmp_path / "e").exists()


def test_an_index_without_that_split_and_an_output_that_exists(classifier, tiny_index, tmp_path):
    folder = write_patches(tmp_path / "p", n=3)
    with pytest.raises(DataError, match="no splits"):
        find_errors(classifier, build_index(folder), out=tmp_path / "e")
    (tmp_path / "e").mkdir()
    (tmp_path / "e" / "mine.txt").write_text("x")
    with pytest.raises(OutputError, match="exists already"):
        find_errors(classifier, tiny_index, out=tmp_path / "e")


def test_every_mistake_has_a_map_and_the_counts_are_those_of_the_matrix(classifier, flawed, tmp_path):
    found = find_errors(classifier, flawed, split="train", maps="all", out=tmp_path / "e")
    assert found.details is not None
    predictions = found.details.predictions
    off = predictions.confusion - np.diag(np.diag(predictions.confusion))
    files = {folder.name: len(list(folder.iterdir())) for folder in (tmp_path / "e" / "maps").iterdir()}
    names = predictions.classes
    assert files == {f"{i}-{names[i]}-as-{j}-{names[j]}": off[i, j] for i, j in np.argwhere(off > 0)}
    assert sum(files.values()) == found.errors > 0
    rows = table(tmp_path / "e")
    shown = {row["map"] for row in rows if row["map"]}
    assert {(tmp_path / "e" / name).is_file() for name in shown} == {True}
    assert len(shown) == found.errors
    assert all(bool(row["map"]) == (row["label"] != row["predicted"]) for row in rows)
    with Image.open(tmp_path / "e" / shown.pop()) as picture:
        assert picture.width > 3 * picture.height  # the patch, and evidence for both classes
    page = Page((tmp_path / "e" / "index.html").read_text(encoding="utf-8"))
    links = [href for href in page.all("a", "href") if href and href.startswith("maps/")]
    assert sorted(links) == sorted(f"maps/{name}" for name in files)


def test_maps_of_every_mistake_need_a_model_that_has_maps(flawed, tmp_path):
    with pytest.raises(SettingError, match="has no class activation maps"):
        find_errors(tiny_classifier(lacks="head"), flawed, maps="all", out=tmp_path / "e")
    assert not (tmp_path / "e").exists()


def test_multi_label_models_are_refused(classifier, tiny_index, tmp_path, monkeypatch):
    monkeypatch.setattr(classifier, "record", classifier.record.model_copy(update={"task": "multi-label"}))
    with pytest.raises(SettingError, match="multi-label"):
        find_errors(classifier, tiny_index, out=tmp_path / "e")


def test_a_binary_model_is_judged_by_its_threshold(tmp_path):
    names = ("Forest", "River")
    index = split_index(build_index(write_patches(tmp_path / "p", names, 30)))
    found = {}
    for threshold in (0.5, 0.99):
        model = write_tiny_model(
            tmp_path / f"{threshold}.onnx",
            names,
            task="binary",
            thresholds={"River": threshold},
            baselines=None,
            temperature=200.0,
        )
        out = tmp_path / f"e{threshold}"
        found[threshold] = find_errors(load(model, engine="onnxruntime", threads=1), index, out=out)
        called = {row["predicted"] for row in table(out)}
        assert called == ({"Forest", "River"} if threshold == 0.5 else {"Forest"})
        assert "Red is evidence for the class" in Page((out / "index.html").read_text(encoding="utf-8")).text or not (
            found[threshold].errors
        )
    assert found[0.5].errors < found[0.99].errors == 6
    assert [(p.truth, p.predicted) for p in found[0.99].pairs] == [("River", "Forest")]


def test_looking_for_equal_pictures_takes_no_memory_of_the_size_of_the_split(classifier, tiny_index):
    n = 2000
    pixels = np.zeros((n, 3, 64, 64), np.uint8)
    pixels[1:] += 1
    rows = np.arange(n) % len(tiny_index)
    part = replace(tiny_index, table=tiny_index.table.take(rows))
    record = classifier.record
    predictions = classifier.decide(np.full((n, 4), 0.25, np.float32))
    answers = SplitPredictions(record, "e", "val", "f", part, rows, pixels, predictions)
    assert len(answers.truth) == n
    tracemalloc.start()
    try:
        assert not _warnings(answers)
        assert tracemalloc.get_traced_memory()[1] < pixels.nbytes / 10
    finally:
        tracemalloc.stop()
