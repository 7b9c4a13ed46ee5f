from __future__ import annotations

import numpy as np
import pytest

import swath.mapping.windows as windows
from swath.errors import ModelFileError, SettingError
from swath.inference import load
from swath.inference.ood import NEEDED, PatchOutputs, fit_out_of_distribution
from swath.mapping import make_grid
from swath.mapping.reader import open_scene
from swath.mapping.strips import Strips
from swath.mapping.windows import Dense, PatchByPatch, default_stride, dense_is_faster, make_windows, with_data
from swath.model import read_model, write_model
from swath.model.cost import measure_cost
from tests.mapping.scenes import write_scene
from tests.model.unpadded import Body
from tests.tiny import input_spec, tiny_record

SIZE = 20
NAMES = ("Forest", "River", "SeaLake")


def write(path, *, pads=0):
    body = Body(seed=3)
    body.conv(4, 2, channels=6, pads=[pads] * 4)
    if not pads:
        body.residual()
    body.pool()
    spec = input_spec(size=SIZE)
    graph = body.model(size=SIZE, spec=spec, temperature=0.2)
    record = tiny_record(graph, NAMES, spec=spec, temperature=0.2)
    write_model(path, graph, record)
    return detecting(load(path, engine="onnxruntime", threads=1))


def detecting(classifier):
    """The same model with statistics by which about a third of windows of noise is unlike the training data."""
    pixels = np.random.default_rng(7).integers(1, 256, (300, 3, SIZE, SIZE)).astype(np.uint8)
    found = classifier.run(pixels, wanted=NEEDED)
    train, val = (
        PatchOutputs(pixels[p], found["features"][p], found["logits"][p]) for p in np.split(np.arange(300), 2)
    )
    groups = found["logits"][:150].argmax(axis=1)
    kept = fit_out_of_distribution(
        train, groups, val, task="single-label", temperature=0.2, size=SIZE, false_alarms=0.33
    )
    file = read_model(classifier.path)
    record = file.record.model_copy(update={"out_of_distribution": kept})
    write_model(classifier.path, file.graph, record, overwrite=True)
    return load(classifier.path, engine="onnxruntime", threads=1)


@pytest.fixture(scope="module")
def unpadded(tmp_path_factory):
    """A network without padding, total stride 4, patches of 20 pixels."""
    return write(tmp_path_factory.mktemp("model") / "unpadded.onnx")


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """Noise, with a hole in it that is larger than a window."""
    values = np.random.default_rng(0).integers(1, 256, (3, 131, 157)).astype(np.uint8)
    values[:, 40:80, 20:120] = 0
    return write_scene(tmp_path_factory.mktemp("scene") / "s.tif", values, nodata=0)


def classified(classifier, path, stride, *, dense, batch_size=64):
    """Probabilities ``[rows, columns, K]`` of all windows with a flag after them, and which hold data."""
    with open_scene(path) as opened:
        grid = make_grid(opened.height, opened.width, patch=SIZE, stride=stride)
        strips = Strips(opened, grid, bands=(1, 2, 3))
        windows = make_windows(classifier, grid, batch_size=batch_size, dense=dense)
        values, held = [], []
        for strip in strips.cut(strips.pieces(), windows=windows.rows):
            there = with_data(strip, grid)
            values.append(windows.classify(strip, there))
            held.append(there)
    assert windows.dense == bool(dense)
    assert windows.detects_ood
    return np.concatenate(values), np.concatenate(held)


@pytest.mark.parametrize("stride", [20, 16, 12, 8, 4, 10, 6, 3, 1])
def test_dense_and_patch_by_patch_give_the_same(unpadded, scene, stride, monkeypatch):
    monkeypatch.setattr("swath.mapping.windows._TALL", 40)
    monkeypatch.setattr("swath.mapping.windows._WIDE", 44)
    expected, held = classified(unpadded, scene, stride, dense=False)
    found, same = classified(unpadded, scene, stride, dense=True)
    np.testing.assert_array_equal(held, same)
    assert 0 < held.mean() < 1
    assert expected[held][:, :-1].std() > 0.01
    assert 0.05 < expected[held][:, -1].mean() < 0.95
    np.testing.assert_allclose(found[held], expected[held], atol=1e-5)


def test_results_of_small_strides_stay_small(unpadded, scene, monkeypatch):
    expected, held = classified(unpadded, scene, 2, dense=True)
    monkeypatch.setattr("swath.mapping.windows._RESULTS", 3000)
    found, _ = classified(unpadded, scene, 2, dense=True)
    np.testing.assert_allclose(found[held], expected[held], atol=1e-5)


@pytest.mark.parametrize("size", [(1, 1), (3, 50), (50, 3), (20, 20), (21, 19)])
def test_scenes_of_any_size_are_classified_densely(tmp_path, unpadded, size):
    values = np.random.default_rng(1).integers(0, 256, (3, *size)).astype(np.uint8)
    path = write_scene(tmp_path / "s.tif", values)
    expected, _ = classified(unpadded, path, 4, dense=False)
    found, _ = classified(unpadded, path, 4, dense=True)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_faster_way_is_chosen(unpadded):
    def chosen(stride):
        return type(make_windows(unpadded, make_grid(90, 90, patch=SIZE, stride=stride), batch_size=8))

    assert [chosen(stride) for stride in (20, 16, 12, 4)] == [PatchByPatch, PatchByPatch, Dense, Dense]
    wide = {stride: dense_is_faster(make_grid(640, 640, patch=64, stride=stride), 8) for stride in range(1, 65)}
    assert [stride for stride, dense in wide.items() if dense] == [*(1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 40)]


def test_a_network_that_pads_is_run_patch_by_patch(tmp_path):
    padded = write(tmp_path / "padded.onnx", pads=1)
    grid = make_grid(50, 50, patch=SIZE, stride=4)
    assert isinstance(make_windows(padded, grid, batch_size=8), PatchByPatch)
    with pytest.raises(ModelFileError, match="cannot be run densely"):
        make_windows(padded, grid, batch_size=8, dense=True)


def test_several_views_are_taken_patch_by_patch(unpadded, scene):
    several = load(unpadded.path, engine="onnxruntime", threads=1, tta=8)
    grid = make_grid(90, 90, patch=SIZE, stride=4)
    assert isinstance(make_windows(several, grid, batch_size=8), PatchByPatch)
    with pytest.raises(SettingError, match="--tta 1"):
        make_windows(several, grid, batch_size=8, dense=True)
    once, _ = classified(unpadded, scene, 16, dense=False)
    found, held = classified(several, scene, 16, dense=False)
    assert not np.allclose(found[held], once[held], atol=1e-3)
    np.testing.assert_allclose(found[held][:, :-1].sum(axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(found[held][:, -1], once[held][:, -1])


def test_rows_of_a_narrow_scene_are_classified_together(unpadded):
    narrow = make_windows(unpadded, make_grid(4000, 60, patch=SIZE, stride=20), batch_size=64, dense=False)
    wide = make_windows(unpadded, make_grid(4000, 4000, patch=SIZE, stride=20), batch_size=64, dense=False)
    assert (narrow.rows, wide.rows) == (21, 1)


def test_the_default_stride_is_finer_while_that_takes_half_a_minute(tmp_path, monkeypatch):
    padded = write(tmp_path / "padded.onnx", pads=1)
    cost = measure_cost(read_model(padded.path).graph, (1, 3, SIZE, SIZE), where="padded").operations
    fine, half = (make_grid(200, 200, patch=SIZE, stride=stride).windows * cost for stride in (5, 10))
    for limit, stride in ((fine, 5), (fine - 1, 10), (half, 10), (half - 1, SIZE)):
        monkeypatch.setattr(windows, "_HALF_MINUTE", limit)
        assert default_stride(padded, 200, 200) == stride


def test_the_default_stride_is_fine_where_windows_share_a_pass(tiny_model, monkeypatch):
    monkeypatch.setattr(windows, "_HALF_MINUTE", 0)
    assert default_stride(load(tiny_model, threads=1), 640, 640) == 16
    assert default_stride(load(tiny_model, threads=1, tta=4), 640, 640) == 64


def test_test_time_augmentation_counts_in_the_default_stride(tiny_model, monkeypatch):
    one, eight = (load(tiny_model, threads=1, tta=n) for n in (1, 8))
    file = read_model(tiny_model)
    cost = measure_cost(file.graph, (1, 3, 64, 64), where="tiny").operations
    monkeypatch.setattr(windows, "_HALF_MINUTE", make_grid(640, 640, patch=64, stride=16).windows * cost)
    assert default_stride(one, 640, 640) == 16
    assert default_stride(eight, 640, 640) > 16
