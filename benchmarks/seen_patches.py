"""How well a model file recognizes patches that the model has seen, and how often it takes others for one.

    python benchmarks/seen_patches.py EUROSAT_INDEX.parquet [--short] [--table] [--json FILE]

Results, with hardware, versions and n: BENCHMARKS.md.

The codes of an index's train split are kept as a model file keeps them (:mod:`swath.model.seen`). Copies of some of its
patches, drawn at random, are looked up among them, and all patches of its val split, which the model has not seen:
those that look like a seen one are wrong, or are near duplicates. Shares are means over salts. Plain patches, whose
gray has a standard deviation below 6 levels, are counted apart: compression leaves little of them to compare.
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
from swath.model.seen import find_seen, salt_of, with_seen

EACH, SALTS, SEED, PLAIN = 2000, 5, 20261130, 6.0
Change = Callable[[Image.Image], Image.Image]


def encoded(**options: object) -> Change:
    """Encode and decode."""

    def change(image: Image.Image) -> Image.Image:
        stream = io.BytesIO()
        image.save(stream, **options)
        return Image.open(stream)

    return change


def resized(side: int) -> Change:
    """Resize and back."""
    return lambda image: image.resize((side, side), Image.Resampling.BICUBIC).resize(
        image.size, Image.Resampling.BICUBIC
    )


WAYS: dict[str, Change] = {
    "PNG": encoded(format="PNG"),
    "JPEG 95": encoded(format="JPEG", quality=95),
    "JPEG 85": encoded(format="JPEG", quality=85),
    "JPEG 75": encoded(format="JPEG", quality=75),
    "resized to 60 px and back": resized(60),
    "resized to 48 px and back": resized(48),
    "brightened, x 1.1 + 5": lambda image: image.point(lambda value: min(255, round(1.1 * value + 5))),
}


def main() -> None:
    """Measure and print."""
    options = parser(__doc__)
    options.add_argument("data", type=Path, metavar="INDEX", help="a patch index with splits train and val")
    args = options.parse_args()
    index = read_index(args.data)
    train, val = (np.asarray(cached_pixels(index.where(split))) for split in ("train", "val"))
    salts = [salt_of(str(k)) for k in range(1 if args.short else SALTS)]
    kept = [with_seen((), bands=("red", "green", "blue"), train=train, size=64, salt=salt)[0] for salt in salts]
    sizes = [len(seen.model_dump_json()) for seen in kept]
    chosen = np.random.default_rng(SEED).choice(len(train), EACH // 5 if args.short else EACH, replace=False)
    plain = train[chosen].mean(axis=1).std(axis=(1, 2)) < PLAIN
    results = {}
    for name, change in WAYS.items():
        copies = np.stack([np.asarray(change(Image.fromarray(train[k].transpose(1, 2, 0)))) for k in chosen])
        found = [find_seen(seen, np.ascontiguousarray(copies.transpose(0, 3, 1, 2))) for seen in kept]
        told = np.mean([one[0] | one[2] for one in found], axis=0)
        results[name] = {
            "counted_exactly": round(float(np.mean([one[0].mean() for one in found])), 4),
            "found": round(float(told.mean()), 4),
            "found_textured": round(float(told[~plain].mean()), 4),
            "found_plain": round(float(told[plain].mean()), 4),
        }
    start = time.perf_counter()
    others = [find_seen(seen, val) for seen in kept]
    seconds = (time.perf_counter() - start) / len(kept)
    wrong = [float(one[2].mean()) for one in others]
    result = {
        "benchmark": "seen_patches",
        "machine": machine(args.threads),
        "seen": len(train),
        "bytes_in_record": max(sizes),
        "copies": len(chosen),
        "plain_copies": int(plain.sum()),
        "salts": len(kept),
        "ways": results,
        "unseen": {
            "patches": len(val),
            "counted_exactly": int(sum(one[0].sum() for one in others)),
            "look_seen": round(float(np.mean(wrong)), 5),
            "look_seen_most": round(max(wrong), 5),
            "seconds": round(seconds, 2),
        },
    }
    body = [
        (name, *(f"{100 * r[key]:.1f} %" for key in ("counted_exactly", "found", "found_textured", "found_plain")))
        for name, r in results.items()
    ]
    look = f"{100 * np.mean(wrong):.2f} %"
    body.append((f"{len(val):,} unseen patches", "0", look, "", ""))
    header = ("copies of seen patches", "counted exactly", "told", "told, textured", "told, plain")
    finish(result, args, table=rows(header, body))


if __name__ == "__main__":
    main()
