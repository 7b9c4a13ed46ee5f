"""Time and memory that a map takes, and whether dense inference gives the same map.

    python benchmarks/map_speed.py [--short] [--model eurosat] [--patches eurosat-mini] [--repeats N] [--table]

The scene is a mosaic of labeled patches (the test split, where there is one) of 10,944 x 10,944 pixels, nearly a
Sentinel-2 tile, or 2,560 x 2,560 with --short. Every step runs in its own process, so peak memory is per step,
one after the other in every round; seconds are from the opened scene to the complete map and exclude the start
of Python. Peers: rasterio reading the scene in strips without processing it, and torchgeo's GridGeoSampler with
a DataLoader reading its 64-pixel windows without a network (where torchgeo is installed). Patch-by-patch maps at
small strides would take long, so a scene of 1,280 x 1,280 pixels (640 x 640 with --short) is mapped with both
methods, and the results are compared.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from common import finish, machine, parser, rows, spread
from rasterio.windows import Window

PATCH = 64
STRIDES = (64, 32, 16, 8)


def main() -> None:
    """Measure and print."""
    options = parser(__doc__)
    options.add_argument("--model", default="eurosat", help="a model file or a shipped name")
    options.add_argument("--engine", default="auto", help="inference engine")
    options.add_argument("--patches", default="eurosat-mini", help="patches of the mosaic: a data set, zip or index")
    options.add_argument("--step", default=None, help=argparse.SUPPRESS)
    args = options.parse_args()
    if args.step is not None:
        print(json.dumps(step(json.loads(args.step))))
        return
    across, small = (40, 10) if args.short else (171, 20)
    repeats = args.repeats or (1 if args.short else 3)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        count = mosaic_scene(args.patches, args.model, folder / "scene.tif", across=across)[1]
        truth = mosaic_scene(args.patches, args.model, folder / "small.tif", across=small)[0]
        ours = {"model": args.model, "engine": args.engine, "threads": args.threads}
        speed = measure_speed(folder, ours, repeats)
        same = measure_sameness(folder, ours, truth)
    across *= PATCH
    for row in same:
        # Windows all cost the same; dense maps of the large scene are measured.
        whole = row["seconds"] * (across / small / PATCH) ** 2
        row["large scene, extrapolated"] = f"{whole:.0f} s" if row["method"] == "patch by patch" else "measured"
    result = {
        "benchmark": "map_speed",
        "machine": machine(args.threads),
        "short": args.short,
        "model": args.model,
        "scene": f"{across} x {across} px, a mosaic of {count} patches of {args.patches}",
        "small_scene": f"{small * PATCH} x {small * PATCH} px",
        "repeats": repeats,
        "speed": speed,
        "dense_and_patch_by_patch": same,
    }
    finish(result, args, table=tables(result))


def tables(result: dict[str, Any]) -> list[str]:
    """Both tables as Markdown."""
    speed = [
        (name, "not installed", "", "")
        if "seconds" not in row
        else (name, row["seconds"]["median"], row["windows per second"], row["peak MiB"])
        for name, row in result["speed"].items()
    ]
    ways = result["dense_and_patch_by_patch"]
    same = [tuple(row.values()) for row in ways]
    return [
        f"{result['scene']}, {result['machine']['processor']}, {result['machine']['threads']} threads",
        "",
        *rows(("step", "seconds", "windows/s", "peak MiB"), speed),
        "",
        *rows(tuple(ways[0]), same),
    ]


def mosaic_scene(source: str, model: str, out: Path, *, across: int) -> tuple[np.ndarray, int]:
    """Write a square mosaic of randomly drawn patches; return its true classes and the number of distinct patches."""
    from swath.data import build_index, cached_pixels
    from swath.mapping import write_mosaic
    from swath.model import read_model

    index = build_index(source)
    if index.split_counts.get("test"):
        index = index.where("test")
    pixels = cached_pixels(index, cache=out.parent / "cache")
    drawn = np.random.default_rng(0).integers(0, len(index), across**2)
    labels = [index.labels[i] for i in drawn]
    truth = write_mosaic(
        pixels[drawn], labels, read_model(model).record.class_names, columns=across, out=out, overwrite=True
    )
    return truth, len(index)


def measure_speed(folder: Path, ours: dict[str, Any], repeats: int) -> dict[str, Any]:
    """Seconds and peak memory of reading only, and of whole maps, on the large scene."""
    scene = str(folder / "scene.tif")
    steps: dict[str, dict[str, Any]] = {
        "rasterio, strips of 512 rows, read only": {"peer": "rasterio", "scene": scene},
        "torchgeo GridGeoSampler, 2 workers, read only": {"peer": "torchgeo", "scene": scene},
    }
    for stride in STRIDES:
        job = ours | {"scene": scene, "out": str(folder / "map.tif"), "stride": stride, "dense": None}
        way = "dense" if pays(ours["model"], stride) else "patch by patch"
        if stride == PATCH or way == "dense":
            steps[f"swath map, stride {stride}, {way}"] = job
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in steps}
    for _ in range(repeats):
        for name, job in steps.items():
            if job.get("peer") != "torchgeo" or find_spec("torchgeo"):
                found[name].append(run(job))
    return {
        name: {
            "seconds": spread([f["seconds"] for f in several]),
            "windows per second": round(several[0]["windows"] / statistics.median(f["seconds"] for f in several)),
            "peak MiB": max(f["peak"] for f in several),
            **({"engine": several[0]["engine"]} if "engine" in several[0] else {}),
        }
        if several
        else {"note": "not installed"}
        for name, several in found.items()
    }


def measure_sameness(folder: Path, ours: dict[str, Any], truth: np.ndarray) -> list[dict[str, Any]]:
    """Both methods on the small scene at every stride: time, equal labels, and accuracy."""
    from swath.mapping import map_accuracy

    found = []
    possible = pays(ours["model"], 8)
    for stride in STRIDES:
        reference = None
        for dense in (False, True) if possible else (False,):
            out = folder / f"{stride}.{dense}.tif"
            job = ours | {"scene": str(folder / "small.tif"), "out": str(out), "stride": stride, "dense": dense}
            seconds = run(job)["seconds"]
            labels = band(out)
            sure = band(out.with_name(f"{out.stem}.confidence.tif")).astype(int)
            reference = reference or (labels, sure)
            right = map_accuracy(out, truth, PATCH)
            found.append(
                {
                    "stride": stride,
                    "method": "dense" if dense else "patch by patch",
                    "seconds": round(seconds, 2),
                    "equal labels, %": round(100 * float((labels == reference[0]).mean()), 4),
                    "largest confidence difference, points": int(abs(sure - reference[1]).max()),
                    "patches correct, %": round(100 * right.patch_share, 2),
                    "pixels correct, %": round(100 * right.pixel_share, 2),
                }
            )
    return found


def band(path: Path) -> np.ndarray:
    """The only band of a raster."""
    with rasterio.open(path) as dataset:
        values: np.ndarray = dataset.read(1)
    return values


def pays(model: str, stride: int) -> bool:
    """Whether swath runs the model densely at this stride."""
    from swath.mapping import make_grid
    from swath.mapping.windows import dense_is_faster
    from swath.model import read_model
    from swath.model.dense import dense_stride

    step = dense_stride(read_model(model).graph, size=PATCH)
    return step is not None and dense_is_faster(make_grid(PATCH, PATCH, patch=PATCH, stride=stride), step)


def run(job: dict[str, Any]) -> dict[str, Any]:
    """Run one step in its own process."""
    command = [sys.executable, __file__, "--step", json.dumps(job)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{job}\n{done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def step(job: dict[str, Any]) -> dict[str, Any]:
    """Run one step in this process and print its seconds and peak memory."""
    peers: dict[str, Callable[[Path], dict[str, Any]]] = {"rasterio": read_strips, "torchgeo": sample_windows}
    found = peers[job["peer"]](Path(job["scene"])) if "peer" in job else make_map(job)
    return found | {"peak": peak_mib()}


def peak_mib() -> int:
    """Peak memory of this process; its ``ru_maxrss`` would start from that of the parent, which wrote the scene."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return round(int(line.split()[1]) / 1024)
    raise OSError("/proc/self/status has no VmHWM: this benchmark needs Linux")


def make_map(job: dict[str, Any]) -> dict[str, Any]:
    """Make the map with swath."""
    import swath
    from swath.mapping import map_scene

    classifier = swath.load(job["model"], engine=job["engine"], threads=job["threads"])
    options = {"stride": job["stride"], "dense": job["dense"], "overwrite": True}
    summary = map_scene(classifier, Path(job["scene"]), out=Path(job["out"]), **options)
    return {"seconds": summary.seconds, "windows": summary.windows, "engine": classifier.engine}


def read_strips(scene: Path) -> dict[str, Any]:
    """Read everything once, without processing."""
    start = time.perf_counter()
    with rasterio.open(scene) as dataset:
        for row in range(0, dataset.height, 512):
            dataset.read(window=Window(0, row, dataset.width, min(512, dataset.height - row)))
        windows = (dataset.height // PATCH) * (dataset.width // PATCH)
    return {"seconds": time.perf_counter() - start, "windows": windows}


def sample_windows(scene: Path) -> dict[str, Any]:
    """Read the windows of a map at stride 64 with torchgeo, in batches of 64, no network."""
    from torch.utils.data import DataLoader
    from torchgeo.datasets import RasterDataset, stack_samples
    from torchgeo.samplers import GridGeoSampler, Units

    class Scene(RasterDataset):
        filename_glob = scene.name

    start = time.perf_counter()
    data = Scene(scene.parent)
    sampler = GridGeoSampler(data, size=PATCH, stride=PATCH, units=Units.PIXELS)
    windows = 0
    for batch_size in DataLoader(data, sampler=sampler, batch_size=64, num_workers=2, collate_fn=stack_samples):
        windows += len(batch_size["image"])
    return {"seconds": time.perf_counter() - start, "windows": windows}


if __name__ == "__main__":
    main()
