from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from swath.data import PatchIndex, build_index, split_index
from swath.errors import DataError, OutputError, SettingError
from swath.evaluation.faithfulness import MapCheck, chosen_patches, measure_maps
from swath.evaluation.faithfulness_page import write_maps_report
from swath.explain import Evidence, class_evidence, explainer
from swath.explain.faithful import center_heat, randomized_explainer_factory
from swath.inference import Classifier, load
from tests.tiny import write_tiny_model

from .cases import Page


@pytest.fixture(scope="module")
def classifier(tiny_model: Path) -> Classifier:
    return load(tiny_model, engine="onnxruntime", threads=1)


@pytest.fixture(scope="module")
def randomized_explainer(classifier: Classifier):
    return randomized_explainer_factory(classifier, "cam")


def check_maps(*arguments, **options) -> MapCheck:
    return measure_maps(*arguments, **options)[0]


@pytest.fixture(scope="module")
def checked(classifier: Classifier, randomized_explainer, tiny_index: PatchIndex) -> MapCheck:
    return check_maps(classifier, explainer(classifier), randomized_explainer, tiny_index, split="train", limit=40)


def upside_down(classifier: Classifier, pixels, *, classes=None) -> Evidence:
    """A liar: what it marks is what the class activation map does not."""
    true = class_evidence(classifier, pixels, classes=classes)
    return Evidence(-true.maps, true.explained, true.labels, true.confidence)


def test_true_maps_lead_and_liars_trail(classifier, randomized_explainer, tiny_index, checked):
    assert checked.n == 40
    assert checked.grid == (8, 8)
    assert checked.deletion.map.value < checked.deletion.random.value
    assert checked.deletion.holds
    lie = check_maps(
        classifier, partial(upside_down, classifier), randomized_explainer, tiny_index, split="train", limit=40
    )
    assert lie.deletion.lead_on_random.high < 0
    assert not lie.deletion.holds
    assert "hiding the marked pixels first does not clearly cost more" in " ".join(lie.failures)
    assert " FAIL " in lie.verdict
    assert lie.localization["crops"].value < checked.localization["crops"].value


def test_leads_are_the_paired_differences(checked):
    for removal, sign in ((checked.deletion, -1), (checked.insertion, 1)):
        for name in ("random", "center", "other"):
            lead = sign * (removal.map.value - getattr(removal, name).value)
            assert getattr(removal, f"lead_on_{name}").value == pytest.approx(lead)
        curve = removal.curves["map"]
        assert np.trapezoid(curve, dx=1 / (len(curve) - 1)) == pytest.approx(removal.map.value, abs=1e-3)


def test_what_a_map_does_not_beat_is_said(classifier, tiny_index):
    """The center itself, as a map, cannot lead on the center."""

    def center(pixels, *, classes=None):
        true = class_evidence(classifier, pixels, classes=classes)
        maps = np.array(center_heat(len(pixels), (64, 64)))
        return Evidence(maps, true.explained, true.labels, true.confidence)

    found = check_maps(classifier, center, lambda part, seed: center, tiny_index, split="train", limit=20)
    assert found.deletion.lead_on_center.value == found.deletion.lead_on_other.value == 0
    assert "hiding pixels from the center outwards does as well" in found.verdict
    assert "showing what the map of another patch marks does as well" in found.verdict


def test_a_map_that_never_changes_fails_the_weights(classifier, tiny_index, checked):
    def brightness(pixels, *, classes=None):
        true = class_evidence(classifier, pixels, classes=classes)
        maps = pixels.mean(axis=1, dtype=np.float32)[:, ::8, ::8]
        return Evidence(maps, true.explained, true.labels, true.confidence)

    found = check_maps(classifier, brightness, lambda part, seed: brightness, tiny_index, split="train", limit=12)
    assert all(f.correlation.value == pytest.approx(1) for f in found.randomization)
    assert "stay similar when the weights of its head are drawn again" in found.verdict
    assert all(f.holds for f in checked.randomization)


def test_the_same_seed_gives_the_same_numbers(classifier, randomized_explainer, tiny_index):
    one, same = (
        check_maps(classifier, explainer(classifier), randomized_explainer, tiny_index, split="val", limit=10, seed=3)
        for _ in range(2)
    )
    assert one == same
    assert MapCheck.model_validate_json(one.model_dump_json()) == one


def test_patches_are_alike_in_number_over_the_classes(classifier, tiny_index):
    pixels, labels = chosen_patches(classifier, tiny_index, split="train", limit=22, seed=0)
    assert pixels.shape == (22, 3, 64, 64)
    assert sorted(np.bincount(labels).tolist()) == [5, 5, 6, 6]


def test_the_test_split_stays_closed(classifier, tiny_index):
    with pytest.raises(SettingError, match="the test split is for swath evaluate; give --split val or train"):
        chosen_patches(classifier, tiny_index, split="test", limit=5, seed=0)


def test_a_handful_of_patches_is_no_ground_for_a_verdict(classifier, randomized_explainer, tiny_index, tiny_patches):
    few = partial(check_maps, classifier, explainer(classifier), randomized_explainer, split="val")
    for limit in (0, 1, 9):
        with pytest.raises(SettingError, match=f"^{limit} patches are too few .*; give --limit 10 or more$"):
            few(tiny_index, limit=limit)
    small = split_index(build_index(tiny_patches), val=0.05)
    with pytest.raises(DataError, match=r"split 'val' has \d patches, too few .*10 or more in that split$"):
        few(small)


def test_an_index_of_another_task_is_refused_for_several_labels_too(tiny_index, tmp_path):
    thresholds = dict.fromkeys(("Forest", "Residential", "River", "SeaLake"), 0.5)
    model = write_tiny_model(tmp_path / "m.onnx", task="multi-label", thresholds=thresholds)
    with pytest.raises(DataError, match=r"the model is multi-label, and the patches .* have one label each"):
        chosen_patches(load(model, threads=1), tiny_index, split="val", limit=10, seed=0)


def test_the_page_says_what_fails_and_stands_alone(classifier, randomized_explainer, tiny_index, tmp_path):
    out = tmp_path / "maps"
    liar = partial(upside_down, classifier)
    found = write_maps_report(classifier, liar, randomized_explainer, tiny_index, out, split="train", limit=12)
    assert {p.name for p in out.iterdir()} == {"explain.json", "index.html", "curves.svg"}
    assert MapCheck.model_validate_json((out / "explain.json").read_text()) == found
    page = Page((out / "index.html").read_text(encoding="utf-8"))
    assert found.verdict in page.text
    assert "FAILS" in page.text
    assert "Read with care" in page.text
    assert all(source.startswith("data:image/jpeg") for source in page.all("img", "src"))
    text = "\n".join(found.lines())
    assert "FAIL" in text
    assert "chance 25 %" in text
    with pytest.raises(OutputError):
        write_maps_report(classifier, liar, randomized_explainer, tiny_index, out, split="train", limit=12)
