"""Rates of the main path on this machine: import, decode, predict, explain, map.

    python benchmarks/main_path.py [--threads N] [--repeats 5]

Prints JSON: for each step the median, minimum and maximum of its repeats, on the shipped patches and the
shipped model, all steps interleaved so that a noisy neighbour touches them alike. Nothing is downloaded.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime

import swath
from swath.data import build_index, cached_pixels
from swath.explain import activation_maps
from swath.mapping import map_scene, sew


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    classifier = swath.load("eurosat", threads=options.threads)
    index = build_index("eurosat-mini")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pixels = np.ascontiguousarray(cached_pixels(index, cache=folder / "cache"))
        scene = folder / "scene.tif"
        sew(pixels[:1600], index.labels[:1600], classifier.record.class_names, columns=40, out=scene)
        steps: dict[str, tuple[float, Callable[[], object]]] = {
            "help, seconds": (0, lambda: subprocess.run(
                [sys.executable, "-m", "swath", "--help"], capture_output=True, check=True)),
            "index from zip, patches/s": (len(index), lambda: build_index("eurosat-mini")),
            "predict arrays, patches/s": (len(pixels), lambda: classifier.run(pixels)),
            "activation maps, patches/s": (256, lambda: activation_maps(classifier, pixels[:256])),
            "map 2560 x 2560 px at stride 64, Mpx/s": (
                2560**2 / 1e6, lambda: map_scene(classifier, scene, folder / "map.tif", overwrite=True)),
        }  # fmt: skip
        times: dict[str, list[float]] = {step: [] for step in steps}
        for _ in range(options.repeats):
            for step, (_, run) in steps.items():
                start = time.perf_counter()
                run()
                times[step].append(time.perf_counter() - start)
    result = {
        "swath": swath.__version__,
        "onnxruntime": onnxruntime.__version__,
        "machine": f"{platform.machine()}, {platform.system()}, threads {options.threads or 'all'}",
        "repeats": options.repeats,
        "steps": {step: _spread(times[step], units) for step, (units, _) in steps.items()},
    }
    print(json.dumps(result, indent=2))


def _spread(seconds: list[float], units: float) -> dict[str, float]:
    values = [units / s if units else s for s in seconds]
    return {
        "median": round(statistics.median(values), 3),
        "low": round(min(values), 3),
        "high": round(max(values), 3),
    }


if __name__ == "__main__":
    main()
