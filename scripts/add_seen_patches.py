"""Write into the shipped model files which patches they have seen; graphs and all else of the records stay as they are.

    python scripts/add_seen_patches.py DATA

DATA holds ``eurosat_rgb.zip``, ``eurosat_train.csv`` and ``eurosat_val.csv``, as for ``scripts/train_shipped.py``.
Nothing is written unless the index made of them has the fingerprint in the model's record. Models that are trained have
it from their training.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

from train_shipped import mini_splits, read_list, shipped_lists, write_lists

from swath.data import PatchIndex, build_index, cached_pixels, split_index
from swath.model import read_model, write_model
from swath.model.record import SCHEMA_VERSION
from swath.model.seen import salt_of, with_seen


def main() -> None:
    """Make each model's index again, compare its fingerprint, and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    data = parser.parse_args().data
    for name, index in shipped_indexes(data):
        model = read_model(name)
        record, size = model.record, model.record.input.size
        train, val = (cached_pixels(index.where(split), bands=record.input.bands) for split in ("train", "val"))
        seen = with_seen(
            (), bands=record.input.bands, train=train, val=val, size=size, salt=salt_of(f"{name} {index.fingerprint}")
        )
        changed = record.model_copy(update={"seen": seen, "schema_version": SCHEMA_VERSION})
        write_model(model.path, model.graph, changed, overwrite=True)
        print(f"{name}: {seen[0].train.n:,} learned from, {seen[0].val.n:,} chosen by; {model.path}")


def shipped_indexes(data: Path) -> Iterator[tuple[str, PatchIndex]]:
    """The index that each shipped model was trained from, made again and compared by its fingerprint."""
    whole = build_index(data / "eurosat_rgb.zip", part_of="eurosat-rgb")
    for name, lists in {"eurosat": shipped_lists(data), "eurosat-dense": dense_lists(data)}.items():
        with tempfile.TemporaryDirectory() as folder:
            index = split_index(whole, lists=write_lists(lists, Path(folder)))
        if index.fingerprint != read_model(name).record.data.fingerprint:
            raise SystemExit(f"'{name}' was trained from another index than these lists make")
        yield name, index


def dense_lists(data: Path) -> dict[str, list[str]]:
    """Paths of train and val of ``eurosat-dense``: the published lists, less the test patches of ``eurosat-mini``."""
    mini = mini_splits()
    return {
        "train": [path for path, _ in read_list(data / "eurosat_train.csv")],
        "val": [path for path, _ in read_list(data / "eurosat_val.csv") if mini.get(path) != "test"],
    }


if __name__ == "__main__":
    main()
