from __future__ import annotations

import numpy as np
import pytest

from swath.evaluation.robustness import find_shift
from swath.evaluation.run_report.color_match import corrected, measure_color_match
from swath.imagery.color_match import patch_quantiles
from swath.imagery.rescaling import Rescaling
from swath.inference import load
from swath.model.record import ChannelQuantiles
from tests.tiny import CLASSES, input_spec, patches, write_tiny_model


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    """The tiny model, with the quantiles of patches like those of the index."""
    seen = patch_quantiles(np.concatenate([patches(c, 30, seed=7) for c in CLASSES]))
    quantiles = ChannelQuantiles(levels=seen.levels, values=seen.values)
    spec = input_spec().model_copy(update={"channel_quantiles": quantiles})
    path = write_tiny_model(tmp_path_factory.mktemp("m") / "q.onnx", spec=spec)
    return load(path, engine="onnxruntime", threads=1)


def test_patches_are_corrected_band_by_band():
    pixels = np.arange(1, 1 + 2 * 3 * 4 * 4, dtype=np.uint8).reshape(2, 3, 4, 4)
    done = corrected(pixels, Rescaling(gain=(1, 2, 1), offset=(5, 0, -1)))
    wanted = pixels.astype(int).copy()
    wanted[:, 0] += 5
    wanted[:, 1] *= 2
    wanted[:, 2] -= 1
    assert np.array_equal(done, np.clip(wanted, 1, 255))


def test_it_measures_what_the_shift_costs_and_what_harmonizing_brings_back(classifier, tiny_index):
    found = measure_color_match(classifier, tiny_index, split="train", patches=72)
    assert found is not None
    assert found.n == 72
    assert found.gain.value == pytest.approx(found.after.value - found.before.value)
    assert not found.clean_changed
    assert found.clean_gain.value == 0
    part = tiny_index.where("train")
    pixels = np.concatenate([patches(c, 18, seed=0) for c in CLASSES])
    shifted = find_shift("surface").at(pixels, 5)
    assert shifted.mean() != pixels.mean()
    assert found.n == len(part)


def test_nothing_is_measured_where_the_model_holds_no_quantiles_or_pixels_are_few(classifier, tiny_model, tiny_index):
    plain = load(tiny_model, engine="onnxruntime", threads=1)
    assert measure_color_match(plain, tiny_index, split="val") is None
    assert measure_color_match(classifier, tiny_index, split="val", patches=8) is None
