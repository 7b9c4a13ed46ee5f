"""Guards against slow changes: counts of work done, and ratios of processor time measured in turns."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric

import swath
from swath.data import build_index, cached_pixels, split_index
from swath.inference import Classifier
from swath.inference.onnxruntime import OnnxRuntime
from swath.mapping import make_grid
from swath.mapping.reader import open_scene
from swath.mapping.strips import Strips
from swath.mapping.windows import make_windows, with_data
from swath.progress import silent
from swath.training import load_recipe
from swath.training.loop import TrainingLoop
from swath.training.run import TrainingRun, decode_patches, initialize_network
from swath.training.targets import choose_targets, training_parts
from tests.mapping.scenes import write_scene


def ratio(one: Callable[[], object], other: Callable[[], object], *, rounds: int = 4) -> float:
    """Least processor time of `one` over that of `other`, after a round that is not counted."""
    spent: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds + 1):
        for work, times in zip((one, other), spent, strict=True):
            started = time.process_time()
            work()
            if number:
                times.append(time.process_time() - started)
    return min(spent[0]) / min(spent[1])


@pytest.fixture(scope="module")
def pixels():
    return np.ascontiguousarray(cached_pixels(build_index("eurosat-mini"))[:256])


@pytest.fixture
def sizes(monkeypatch):
    """Pixels of every array that the engine is given."""
    run, found = OnnxRuntime.run, []
    monkeypatch.setattr(OnnxRuntime, "run", lambda self, x, *a: found.append(x[:, 0].size) or run(self, x, *a))
    return found


@pytest.mark.parametrize("answers", [Classifier.run, Classifier.predict])
def test_every_patch_goes_through_the_engine_once(pixels, sizes, answers):
    answers(swath.load("eurosat", engine="onnxruntime", threads=1), pixels[:40])
    assert sum(sizes) == 40 * 64 * 64


@pytest.mark.soak
def test_answers_cost_little_beyond_the_engine(pixels):
    classifier = swath.load("eurosat", threads=1)
    engine = classifier._engine
    assert ratio(lambda: classifier.run(pixels), lambda: engine.run(pixels, ("probabilities",))) < 1.5
    # Saying what is not like the training data is worth something, but not as much as the answer.
    assert ratio(lambda: classifier.predict(pixels), lambda: engine.run(pixels, ("probabilities",))) < 2.5


def test_a_dense_map_shares_its_work(tmp_path, tiny_model, sizes):
    scene = np.random.default_rng(0).integers(0, 256, (3, 128, 256)).astype(np.uint8)
    path = write_scene(tmp_path / "scene.tif", scene)
    classifier = swath.load(tiny_model, engine="onnxruntime", threads=1)
    grid = make_grid(128, 256, patch=64, stride=8)

    def pixels_run(*, dense: bool) -> int:
        sizes.clear()
        windows = make_windows(classifier, grid, batch_size=256, dense=dense)
        with open_scene(path) as opened:
            strips = Strips(opened, grid, bands=(1, 2, 3))
            for strip in strips.cut(strips.pieces(), windows=windows.rows):
                windows.classify(strip, with_data(strip, grid))
        return sum(sizes)

    assert pixels_run(dense=False) > 4 * pixels_run(dense=True)


@pytest.mark.soak
def test_training_costs_little_beyond_the_network(tmp_path):
    index = split_index(build_index("eurosat-mini"), val=0.1)
    recipe = load_recipe("flash", changes=["epochs=1", "precision=fp32", "augmentation.crop=null"])
    targets = choose_targets(index, recipe)
    patches = decode_patches(training_parts(index), recipe, targets, cache=tmp_path, progress=silent)
    fabric = Fabric(accelerator="cpu", devices=1)
    run = TrainingRun(recipe, targets, *patches, folder=tmp_path, identity="x", fabric=fabric)
    network = initialize_network(run).network
    steps = len(run.train) // recipe.batch_size
    values, truth = (torch.randn(recipe.batch_size, 3, 64, 64), torch.arange(recipe.batch_size) % len(targets.classes))
    values = values.to(memory_format=torch.channels_last)

    def bare() -> None:
        for _ in range(steps):
            torch.nn.functional.cross_entropy(network(values).logits, truth).backward()

    def whole() -> None:
        folder = tmp_path / str(time.monotonic_ns())
        folder.mkdir()
        attempt = dataclasses.replace(run, folder=folder)
        TrainingLoop(attempt, initialize_network(attempt)).fit()

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        assert ratio(whole, bare, rounds=2) < 2  # augmentation, optimizer, validation, checkpoint
    finally:
        torch.set_num_threads(before)
