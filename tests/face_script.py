"""A user's script that mypy checks strictly; it is not run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

import swath


def train(folder: Path) -> swath.Classifier:
    index: swath.PatchIndex = swath.split_index(swath.build_index(folder))
    recipe: swath.Recipe = swath.load_recipe("fast")
    result = swath.train(index, recipe, out="runs/first")
    return swath.load(result.model, engine="openvino", threads=2, tta=4)


def classify(classifier: swath.Classifier, folder: Path) -> dict[str, str]:
    pixels: npt.NDArray[np.uint8] = np.zeros((2, 64, 64, 3), np.uint8)
    found: swath.Predictions = classifier.predict(pixels, layout="hwc")
    found = classifier.predict(sorted(folder.glob("*.jpg")))
    found = classifier.predict([Image.open(path) for path in folder.glob("*.jpg")])
    found = classifier.predict(str(folder / "one.jpg"))
    for row in found[:10]:
        if row.confidence < 0.5 or row.is_ood:
            print(row.path, row.label, row.probabilities[row.label])
    found.to_table(top_k=3)
    found.to_pandas()
    return {row.path: row.label for row in found}


def check(classifier: swath.Classifier, index_file: Path) -> None:
    evaluation = swath.evaluate(classifier, swath.read_index(index_file), split="test", out="runs/test")
    print(evaluation)


def draw(classifier: swath.Classifier, scene: Path) -> None:
    try:
        swath.map_scene(classifier, scene, out="map.tif", stride=32)
    except swath.SwathError as error:
        print(error.problem, error.fix)
    except FileNotFoundError:
        print("gone")
