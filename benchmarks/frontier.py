"""What accuracy costs: models on patches as they are and re-rendered, against measured milliseconds a patch.

    python benchmarks/frontier.py INDEX --model NAME=FILE --model NAME=FILE ... [--split val] [--patches 0]
        [--figure docs/frontier.svg] [--threads N] [--repeats N] [--table] [--json FILE]

FILE is a model file or a shipped name, INDEX an index of EuroSAT. Accuracy has Wilson's interval; re-rendered it is the
mean over the four other renderings of benchmarks/renderings.py, with an interval over patches. Times are from uint8
pixels in memory to probabilities, preprocessing included, in the engine that swath uses by default for the file; every
model in turn in each round, and the median of the rounds. MACs are the multiplications of convolutions and the head
for one patch. On the figure a line joins the models that no other is both faster and better than.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from common import alternate, finish, machine, multiplications, parser, rows, spread
from matplotlib import rc_context
from matplotlib.figure import Figure
from renderings import all_renderings

from swath.data import read_index
from swath.evaluation.intervals import mean_share, proportion
from swath.evaluation.predictions import predict_pixels, predict_split, sample_rows
from swath.inference import Classifier, load
from swath.model import read_model

TIMED, REPEATS = 512, 9
ACCURACY = {"as it is": ("#1b6f8a", "o", "as they are"), "re-rendered": ("#b5541c", "s", "re-rendered, mean of four")}


def main() -> None:
    """Measure and print."""
    options = parser(__doc__)
    options.add_argument("index", type=Path, help="EuroSAT's index")
    options.add_argument("--model", action="append", type=named, required=True, metavar="NAME=FILE")
    options.add_argument("--split", default="val")
    options.add_argument("--patches", type=int, default=0, help="how many to draw at random; 0 for all")
    options.add_argument("--figure", type=Path, default=None, metavar="FILE", help="write an SVG or PNG here")
    args = options.parse_args()
    index = read_index(args.index)
    n = index.split_counts.get(args.split, 0)
    chosen = sample_rows(n, args.patches or n, seed=0)
    models = {name: load(path, threads=args.threads) for name, path in args.model}
    found: dict[str, dict[str, Any]] = {}
    timed = min(64 if args.short else TIMED, len(chosen))
    steps = {}
    for name, classifier in models.items():
        measured = predict_split(classifier, index, split=args.split, rows=chosen)
        found[name] = accuracies(classifier, measured.pixels, measured.part.labels) | costs(classifier)
        some = np.ascontiguousarray(measured.pixels[:timed])
        steps[name] = lambda run=classifier.run, some=some: run(some)
    seconds = alternate(steps, args.repeats or (3 if args.short else REPEATS))
    for name, taken in seconds.items():
        found[name]["milliseconds"] = spread([1e3 * one / timed for one in taken])
    result = {
        "benchmark": "frontier",
        "machine": machine(args.threads),
        "split": args.split,
        "n": len(chosen),
        "models": found,
    }
    args.model = [name for name, _ in args.model]
    if args.figure is not None:
        draw(found, args.figure)
    finish(result, args, table=table(found))


def named(text: str) -> tuple[str, str]:
    """NAME and FILE of an option."""
    name, equals, path = text.partition("=")
    if not (name and equals and path):
        raise argparse.ArgumentTypeError(f"'{text}': give NAME=FILE, such as shipped=eurosat")
    return name, path


def accuracies(classifier: Classifier, pixels: Any, labels: list[str]) -> dict[str, Any]:
    """Accuracy as it is and re-rendered."""
    right = {
        name: np.array(predict_pixels(classifier, shown).labels) == np.array(labels)
        for name, shown in all_renderings(pixels).items()
    }
    own, *others = right.values()
    return {
        "as it is": proportion(int(own.sum()), len(own)).model_dump(),
        "re-rendered": mean_share(np.mean(others, axis=0)).model_dump(),
    }


def costs(classifier: Classifier) -> dict[str, Any]:
    """MACs for a patch, the file's size, and what ran it."""
    graph = read_model(classifier.path).graph
    return {
        "macs": multiplications(graph, classifier.size, bands=len(classifier.record.input.bands)),
        "file_bytes": classifier.path.stat().st_size,
        "engine": classifier.engine,
    }


def frontier(found: dict[str, dict[str, Any]], key: str) -> list[str]:
    """Models that no other is both as fast and better than, fastest first."""
    best, kept = -1.0, []
    for name in sorted(found, key=lambda n: (found[n]["milliseconds"]["median"], -found[n][key]["value"])):
        if found[name][key]["value"] > best:
            best = found[name][key]["value"]
            kept.append(name)
    return kept


def draw(found: dict[str, dict[str, Any]], path: Path) -> None:
    """Both accuracies against time, with their intervals."""
    with rc_context({"svg.hashsalt": "swath"}):
        figure = Figure(figsize=(8, 4.5), layout="constrained")
        axes = figure.subplots()
        for key, (color, marker, label) in ACCURACY.items():
            on = frontier(found, key)
            x, y = (
                [100 * found[n][key]["value"] if up else found[n]["milliseconds"]["median"] for n in on]
                for up in (0, 1)
            )
            axes.step(x, y, where="post", color=color, linewidth=1, alpha=0.5)
            for number, row in enumerate(found.values()):
                value = row[key]
                around = [[100 * (value["value"] - value["low"])], [100 * (value["high"] - value["value"])]]
                axes.errorbar(
                    row["milliseconds"]["median"], 100 * value["value"], yerr=around, color=color, marker=marker,
                    markersize=5, capsize=2, linewidth=1, linestyle="none", label=None if number else label,
                )  # fmt: skip
        for name, row in found.items():
            top = max(row[key]["value"] for key in ACCURACY)
            at = (row["milliseconds"]["median"], 100 * top)
            axes.annotate(name, at, xytext=(5, 5), textcoords="offset points", fontsize=8)
        axes.set(xscale="log", xlabel="milliseconds a patch", ylabel="accuracy, %")
        axes.grid(alpha=0.25, which="both")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, loc="lower right")
        path.parent.mkdir(parents=True, exist_ok=True)
        none = {"Date": None} if path.suffix == ".svg" else {"Software": None}
        figure.savefig(path, dpi=110, facecolor="white", metadata=none)


def table(found: dict[str, dict[str, Any]]) -> list[str]:
    """One row a model, fastest first."""

    def percent(value: dict[str, Any]) -> str:
        return f"{100 * value['value']:.2f} ({100 * value['low']:.1f}-{100 * value['high']:.1f})"

    body = [
        (
            name,
            percent(row["as it is"]),
            percent(row["re-rendered"]),
            f"{row['milliseconds']['median']:.3f}",
            f"{row['macs'] / 1e6:.1f} M",
            f"{row['file_bytes'] / 1e6:.1f}",
            row["engine"],
        )
        for name, row in sorted(found.items(), key=lambda item: item[1]["milliseconds"]["median"])
    ]
    return rows(("model", "as they are, %", "re-rendered, %", "ms a patch", "MACs a patch", "file, MB", "engine"), body)


if __name__ == "__main__":
    main()
