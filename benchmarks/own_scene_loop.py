"""The whole way of docs/own-scene.md on a scene that the project may show: map, teach twice, map again, assess.

    python benchmarks/own_scene_loop.py RASTERS [--picture docs/own-scene.jpg] [--table] [--json FILE]

RASTERS holds naip_rgbn_5m.tif: fields, lakes and grassland in North Dakota, 934 x 723 pixels of 5 m from the National
Agriculture Imagery Program (public domain). benchmarks/places/naip_taught.csv holds the places that were labeled in two
rounds: those of ``swath suggest`` whose frame held one class (--n 32 by eurosat, --n 24 by an earlier version of the
first round), and some that were added where a class had few. naip_reference.csv is a sample of the first map
(``swath sample --n 120 --per-class 5``), labeled by its pictures without seeing the map. Both by one person, on the
image, not on the ground.
"""

from __future__ import annotations

import csv
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from common import finish, machine, parser, rows
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from rasterio.crs import CRS

from swath.assessment import assess
from swath.inference import load
from swath.mapping import map_scene
from swath.mapping.places import LabeledPlace, Places
from swath.teaching import teach

FOLDER = Path(__file__).parent / "places"
SCENE, STRIDE, CRS_ = "naip_rgbn_5m.tif", 16, "EPSG:26914"
NAMES = ("eurosat", "taught once", "taught twice")


def taught(number: int) -> Places:
    """The places of a round."""
    with (FOLDER / "naip_taught.csv").open(encoding="utf-8", newline="") as file:
        found = [row for row in csv.DictReader(file) if int(row["round"]) == number]
    places = [
        LabeledPlace({"type": "Point", "coordinates": [float(row["x"]), float(row["y"])]}, row["class"], f"place {k}")
        for k, row in enumerate(found, start=1)
    ]
    return Places(tuple(places), CRS.from_string(CRS_), f"round {number}", "class")


def main() -> None:
    """Map, teach, assess and draw."""
    options = parser(__doc__)
    options.add_argument("rasters", type=Path, help=f"folder of {SCENE}")
    options.add_argument("--picture", type=Path, default=None, help="draw the scene and its maps here")
    args = options.parse_args()
    scene = args.rasters / SCENE
    del args.rasters  # a folder of this machine
    gains: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        models: list[str | Path] = ["eurosat"]
        for number in (1, 2):
            out = Path(folder) / f"taught{number}.onnx"
            result = teach(models[-1], out=out, scene=scene, places=taught(number), threads=args.threads)
            gains.append(
                {
                    "places": sum(result.places.values()),
                    "before": result.before.model_dump(),
                    "after": result.after.model_dump(),
                    "p": result.test.p_value,
                }
            )
            models.append(out)
        maps = [Path(folder) / f"{name.replace(' ', '-')}.tif" for name in NAMES]
        for model, out in zip(models, maps, strict=True):
            map_scene(load(model, threads=args.threads), scene, out=out, stride=STRIDE)
        reference = FOLDER / "naip_reference.csv"
        found = assess(list(reversed(maps)), reference=reference)
        steps = [assess([maps[k], maps[k - 1]], reference=reference).differences[0] for k in (1, 2)]
        infos = load("eurosat", threads=args.threads).record.classes
        if args.picture is not None:
            draw(args.picture, scene, maps, infos)
    accuracy = {name: one.accuracy.overall for name, one in zip(NAMES, reversed(found.maps), strict=True)}
    gained = [None, *(step.difference.overall for step in steps)]
    body = [
        (name, shown(one), "" if gain is None else shown(gain, sign="+"))
        for (name, one), gain in zip(accuracy.items(), gained, strict=True)
    ]
    result = {
        "machine": machine(args.threads),
        "places": found.n,
        "overall_accuracy": {name: one.model_dump() for name, one in accuracy.items()},
        "gains": [step.difference.overall.model_dump() for step in steps],
        "held_out_places": gains,
    }
    finish(result, args, table=rows(("map", "overall accuracy, %", "more than the map before, points"), body))


def shown(one: Any, *, sign: str = "") -> str:
    """An estimate in percent with its interval."""
    return f"{100 * one.value:{sign}.1f} ({100 * one.low:{sign}.1f} to {100 * one.high:{sign}.1f})"


def draw(path: Path, scene: Path, maps: list[Path], infos: Any) -> None:
    """The scene with the places of both rounds, and the three maps, in the colors of the classes."""
    with rasterio.open(scene) as dataset:
        image = dataset.read([1, 2, 3]).transpose(1, 2, 0)
        inverse = ~dataset.transform
    colors = {info.name: f"#{info.color_hint}" for info in infos}
    figure = Figure(figsize=(10.2, 8.8), layout="constrained")
    axes = figure.subplots(2, 2).ravel()
    axes[0].imshow(image)
    for number, marker in ((1, "o"), (2, "s")):
        for row in taught(number).rows:
            x, y = inverse @ tuple(row.geometry["coordinates"])
            axes[0].plot(x, y, marker, color=colors[str(row.label)], markeredgecolor="white", markersize=6)
    axes[0].set_title("scene; places labeled first (circles) and second (squares)", fontsize=9)
    seen: set[int] = set()
    for axis, map_, name in zip(axes[1:], maps, NAMES, strict=True):
        with rasterio.open(map_) as dataset:
            values = dataset.read(1)
        palette = np.full((256, 3), 255, np.uint8)
        for info in infos:
            palette[info.value + 1] = list(bytes.fromhex(info.color_hint))
        seen |= set(np.unique(values).tolist()) - {0}
        axis.imshow(palette[values], interpolation="nearest")
        axis.set_title(f"map by {name}" if name == "eurosat" else f"map when {name}", fontsize=9)
    for axis in axes:
        axis.set_axis_off()
    handles = [Patch(color=f"#{infos[v - 1].color_hint}", label=infos[v - 1].name) for v in sorted(seen)]
    figure.legend(handles=handles, loc="outside lower center", ncols=5, fontsize=8.5, frameon=False)
    figure.savefig(path, dpi=100, format="jpeg", facecolor="white", pil_kwargs={"quality": 85})


if __name__ == "__main__":
    main()
