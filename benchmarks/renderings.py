"""A model on patches as they are and as other products of Sentinel-2 show the same ground.

    python benchmarks/renderings.py MODEL INDEX [--split val] [--patches 0] [--table] [--json FILE]

MODEL is a model file or a shipped name, INDEX an index of EuroSAT. Each patch of the split is shown in five renderings:

- as it is: L1C from 0 to 2750 DN;
- L2A: surface reflectance in DN, to which the usual line of the air is put back, as `--rescale l2a` does;
- true color: a picture of surface reflectance with a white between 2000 and 4000 DN, as it is;
- true color, L1C: such a picture to which the usual air is put back with the white that it has;
- other white: L1C with a white between 1800 and 4500 DN.

The air of a patch is drawn here, not by what trains models, and more widely: L1C = offset + slope rho / (1 - s rho),
with the spherical albedo s of Vermote et al. 1997; offsets from clearer than clear to 1.6 times the way to the usual
air, each band 40 DN off and its slope 7 %, but never more than the patch's darkest pixels leave (dark objects: Chavez
1988, Remote Sensing of Environment 24, 459-479). What EuroSAT's rounding hid is drawn evenly, and pictures are rounded
to 8 bits.

By rendering: accuracy (Wilson interval), calibration error beyond chance, coverage of the file's 90 and 95 % sets,
median confidence, share marked as unlike the training data; AUROC of "wrong" by confidence, by the OOD score, and by
both, which is the mean of the two ranks among the patches of that rendering; and accuracy of the most confident
patches.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from common import finish, machine, parser, rows

from swath.data import read_index
from swath.evaluation import auroc
from swath.evaluation.calibration import check_sets, expected_calibration_error
from swath.evaluation.intervals import mean_share, proportion
from swath.evaluation.predictions import SplitPredictions, predict_pixels, predict_split, sample_rows
from swath.imagery import sentinel2
from swath.inference import load

COVERAGES = (0.5, 0.7, 0.8, 0.9, 1.0)
HAZE, OFFSET_SD, SLOPE_SD, ALBEDO = (-0.5, 1.6), 40.0, 0.07, (0.0, 0.2)
TRUE_COLOR_WHITE, OTHER_WHITE = (2000.0, 4000.0), (1800.0, 4500.0)  # DN
LEVEL = sentinel2.EUROSAT_WHITE / 254  # DN of a level of EuroSAT's pictures
SEED = 20261130
Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]


def main() -> None:
    """Measure and print."""
    options = parser(__doc__)
    options.add_argument("model", help="a model file or a shipped name")
    options.add_argument("index", type=Path, help="EuroSAT's index")
    options.add_argument("--split", default="val")
    options.add_argument("--patches", type=int, default=0, help="how many to draw at random; 0 for all")
    args = options.parse_args()
    index = read_index(args.index)
    n = index.split_counts.get(args.split, 0)
    rows_of = sample_rows(n, args.patches or n, seed=0)
    classifier = load(args.model, threads=args.threads)
    found = predict_split(classifier, index, split=args.split, rows=rows_of)
    measured, right = {}, []
    for name, pixels in all_renderings(found.pixels).items():
        shown = replace(found, predictions=predict_pixels(classifier, pixels))
        measured[name] = measures(shown)
        right.append(shown.right)
    result = {
        "benchmark": "renderings",
        "machine": machine(args.threads),
        "model": classifier.record.name,
        "engine": classifier.engine,
        "split": args.split,
        "n": len(found),
        "mean_accuracy_re_rendered": mean_share(np.mean(right[1:], axis=0)).model_dump(),
        "renderings": measured,
    }
    args.model = Path(args.model).name
    finish(result, args, table=table(measured))


def all_renderings(pixels: Pixels, *, seed: int = SEED) -> dict[str, Pixels]:
    """Patches ``[N, 3, P, P]`` in each rendering, by name."""
    draws: dict[str, Callable[[Floats, np.random.Generator], Floats]] = {
        "L2A": _l2a,
        "true color": lambda top, rng: _true_color(top, rng)[0],
        "true color, L1C": _true_color_put_back,
        "other white": lambda top, rng: _picture(top, _even(OTHER_WHITE, rng)),
    }
    made = {name: np.empty_like(pixels) for name in draws}
    for number, patch in enumerate(pixels):
        rng = np.random.default_rng([seed, number])
        top = (patch - 1 + rng.uniform(-0.5, 0.5, patch.shape)) * LEVEL
        for name, draw in draws.items():
            made[name][number] = draw(top, rng)
    return {"as it is": pixels, **made}


def surface(top: Floats, rng: np.random.Generator) -> Floats:
    """Surface reflectance of a patch in DN, under an air drawn at random that its dark pixels allow."""
    slope, usual, clear = (np.array(v) for v in (sentinel2.SLOPE, sentinel2.OFFSET, sentinel2.CLEAR_OFFSET))
    darkest = np.quantile(top, 0.01, axis=(1, 2))
    haze = min(_even(HAZE, rng), ((darkest - clear) / (usual - clear)).min())
    offset = clear + haze * (usual - clear) + rng.normal(0, OFFSET_SD, 3)
    slope = slope * np.exp(rng.normal(0, SLOPE_SD, 3))
    lit = (top - offset[:, None, None]) / slope[:, None, None]  # rho / (1 - s rho)
    return lit / (1 + _even(ALBEDO, rng) * lit / 1e4)


def _l2a(top: Floats, rng: np.random.Generator) -> Floats:
    slope, offset = (np.array(v)[:, None, None] for v in (sentinel2.SLOPE, sentinel2.OFFSET))
    put_back = slope * surface(top, rng).round() + offset
    return np.clip(np.rint(1 + put_back / LEVEL), 1, 255)


def _true_color(top: Floats, rng: np.random.Generator) -> tuple[Floats, float]:
    white = _even(TRUE_COLOR_WHITE, rng)
    return _picture(surface(top, rng), white), white


def _true_color_put_back(top: Floats, rng: np.random.Generator) -> Floats:
    drawn, white = _true_color(top, rng)
    gain, shift = sentinel2.from_surface_picture(white, np.array(sentinel2.SLOPE), np.array(sentinel2.OFFSET))
    return np.clip(np.rint(drawn * gain[:, None, None] + shift[:, None, None]), 1, 255)


def _picture(numbers: Floats, white: float) -> Floats:
    return np.clip(np.rint(numbers * 255 / white), 1, 255)


def _even(limits: tuple[float, float], rng: np.random.Generator) -> float:
    return float(rng.uniform(*limits))


def measures(found: SplitPredictions) -> dict[str, Any]:
    """What is reported of a rendering."""
    right, confidence = found.right, found.confidence
    wrong, n = ~right, len(found)
    scores = {"confidence": -confidence.astype(np.float64)}
    flags = found.predictions.is_ood
    if flags is not None:
        scores["ood"] = np.asarray(found.predictions.ood_score, np.float64)
        scores["both"] = ranks(scores["confidence"]) + ranks(scores["ood"])
    order = np.argsort(-confidence, kind="stable")
    both = wrong.any() and right.any()
    sets = check_sets(found.probabilities, found.truth, found.record.conformal)
    return {
        "accuracy": proportion(int(right.sum()), n).model_dump(),
        "ece": expected_calibration_error(right, confidence).ece.model_dump(),
        "coverage": {level: one.coverage.model_dump() for level, one in sets.items()},
        "median_confidence": float(np.median(confidence)),
        "ood": None if flags is None else proportion(int(flags.sum()), n).model_dump(),
        "auroc_of_wrong": {name: auroc(wrong, values) if both else None for name, values in scores.items()},
        "accuracy_of_most_confident": {
            f"{share:.0%}": float(right[order[: max(1, round(share * n))]].mean()) for share in COVERAGES
        },
    }


def ranks(scores: Floats) -> Floats:
    """Ranks of scores, ties sharing their mean."""
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[place], np.float64)


def table(measured: dict[str, Any]) -> list[str]:
    """Both tables."""

    def percent(value: float | None) -> str:
        return "-" if value is None else f"{100 * value:.1f}"

    def with_limits(value: dict[str, Any] | None) -> str:
        return (
            "-" if value is None else f"{100 * value['value']:.1f} ({100 * value['low']:.1f}-{100 * value['high']:.1f})"
        )

    levels = list(next(iter(measured.values()))["coverage"])
    header = ("rendering", "accuracy, %", "ECE", *(f"{100 * float(level):g} % sets, %" for level in levels))
    header += ("median confidence, %", "marked, %")
    body = [
        (
            name,
            with_limits(row["accuracy"]),
            f"{row['ece']['value']:.4f}",
            *(with_limits(row["coverage"][level]) for level in levels),
            percent(row["median_confidence"]),
            with_limits(row["ood"]),
        )
        for name, row in measured.items()
    ]
    kinds = ("confidence", "ood", "both")
    confident = list(next(iter(measured.values()))["accuracy_of_most_confident"])
    other = [
        (
            name,
            *("-" if (v := row["auroc_of_wrong"].get(kind)) is None else f"{v:.3f}" for kind in kinds),
            *(percent(row["accuracy_of_most_confident"][share]) for share in confident),
        )
        for name, row in measured.items()
    ]
    named = (f"the most confident {share.removesuffix('%')} %" for share in confident)
    return [
        *rows(header, body),
        "",
        *rows(("rendering", *(f"AUROC of wrong by {kind}" for kind in kinds), *named), other),
    ]


if __name__ == "__main__":
    main()
