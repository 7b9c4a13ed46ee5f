"""Measure the shipped models again on their validation patches, and rewrite the metrics in their records.

    python scripts/remeasure_shipped.py DATA [--write]

For when an interval is made in another way: nothing is written where a value differs. DATA holds ``eurosat_rgb.zip``,
``eurosat_train.csv`` and ``eurosat_val.csv``. The patches are those that ``scripts/train_shipped.py`` held out for
``eurosat``, and for ``eurosat-dense`` the val list without the test patches of ``eurosat-mini``. Without ``--write``
the old and the new numbers are printed only.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

from train_shipped import mini_splits, read_list, shipped_lists, write_lists

from swath.data import build_index, split_index
from swath.evaluation.evaluate import measure_split
from swath.inference import load
from swath.model import read_model, write_model

SAME = 1e-9


def main() -> None:
    """Measure both, print, and write if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    mini = mini_splits()
    rest = [path for path, _ in read_list(options.data / "eurosat_val.csv") if mini.get(path) != "test"]
    train = [path for path, _ in read_list(options.data / "eurosat_train.csv")]
    whole = build_index(options.data / "eurosat_rgb.zip", part_of="eurosat-rgb")
    for name, splits in (("eurosat", shipped_lists(options.data)), ("eurosat-dense", {"train": train, "val": rest})):
        with TemporaryDirectory() as folder:
            index = split_index(whole, lists=write_lists(splits, Path(folder)))
        classifier = load(name, engine="onnxruntime")  # in float32, as training measured it
        found = measure_split(classifier, index, split="val").headline()
        model = read_model(classifier.path)
        print(name, f"({found['accuracy'].n:,} patches)")
        for key, old in model.record.metrics.items():
            print(f"  {key}: {old}\n  {' ' * len(key)}  {found[key]}")
        moved = [key for key, old in model.record.metrics.items() if abs(old.value - found[key].value) > SAME]
        if moved:
            raise SystemExit(f"{name}: {' and '.join(moved)} differ from the record, which was measured otherwise")
        if options.write:
            record = model.record.model_copy(update={"metrics": {key: found[key] for key in model.record.metrics}})
            write_model(classifier.path, model.graph, record, overwrite=True)


if __name__ == "__main__":
    main()
