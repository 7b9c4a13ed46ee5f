"""Patches per second, end to end from uint8 arrays: a common setup, and each engine on swath's networks.

    python benchmarks/inference_speed.py [--short] [--threads N] [--repeats N] [--table] [--json FILE]

Results, with hardware, versions and n: BENCHMARKS.md.

Every rate is from uint8 pixels ``[N, 3, 64, 64]`` in memory to probabilities, preprocessing included.
Peers: ResNet-50 at 224 px in torch eager mode (as in notebooks), swath's networks in torch eager mode,
ONNX Runtime. FLOP/s count two operations for each multiplication of a convolution or the head; they are compared with
torch's rate on a 4096 x 4096 x 4096 matrix product in bf16, measured in the same run. On a processor that does not
multiply bf16 the product is in fp32, and every other bf16 step is skipped. ``eurosat`` is the shipped model; ``wide``
is a network of 2.6 million parameters with random weights, which cost the same as trained ones.
Nothing is downloaded. Needs the train extra.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
import torchvision
from common import alternate, finish, machine, multiplications, parser, rows, skipped_without_bf16, spread

import swath
from swath.data import build_index, cached_pixels
from swath.explain import activation_maps
from swath.inference.choice import make_engine
from swath.inference.engines import describe
from swath.machine import free_cores
from swath.model import read_model
from swath.model.graph import assemble
from swath.model.record import InputSpec
from swath.networks import Network, build_network
from swath.training.export import export_body

SKIPPED = skipped_without_bf16("products, torch eager and openvino in bf16")
PRECISIONS = ("fp32",) if SKIPPED else ("fp32", "bf16")
ENGINES = ("onnxruntime", "openvino", *([] if SKIPPED else ["openvino-bf16"]))
SIDE = 4096
PRODUCT = f"torch, {PRECISIONS[-1]} product of {SIDE} x {SIDE} matrices"
WIDE = {"name": "patchnet", "stem": 48, "widths": (96, 192, 384), "dropout": 0.0}
Pixels = npt.NDArray[np.uint8]
Step = tuple[float, Callable[[], object]]  # patches per call, and the call


def main() -> None:
    """Measure and print."""
    args = parser(__doc__).parse_args()
    threads = args.threads or free_cores()
    torch.set_num_threads(threads)
    pixels = mini()[: 512 if args.short else 2048]
    file = read_model("eurosat")
    settings = {"eurosat": file.record.recipe["network"], "wide": WIDE}
    graphs = {"eurosat": file.graph, "wide": exported(WIDE, file.record.input)}
    torch.manual_seed(0)
    square = torch.randn(SIDE, SIDE).to(torch.float32 if SKIPPED else torch.bfloat16)
    steps: dict[str, Step] = {PRODUCT: (1, lambda: square @ square)}
    few = pixels[: 4 if args.short else 16]
    steps["ResNet-50 at 224 px, torch eager fp32"] = (len(few), resnet50(few))
    ran: dict[str, str] = {}
    flops: dict[str, float] = {PRODUCT: 2 * SIDE**3}
    for net, graph in graphs.items():
        per_patch = 2 * multiplications(graph, pixels.shape[-1])
        some = pixels[: 256 if args.short else 512]
        for precision in PRECISIONS:
            name = f"{net}, torch eager {precision}"
            steps[name] = (len(some), eager(settings[net], file.record.input, some, bf16=precision == "bf16"))
            flops[name] = per_patch
        for key in ENGINES:
            engine = make_engine(key, graph, threads=threads)
            name = f"{net}, {engine.name} {engine.precision}"
            steps[name] = (len(pixels), lambda run=engine.run: run(pixels, ("probabilities",)))
            flops[name], ran[name] = per_patch, describe(engine)
    classifier = swath.load("eurosat", threads=threads)
    maps = pixels[:256]
    steps["eurosat, activation maps"] = (len(maps), lambda: activation_maps(classifier, maps))
    with torch.inference_mode():
        seconds = alternate({name: run for name, (_, run) in steps.items()}, args.repeats or (3 if args.short else 9))
    rates = {name: spread(seconds[name], units=steps[name][0]) for name in steps}
    speed = {name: flops[name] * rates[name]["median"] / 1e9 for name in flops}
    result = {
        "benchmark": "inference_speed",
        "machine": machine(threads),
        "patches": len(pixels),
        "engines": ran,
        "default engine": classifier.engine,
        "rates": {name: rate for name, rate in rates.items() if name != PRODUCT},
        "gigaflops": {name: round(value, 1) for name, value in speed.items()},
        "share of the product's rate": {name: round(v / speed[PRODUCT], 2) for name, v in speed.items()},
        "agreement with onnxruntime": agreement(file.graph, pixels, threads),
        "skipped": SKIPPED,
    }
    finish(result, args, table=table(rates, speed))


def mini() -> Pixels:
    """The shipped patches ``[N, 3, 64, 64]``, repeated to 2,048."""
    with tempfile.TemporaryDirectory() as folder:
        found = np.array(cached_pixels(build_index("eurosat-mini"), cache=Path(folder)))
    return np.resize(found, (2048, *found.shape[1:]))


def network(settings: dict[str, Any]) -> torch.nn.Module:
    """One of swath's networks with random weights."""
    return build_network(Network.model_validate(settings), bands=3, outputs=10, size=64).eval()


def exported(settings: dict[str, Any], spec: InputSpec) -> onnx.ModelProto:
    """The whole graph of such a network."""
    return assemble(export_body(network(settings), bands=3, size=spec.size), spec=spec, task="single-label")


def eager(settings: dict[str, Any], spec: InputSpec, pixels: Pixels, *, bf16: bool) -> Callable[[], object]:
    """The network in torch, preprocessing included, 256 patches at a time."""
    made = network(settings).to(memory_format=torch.channels_last)
    mean, sd = (torch.tensor(v).view(1, -1, 1, 1) for v in (spec.mean, spec.sd))

    def run() -> npt.NDArray[np.float32]:
        parts = []
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            for start in range(0, len(pixels), 256):
                values = (torch.from_numpy(pixels[start : start + 256]).float() - mean) / sd
                logits = made(values.contiguous(memory_format=torch.channels_last)).logits
                parts.append(logits.float().softmax(1).numpy())
        return np.concatenate(parts)

    return run


def resnet50(pixels: Pixels) -> Callable[[], object]:
    """ResNet-50 as notebooks run it: patches enlarged to 224 px, normalized, one batch."""
    made = torchvision.models.resnet50(weights=None, num_classes=10).eval()
    mean, sd = (torch.tensor(v).view(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))

    def run() -> npt.NDArray[np.float32]:
        values = torch.from_numpy(pixels).float() / 255
        values = torch.nn.functional.interpolate(values, size=224, mode="bilinear")
        return made((values - mean) / sd).softmax(1).numpy()

    return run


def agreement(graph: onnx.ModelProto, pixels: Pixels, threads: int) -> dict[str, dict[str, float]]:
    """Share of equal labels, and the largest difference of a probability, of the other engines."""
    found = {
        key: make_engine(key, graph, threads=threads).run(pixels, ("probabilities",))["probabilities"]
        for key in ENGINES
    }
    reference = found.pop("onnxruntime")
    return {
        key: {
            "equal labels": round(float((p.argmax(1) == reference.argmax(1)).mean()), 5),
            "largest difference": float(f"{np.abs(p - reference).max():.2g}"),
        }
        for key, p in found.items()
    }


def table(rates: dict[str, dict[str, float]], speed: dict[str, float]) -> list[str]:
    """Lines of the table."""
    slowest = rates["ResNet-50 at 224 px, torch eager fp32"]["median"]
    body = []
    for name, rate in rates.items():
        share = f"{speed[name] / speed[PRODUCT]:.2f}" if name in speed else ""
        patches = "" if name == PRODUCT else f"{rate['mean']:,.0f} ± {rate['sd']:,.0f}"
        times = "" if name == PRODUCT else f"{rate['median'] / slowest:,.0f} x"
        body.append((name, patches, times, f"{speed[name]:,.0f}" if name in speed else "", share))
    header = ("step", "patches/s, mean ± sd", "relative to ResNet-50", "GFLOP/s", "relative to the product")
    return rows(header, body)


if __name__ == "__main__":
    main()
