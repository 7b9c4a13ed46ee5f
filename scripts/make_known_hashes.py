"""Make the package's list of EuroSAT's file hashes, by which its patches are recognized in other sets.

    python scripts/make_known_hashes.py EUROSAT.zip --out src/swath/data/shipped/eurosat-rgb.hashes

One line of JSON (class to count), then for each patch, class by class and number by number, the first eight
bytes of the SHA-256 of its JPEG; eight zero bytes where the archive lacks the patch. The shipped list was made
from the train and val parts of the published lists, 21,600 of 27,000 patches: the test part was not available.
A list made from the whole archive (``swath data get eurosat-rgb``) has all of them. Needs only the standard
library.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import zipfile
from pathlib import Path, PurePosixPath

COUNTS = {
    "AnnualCrop": 3000,
    "Forest": 3000,
    "HerbaceousVegetation": 3000,
    "Highway": 2500,
    "Industrial": 2500,
    "Pasture": 2000,
    "PermanentCrop": 2500,
    "Residential": 3000,
    "River": 2500,
    "SeaLake": 3000,
}


def main() -> None:
    """Read the options and write the list."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    with zipfile.ZipFile(options.archive) as archive:
        members = {PurePosixPath(name).stem: name for name in archive.namelist() if name.endswith(".jpg")}
        known = {f"{label}_{number}" for label, count in COUNTS.items() for number in range(1, count + 1)}
        if set(members) - known:
            raise SystemExit(f"{options.archive} has other patches too, such as {min(set(members) - known)}")
        hashes = [
            hashlib.sha256(archive.read(members[stem])).digest()[:8] if stem in members else bytes(8)
            for label, count in COUNTS.items()
            for stem in (f"{label}_{number}" for number in range(1, count + 1))
        ]
    options.out.write_bytes(json.dumps(COUNTS).encode() + b"\n" + b"".join(hashes))
    print(f"{sum(h != bytes(8) for h in hashes):,} of {len(hashes):,} patches: {options.out}")


if __name__ == "__main__":
    main()
