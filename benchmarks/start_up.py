"""Seconds to the first result, each from a cold process.

    python benchmarks/start_up.py [--short] [--threads N] [--repeats N] [--table] [--json FILE]

Results, with hardware, versions and n: BENCHMARKS.md.

``swath predict`` on one image with every engine, and, for comparison, a torch script that classifies the
same image with a ResNet-50 (random weights, so that nothing is downloaded). Files are in the page cache
after the first, unmeasured round. ``of which engine`` is the time from importing an engine to its first
prediction, inside the process. The index of the shipped patches is made in this process.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from common import alternate, finish, machine, parser, rows, skipped_without_bf16, spread
from PIL import Image

from swath.data import build_index, cached_pixels

SKIPPED = skipped_without_bf16("openvino-bf16")
ENGINES = ("onnxruntime", "openvino", *([] if SKIPPED else ["openvino-bf16"]))

ENGINE = """
import sys, time
import numpy as np
from swath.inference.choice import make_engine
from swath.model import read_model
graph = read_model("eurosat").graph
start = time.perf_counter()
make_engine(sys.argv[1], graph).run(np.zeros((1, 3, 64, 64), np.uint8), ("probabilities",))
print(time.perf_counter() - start)
"""

RESNET = """
import sys
import torch, torchvision
from PIL import Image
network = torchvision.models.resnet50(weights=None, num_classes=10).eval()
ready = torchvision.transforms.Compose([torchvision.transforms.Resize(224), torchvision.transforms.ToTensor()])
with torch.inference_mode():
    print(network(ready(Image.open(sys.argv[1]).convert("RGB"))[None]).softmax(1).argmax().item())
"""


def main() -> None:
    """Measure and print."""
    args = parser(__doc__).parse_args()
    index = build_index("eurosat-mini")
    repeats = args.repeats or (3 if args.short else 9)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pixels = cached_pixels(index, cache=folder / "cache")
        picture = folder / "one.png"
        Image.fromarray(np.ascontiguousarray(pixels[0].transpose(1, 2, 0))).save(picture)
        predict = [
            *("-m", "swath", "predict", "eurosat", str(picture), "--out", str(folder / "one.csv"), "--overwrite"),
            *(["--threads", str(args.threads)] if args.threads else []),
        ]
        steps: dict[str, Callable[[], object]] = {
            "python -c pass": lambda: cold(["-c", "pass"]),
            "swath --help": lambda: cold(["-m", "swath", "--help"]),
            "predict one image, default engine": lambda: cold(predict),
            "peer: torch ResNet-50, one image": lambda: cold(["-c", RESNET, str(picture)]),
        }
        for engine in ENGINES:
            steps[f"predict one image, {engine}"] = lambda engine=engine: cold([*predict, "--engine", engine])
        inside: dict[str, list[float]] = {engine: [] for engine in ENGINES}
        for engine in ENGINES:
            steps[f"process with only the engine, {engine}"] = lambda engine=engine: inside[engine].append(
                float(cold(["-c", ENGINE, engine]))
            )
        steps["index of the shipped patches"] = lambda: build_index("eurosat-mini")
        seconds = {name: spread(values) for name, values in alternate(steps, repeats).items()}
    first = {engine: spread(values[1:]) for engine, values in inside.items()}  # without the unmeasured round
    result = {
        "benchmark": "start_up",
        "machine": machine(args.threads),
        "seconds": seconds,
        "of which engine": first,
        "patches indexed": len(index),
        "skipped": SKIPPED,
    }
    body = [(name, f"{s['mean']:.2f} ± {s['sd']:.2f}", f"{s['median']:.2f}") for name, s in seconds.items()]
    body += [
        (f"of which engine, {name}", f"{s['mean']:.2f} ± {s['sd']:.2f}", f"{s['median']:.2f}")
        for name, s in first.items()
    ]
    finish(result, args, table=rows(("cold process", "seconds, mean ± sd", "median"), body))


def cold(arguments: Sequence[str]) -> str:
    """Run another Python process and return its output."""
    done = subprocess.run(
        [sys.executable, *arguments], check=False, capture_output=True, text=True, env={**os.environ, "COLUMNS": "80"}
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    return done.stdout


if __name__ == "__main__":
    main()
