"""Make the package's ``eurosat-mini``: a class-balanced zip of real EuroSAT patches with its list.

    python scripts/make_eurosat_mini.py EUROSAT.zip --train TRAIN.csv --val VAL.csv --out eurosat-mini.zip

Train patches come from the published train list, val and test patches from the published val list, so
it contains no patch of the published test list. The shipped ``eurosat`` model was trained and selected without the
test patches of ``eurosat-mini`` (``--rest`` writes the val list without them). Needs only the standard library.
"""

from __future__ import annotations

import argparse
import csv
import io
import random
import zipfile
from pathlib import Path

SEED = 20261121
PER_CLASS = {"train": 140, "val": 20, "test": 60}
EPOCH = (2026, 1, 1, 0, 0, 0)


def read_list(path: Path) -> list[tuple[str, str]]:
    """Rows (path, label) of a list with a header."""
    with path.open(newline="") as file:
        return [(row["path"], row["label"]) for row in csv.DictReader(file)]


def main() -> None:
    """Read the options and write the zip."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path)
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--val", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rest", type=Path, help="write the val list without the mini test patches here")
    options = parser.parse_args()
    train, val = read_list(options.train), read_list(options.val)
    rng = random.Random(SEED)
    chosen: list[tuple[str, str, str]] = []
    for label in sorted({label for _, label in train}):
        first = sorted(path for path, name in train if name == label)
        second = sorted(path for path, name in val if name == label)
        rng.shuffle(first)
        rng.shuffle(second)
        cut = PER_CLASS["val"]
        chosen += [(p, label, "train") for p in first[: PER_CLASS["train"]]]
        chosen += [(p, label, "val") for p in second[:cut]]
        chosen += [(p, label, "test") for p in second[cut : cut + PER_CLASS["test"]]]
    chosen.sort()
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerows([("path", "label", "split"), *chosen])
    with zipfile.ZipFile(options.archive) as source, zipfile.ZipFile(options.out, "w") as target:
        names = {"/".join(n.split("/")[-2:]): n for n in source.namelist()}
        target.writestr(zipfile.ZipInfo("index.csv", EPOCH), table.getvalue(), zipfile.ZIP_DEFLATED)
        for path, _, _ in chosen:
            # JPEGs do not shrink any further; storing them keeps reading fast.
            target.writestr(zipfile.ZipInfo(path, EPOCH), source.read(names[path]), zipfile.ZIP_STORED)
    if options.rest:
        test = {path for path, _, split in chosen if split == "test"}
        with options.rest.open("w", newline="") as file:
            rows = [row for row in val if row[0] not in test]
            csv.writer(file, lineterminator="\n").writerows([("path", "label"), *rows])


if __name__ == "__main__":
    main()
