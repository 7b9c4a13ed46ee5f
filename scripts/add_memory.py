"""Write into the shipped model file what it remembers of its classes; the graph and all else of the record stay.

    python scripts/add_memory.py DATA

DATA holds ``eurosat_rgb.zip``, ``eurosat_train.csv`` and ``eurosat_val.csv``, as for ``scripts/train_shipped.py``.
Statistics are of the features of evenly spread training patches, as a training measures them. Nothing is written
unless the index made of the lists has the fingerprint in the model's record. Models that are trained have it from
their training.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from add_seen_patches import shipped_index
from train_shipped import NAME

from swath.data import cached_pixels
from swath.inference import check_model, load
from swath.inference.ood import TRAIN_PATCHES
from swath.model import read_model, write_model
from swath.model.memory import ClassMemory
from swath.model.record import SCHEMA_VERSION


def main() -> None:
    """Make the model's index again, compare its fingerprint, measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    data = parser.parse_args().data
    index, model = shipped_index(data), read_model(NAME)
    train = index.where("train")
    pixels = cached_pixels(train, bands=model.record.input.bands)
    rows = np.unique(np.linspace(0, len(train) - 1, TRAIN_PATCHES).round().astype(np.int64))
    places = {known: k for k, known in enumerate(model.record.class_names)}
    labels = np.array([places[next(iter(names))] for names in train.label_sets], np.int64)[rows]
    features = load(NAME, engine="openvino").run(np.ascontiguousarray(pixels[rows]), wanted=("features",))
    changed = model.record.model_copy(
        update={"memory": ClassMemory.of(features["features"], labels), "schema_version": SCHEMA_VERSION}
    )
    write_model(model.path, model.graph, changed, overwrite=True)
    print(f"{NAME}: {len(rows):,} patches; {model.path}; {check_model(NAME)}")


if __name__ == "__main__":
    main()
