"""Out-of-distribution detection: AUROC and flagged shares for several kinds of patches unlike the training data.

    python benchmarks/out_of_distribution.py INDEX [--model eurosat] [--data FOLDER] [--rendering 0.7]
        [--leave-out flash]

In-distribution patches are those of the validation split of INDEX (EuroSAT); test patches are never read. They are
compared with noise (uniform; normal with the channels' mean and spread; patches with shuffled pixels), photographs
(crops of the two images that scikit-learn ships), UC Merced (0.3 m aerial images; resized whole, and cropped at
native resolution) and clouds (class cloudy of scenes4) where FOLDER holds ucmerced.zip and scenes4_raw.zip, and the
same validation patches with their bands reversed (BGR), at half and double brightness, and stretched patch by
patch between 2 % and 98 %. AUROC is the probability that an out-of-distribution patch scores above an in-distribution
one; flagged is the share above the model file's threshold, which was chosen on validation patches for 2 % false alarms.

With --leave-out a network is trained with that recipe on all classes but one, for each class; the patches of the class
left out are then the out-of-distribution ones. If the model file has no statistics, they are fitted on INDEX first;
with --rendering they are in any case, on train and val patches of which that share is drawn in other renderings (0:
none), and the shares flagged in each rendering are printed.
"""

from __future__ import annotations

import tempfile
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
from common import finish, machine, parser, rows
from sklearn.datasets import load_sample_images

from swath.data import PatchIndex, cached_pixels, read_index
from swath.evaluation import auroc
from swath.evaluation.predictions import predict_pixels
from swath.evaluation.thresholds import write_calibration
from swath.imagery import RGB, decode, resize, select_bands
from swath.inference import Classifier, load

EACH = 1000


def main() -> None:
    """Score and print."""
    options = parser(__doc__)
    options.add_argument("index", type=Path, help="patch index with train and val splits")
    options.add_argument("--model", default="eurosat", help="a model file or a shipped name")
    options.add_argument("--data", type=Path, default=None, help="folder of ucmerced.zip and scenes4_raw.zip")
    options.add_argument(
        "--rendering", type=float, default=None, help="fit again, on this share of re-rendered patches"
    )
    options.add_argument("--leave-out", default=None, help="recipe to train without each class in turn")
    options.add_argument("--set", action="append", default=[], help="change a field of that recipe, as FIELD=VALUE")
    args = options.parse_args()
    index = read_index(args.index)
    results: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        model = load(args.model, engine="onnxruntime", threads=args.threads)
        classifier = fitted(model, index, Path(folder), rendering=args.rendering)
        size = classifier.record.input.size
        val = drawn(cached_pixels(index.where("val"), bands=RGB, size=size))
        inside = predict_pixels(classifier, val)
        for name, pixels in ood_sets(val, args.data).items():
            results.append({"patches": name, **separation(inside, predict_pixels(classifier, pixels))})
        false_alarms = float(inside.is_ood.mean())
        left_out = left_out_classes(index, args, Path(folder)) if args.leave_out else []
    mean = float(np.mean([row["auroc"] for row in left_out])) if left_out else None
    result = {
        "model": classifier.record.name,
        "recipe": classifier.record.recipe.get("name"),
        "in_distribution_patches": len(val),
        "false_alarms": false_alarms,
        "flagged_by_rendering": classifier.record.out_of_distribution.renderings,
        "results": results,
        "leave_one_class_out": {"recipe": args.leave_out, "set": args.set, "mean_auroc": mean, "classes": left_out},
    }
    table = rows(
        ("patches", "n", "AUROC", "flagged"),
        [
            (row["patches"], row["n"], f"{row['auroc']:.3f}", f"{100 * row['flagged']:.1f} %")
            for row in [*results, *left_out]
        ],
    )
    finish({**machine(args.threads), **result}, args, table=table)


def fitted(classifier: Classifier, index: PatchIndex, folder: Path, *, rendering: float | None = None) -> Classifier:
    """The model itself or, where its file lacks statistics or others are wanted, one with those fitted on `index`."""
    if classifier.detects_ood and rendering is None:
        return classifier
    out = folder / "fitted.onnx"
    write_calibration(classifier, index, out, rendering=rendering or 0.0, overwrite=True)
    return load(out, engine="onnxruntime")


def separation(inside: Any, outside: Any) -> dict[str, Any]:
    """AUROC and the share flagged."""
    truth = np.repeat([False, True], [len(inside.ood_score), len(outside.ood_score)])
    scores = np.concatenate([inside.ood_score, outside.ood_score])
    return {"n": len(outside.ood_score), "auroc": auroc(truth, scores), "flagged": float(outside.is_ood.mean())}


def drawn(pixels: np.ndarray) -> np.ndarray:
    """Up to EACH patches, evenly spread."""
    return np.ascontiguousarray(pixels[np.unique(np.linspace(0, len(pixels) - 1, EACH).round().astype(int))])


def ood_sets(val: np.ndarray, data: Path | None) -> dict[str, np.ndarray]:
    """All sets by name, uint8 ``[n, 3, P, P]``."""
    rng = np.random.default_rng(0)
    size, half = val.shape[-1], min(EACH // 2, len(val))
    mean, spread = (val.mean(axis=(0, 2, 3)), val.std(axis=(0, 2, 3)))
    normal = rng.normal(mean[:, None, None], spread[:, None, None], (half, 3, size, size))
    flat = val[:half].reshape(half, 3, -1)
    shuffled = np.stack([patch[:, rng.permutation(size * size)] for patch in flat]).reshape(val[:half].shape)
    low, high = (np.percentile(val, q, axis=(2, 3), keepdims=True) for q in (2, 98))
    sets = {
        "noise, uniform": rng.integers(0, 256, (half, 3, size, size)).astype(np.uint8),
        "noise, normal": np.clip(np.rint(normal), 0, 255).astype(np.uint8),
        "noise, shuffled pixels": shuffled,
        "photographs": photographs(rng, size),
    }
    if data is not None:
        whole, cut = pictures(data / "ucmerced.zip", "UCMerced/", rng, size)
        sets |= {"UC Merced, resized": whole, "UC Merced, native": cut}
        sets["clouds (scenes4)"], _ = pictures(data / "scenes4_raw.zip", "scenes4/cloudy/", rng, size)
    return sets | {
        "BGR": np.ascontiguousarray(val[:, ::-1]),
        "half as bright": val // 2,
        "twice as bright": np.minimum(val.astype(int) * 2, 255).astype(np.uint8),
        "stretched each": np.clip((val - low) / np.maximum(high - low, 1) * 254 + 1, 1, 255).astype(np.uint8),
    }


def photographs(rng: np.random.Generator, size: int) -> np.ndarray:
    """Crops of one, two and four times the patch side."""
    crops = []
    for picture in load_sample_images().images:
        pixels = picture.transpose(2, 0, 1)
        for _ in range(EACH // 4):
            side = size * int(rng.choice([1, 2, 4]))
            y, x = (int(rng.integers(0, edge - side + 1)) for edge in pixels.shape[1:])
            crops.append(resize(np.ascontiguousarray(pixels[:, y : y + side, x : x + side]), size))
    return np.stack(crops)


def pictures(path: Path, prefix: str, rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Images of a zip, resized whole and center-cropped."""
    whole, cut = [], []
    with zipfile.ZipFile(path) as archive:
        names = sorted(name for name in archive.namelist() if name.startswith(prefix) and name.endswith(".jpg"))
        for number in rng.permutation(len(names))[: EACH // 2]:
            pixels = select_bands(decode(archive.read(names[number]), name=names[number]), RGB)
            whole.append(resize(pixels, size))
            top, left = ((edge - size) // 2 for edge in pixels.shape[1:])
            if min(top, left) >= 0:
                cut.append(pixels[:, top : top + size, left : left + size])
    return np.stack(whole), np.stack(cut)


def left_out_classes(index: PatchIndex, args: Any, folder: Path) -> list[dict[str, Any]]:
    """Train without each class in turn; its validation patches are the out-of-distribution ones."""
    from swath.training import load_recipe, train

    found = []
    for name in index.classes:
        rest = replace(index, table=index.table.filter(pc.not_equal(index.table["label"], name)))
        alone = replace(index, table=index.table.filter(pc.equal(index.table["label"], name)))
        run = folder / "run"
        train(rest, load_recipe(args.leave_out, changes=args.set), out=run, overwrite=True)
        model = fitted(load(run / "model.onnx", engine="onnxruntime", threads=args.threads), rest, folder)
        size = model.record.input.size
        inside, outside = (
            predict_pixels(model, drawn(cached_pixels(part.where("val"), bands=RGB, size=size)))
            for part in (rest, alone)
        )
        found.append({"patches": f"{name}, left out", **separation(inside, outside)})
        print(found[-1], flush=True)
    return found


if __name__ == "__main__":
    main()
