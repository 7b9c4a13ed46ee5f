"""Measure the shipped model again on its validation patches, and rewrite the metrics in its record.

    python scripts/remeasure_shipped.py DATA [--write]

For when an interval is made in another way: nothing is written where a value differs. DATA holds ``eurosat_rgb.zip``,
``eurosat_train.csv`` and ``eurosat_val.csv``. The patches are those that ``scripts/train_shipped.py`` held out.
Without ``--write`` the old and the new numbers are printed only.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from add_seen_patches import shipped_index
from train_shipped import NAME

from swath.evaluation.evaluate import measure_split
from swath.inference import load
from swath.model import read_model, write_model

SAME = 1e-9


def main() -> None:
    """Measure it, print, and write if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    index = shipped_index(options.data)
    classifier = load(NAME, engine="onnxruntime")  # in float32, as training measured it
    found = measure_split(classifier, index, split="val").headline()
    model = read_model(classifier.path)
    print(NAME, f"({found['accuracy'].n:,} patches)")
    for key, old in model.record.metrics.items():
        print(f"  {key}: {old}\n  {' ' * len(key)}  {found[key]}")
    moved = [key for key, old in model.record.metrics.items() if abs(old.value - found[key].value) > SAME]
    if moved:
        raise SystemExit(f"{NAME}: {' and '.join(moved)} differ from the record, which was measured otherwise")
    if options.write:
        record = model.record.model_copy(update={"metrics": {key: found[key] for key in model.record.metrics}})
        write_model(classifier.path, model.graph, record, overwrite=True)


if __name__ == "__main__":
    main()
