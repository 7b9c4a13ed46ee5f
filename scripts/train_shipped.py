"""Train the model ``eurosat`` that the package ships, from the EuroSAT archive and its published lists.

    python scripts/train_shipped.py DATA --out DIR [--threads 2] [--resume]
    python scripts/train_shipped.py DATA --out DIR --measure

DATA holds ``eurosat_rgb.zip``, ``eurosat_train.csv`` and ``eurosat_val.csv``. Training patches: the published train
list and most of the val list. Held out: the 600 test patches of ``eurosat-mini``, used neither for training nor for
calibration, though candidate models were compared on them; and 2,000 of the val list (including the val split of
``eurosat-mini``), which select the epoch and fit temperature, thresholds and quantiles. The published
test list is not used. Then copy the ``model.onnx`` of the last stage to ``src/swath/model/shipped/<name>.onnx``.

With ``--measure`` the same stages train on the published train list only, 2,000 patches of which select the epoch and
fit temperature, thresholds and quantiles. The result is tested on the whole val list, 5,400 patches, which no weight,
epoch or threshold depends on. (They had a part in choosing the recipe: docs/training.md.)
"""

from __future__ import annotations

import argparse
import csv
import random
from pathlib import Path

from swath.data import build_index, split_index, write_index
from swath.data.named import shipped_path
from swath.evaluation import evaluate
from swath.inference import load
from swath.progress import Bars
from swath.training import load_recipe, train

SEED = 20261121
VAL_PER_CLASS = 200
NAME, STAGES = "eurosat", ("eurosat", "eurosat-stage2", "eurosat-stage3")


def main() -> None:
    """Make the index once, then train what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--measure", action="store_true", help="train on the train list, test on the val list")
    parser.add_argument("--set", nargs="*", default=[], dest="changes", metavar="FIELD=VALUE")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    splits = measured_lists(options.data) if options.measure else shipped_lists(options.data)
    lists = write_lists(splits, options.out)
    index = split_index(build_index(options.data / "eurosat_rgb.zip", part_of="eurosat-rgb"), lists=lists)
    write_index(index, options.out / "index.parquet", overwrite=True)
    weights = "none"
    for stage, recipe in enumerate(STAGES, start=1):
        out = options.out / f"stage{stage}"
        with Bars() as progress:
            result = train(
                index,
                load_recipe(recipe, changes=[f"weights={weights}", *options.changes]),
                out=out,
                name=NAME,
                threads=options.threads,
                resume=options.resume,
                overwrite=not options.resume,
                require_redistributable=True,
                progress=progress,
            )
        weights = str(out / "weights.safetensors")
        print(recipe, {key: round(value.value, 5) for key, value in result.metrics.items()})
    if options.measure:
        classifier = load(result.model, threads=options.threads)
        found = evaluate(classifier, index, split="test", out=options.out / "test", overwrite=True)
        print("\n".join(found.lines()))


def shipped_lists(data: Path) -> dict[str, list[str]]:
    """Paths of train and val; the mini's test patches are on neither."""
    train_rows, val_rows = read_list(data / "eurosat_train.csv"), read_list(data / "eurosat_val.csv")
    mini = mini_splits()
    keep = [row for row in val_rows if mini.get(row[0]) != "test"]
    chosen = _per_class(keep, first={path for path, split in mini.items() if split == "val"})
    return {"train": [path for path, _ in [*train_rows, *keep] if path not in chosen], "val": sorted(chosen)}


def measured_lists(data: Path) -> dict[str, list[str]]:
    """Paths of train, val and test: two parts of the train list, and all of the val list."""
    train_rows = read_list(data / "eurosat_train.csv")
    chosen = _per_class(train_rows, first=set())
    return {
        "train": [path for path, _ in train_rows if path not in chosen],
        "val": sorted(chosen),
        "test": [path for path, _ in read_list(data / "eurosat_val.csv")],
    }


def write_lists(splits: dict[str, list[str]], out: Path) -> dict[str, Path]:
    """One file a split, for ``split_index``."""
    written = {}
    for split, paths in splits.items():
        written[split] = out / f"eurosat_shipped_{split}.csv"
        written[split].write_text("path\n" + "\n".join(paths) + "\n", encoding="utf-8")
    return written


def _per_class(rows: list[tuple[str, str]], *, first: set[str]) -> set[str]:
    """VAL_PER_CLASS paths of each class, those of ``first`` before the others."""
    random_ = random.Random(SEED)
    chosen: set[str] = set()
    for label in sorted({label for _, label in rows}):
        early = sorted(path for path, name in rows if name == label and path in first)
        others = sorted(path for path, name in rows if name == label and path not in first)
        random_.shuffle(others)
        chosen.update([*early, *others][:VAL_PER_CLASS])
    return chosen


def read_list(path: Path) -> list[tuple[str, str]]:
    """Path and label of each patch of a published list."""
    with path.open(newline="", encoding="utf-8") as file:
        return [(row["path"], row["label"]) for row in csv.DictReader(file)]


def mini_splits() -> dict[str, str]:
    """Split of each patch of ``eurosat-mini``, by its name in the full archive."""
    index = build_index(shipped_path("eurosat-mini"))
    splits = index.table.column("split").to_pylist()
    return {"/".join(path.split("/")[-2:]): split for path, split in zip(index.paths, splits, strict=True)}


if __name__ == "__main__":
    main()
