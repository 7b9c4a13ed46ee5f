"""Time to accuracy: from a zip of patches on disk to a model file, and its accuracy.

    python benchmarks/train_speed.py --data DIR [--recipes flash fast] [--repeats 5] [--json FILE] [--table]
    python benchmarks/train_speed.py --short

DIR holds ``eurosat_rgb.zip``, ``eurosat_train.csv`` and ``eurosat_val.csv``; without ``--data`` it is taken from the
environment variable SWATH_DATA. Every run starts with an empty cache and is timed from the zip: index (every
image decoded and checked), decode into the cache, training, calibration, export check, model file.

The recipes were tuned on the val list, so accuracy is not measured there. Each run tests on 5,400 patches drawn by
its seed, class by class, from the *train* list, and trains on the 16,200 others of both lists. Two choices were made
after looking at such tests, with other seeds; docs/speed.md names them.

The peer is a common setup: torchvision's ResNet-50 at 224 pixels, SGD, batch size 32, fp32. Its rate is measured
between swath's runs; its hours for 5 epochs of 21,600 patches are extrapolated from the rate, and marked as such.

``--short`` uses the shipped patches and two epochs: a smoke test of seconds, whose accuracy means nothing.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import finish, machine, parser, rows, spread

import swath
from swath.data import build_index, cached_pixels, split_index
from swath.training import load_recipe, train

TTA_VIEWS = 8
PEER_EPOCHS, PEER_PATCHES = 5, 21_600


def main() -> None:
    """Measure and print."""
    options = _options()
    runs, peer = _kept(options)
    task = _classification_task(options.peer_steps)  # first: it may lack a package
    runs |= {recipe: [] for recipe in options.recipes}
    for seed in range(options.first_seed, options.first_seed + options.repeats):
        for recipe in options.recipes:
            done = _ours(options, recipe, seed)
            runs[recipe].append(done)
            outcome = f"{100 * done['accuracy']:.2f} % after {done['seconds from zip to model file']} s"
            print(f"{recipe}, seed {seed}: {outcome}", file=sys.stderr, flush=True)
            peer.append(_resnet50(options.peer_steps))
    rate = spread(peer)
    result = {
        "benchmark": "train_speed",
        "machine": machine(options.threads),
        "runs": runs,
        "peer runs": peer,
        "ours": {name: _summary(done) for name, done in runs.items()},
        "peer": {
            "what": "torchvision ResNet-50, 224 px, SGD, batch 32, fp32",
            "images per second": rate,
            "hours for 5 epochs of 21,600, extrapolated": round(PEER_EPOCHS * PEER_PATCHES / rate["median"] / 3600, 2),
            "torchgeo ClassificationTask, the same network, images per second": "not installed"
            if task is None
            else round(task, 2),
        },
    }
    finish(result, options, table=_table(result))


def _options() -> argparse.Namespace:
    made = parser(__doc__)
    made.add_argument("--data", type=Path, default=os.environ.get("SWATH_DATA"))
    made.add_argument("--recipes", nargs="+", default=["flash", "fast"])
    made.add_argument("--peer-steps", type=int, default=3)
    made.add_argument(
        "--first-seed", type=int, default=0, help="seed of the first run; each seed draws other test patches"
    )
    made.add_argument("--add", action="store_true", help="keep other recipes' runs in the --json file")
    options = made.parse_args()
    if options.short:
        options.recipes, options.peer_steps = ["quickstart"], 1
    elif options.data is None:
        made.error("give --data DIR, set SWATH_DATA, or pass --short")
    options.repeats = options.repeats or (1 if options.short else 5)
    return options


def _kept(options: argparse.Namespace) -> tuple[dict[str, list[dict[str, Any]]], list[float]]:
    """Earlier runs of other recipes, with --add."""
    if not options.add or options.json is None or not options.json.is_file():
        return {}, []
    before = json.loads(options.json.read_text(encoding="utf-8"))
    return before["runs"], before["peer runs"]


def _ours(options: argparse.Namespace, recipe: str, seed: int) -> dict[str, Any]:
    """One run from the zip to the model file; seconds of each part, and accuracy on the unseen patches."""
    changes = [f"seed={seed}", *(["epochs=2"] if options.short else [])]
    chosen = load_recipe(recipe, changes=changes)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["SWATH_CACHE"] = str(folder / "cache")
        started = time.perf_counter()
        if options.short:
            index = build_index("eurosat-mini")
        else:
            index = build_index(options.data / "eurosat_rgb.zip")
            listed = split_index(index, lists=_lists(options.data, folder, seed=seed))
            index = split_index(listed, val=0.05, seed=seed)
        indexed = time.perf_counter()
        result = train(index, chosen, out=folder / "run", name=recipe, threads=options.threads)
        ended = time.perf_counter()
        test = index.where("test")
        pixels, truth = np.ascontiguousarray(cached_pixels(test)), np.array(test.labels)
        right, of_views = (
            float(np.mean(np.array(swath.load(result.model, tta=tta).predict(pixels).labels) == truth))
            for tta in (1, TTA_VIEWS)
        )
    seconds = sum(row["seconds"] for row in result.history)
    return {
        "seed": seed,
        "accuracy": right,
        f"accuracy, {TTA_VIEWS} views": of_views,
        "unseen": len(test),
        "seconds from zip to model file": round(ended - started, 1),
        "seconds indexing": round(indexed - started, 1),
        "seconds training": round(seconds, 1),
        "patches per second": round(len(index.where("train")) * len(result.history) / seconds),
        "inner validation accuracy by epoch": [round(row["val_accuracy"], 4) for row in result.history],
        "seconds by epoch": [round(row["seconds"], 1) for row in result.history],
    }


def _lists(data: Path, folder: Path, *, seed: int) -> dict[str, Path]:
    """The published lists with another test split: a quarter of all patches, taken from the train list."""
    with (data / "eurosat_train.csv").open(newline="", encoding="utf-8") as stream:
        rows_ = list(csv.DictReader(stream))
    with (data / "eurosat_val.csv").open(newline="", encoding="utf-8") as stream:
        kept = [row["path"] for row in csv.DictReader(stream)]
    drawn: list[str] = []
    random = np.random.default_rng(seed)
    for label in sorted({row["label"] for row in rows_}):
        paths = sorted(row["path"] for row in rows_ if row["label"] == label)
        drawn += random.permutation(paths)[: round(len(paths) / 3)].tolist()
    left = sorted({row["path"] for row in rows_} - set(drawn))
    written = {"train": folder / "train.txt", "test": folder / "test.txt"}
    written["train"].write_text("\n".join([*kept, *left]), encoding="utf-8")
    written["test"].write_text("\n".join(drawn), encoding="utf-8")
    return written


def _table(result: dict[str, Any]) -> list[str]:
    body: list[tuple[object, ...]] = []
    for name, ours in result["ours"].items():
        seconds = ours["seconds from zip to model file"]
        several = ours["n"] > 1  # one run has no spread
        body.append(
            (
                name,
                ours["n"],
                f"{100 * ours['accuracy mean']:.2f}" + (f" ± {100 * ours['accuracy sd']:.2f} %" if several else " %"),
                f"{100 * ours[f'accuracy mean, {TTA_VIEWS} views']:.2f} %",
                f"{seconds['mean']:.0f}" + (f" ± {seconds['sd']:.0f} s" if several else " s"),
                f"{ours['patches per second']['median']:,.0f}",
            )
        )
    peer = result["peer"]
    hours = peer["hours for 5 epochs of 21,600, extrapolated"]
    body.append((peer["what"], "", "", "", f"{hours} h (extrapolated)", peer["images per second"]["median"]))
    task = peer["torchgeo ClassificationTask, the same network, images per second"]
    body.append(("torchgeo ClassificationTask, the same network", "", "", "", "", task))
    return rows(
        ("recipe", "n", "test accuracy", f"with {TTA_VIEWS} views", "zip to model file", "patches/s in training"), body
    )


def _resnet50(steps: int) -> float:
    """Images per second of the peer's training."""
    from torchvision.models import resnet50

    torch.manual_seed(0)
    network = resnet50(num_classes=10).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.001, momentum=0.9)
    pixels, labels = torch.randn(32, 3, 224, 224), torch.randint(0, 10, (32,))

    def step() -> None:
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(network(pixels), labels).backward()
        optimizer.step()

    step()  # the first one allocates
    started = time.perf_counter()
    for _ in range(steps):
        step()
    return 32 * steps / (time.perf_counter() - started)


def _classification_task(steps: int) -> float | None:
    """Images per second of torchgeo's ClassificationTask, same network and batch size; None without torchgeo."""
    if find_spec("torchgeo") is None:
        return None
    from lightning.pytorch import Callback, Trainer
    from torch.utils.data import DataLoader
    from torchgeo.trainers import ClassificationTask

    class Clock(Callback):
        def __init__(self) -> None:
            self.seconds: list[float] = []

        def on_train_batch_start(self, *_: Any) -> None:
            self.started = time.perf_counter()

        def on_train_batch_end(self, *_: Any) -> None:
            self.seconds.append(time.perf_counter() - self.started)

    batch_size = {"image": torch.randn(32, 3, 224, 224), "label": torch.randint(0, 10, (32,))}
    task = ClassificationTask(model="resnet50", weights=None, in_channels=3, num_classes=10)
    clock = Clock()
    trainer = Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        callbacks=[clock],
    )
    batches, one = (DataLoader([batch_size] * n, batch_size=None) for n in (steps + 1, 1))
    trainer.fit(task, batches, one)  # its schedule needs a validation loss
    return 32 * steps / sum(clock.seconds[1:])  # the first one allocates


def _summary(done: list[dict[str, Any]]) -> dict[str, Any]:
    accuracy = [run["accuracy"] for run in done]
    return {
        "n": len(done),
        "accuracy mean": round(float(np.mean(accuracy)), 5),
        "accuracy sd": round(float(np.std(accuracy, ddof=1)), 5) if len(done) > 1 else None,
        f"accuracy mean, {TTA_VIEWS} views": round(
            float(np.mean([run[f"accuracy, {TTA_VIEWS} views"] for run in done])), 5
        ),
        "seconds from zip to model file": spread([run["seconds from zip to model file"] for run in done]),
        "patches per second": spread([run["patches per second"] for run in done]),
    }


if __name__ == "__main__":
    main()
