"""Recipes and changes of a recipe given on the command line, changed in their values and in their text."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

import swath
from swath.training.recipe import dump_recipe, recipe_names
from tests.fuzz.mutants import TEXTS, Rng, mutate_bytes, mutate_text, mutate_value, nested, number, pick, scalar

_ODD_YAML = (
    "epochs: 2001-99-99", "epochs: 12:30:45", "name: *x", "name: &x a", "? [a, b]\n: 1", "? {a: 1}\n: 1", "- a",
    "--- a\n--- b", "<<: {epochs: 3}", "epochs: !!python/name:os.system", "epochs: !!int '3'", "name: |\n  a\n  b",
    "true: 1", "null: 1", "1: 2", "1.5: 2", "network: {name: patchnet, name: x}", "network:\n\tname: x",
    "epochs: 0b11", "epochs: 1_0", "%YAML 9.9\n---\nepochs: 1", "bands: [red, green, blue", "bands: {red, green}",
    "optimizer: []", "[" * 3000, "{a: " * 3000, "epochs: " + "9" * 5000, "loss: {class_weights: {1: 2, yes: 3}}",
    "loss: {class_weights: balanced}", "weights: hf:a/b", "x: \x85", "\ufeffepochs: 1", "a: &a [*a]", "network: null",
    "optimizer: ~", "epochs: .inf", "optimizer: {lr: .nan}", "optimizer: {lr: 1e999}", "epochs: 1e2", "? |\n  x\n: 1",
    "epochs: '3'", "epochs: [3]", "\x00", "name: \u202ex", "'epochs': 3", "epochs : 3", "epochs: 3 # c", "...",
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
        value = pick(
            rng, (*TEXTS, *(text.partition(": ")[2] for text in _ODD_YAML), str(number(rng)), str(scalar(rng)))
        )
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
