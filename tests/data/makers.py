"""Small real data for the tests of this folder."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from swath.data.index import SCHEMA, PatchIndex

CLASSES = ("Field", "Town", "Water")


def picture(seed: int, *, size: int = 16, mode: str = "RGB") -> Image.Image:
    """A picture of random colors and detail."""
    rng = np.random.default_rng(seed)
    noise = rng.integers(0, 255, (size // 4, size // 4, 3), np.uint8)
    image = Image.fromarray(noise).resize((size, size), Image.Resampling.BICUBIC)
    return image.convert(mode)


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def tree(root: Path, *, each: int = 3, classes=CLASSES, size: int = 16) -> Path:
    """A folder of `each` different patches a class."""
    for k, label in enumerate(classes):
        for n in range(each):
            write(root / label / f"{label}_{n}.png", encoded(picture(1000 * k + n, size=size)))
    return root


def packed(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def table_index(labels, *, groups=None, splits=None, contents=None, root: Path = Path("/nowhere")) -> PatchIndex:
    """An index of patches that exist on paper only, for code that looks at rows alone."""
    n = len(labels)
    columns = {
        "path": [f"{label}/{label}_{i:04}.png" for i, label in enumerate(labels)],
        "label": list(labels),
        "labels": [None] * n,
        "split": splits or [None] * n,
        "group": groups or [None] * n,
        "sha256": contents or [f"{i:064x}" for i in range(n)],
        "width": [64] * n,
        "height": [64] * n,
        "mode": ["RGB"] * n,
        **{name: [None] * n for name in ("lon", "lat", "gsd", "source", "license", "crs", "footprint")},
    }
    import pyarrow as pa

    return PatchIndex(root=root, table=pa.Table.from_pydict(columns, schema=SCHEMA), name="paper")


def sets_index(sets) -> PatchIndex:
    """An index of patches on paper that carry lists of labels."""
    made = table_index(["patch"] * len(sets))
    return made.with_columns({"label": [None] * len(sets), "labels": [sorted(labels) for labels in sets]})
