"""Train the model ``eurosat`` that the package ships, from the EuroSAT archive and its published lists.

    python scripts/train_shipped.py DATA --out DIR [--threads 2] [--resume]

DATA holds ``eurosat_rgb.zip``, ``eurosat_train.csv`` and ``eurosat_val.csv``. The published train list alone is learned
from: 14,200 of its patches by the weights, and 2,000 that select the epoch and fit temperature, quantiles and
thresholds. The val list, 5,400 patches on which no weight, epoch or threshold depends, is the test, and its results
are those of the file that ships. The published test list is not used. Then copy
``stage2/model.onnx`` to ``src/swath/model/shipped/eurosat.onnx``.
"""

from __future__ import annotations

import argparse
import csv
import random
from pathlib import Path

from swath.data import PatchIndex, build_index, split_index, write_index
from swath.evaluation import evaluate
from swath.inference import load
from swath.progress import Bars
from swath.training import load_recipe, train

SEED = 20261121
VAL_PER_CLASS = 200
NAME, STAGES = "eurosat", ("eurosat", "eurosat-stage2")


def main() -> None:
    """Make the index, train, and test on the val list."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--set", nargs="*", default=[], dest="changes", metavar="FIELD=VALUE")
    options = parser.parse_args()
    index = shipped_index(options.data, options.out)
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
    classifier = load(result.model, threads=options.threads)
    found = evaluate(classifier, index, split="test", out=options.out / "test", overwrite=True)
    print("\n".join(found.lines()))


def shipped_index(data: Path, out: Path) -> PatchIndex:
    """The index that the shipped model is trained from, with the val list as its test; written into `out`."""
    out.mkdir(parents=True, exist_ok=True)
    whole = build_index(data / "eurosat_rgb.zip", part_of="eurosat-rgb")
    index = split_index(whole, lists=write_lists(shipped_lists(data), out))
    write_index(index, out / "index.parquet", overwrite=True)
    return index


def shipped_lists(data: Path) -> dict[str, list[str]]:
    """Paths of train, val and test: two parts of the train list, and all of the val list."""
    train_rows = read_list(data / "eurosat_train.csv")
    random_ = random.Random(SEED)
    chosen: set[str] = set()
    for label in sorted({label for _, label in train_rows}):
        paths = sorted(path for path, name in train_rows if name == label)
        random_.shuffle(paths)
        chosen.update(paths[:VAL_PER_CLASS])
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


def read_list(path: Path) -> list[tuple[str, str]]:
    """Path and label of each patch of a published list."""
    with path.open(newline="", encoding="utf-8") as file:
        return [(row["path"], row["label"]) for row in csv.DictReader(file)]


if __name__ == "__main__":
    main()
