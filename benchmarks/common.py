"""Shared code of the benchmarks: alternating timings, a description of the machine, and printing.

Every benchmark runs the peer and swath in the same process, one repeat of each in turn, so that other load on
the machine affects them alike; ratios between steps of one run mean more than absolute rates.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("swath", "numpy", "onnxruntime", "openvino", "torch", "torchvision", "rasterio")
FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")


def parser(about: str | None) -> argparse.ArgumentParser:
    """An argument parser with the options every benchmark has."""
    made = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--threads", type=int, default=None, help="by default all cores this process may use")
    made.add_argument("--repeats", type=int, default=None, help="number of timings of each step")
    made.add_argument("--short", action="store_true", help="seconds instead of minutes; wider spreads")
    made.add_argument("--table", action="store_true", help="print a table after the JSON, to stderr")
    made.add_argument("--json", type=Path, default=None, metavar="FILE", help="write the JSON here as well")
    return made


def alternate(
    steps: Mapping[str, Callable[[], object]], repeats: int, *, warm: bool = True, pause: float = 0.25
) -> dict[str, list[float]]:
    """Time each step `repeats` times, one step after the other in every round; seconds.

    Parameters
    ----------
    steps : mapping of str to callable
        What to time.
    repeats : int
        Rounds; every round runs every step once.
    warm : bool
        Run every step once before the first round, unmeasured.
    pause : float
        Seconds to wait before each step: the threads of the previous one may still be spinning.
    """
    if warm:
        for run in steps.values():
            run()
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(repeats):
        for name, run in steps.items():
            time.sleep(pause)
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def spread(seconds: Sequence[float], *, units: float | None = None, digits: int = 4) -> dict[str, float]:
    """Median, mean, sd, low and high of seconds, or of a rate if the `units` processed in each are given."""
    values = [units / s for s in seconds] if units else list(seconds)
    return {
        "median": _round(statistics.median(values), digits),
        "mean": _round(statistics.fmean(values), digits),
        "sd": _round(statistics.stdev(values) if len(values) > 1 else 0.0, digits),
        "low": _round(min(values), digits),
        "high": _round(max(values), digits),
        "n": len(values),
    }


def machine(threads: int | None = None) -> dict[str, Any]:
    """Describe processor, cores this process may use, relevant instruction sets, and versions."""
    info = Path("/proc/cpuinfo")
    text = info.read_text(encoding="utf-8") if info.is_file() else ""
    fields: dict[str, str] = {}
    for line in text.splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    present = set(fields.get("flags", "").split())
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return {
        "processor": fields.get("model name") or platform.processor() or platform.machine(),
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "cores": cores,
        "threads": threads or cores,
        "instructions": [flag for flag in FLAGS if flag in present],
        "versions": {name: found for name in PACKAGES if (found := _version(name))},
    }


def skipped_without_bf16(*steps: str) -> list[str]:
    """Name the steps to skip on a processor without bf16 multiplication: emulated, they take hours."""
    from swath.inference.openvino import has_bf16

    return [] if has_bf16() else [f"{step}: this processor does not multiply bf16" for step in steps]


def multiplications(graph: Any, size: int, *, bands: int = 3) -> int:
    """Multiplications of the convolutions and the head of a model file's graph for one patch of `size` pixels."""
    import numpy as np
    import onnx

    from swath.model.graph import prune

    pruned = prune(graph, ("probabilities",), native_size=True)
    for dimension, value in zip(pruned.graph.input[0].type.tensor_type.shape.dim, (1, bands, size, size), strict=True):
        dimension.dim_value = value
    known = onnx.shape_inference.infer_shapes(pruned, data_prop=True).graph
    shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in known.value_info}
    weights = {t.name: list(t.dims) for t in pruned.graph.initializer}
    total = 0
    for node in pruned.graph.node:
        if node.op_type == "Conv":
            total += int(np.prod(weights[node.input[1]]) * np.prod(shapes[node.output[0]][2:]))
        elif node.op_type == "Gemm":
            total += int(np.prod(weights[node.input[1]]))
    return total


def finish(result: Mapping[str, Any], args: argparse.Namespace, *, table: Iterable[str] = ()) -> None:
    """Print `result` as JSON, write it to ``--json FILE`` and, with ``--table``, print the table's lines.

    The steps that `result` lists as ``skipped`` (:func:`skipped_without_bf16`) are named below the table. The table
    goes to stderr, so that stdout stays JSON. The file holds the table and the command too, from which
    ``benchmarks/report.py`` makes BENCHMARKS.md.
    """
    lines = [*table, *(f"Skipped: {what}." for what in result.get("skipped", ()))]
    print(json.dumps(result, indent=2, ensure_ascii=False))
    if args.json is not None:
        chosen = {k: _without_folder(v) for k, v in vars(args).items() if k not in {"json", "table", "data"}}
        whole = {**result, "date": datetime.now(UTC).date().isoformat(), "options": chosen, "table": lines}
        args.json.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(whole, indent=2, ensure_ascii=False, default=str)
        args.json.write_text(text + "\n", encoding="utf-8")
    if args.table:
        print("\n".join(lines), file=sys.stderr)


def rows(header: Sequence[str], body: Iterable[Sequence[object]]) -> list[str]:
    """Lines of a Markdown table; the first column to the left, the others to the right."""
    lines = ["| " + " | ".join(header) + " |", "|---|" + "---:|" * (len(header) - 1)]
    return lines + ["| " + " | ".join(str(cell) for cell in row) + " |" for row in body]


def _without_folder(value: object) -> object:
    """An option's value; where a file lay on this machine is nobody's business."""
    return f"DATA/{value.name}" if isinstance(value, Path) else value


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _round(value: float, digits: int) -> float:
    """Keep `digits` significant digits, and every digit before the point."""
    return float(f"{value:.{digits}g}") if abs(value) < 10**digits else float(round(value))
