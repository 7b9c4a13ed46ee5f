"""How many planted copies the near-duplicate search detects, and how often it is wrong.

    python benchmarks/duplicates.py EUROSAT_INDEX.parquet [--short] [--table] [--json FILE]

Results, with hardware, versions and n: BENCHMARKS.md.

Some patches of an index (train and val of EuroSAT; never its test list) are drawn at random, so that uniform
water is represented, and an altered copy of each is added to the set. A pair of a
copy and its original is correct; a pair of a copy and another patch is wrong, unless that patch is itself paired with
the original. Pairs of two originals are counted separately and have to be inspected. Only one alteration is tested at
a time, so that copies of a patch cannot be paired with each other.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from common import finish, machine, parser, rows
from PIL import Image

from swath.data import cached_pixels, read_index
from swath.data.matching import similar_rows

EACH = 1500
SEED = 20261121


def jpeg(quality: int) -> Callable[[np.ndarray], np.ndarray]:
    """Encode and decode."""

    def change(patch: np.ndarray) -> np.ndarray:
        stream = io.BytesIO()
        Image.fromarray(patch).save(stream, "JPEG", quality=quality)
        return np.asarray(Image.open(stream))

    return change


def shifted(patch: np.ndarray) -> np.ndarray:
    """Shift by 2 pixels down and right, with reflection at the edge."""
    return np.pad(patch, ((2, 0), (2, 0), (0, 0)), mode="reflect")[:64, :64]


def brighter(patch: np.ndarray) -> np.ndarray:
    """A gain of 1.15."""
    return np.clip(np.rint(patch * 1.15), 0, 255).astype(np.uint8)


def lifted(patch: np.ndarray) -> np.ndarray:
    """Add ten levels to every band."""
    return np.clip(patch.astype(np.int64) + 10, 0, 255).astype(np.uint8)


WAYS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "re-encoded, JPEG 90": jpeg(90),
    "re-encoded, JPEG 75": jpeg(75),
    "shifted 2 px": shifted,
    "brightened x 1.15": brighter,
    "brightened + 10": lifted,
    "shifted, brightened, JPEG 90": lambda p: jpeg(90)(brighter(shifted(p))),
    "shifted, brightened, JPEG 75": lambda p: jpeg(75)(brighter(shifted(p))),
}


def main() -> None:
    """Measure and print."""
    options = parser(__doc__)
    options.add_argument("data", type=Path, metavar="INDEX", help="a patch index of EuroSAT")
    args = options.parse_args()
    index = read_index(args.data)
    pixels = np.asarray(cached_pixels(index))
    labels = np.array(index.labels)
    each = EACH // 5 if args.short else EACH
    chosen = np.random.default_rng(SEED).choice(len(pixels), each, replace=False)
    water = labels[chosen] == "SeaLake"
    results = {}
    for name, change in WAYS.items():
        copies = np.stack([change(pixels[row].transpose(1, 2, 0)).transpose(2, 0, 1) for row in chosen])
        whole = np.concatenate([pixels, copies])
        start = time.perf_counter()
        pairs = {(min(a, b), max(a, b)) for a, b, _, _ in similar_rows(whole, range(len(whole)))}
        seconds = time.perf_counter() - start
        n = len(pixels)
        own = {(int(row), n + k) for k, row in enumerate(chosen)}
        among = {pair for pair in pairs if pair[1] < n}
        kin = among | {(b, a) for a, b in among}
        wrong = [(a, b) for a, b in pairs - own - among if a >= n or (a, int(chosen[b - n])) not in kin]
        found = np.array([(int(row), n + k) in pairs for k, row in enumerate(chosen)])
        results[name] = {
            "found": round(float(found.mean()), 4),
            "found_land": round(float(found[~water].mean()), 4),
            "found_sea_lake": round(float(found[water].mean()), 4),
            "wrong": len(wrong),
            "wrong_share": round(len(wrong) / max(1, len(pairs)), 5),
            "among_originals": len(among),
            "seconds": round(seconds, 1),
        }
    # The whole set compressed, which erases the texture of most water patches: every pair is then wrong.
    sea = np.flatnonzero(labels == "SeaLake")
    squeezed = np.stack([jpeg(75)(pixels[row].transpose(1, 2, 0)).transpose(2, 0, 1) for row in sea])
    squeezed = np.ascontiguousarray(squeezed)
    plain = [pair for pair in similar_rows(squeezed, range(len(squeezed))) if pair[3] > 0]
    result = {
        "benchmark": "duplicates",
        "machine": machine(args.threads),
        "originals": len(pixels),
        "planted": each,
        "planted_sea_lake": int(water.sum()),
        "ways": results,
        "sea_lake_all_jpeg_75": {"patches": len(sea), "pairs_of_other_pixels": len(plain)},
    }
    header = ("planted copy", "detected", "detected, SeaLake", "wrong pairs", "share wrong")
    body = []
    for name, r in results.items():
        shares = [f"{100 * r[key]:.1f} %" for key in ("found", "found_sea_lake")]
        body.append((name, *shares, r["wrong"], f"{100 * r['wrong_share']:.2f} %"))
    finish(result, args, table=rows(header, body))


if __name__ == "__main__":
    main()
