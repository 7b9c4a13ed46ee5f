"""How long reading places and finding shared ground takes.

Result (2026-11-30, two shared cores of an x86-64 server, numpy 2, n = 20,000 patches of 64 x 64 pixels, turned by
random angles, 31,681 pairs that overlap): places 2.2 s, overlaps 1.0 s of processor time.

Run: python benchmarks/footprints.py [--patches 20000]
"""

from __future__ import annotations

import argparse
import json
import time

import numpy as np

from swath.data.spatial import footprint_overlaps
from swath.imagery.georeference import Georeference, places_of


def main() -> None:
    """Measure and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patches", type=int, default=20_000)
    n = parser.parse_args().patches
    rng = np.random.default_rng(0)
    patches = []
    for x, y, degrees in zip(*rng.uniform(0, 100_000, (2, n)), rng.uniform(0, 360, n), strict=True):
        cos, sin = 10 * float(np.cos(np.radians(degrees))), 10 * float(np.sin(np.radians(degrees)))
        patches.append(Georeference("EPSG:32632", (cos, sin, 5e5 + x, sin, -cos, 5e6 + y), 64, 64))
    start = time.process_time()
    footprints = [place.footprint if place else None for place in places_of(patches)]
    middle = time.process_time()
    pairs = footprint_overlaps(footprints)
    end = time.process_time()
    seconds = {"places": round(middle - start, 2), "overlaps": round(end - middle, 2)}
    print(json.dumps({"patches": n, "pairs": len(pairs), "seconds": seconds}))


if __name__ == "__main__":
    main()
