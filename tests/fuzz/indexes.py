"""Patch indexes, and the JSON and XML that name patches and their labels, changed in their values and bytes."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import swath
from swath.data import audit, write_index
from tests.fuzz.mutants import FLOATS, TEXTS, Rng, mutate_bytes, mutate_text, mutate_value, nested, number, pick
from tests.tiny import write_patches, write_tiny_model

_KEY = b"swath.index"
_CLASSES = ("Forest", "River")


class Indexes:
    """Parquet indexes as `data split`, `data report` and `evaluate` read them; exports as `data index` does."""

    name = "indexes"
    told = ("/tree", "index '", "of the index", "the patches form", "Forest/Forest_", "River/River_")

    def __init__(self, folder: Path) -> None:
        self._tree = write_patches(folder / "tree", classes=_CLASSES, n=5, size=16)
        index = swath.split_index(swath.build_index(self._tree))
        write_index(index, folder / "good.parquet")
        self._good = folder / "good.parquet"
        table = pq.read_table(self._good)  # a mutant lies one folder deeper
        facts = json.loads(table.schema.metadata[_KEY]) | {"root": "../tree"}
        pq.write_table(table.replace_schema_metadata({_KEY: json.dumps(facts)}), self._good)
        self._paths = index.paths
        self._classifier = swath.load(write_tiny_model(folder / "tiny.onnx"), engine="onnxruntime", threads=1)
        self._texts = dict(self._exports())

    def _exports(self) -> Iterator[tuple[str, Any]]:
        labels = [path.partition("/")[0] for path in self._paths]
        ids = range(1, len(labels) + 1)
        named = list(zip(ids, self._paths, labels, strict=True))
        categories = [{"id": n, "name": name} for n, name in enumerate(_CLASSES)]
        yield (
            "coco.json",
            {
                "images": [{"id": i, "file_name": p, "width": 16, "height": 16} for i, p, _ in named],
                "annotations": [
                    {"id": i, "image_id": i, "category_id": _CLASSES.index(name), "bbox": [0, 0, 1, 1]}
                    for i, _, name in named
                ],
                "categories": categories,
            },
        )
        result = [{"from_name": "q", "type": "choices", "value": {"choices": ["Forest"]}}]
        yield (
            "studio.json",
            [
                {"id": i, "data": {"image": p}, "annotations": [{"result": result, "ground_truth": True}]}
                for i, p, _ in named
            ],
        )
        yield "short.json", [{"id": i, "image": p, "choice": label} for i, p, label in named]
        yield (
            "datumaro.json",
            {
                "categories": {"label": {"labels": [{"name": name} for name in _CLASSES]}},
                "items": [
                    {"id": p, "subset": "train", "annotations": [{"type": "label", "label_id": _CLASSES.index(name)}],
                     "image": {"path": p}}
                    for _, p, name in named
                ],
            },
        )  # fmt: skip
        images = "\n".join(
            f'<image id="{i}" name="{p}" width="16" height="16"><tag label="{name}">'
            '<attribute name="a">b</attribute></tag></image>'
            for i, p, name in named
        )
        yield (
            "cvat.xml",
            f'<?xml version="1.0" encoding="utf-8"?>\n<annotations><version>1.1</version>\n{images}\n</annotations>\n',
        )

    def make(self, rng: Rng, place: Path) -> Path:
        """Write a mutant of the Parquet index, or of one of the exports."""
        if rng.random() < 0.35:
            return self._export(rng, place)
        path = place / "mutant.parquet"
        if rng.random() < 0.3:
            data = self._good.read_bytes()
            tail = int.from_bytes(data[-8:-4], "little") + 8
            if rng.random() < 0.7:
                data = data[:-tail] + mutate_bytes(data[-tail:], rng)
            else:
                data = mutate_bytes(data, rng, head=2000)
            path.write_bytes(data)
            return path
        table = pq.read_table(self._good)
        for _ in range(int(rng.integers(1, 4))):
            try:
                table = _change_table(table, rng)
            except (pa.ArrowException, TypeError, ValueError, OverflowError, LookupError, RecursionError):
                continue  # no value of that type
        try:
            pq.write_table(
                table,
                path,
                compression=pick(rng, ("zstd", "snappy", "none")),
                row_group_size=int(pick(rng, (1, 3, 100))),
            )
        except (pa.ArrowException, ValueError):
            path.write_bytes(mutate_bytes(self._good.read_bytes(), rng))
        return path

    def _export(self, rng: Rng, place: Path) -> Path:
        name = pick(rng, sorted(self._texts))
        content = self._texts[name]
        if isinstance(content, str):
            text = mutate_text(content, rng)
            if rng.random() < 0.1:
                text = text.replace("<annotations>", "<!DOCTYPE a [<!ENTITY e 'x'>]><annotations>" + "<a>" * 20000)
        else:
            for _ in range(int(rng.integers(1, 4))):
                content = mutate_value(content, rng)
            if rng.random() < 0.05:
                content = {"images": nested(500)}
            text = json.dumps(content, ensure_ascii=bool(rng.integers(2)))
            if rng.random() < 0.2:
                text = mutate_text(text, rng)
            if rng.random() < 0.03:
                text = "[" * 100_000 + text
        data = text.encode("utf-8", "surrogatepass")
        if rng.random() < 0.15:
            data = mutate_bytes(data, rng)
        path = place / "tree" / f"mutant{Path(name).suffix}"
        shutil.copytree(self._tree, path.parent, copy_function=os.link)
        path.write_bytes(data)
        return path

    def uses(self, path: Path) -> Iterator[Callable[[], Any]]:
        """Read it, and what commands do with an index that was read."""
        if path.suffix != ".parquet":
            yield lambda: swath.build_index(path, skip_unreadable=True)
            return
        read: list[swath.PatchIndex] = []
        yield lambda: read.append(swath.read_index(path))
        if not read:
            return
        index = read[0]
        yield lambda: (repr(index), index.fingerprint, index.gsd, index.license, index.split_counts, index.to_pandas())
        yield lambda: index.class_counts
        yield index.targets
        yield lambda: swath.split_index(index)
        yield lambda: str(audit(index))
        yield lambda: swath.evaluate(self._classifier, path, split="val")
        yield lambda: write_index(index, path.parent / "again.parquet")


def _change_table(table: pa.Table, rng: Rng) -> pa.Table:
    """Other values, types, names or metadata."""
    place = int(rng.integers(table.num_columns))
    field, values = table.schema.field(place), table.column(place).to_pylist()
    row = int(rng.integers(max(1, len(values))))
    match int(rng.integers(11)):
        case 0:
            return table.drop_columns([field.name])
        case 1:
            return table.append_column(str(pick(rng, TEXTS)), pa.array([1] * len(values)))
        case 2:
            kind = pick(
                rng, (pa.int8(), pa.string(), pa.large_string(), pa.float64(), pa.binary(), pa.null(), pa.bool_())
            )
            return table.set_column(place, pa.field(field.name, kind), pa.array([None] * len(values), kind))
        case 3:
            return table.take(pa.array(rng.integers(0, len(values), int(pick(rng, (0, 1, 5, 30))))))
        case 4 | 5:
            facts = json.loads((table.schema.metadata or {})[_KEY])
            text = json.dumps(mutate_value(facts, rng))
            if rng.random() < 0.1:
                text = "[" * 100_000 if rng.random() < 0.5 else mutate_text(text, rng)
            return table.replace_schema_metadata({**table.schema.metadata, _KEY: text.encode("utf-8", "surrogatepass")})
        case 6:
            odd = [b"\xff\xfe", b"a\0b", "\u202e".encode(), b"Forest/" + bytes([0xC3]), b""]
            raw = [value.encode() if isinstance(value, str) else value for value in values]
            raw[row] = pick(rng, odd)
            made = pa.array(raw, pa.binary()).view(pa.string()) if field.type == pa.string() else table.column(place)
            return table.set_column(place, field, made)
        case _:
            if pa.types.is_list(field.type):
                values[row] = pick(rng, ([], ["a", "a"], ["Forest"], ["\x1b[2J"], [None], None, list(TEXTS[:30])))
            elif pa.types.is_floating(field.type):
                values[row] = float(pick(rng, FLOATS))
            elif pa.types.is_integer(field.type):
                values[row] = number(rng)
            elif pa.types.is_binary(field.type):
                values[row] = bytes(rng.integers(0, 256, int(pick(rng, (0, 1, 21, 93))), np.uint8))
            else:
                values[row] = pick(rng, (None, *TEXTS))
                if rng.random() < 0.2:
                    values = [values[row]] * len(values)
            nullable = pa.field(field.name, field.type, nullable=field.nullable)
            return table.set_column(place, nullable, pa.array(values, field.type))
