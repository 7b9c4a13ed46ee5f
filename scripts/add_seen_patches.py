"""Write into the shipped model file which patches it has seen; the graph and all else of the record stay as they are.

    python scripts/add_seen_patches.py DATA

DATA holds ``eurosat_rgb.zip``, ``eurosat_train.csv`` and ``eurosat_val.csv``, as for ``scripts/train_shipped.py``.
Nothing is written unless the index made of them has the fingerprint in the model's record. Models that are trained have
it from their training.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from train_shipped import NAME, shipped_lists, write_lists

from swath.data import PatchIndex, build_index, cached_pixels, split_index
from swath.model import read_model, write_model
from swath.model.record import SCHEMA_VERSION
from swath.model.seen import salt_of, with_seen


def main() -> None:
    """Make the model's index again, compare its fingerprint, and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    data = parser.parse_args().data
    index, model = shipped_index(data), read_model(NAME)
    record, size = model.record, model.record.input.size
    train, val = (cached_pixels(index.where(split), bands=record.input.bands) for split in ("train", "val"))
    salt = salt_of(f"{NAME} {index.fingerprint}")
    seen = with_seen((), bands=record.input.bands, train=train, val=val, size=size, salt=salt)
    changed = record.model_copy(update={"seen": seen, "schema_version": SCHEMA_VERSION})
    write_model(model.path, model.graph, changed, overwrite=True)
    print(f"{NAME}: {seen[0].train.n:,} learned from, {seen[0].val.n:,} chosen by; {model.path}")


def shipped_index(data: Path) -> PatchIndex:
    """The index that the shipped model was trained from, made again and compared by its fingerprint."""
    with tempfile.TemporaryDirectory() as folder:
        lists = write_lists(shipped_lists(data), Path(folder))
        index = split_index(build_index(data / "eurosat_rgb.zip", part_of="eurosat-rgb"), lists=lists)
    if index.fingerprint != read_model(NAME).record.data.fingerprint:
        raise SystemExit(f"'{NAME}' was trained from another index than these lists make")
    return index


if __name__ == "__main__":
    main()
