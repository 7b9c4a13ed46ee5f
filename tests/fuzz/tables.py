"""Tables of paths and labels, in dialects, encodings and with cells that tables have and should not have."""

from __future__ import annotations

import csv
import io
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import swath
from tests.fuzz.mutants import TEXTS, Rng, mutate_bytes, mutate_text, number, pick
from tests.tiny import write_patches


class Csv:
    """Tables of patches as `data index` reads them."""

    name = "CSV"
    told = ("/tree",)

    def __init__(self, folder: Path) -> None:
        self._tree = write_patches(folder / "patches", classes=("Forest", "River"), n=4, size=16)
        found = sorted(self._tree.rglob("*.png"))
        self._rows = [[path.relative_to(self._tree).as_posix(), path.parent.name] for path in found]
        self._index = swath.build_index(self._tree)

    def make(self, rng: Rng, place: Path) -> Path:
        """Write a table next to the patches, in some dialect, with something wrong in it."""
        header = [
            pick(rng, ("path", "image", "filename", "Path ", "img_path", "a")),
            pick(rng, ("label", "class", "labels", "b")),
        ]
        rows = [list(row) for row in self._rows]
        for name in (
            "split",
            "group",
            "lon",
            "lat",
            "gsd",
            "source",
            "license",
            "crs",
            "footprint",
            "extra",
            "Label",
            "fold",
        ):
            if rng.random() < 0.2:
                header.append(name)
                cells = {"split": "train", "lon": "11.5", "lat": "48", "gsd": "10", "crs": "EPSG:32632", "fold": "1"}
                for row in rows:
                    row.append(cells.get(name, "x"))
        if rng.random() < 0.15:
            header[1], rows = (
                "labels",
                [[row[0], pick(rng, ("a;b", "a|b", "['a', 'b']", "[a, b]", "a b", "a, b")), *row[2:]] for row in rows],
            )
        table = [header, *rows] if rng.random() < 0.85 else rows
        for _ in range(int(rng.integers(0, 4))):
            line = pick(rng, table)
            match int(rng.integers(9)):
                case 0:
                    line.append("x")
                case 1 if len(line) > 1:
                    del line[int(rng.integers(len(line)))]
                case 2:
                    table.append(list(line))
                case 3:
                    line[int(rng.integers(len(line)))] = "y" * int(pick(rng, (200, 131_072, 140_000)))
                case 4:
                    line[int(rng.integers(len(line)))] = str(number(rng))
                case _:
                    line[int(rng.integers(len(line)))] = str(pick(rng, TEXTS))
        stream = io.StringIO()
        quoting = pick(rng, (csv.QUOTE_MINIMAL, csv.QUOTE_ALL))
        writer = csv.writer(
            stream,
            delimiter=pick(rng, ",,,,;\t|: "),
            quotechar=pick(rng, '"""\''),
            quoting=quoting,
            lineterminator=pick(rng, ("\r\n", "\n", "\r", "\n\n")),
        )
        writer.writerows(table)
        text = stream.getvalue()
        if rng.random() < 0.4:
            text = mutate_text(text, rng)
        if rng.random() < 0.1:
            text += pick(rng, ('"', '"open\n', "\n" * 5000, "," * 50_000, '""","', "a,b\n" * 3000, "sep=;\n"))
        codes = ("utf-8",) * 12 + (
            "utf-8-sig",
            "utf-16",
            "utf-16-le",
            "utf-32",
            "latin-1",
            "cp1252",
            "cp932",
            "gb18030",
        )
        data = text.encode(pick(rng, codes), "replace")
        if rng.random() < 0.2:
            data = mutate_bytes(data, rng, head=pick(rng, (100, None)))
        path = place / "tree" / f"mutant{pick(rng, ('.csv', '.csv', '.tsv'))}"
        shutil.copytree(self._tree, path.parent, copy_function=os.link)
        path.write_bytes(data)
        return path

    def uses(self, path: Path) -> Iterator[Callable[[], Any]]:
        """Index the table, its folder, and split the folder's index by it as a list."""
        yield lambda: swath.build_index(path)
        yield lambda: swath.build_index(path.parent, skip_unreadable=True)
        yield lambda: swath.split_index(self._index, lists={"test": path})
