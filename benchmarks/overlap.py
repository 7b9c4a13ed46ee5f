"""How many patches that share ground are found by content, and how many that do not are joined.

    python benchmarks/overlap.py [EUROSAT_INDEX.parquet] [--rasters FOLDER] [--short] [--table] [--json FILE]

Results, with hardware, versions and n: BENCHMARKS.md.

Patches of 64 pixels are cut at random from every raster of a folder (``$SWATH_DATA/rasters`` by default), rendered to
8-bit RGB and saved as JPEG 75 without georeference, 60 from each and draw, and searched for together with 2,000 patches
of the index. Pairs are counted by the share of ground that both show and by texture: the smaller of the two standard
deviations of gray less its Gaussian (sigma 3 pixels), in 8-bit levels. *Found* is what the search reports; *one group*
includes pairs that hang together by others, which is what keeps them on one side of a split. Patches of different
rasters, or of a raster and the index, share nothing.

EuroSAT's own patches are then searched alone. Some of them do share ground: where the fine detail of two correlates by
0.95 or more and all colors agree, the pictures are the same pixel for pixel over the overlap. These are counted apart
from other pairs.
"""

from __future__ import annotations

import io
import os
import time
from collections import Counter
from itertools import combinations
from pathlib import Path

import numpy as np
import rasterio
from common import finish, machine, parser, rows
from PIL import Image

from swath.data import cached_pixels, read_index
from swath.data.duplicates import linked
from swath.data.matching import SIDE
from swath.data.overlap import overlapping_rows

EACH, DRAWS, AMONG, LARGE, SEED = 60, 5, 2_000, 20_000, 20261130
SHARES = ((0.25, 0.5), (0.5, 0.75), (0.75, 1.01))
TEXTURES = (("flat", 0, 2), ("faint", 2, 3), ("textured", 3, 1000))
SAME = 0.95  # correlation of fine detail of what is the same pixel for pixel


def scenes(folder: Path) -> dict[str, np.ndarray]:
    """Rasters as 8-bit RGB ``[3, H, W]``; reflectance x 10,000 is shown up to 0.275."""
    made = {}
    for path in sorted(folder.glob("*.tif")):
        with rasterio.open(path) as file:
            pixels = file.read([1, 2, 3])
        made[path.stem] = pixels if pixels.dtype == np.uint8 else (np.clip(pixels / 2750, 0, 1) * 255).astype(np.uint8)
    return made


def draw(rasters: dict[str, np.ndarray], seed: int) -> tuple[np.ndarray, list[tuple[str, int, int]]]:
    """Patches ``[N, 3, 64, 64]`` and where they were cut; none with more than a fifth of no data."""
    random = np.random.default_rng(seed)
    patches, places = [], []
    for name, pixels in rasters.items():
        for _ in range(EACH):
            y, x = (int(random.integers(0, side - SIDE + 1)) for side in pixels.shape[1:])
            patch = pixels[:, y : y + SIDE, x : x + SIDE]
            if (patch.max(axis=0) == 0).mean() <= 0.2:
                stream = io.BytesIO()
                Image.fromarray(np.ascontiguousarray(patch.transpose(1, 2, 0))).save(stream, "JPEG", quality=75)
                patches.append(np.asarray(Image.open(stream)).transpose(2, 0, 1))
                places.append((name, y, x))
    return np.stack(patches), places


def texture(patches: np.ndarray) -> np.ndarray:
    """Standard deviation of gray less its Gaussian, ``[N]``, 8-bit levels."""
    place = np.arange(SIDE)
    blur = np.exp(-0.5 * np.square((place[:, None] - place[None]) / 3))
    blur /= blur.sum(axis=1, keepdims=True)
    gray = patches.mean(axis=1)
    return (gray - blur @ gray @ blur.T).std(axis=(1, 2))


def groups(pairs: list[tuple[int, int]]) -> dict[int, str]:
    """Name of the group of each row that is in one."""
    return {int(row): name for row, name in linked((f"{a:06}", f"{b:06}") for a, b in pairs).items()}


def main() -> None:
    """Measure and print."""
    options = parser(__doc__)
    options.add_argument("data", type=Path, nargs="?", metavar="INDEX", help="a patch index of EuroSAT")
    folder = os.environ.get("SWATH_DATA")
    options.add_argument("--rasters", type=Path, default=Path(folder) / "rasters" if folder else None)
    args = options.parse_args()
    if args.rasters is None:
        options.error("give --rasters FOLDER or set SWATH_DATA")
    rasters = scenes(args.rasters)
    own = np.empty((0, 3, SIDE, SIDE), np.uint8)
    if args.data is not None:
        index = read_index(args.data)
        chosen = np.random.default_rng(SEED).permutation(len(index))[: AMONG if args.short else LARGE]
        own = np.asarray(cached_pixels(index, size=SIDE)[np.sort(chosen)])
    counts: Counter[tuple[str, float, str]] = Counter()
    apart = wrong = 0
    for seed in range(1 if args.short else DRAWS):
        patches, places = draw(rasters, SEED + seed)
        among = own[np.sort(np.random.default_rng(seed).permutation(len(own))[:AMONG])]
        found = [
            (a, b)
            for a, b, _, _ in overlapping_rows(np.concatenate([patches, among]), range(len(patches) + len(among)))
        ]
        n, pairs, group, rough = len(patches), set(found), groups(found), texture(patches)
        for (i, (scene, y, x)), (j, (other, v, u)) in combinations(enumerate(places), 2):
            share = max(0, SIDE - abs(y - v)) * max(0, SIDE - abs(x - u)) / SIDE**2 if scene == other else 0
            apart += scene != other
            wrong += scene != other and (i, j) in pairs
            low = next((low for low, high in SHARES if low <= share < high), None)
            if low is not None:
                name = next(name for name, least, most in TEXTURES if least <= min(rough[i], rough[j]) < most)
                counts[name, low, "pairs"] += 1
                counts[name, low, "found"] += (i, j) in pairs
                counts[name, low, "one group"] += i in group and group[i] == group.get(j)
        apart += n * len(among)
        wrong += sum(a < n <= b for a, b in pairs)
    result = {
        "benchmark": "overlap",
        "machine": machine(args.threads),
        "rasters": list(rasters),
        "draws": 1 if args.short else DRAWS,
        "each": EACH,
        "bands": [
            {
                "texture": name,
                "share": f"{100 * low:.0f}-{min(100, 100 * high):.0f} %",
                "pairs": counts[name, low, "pairs"],
                **{
                    key: round(counts[name, low, key] / counts[name, low, "pairs"], 4) for key in ("found", "one group")
                },
            }
            for name, _, _ in reversed(TEXTURES)
            for low, high in SHARES
            if counts[name, low, "pairs"]
        ],
        "different_scenes": {"pairs": apart, "joined": wrong},
    }
    if len(own):
        start, clock = time.process_time(), time.perf_counter()
        found = overlapping_rows(own, range(len(own)))
        seconds = time.process_time() - start
        other = groups([(a, b) for a, b, _, alike in found if alike < SAME])
        result["eurosat"] = {
            "patches": len(own),
            "cpu_seconds": round(seconds, 1),
            "seconds": round(time.perf_counter() - clock, 1),
            "pairs_the_same_pixel_for_pixel": sum(alike >= SAME for *_, alike in found),
            "other_pairs": sum(alike < SAME for *_, alike in found),
            "patches_joined": round(len({row for a, b, _, _ in found for row in (a, b)}) / len(own), 5),
            "patches_joined_by_other_pairs": round(len(other) / len(own), 5),
            "largest_group": max(Counter(groups([(a, b) for a, b, _, _ in found]).values()).values(), default=0),
            "largest_group_of_other_pairs": max(Counter(other.values()).values(), default=0),
        }
    header = ("texture", "ground shared", "pairs", "found", "one group")
    body = [
        (b["texture"], b["share"], b["pairs"], *(f"{100 * b[key]:.1f} %" for key in ("found", "one group")))
        for b in result["bands"]
    ]
    lines = [*rows(header, body), "", f"Of {apart:,} pairs of different scenes {wrong:,} were joined."]
    if len(own):
        e = result["eurosat"]
        lines.append(
            f"Among {e['patches']:,} patches of EuroSAT ({e['cpu_seconds']:.0f} CPU seconds) "
            f"{e['pairs_the_same_pixel_for_pixel']:,} pairs are the same pixel for pixel where they overlap; "
            f"{e['other_pairs']:,} others were joined, {100 * e['patches_joined_by_other_pairs']:.2f} % of patches, in "
            f"groups of at most {e['largest_group_of_other_pairs']}."
        )
    finish(result, args, table=lines)


if __name__ == "__main__":
    main()
