"""Whole runs of a user's own module, from an index to predictions of the model file."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import swath
from swath.data import cached_pixels
from swath.errors import DataError, SettingError
from swath.training import load_recipe, train

from .runs import small_recipe, small_train
from .test_train import Stop, stop_after
from .test_train_tasks import relabeled


class OwnNet(nn.Module):
    def __init__(self, outputs: int = 4, *, width: int = 8) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, width, 5, stride=4), nn.BatchNorm2d(width), nn.ReLU())
        self.classify = nn.Linear(width, outputs)

    def forward(self, x):
        return self.classify(self.body(x).mean((2, 3)))


def own_net(outputs: int = 4, **options: int) -> OwnNet:
    torch.manual_seed(0)
    return OwnNet(outputs, **options)


@pytest.fixture(scope="module")
def own(tiny_index, tmp_path_factory):
    module = own_net()
    return module, small_train(tiny_index, tmp_path_factory.mktemp("own") / "run", network=module)


def test_the_model_file_serves_the_module(own, tiny_index):
    module, result = own
    classifier = swath.load(result.model, engine="onnxruntime", threads=1)
    record = classifier.record
    assert record.architecture == "OwnNet"
    assert record.total_parameters == sum(p.numel() for p in module.parameters())
    assert not record.pretrained
    assert record.parity[0].label_agreement == 1
    pixels = np.ascontiguousarray(cached_pixels(tiny_index.where("val")))
    mean, sd = (np.reshape(values, (1, -1, 1, 1)) for values in (record.input.mean, record.input.sd))
    values = torch.from_numpy(((pixels - mean) / sd).astype(np.float32))
    probabilities = torch.softmax(module.eval()(values) / record.temperature, 1).detach().numpy()
    np.testing.assert_allclose(classifier.predict(pixels).probabilities, probabilities, atol=1e-5)
    outputs = classifier._engine.run(pixels, ("logits", "features"))
    assert outputs["features"].shape == (len(pixels), 8)
    assert result.network().module is module


def test_its_weights_keep_the_names_they_have_in_the_module(own):
    module, result = own
    other = OwnNet()
    other.load_state_dict(load_file(result.model.parent / "weights.safetensors"))
    assert torch.equal(other.classify.weight, module.classify.weight)


def test_an_interrupted_run_resumes_with_the_same_module_only(own, tiny_index, tmp_path):
    _, whole = own
    with pytest.raises(Stop):
        small_train(tiny_index, tmp_path, network=own_net(), progress=stop_after(6))
    with pytest.raises(DataError, match=r"another network.*--overwrite"):
        small_train(tiny_index, tmp_path, network=own_net(width=9), resume=True)
    with pytest.raises(DataError, match="another recipe"):
        small_train(tiny_index, tmp_path, resume=True)
    small_train(tiny_index, tmp_path, network=own_net(), resume=True)
    left, right = (load_file(run / "weights.safetensors") for run in (tmp_path, whole.model.parent))
    assert all(torch.equal(left[name], right[name]) for name in right)


def test_the_odds_of_a_binary_run_are_calibrated_in_its_last_layer(tiny_index, tmp_path):
    index = relabeled(tiny_index, lambda label: "River" if label == "River" else "rest")
    recipe = small_recipe("loss.pos_weight=20", "optimizer={name: adamw, lr: 0.01}", "epochs=4")
    result = small_train(index, tmp_path, recipe, network=own_net(1))
    val = index.where("val")
    classifier = swath.load(result.model, engine="onnxruntime", threads=1)
    mean = classifier.predict(np.ascontiguousarray(cached_pixels(val))).probabilities[:, 1].mean()
    assert mean == pytest.approx(np.mean([label == "River" for label in val.labels]), abs=0.1)


class Branches(OwnNet):
    def forward(self, x):
        return super().forward(x + 1 if x.sum() > 0 else x)


@pytest.mark.parametrize(
    ("network", "recipe", "message"),
    [
        (OwnNet(5), small_recipe(), r"\[4, 5\]; return logits \[N, 4\]"),
        (Branches(), small_recipe(), "cannot be exported to ONNX"),
        (object(), small_recipe(), "torch.nn.Module"),
        (OwnNet(), "mobilenetv2-frozen", "a module brings its own.*weights='none'"),
        (OwnNet(), small_recipe("freeze.epochs=1"), r"freeze=\{\}"),
    ],
)
def test_what_cannot_be_trained_or_served_is_said_before_training(tiny_index, tmp_path, network, recipe, message):
    with pytest.raises(SettingError, match=message):
        train(tiny_index, recipe, out=tmp_path / "run", network=network, threads=1, accelerator="cpu")
    assert not (tmp_path / "run" / "recipe.yaml").exists()


def test_a_recipe_of_a_module_does_not_train_alone(own, tiny_index, tmp_path):
    _, result = own
    with pytest.raises(SettingError, match=r"OwnNet.*network="):
        small_train(tiny_index, tmp_path, load_recipe(result.model.parent / "recipe.yaml"))


KERAS = """
import sys
from pathlib import Path
import keras
import swath
from keras import layers
from swath.data import read_index
from swath.errors import SettingError
from swath.training import load_recipe, train

index, out = read_index(Path(sys.argv[1])), Path(sys.argv[2])
keras.utils.set_random_seed(0)
model = keras.Sequential([
    keras.Input((64, 64, 3)), layers.Conv2D(8, 5, strides=4, activation="relu"), layers.BatchNormalization(),
    layers.GlobalAveragePooling2D(), layers.Dropout(0.1), layers.Dense(len(index.classes)),
])
fields = {"epochs": 4, "batch_size": 16, "precision": "fp32", "augmentation": {"crop": None}}
options = {"out": out, "network": model, "threads": 1, "accelerator": "cpu"}
try:
    train(index, load_recipe("fast", **fields), **options)
except SettingError as error:
    print(error.fix)
before = [layer.get_weights() for layer in model.layers]
result = train(index, load_recipe("fast", **fields, optimizer={"name": "adamw", "lr": 0.01}), **options)
after = [layer.get_weights() for layer in model.layers]
classifier = swath.load(result.model, engine="onnxruntime", threads=1)
assert (after[1][2] != before[1][2]).any()  # the norm's statistics moved: it was told that it is training
assert classifier.record.architecture == "Sequential"
assert classifier.record.parity[0].label_agreement == 1
test = index.where("test")
predictions = classifier.predict([index.root / path for path in test.paths])
print(sum(a == b for a, b in zip(predictions.labels, test.labels)) / len(test))
"""


@pytest.mark.slow  # importing keras takes ten seconds, and a process of its own keeps its backend to itself
def test_a_keras_model_is_a_module_too(tiny_index_file, tmp_path):
    pytest.importorskip("keras", reason="a development dependency")
    environment = {"KERAS_BACKEND": "torch", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [sys.executable, "-c", KERAS, str(tiny_index_file), str(tmp_path / "run")],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    fix, share = done.stdout.strip().splitlines()[-2:]
    assert "'adamw'" in fix
    assert float(share) > 0.4
