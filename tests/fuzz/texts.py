"""Recipes, changes of a recipe given on the command line, and tables of paths and labels."""

from __future__ import annotations

import csv
import io
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

import swath
from swath.training.recipe import dump_recipe, recipe_names
from tests.fuzz.mutants import TEXTS, Rng, mutate_bytes, mutate_text, mutate_value, nested, number, pick, scalar
from tests.tiny import write_patches

_ODD_YAML = (
    "epochs: 2001-99-99", "epochs: 12:30:45", "name: *x", "name: &x a", "? [a, b]\n: 1", "? {a: 1}\n: 1", "- a", "--- a\n--- b",
    "<<: {epochs: 3}", "epochs: !!python/name:os.system", "epochs: !!int '3'", "name: |\n  a\n  b", "true: 1", "null: 1", "1: 2",
    "1.5: 2", "network: {name: patchnet, name: x}", "network:\n\tname: x", "epochs: 0b11", "epochs: 1_0", "%YAML 9.9\n---\nepochs: 1",
    "bands: [red, green, blue", "bands: {red, green}", "optimizer: []", "[" * 3000, "{a: " * 3000, "epochs: " + "9" * 5000,
    "loss: {class_weights: {1: 2, yes: 3}}", "loss: {class_weights: balanced}", "weights: hf:a/b", "x: \x85", "\ufeffepochs: 1",
    "a: &a [*a]", "network: null", "optimizer: ~", "epochs: .inf", "optimizer: {lr: .nan}", "optimizer: {lr: 1e999}", "epochs: 1e2",
    "? |\n  x\n: 1", "epochs: '3'", "epochs: [3]", "\x00", "name: \u202ex", "'epochs': 3", "epochs : 3", "epochs: 3 # c", "..." ,
)  # fmt: skip


class Yaml:
    """Recipes and ``--set`` as `train` reads them."""

    name = "YAML"
    told = ("recipe fast", "the value in '", "is not of the form name=value", "not a group of fields")

    def __init__(self, folder: Path) -> None:
        self._recipes = {name: yaml.safe_load(dump_recipe(swath.load_recipe(name))) for name in recipe_names()}
        self._fields = sorted(_fields(self._recipes["fast"]))

    def make(self, rng: Rng, place: Path) -> Path:
        """Write a recipe, and next to it what ``--set`` is to say, if anything."""
        values = self._recipes[pick(rng, sorted(self._recipes))]
        choice = rng.random()
        for _ in range(int(rng.integers(0 if choice > 0.7 else 1, 4))):
            values = mutate_value(values, rng)
        if rng.random() < 0.03:
            values = {"epochs": nested(900)}
        try:
            text = _dumped(values, rng)
        except (yaml.YAMLError, RecursionError):
            text = str(values)
        if rng.random() < 0.4:
            text += "\n" + pick(rng, _ODD_YAML) if rng.random() < 0.6 else ""
        if rng.random() < 0.25:
            text = mutate_text(text, rng)
        data = text.encode(pick(rng, ("utf-8",) * 9 + ("utf-16", "latin-1", "utf-32", "cp1252")), "replace")
        if rng.random() < 0.15:
            data = mutate_bytes(data, rng)
        path = place / f"mutant{pick(rng, ('.yaml', '.yml'))}"
        path.write_bytes(data)
        if choice > 0.6:
            given = [self._assignment(rng) for _ in range(int(rng.integers(1, 4)))]
            (place / "set.txt").write_text("\1".join(given), encoding="utf-8", errors="surrogatepass")
        return path

    def _assignment(self, rng: Rng) -> str:
        field = pick(rng, self._fields) if rng.random() < 0.8 else str(pick(rng, TEXTS))
        value = pick(rng, (*TEXTS, *(text.partition(": ")[2] for text in _ODD_YAML), str(number(rng)), str(scalar(rng))))
        joint = "=" if rng.random() < 0.95 else pick(rng, ("", "==", " = ", ".=", ":"))
        return mutate_text(f"{field}{joint}{value}", rng) if rng.random() < 0.2 else f"{field}{joint}{value}"

    def uses(self, path: Path) -> Iterator[Callable[[], Any]]:
        """Load it, with the changes, and write it again."""
        told = path.parent / "set.txt"
        yield lambda: dump_recipe(swath.load_recipe(path))
        if told.exists():
            changes = told.read_bytes().decode("utf-8", "surrogatepass").split("\1")
            # A change is named, and not the file.
            yield lambda: dump_recipe(swath.load_recipe("fast", changes=changes))
            yield lambda: dump_recipe(swath.load_recipe(path, changes=changes))


def _fields(values: dict[str, Any], before: str = "") -> Iterator[str]:
    for name, value in values.items():
        yield before + name
        if isinstance(value, dict):
            yield from _fields(value, f"{before}{name}.")


def _dumped(values: Any, rng: Rng) -> str:
    options = {"default_flow_style": bool(rng.integers(2)), "allow_unicode": bool(rng.integers(2)), "width": 200}
    return yaml.safe_dump(values, sort_keys=False, **options)


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
        header = [pick(rng, ("path", "image", "filename", "Path ", "img_path", "a")), pick(rng, ("label", "class", "labels", "b"))]
        rows = [list(row) for row in self._rows]
        for name in ("split", "group", "lon", "lat", "gsd", "source", "license", "crs", "footprint", "extra", "Label", "fold"):
            if rng.random() < 0.2:
                header.append(name)
                cells = {"split": "train", "lon": "11.5", "lat": "48", "gsd": "10", "crs": "EPSG:32632", "fold": "1"}
                for row in rows:
                    row.append(cells.get(name, "x"))
        if rng.random() < 0.15:
            header[1], rows = "labels", [[row[0], pick(rng, ("a;b", "a|b", "['a', 'b']", "[a, b]", "a b", "a, b")), *row[2:]] for row in rows]
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
            quotechar=pick(rng, "\"\"\"'"),
            quoting=quoting,
            lineterminator=pick(rng, ("\r\n", "\n", "\r", "\n\n")),
        )
        writer.writerows(table)
        text = stream.getvalue()
        if rng.random() < 0.4:
            text = mutate_text(text, rng)
        if rng.random() < 0.1:
            text += pick(rng, ('"', '"open\n', "\n" * 5000, "," * 50_000, '""","', "a,b\n" * 3000, "sep=;\n"))
        codes = ("utf-8",) * 12 + ("utf-8-sig", "utf-16", "utf-16-le", "utf-32", "latin-1", "cp1252", "cp932", "gb18030")
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
        yield lambda: swath.split_index(self._index, lists={"test": path}, val=0)
