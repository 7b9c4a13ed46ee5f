"""Run the same work with two checkouts and compare every number: has a change of the code changed an answer?

    git worktree add ../before 9adc94d
    python scripts/same_answers.py ../before .
    python scripts/same_answers.py ../before . --only predict,map --json

Both checkouts run with the Python that runs this script (or ``--python``), which must have their dependencies; each
takes ``swath`` from its own ``src``, one thread, one engine, and caches of its own. Compared are

- shipped: initializers and nodes of the graphs in the package, and the numbers of their records;
- predict: the shipped model on real patches and on pictures of other kinds and sizes, as CSV and Parquet, with
  test-time augmentation and with matched colors;
- evaluate: the shipped model on the test split of ``eurosat-mini``;
- map: the shipped model on a scene of real patches at strides 64 and 16, and on a 16-bit scene;
- train: the recipe ``flash`` on ``eurosat-mini``: the exported graph, the numbers of its record and of the run.

One row is printed for each file and each part of a model file. Numbers, labels, pixels and weights must be equal
exactly (but for `LOOSER`); other texts, timings and dates are not compared, and what only the new checkout writes is
counted, not compared. Names that differ between the two are listed in `RENAMED` and `SPELLINGS`. Exits with 1 if
anything differs, is missing or does not run. Takes three to six minutes on two cores.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import csv
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pyarrow.parquet as pq
import rasterio
from onnx import numpy_helper
from PIL import Image

Values = dict[str, np.ndarray]

# Column names, JSON keys and dotted parts of file names: read, in both checkouts, as the name on the right.
RENAMED = {
    "unlike": "ood",
    "unlike_training": "is_ood",
    "harmonise": "rescale",
    "color_match": "rescale",
    "match_colors": "rescale",
    "render": "rescale",
    "colour": "color",
    "centre": "center",
    "licence": "license",
    "golden": "reference",
    "trust": "reliability",
}
# Options by their newer and older spelling; a command's --help says whether it takes the newer one.
SPELLINGS = {"--tta": "--views", "--rescale": "--render"}
TEXTS = {"path", "label", "labels", "predicted", "name", "split", "color_hint"}  # that are answers
NOT_COMPARED = {"seconds", "schema_version", "recipe"}  # nor is what lies in them
# The color baseline is an iterative fit: another solver ends elsewhere within its own stopping rule.
LOOSER = {"baselines": 1e-3}
PARTS = ("shipped", "predict", "evaluate", "map", "train")


class Checkout:
    """One of the two checkouts, and the folder its commands run in."""

    def __init__(self, name: str, root: Path, folder: Path, python: str) -> None:
        self.name, self.folder, self._python, self._source = name, folder, python, root.resolve() / "src"
        self._helps: dict[str, str] = {}
        self._environment = os.environ | {"PYTHONPATH": str(self._source), "OMP_NUM_THREADS": "1"}
        # What one checkout has decoded, the other must decode itself.
        self._environment |= {"SWATH_CACHE": str(folder / "cache"), "SWATH_OFFLINE": "1"}
        self._environment |= {"CUDA_VISIBLE_DEVICES": "", "COLUMNS": "200", "NO_COLOR": "1"}
        folder.mkdir(parents=True)
        found = self._python_says("-c", "import swath; print(swath.__file__)").strip()
        if not Path(found).resolve().is_relative_to(self._source):
            raise SystemExit(f"{name}: swath is imported from {found}, not from {self._source}")

    def shipped(self, pattern: str) -> list[Path]:
        """Files in the package."""
        return sorted(self._source.rglob(f"shipped/{pattern}"))

    def run(self, command: str, out: str) -> list[Path]:
        """Run a command of swath that writes to `out`; gives the files there are then."""
        name, *words = command.split()
        if name not in self._helps:
            self._helps[name] = self._python_says("-m", "swath", name, "--help")
        if "--match-colors" in self._helps[name]:  # a second option once: command lines that asked for one have both
            both = {
                "off": "--match-colors off",
                "match": "--match-colors on",
                "0:2750": "--rescale 0:2750 --match-colors off",
            }
            words = re.sub(r"--rescale (\S+)", lambda found: both[found[1]], " ".join(words)).split()
        for place, word in enumerate(words):
            if word in SPELLINGS and not re.search(rf"{word}(?![\w-])", self._helps[name]):
                words[place] = SPELLINGS[word]
        target = self.folder / out
        target.parent.mkdir(parents=True, exist_ok=True)
        start = time.monotonic()
        self._python_says("-m", "swath", name, *words, "--out", str(target))
        print(f"{self.name}: {out} ({time.monotonic() - start:.0f} s)", file=sys.stderr, flush=True)
        return sorted((target if target.is_dir() else target.parent).iterdir())

    def _python_says(self, *words: str) -> str:
        words = (self._python, *words)
        how = {"cwd": self.folder, "env": self._environment, "capture_output": True, "text": True}
        return subprocess.run(words, check=True, **how).stdout


def make_inputs(archive: Path, folder: Path) -> None:
    """Make the pictures and scenes that both checkouts are given, of the patches in the shipped archive."""
    patches = folder / "patches"
    patches.mkdir(parents=True)
    with zipfile.ZipFile(archive) as source:
        names = sorted(name for name in source.namelist() if name.endswith(".jpg"))[::8]
        files = [source.read(name) for name in names]
    for name, content in zip(names, files, strict=True):
        (patches / Path(name).name).write_bytes(content)
    tiles = [np.array(Image.open(io.BytesIO(content)).convert("RGB")) for content in files]
    drawn = np.random.default_rng(0).permutation(len(tiles))[:80]
    mosaic = np.concatenate([np.concatenate([tiles[i] for i in row], axis=1) for row in drawn.reshape(8, 10)])
    odd = folder / "odd"
    odd.mkdir()
    first, large = Image.fromarray(tiles[0]), Image.fromarray(mosaic[:200, :333])
    deep = Image.fromarray(tiles[0][..., 1].astype(np.uint16) * 257)
    pictures = {"alpha.png": first.convert("RGBA"), "gray.png": first.convert("L"), "deep.png": deep}
    pictures |= {"cmyk.jpg": first.convert("CMYK"), "palette.png": first.quantize(64)}
    pictures |= {"small.png": first.resize((17, 40)), "large.png": large}
    for name, picture in pictures.items():
        picture.save(odd / name)
    (odd / "broken.jpg").write_bytes(files[0][:700])
    write_scene(odd / "sixteen.tif", tiles[1].astype(np.uint16) * 10)
    write_scene(odd / "eight.tif", tiles[1])
    mosaic[:90, -130:] = 0
    write_scene(folder / "scene.tif", mosaic, nodata=0)
    # Reflectance of a brighter, hazier day, cut where no window ends.
    reflectance = (mosaic[:300, :413] / 255 * 2750 * (1.1, 1.0, 0.9) + (150, 250, 350)).astype(np.uint16)
    write_scene(folder / "reflectance.tif", reflectance)


def write_scene(path: Path, pixels: np.ndarray, *, nodata: int | None = None) -> None:
    """Write ``[H, W, bands]`` as a GeoTIFF of 10 m a pixel."""
    height, width, count = pixels.shape
    form = {"driver": "GTiff", "width": width, "height": height, "count": count, "dtype": pixels.dtype}
    place = rasterio.Affine(10, 0, 600_000, 0, -10, 5_400_000)
    with rasterio.open(path, "w", **form, crs="EPSG:32632", transform=place, nodata=nodata) as dataset:
        dataset.write(pixels.transpose(2, 0, 1))
        dataset.descriptions = ("red", "green", "blue")


def jobs(engine: str) -> Iterator[tuple[str, str]]:
    """Where each command writes, and the command, in the newer spelling; the first folder names the part."""
    how = f"--threads 1 --engine {engine}"
    yield "index/mini.parquet", "data index eurosat-mini"
    model = "eurosat"
    command = f"predict {model} ../inputs/patches ../inputs/odd --skip-unreadable --top-k 3 {how}"
    yield f"predict/{model}/p.parquet", f"{command} --rescale off"
    yield f"predict/{model}-csv/p.csv", f"{command} --rescale off"
    yield f"predict/{model}-8-views/p.parquet", f"{command} --rescale off --tta 8"
    yield f"evaluate/{model}/test", f"evaluate {model} index/mini.parquet --split test {how}"
    for stride in (64, 16):
        out = f"map/{model}-{stride}"
        command = f"map {model} ../inputs/scene.tif --stride {stride} --rescale off {how}"
        yield f"{out}/map.tif", f"{command} --probabilities {out}/all.tif"
    yield "predict/matched/p.parquet", f"predict eurosat ../inputs/patches --rescale match {how}"
    command = f"map eurosat ../inputs/reflectance.tif --rescale 0:2750 --stride 32 {how}"
    yield "map/reflectance/map.tif", f"{command} --probabilities map/reflectance/all.tif"
    yield "train/flash", "train index/mini.parquet --recipe flash --threads 1"


def read(paths: Iterable[Path], title: str) -> dict[str, Values]:
    """Read the numbers of files, by title, file and part."""
    found: dict[str, Values] = {}
    for path in paths:
        name = ".".join(map(newer, path.name.split(".")))
        for part, values in READERS.get(path.suffix, lambda _: [])(path):
            found[f"{title}/{name}{part}"] = values
    return found


def newer(name: str) -> str:
    """The name both checkouts' names of one thing are read as."""
    return RENAMED.get(name, name)


def read_table(path: Path) -> Iterator[tuple[str, Values]]:
    """Columns of a CSV or Parquet file: numbers, truths, and the texts that are answers."""
    if path.suffix == ".csv":
        with path.open(newline="", encoding="utf-8") as file:
            head, *rows = csv.reader(file)
        columns = dict(zip(head, map(list, zip(*rows, strict=True)), strict=True))
    else:
        columns = pq.read_table(path).to_pydict()
    values: Values = {}
    for name, column in columns.items():
        array = np.array(column)
        if path.suffix == ".csv":
            with contextlib.suppress(ValueError):
                array = array.astype(float)
        texts = name in TEXTS or name.startswith("top_") or set(map(str, column)) <= {"True", "False"}
        if (texts or array.dtype.kind in "bif") and name not in NOT_COMPARED:
            values[newer(name)] = array
    yield "", values


def read_raster(path: Path) -> Iterator[tuple[str, Values]]:
    """Pixels and place of a raster."""
    with rasterio.open(path) as dataset:
        yield "", {"pixels": dataset.read(), "transform": np.array(dataset.transform)}


def read_json(path: Path) -> Iterator[tuple[str, Values]]:
    """Numbers of a JSON file, by the keys that lead to them."""
    yield "", dict(numbers(json.loads(path.read_text(encoding="utf-8"))))


def read_model(path: Path) -> Iterator[tuple[str, Values]]:
    """Weights and nodes of a graph, whatever they are named, and the numbers of the record."""
    model = onnx.load(path)
    graph = model.graph
    yield ": initializers", {str(n): numpy_helper.to_array(t) for n, t in enumerate(graph.initializer)}
    places: dict[str, int] = {}

    def wired(names: Iterable[str]) -> list[int]:
        return [places.setdefault(name, len(places)) for name in names]

    wired(tensor.name for tensor in graph.initializer)
    nodes = []
    for node in graph.node:
        for attribute in node.attribute:
            attribute.t.name = ""
        attributes = sorted(attribute.SerializeToString() for attribute in node.attribute)
        nodes.append(f"{node.op_type} {wired(node.input)} {wired(node.output)} {attributes}")
    outputs = wired(output.name for output in graph.output)
    opsets = sorted(f"{opset.domain} {opset.version}" for opset in model.opset_import)
    yield ": nodes", {"nodes": np.array(nodes), "outputs": np.array(outputs), "opsets": np.array(opsets)}
    record = json.loads(next(p.value for p in model.metadata_props if p.key.endswith("record")))
    baselines = record.pop("baselines")
    yield ": record", dict(numbers(record))
    yield ": baselines", dict(numbers(baselines))


def numbers(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, np.ndarray]]:
    """All numbers in JSON content, packed arrays as their bytes, and the texts that are answers."""
    match value:
        case dict():
            for key, item in value.items():
                if key not in NOT_COMPARED:
                    yield from numbers(item, (*path, newer(key)))
        case list() if value and all(isinstance(item, int | float) for item in value):
            yield "/".join(path), np.array(value, float)
        case list():
            for place, item in enumerate(value):
                yield from numbers(item, (*path, str(place)))
        case int() | float():  # truths too
            yield "/".join(path), np.array([value], float)
        case str() if path and path[-1] in TEXTS:
            yield "/".join(path), np.array([value])
        case str():
            with contextlib.suppress(ValueError, zlib.error):  # a text that packs no array
                yield "/".join(path), np.frombuffer(zlib.decompress(base64.b64decode(value)), np.uint8)


READERS: dict[str, Callable[[Path], Iterator[tuple[str, Values]]]] = {
    ".csv": read_table,
    ".parquet": read_table,
    ".tif": read_raster,
    ".json": read_json,
    ".onnx": read_model,
}


def gaps(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """How far apart the values of two arrays are: 1 where texts differ, the most there is where one is no number."""
    if before.dtype.kind == "U":
        return (before != after).astype(float)
    a, b = before.astype(float), after.astype(float)
    gap = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0.0, abs(a - b))
    return np.nan_to_num(gap, nan=np.finfo(float).max)


def compare(what: str, old: Values, new: Values) -> dict[str, Any]:
    """Make a row of the table: what one file, or a part of it, holds in both checkouts."""
    compared, largest, problems = 0, 0.0, []
    allowed = LOOSER.get(what.rpartition(": ")[2], 0.0)
    for key, before in old.items():
        after = new.get(key)
        if after is None:
            problems.append(f"{key} missing")
        elif before.shape != after.shape or (before.dtype != after.dtype and before.dtype.kind != "U"):
            problems.append(f"{key} was {before.dtype} {before.shape}, is {after.dtype} {after.shape}")
        else:
            gap = gaps(before, after)
            compared += gap.size
            largest = max(largest, float(gap.max(initial=0)))
            if (gap > allowed).any():
                problems.append(f"{key} ({int((gap > allowed).sum()):,} of {gap.size:,} values)")
    verdict = ("same" if not largest else f"same to {allowed:g}") if compared else "NOTHING to compare"
    if problems:
        verdict = f"DIFFERENT: {', '.join(problems[:3])}{', ...' if problems[3:] else ''}"
    extra = len(new.keys() - old.keys())
    return {"what": what, "compared": compared, "largest": largest, "only_new": extra, "verdict": verdict}


def rows_of(title: str, work: Callable[[Checkout], list[Path]], sides: list[Checkout]) -> list[dict[str, Any]]:
    """Let both checkouts work, at the same time, and compare the files they give."""

    def done(side: Checkout) -> dict[str, Values] | str:
        try:
            return read(work(side), title)
        except subprocess.CalledProcessError as error:
            return f"DID NOT RUN in the {side.name} checkout: {error.stderr.strip().splitlines()[-1:]}"

    with ThreadPoolExecutor(2) as pool:
        old, new = pool.map(done, sides)
    for side in (old, new):
        if isinstance(side, str):
            return [compare(title, {}, {}) | {"verdict": side}]
    return [compare(what, values, new.get(what, {})) for what, values in old.items()]


def main() -> int:
    """Read the options, do the work, print the table; 1 if anything differs."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("old", type=Path, help="checkout before the change")
    parser.add_argument("new", type=Path, help="checkout after it")
    parser.add_argument("--python", default=sys.executable, help="interpreter with the dependencies of both")
    parser.add_argument("--only", default=",".join(PARTS), help="parts to run: %(default)s")
    parser.add_argument("--engine", default="openvino", help="openvino or onnxruntime")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    options = parser.parse_args()
    only = options.only.split(",")
    if unknown := set(only) - set(PARTS):
        parser.error(f"--only takes {', '.join(PARTS)}, not {', '.join(sorted(unknown))}")
    rows = []
    with tempfile.TemporaryDirectory(prefix="same_answers_") as temporary:
        folder = Path(temporary)
        named = {"old": options.old, "new": options.new}
        sides = [Checkout(name, root, folder / name, options.python) for name, root in named.items()]
        make_inputs(sides[0].shipped("eurosat-mini.zip")[0], folder / "inputs")
        if "shipped" in only:
            rows += rows_of("shipped", lambda side: side.shipped("*.onnx"), sides)
        for out, command in jobs(options.engine):
            part = out.split("/")[0]
            if part in only or (part == "index" and {"evaluate", "train"} & set(only)):
                rows += rows_of(str(Path(out).parent), partial(Checkout.run, command=command, out=out), sides)
    if options.json:
        print(json.dumps(rows, indent=2))
    else:
        width = max(len(row["what"]) for row in rows)
        print(f"{'what':<{width}}  {'compared':>9}  {'largest difference':>18}  {'only new':>8}  verdict")
        for row in rows:
            print(f"{row['what']:<{width}}  {row['compared']:>9,}  {row['largest']:>18.3g}", end="")
            print(f"  {row['only_new']:>8}  {row['verdict']}")
    return int(any(not row["verdict"].startswith("same") for row in rows))


if __name__ == "__main__":
    sys.exit(main())
