from __future__ import annotations

import numpy as np
import pytest

from swath.errors import ModelFileError
from swath.inference import check_model, load
from swath.inference.ood import pixel_features
from swath.model.ood import OutOfDistribution, PackedArray, RobustScale
from tests.tiny import patches, write_tiny_model

FEATURES = 6  # of the tiny model
PIXELS = pixel_features(patches("River", 1), size=64).shape[1]


def statistics(*, features: int = FEATURES, pixels: int = PIXELS) -> OutOfDistribution:
    """Statistics of two components, by which nothing is strange."""
    whole = 2 + 2 + pixels
    return OutOfDistribution(
        projection=PackedArray.pack(np.eye(2, features)),
        center=(0.0,) * features,
        mean=(0.0,) * whole,
        scale=(1.0,) * whole,
        classes=PackedArray.pack(np.zeros((1, whole))),
        whitening=PackedArray.pack(np.eye(whole)[None]),
        energy=RobustScale(median=0, spread=1),
        distance=RobustScale(median=0, spread=1),
        threshold=1e9,
        false_alarms=0.02,
        patches=100,
    )


def test_statistics_of_the_model_are_used(tmp_path):
    path = write_tiny_model(tmp_path / "m.onnx", out_of_distribution=statistics())
    assert not load(path, threads=1).predict(patches("River", 2)).is_ood.any()
    check_model(path, threads=1)


@pytest.mark.parametrize("widths", [{"features": FEATURES - 1}, {"pixels": PIXELS + 1}, {"pixels": 1}])
def test_statistics_of_another_model_are_refused(tmp_path, widths):
    path = write_tiny_model(tmp_path / "m.onnx", out_of_distribution=statistics(**widths))
    says = "model 'tiny' are not for its features and bands; .* swath model calibrate"
    with pytest.raises(ModelFileError, match=says):
        load(path, threads=1).predict(patches("River", 2))
    with pytest.raises(ModelFileError, match=says):
        check_model(path, threads=1)
