"""Run mutants and print a table, or one mutant with its tracebacks."""

from __future__ import annotations

import argparse
import tempfile
import traceback
import zlib
from pathlib import Path

import numpy as np

from tests.fuzz.harness import HEAD, fuzz
from tests.fuzz.worker import KINDS, fault_of, target_of


def main() -> None:
    """``python -m tests.fuzz KIND [NUMBER]``, ``python -m tests.fuzz --mutants 3000 --kept FOLDER [KIND ...]``."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help="pictures, indexes, models, zips, YAML or CSV; all")
    parser.add_argument("--number", type=int, help="one mutant of one kind, with tracebacks")
    parser.add_argument("--mutants", type=int, default=100, help="of each kind")
    parser.add_argument("--start", type=int, default=0, help="number of the first")
    parser.add_argument("--kept", type=Path, help="folder for mutants that are findings")
    asked = parser.parse_args()
    kinds = asked.kinds or list(KINDS)
    if asked.number is not None:
        _show(kinds[0], asked.number)
        return
    tallies = [fuzz(kind, mutants=asked.mutants, start=asked.start, kept=asked.kept, show=True) for kind in kinds]
    print(HEAD, *(tally.row for tally in tallies), sep="\n")


def _show(kind: str, number: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        target = target_of(kind, folder)
        (folder / "mutant").mkdir()
        rng = np.random.default_rng([zlib.crc32(kind.encode()), number])
        path = target.make(rng, folder / "mutant")
        for use in target.uses(path):
            try:
                print("answered:", str(use())[:300])
            except Exception as error:  # noqa: BLE001  (as in the worker)
                if fault_of(error, (path.stem, *target.told)) is None:
                    print("refused:", error)
                else:
                    print("FAULT:", fault_of(error, (path.stem, *target.told)))
                    traceback.print_exc()


if __name__ == "__main__":
    main()
