"""Write a cleaned copy of a data set: no file twice, one form for all files, near duplicates grouped."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from dataclasses import replace as with_fields
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from PIL import Image
from rasterio.io import MemoryFile

from swath.data.archives import open_patches
from swath.data.cache import MAX_SIZE
from swath.data.duplicates import group_duplicates
from swath.data.index import SCHEMA, SPLITS, PatchIndex, write_index
from swath.data.known import published_facts
from swath.data.threads import in_order
from swath.errors import DataError, SettingError
from swath.files import atomic_folder
from swath.imagery import RGB, decode, resize, select_bands
from swath.imagery.header import mode_name
from swath.progress import Progress, silent

_PNG_MODES = {"L", "LA", "RGB", "RGBA", "I;16"}
# A copy that is held out stays held out: dropping it from train leaves old test results comparable.
_KEEP_FIRST = ("test", "val", "train", None)
_SHOWN = 5


def encode_lossless(pixels: npt.NDArray[Any], bands: Sequence[str]) -> tuple[bytes, str]:
    """Encode one picture; the same pixels give the same bytes.

    Parameters
    ----------
    pixels : numpy.ndarray
        ``[bands, H, W]`` uint8 or uint16.
    bands : sequence of str
        One name a band; a GeoTIFF keeps them as band descriptions.

    Returns
    -------
    tuple of bytes and str
        The file and its suffix, ``.png`` or ``.tif``.
    """
    if mode_name(str(pixels.dtype), tuple(bands)) in _PNG_MODES:
        stream = BytesIO()
        planes = pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0))
        Image.fromarray(planes).save(stream, "PNG")
        return stream.getvalue(), ".png"
    count, height, width = pixels.shape
    profile = {"driver": "GTiff", "count": count, "height": height, "width": width, "dtype": pixels.dtype}
    with MemoryFile() as memory:
        with memory.open(**profile, compress="deflate", photometric="MINISBLACK") as dataset:
            dataset.write(pixels)
            dataset.descriptions = tuple(bands)
        return bytes(memory.read()), ".tif"


@dataclass(frozen=True)
class DroppedPatch:
    """A patch left out, and why: ``copy`` of the path `of`, or ``contradiction`` with it."""

    path: str
    why: str
    of: str


@dataclass(frozen=True)
class MovedPatch:
    """A patch that went to the split most of its group is in."""

    path: str
    before: str | None
    after: str | None


def resolve(
    index: PatchIndex, rows: Sequence[int], contents: Sequence[str]
) -> tuple[list[int], list[DroppedPatch]]:
    """Decide which of `rows` stay, given what each contains.

    Parameters
    ----------
    index : PatchIndex
        Its labels, splits and paths are looked at.
    rows : sequence of int
        Rows to choose from.
    contents : sequence of str
        Identity of the content of each of `rows`, such as its SHA-256.

    Returns
    -------
    tuple of list of int and list of Dropped
        Of each content the one row that stays, none where its copies carry different labels; and the rest
        with the reason.
    """
    labels = list(
        zip(index.table["label"].to_pylist(), map(str, index.table["labels"].to_pylist()), strict=True)
    )
    splits = index.table["split"].to_pylist()
    alike: dict[str, list[int]] = defaultdict(list)
    for row, content in zip(rows, contents, strict=True):
        alike[content].append(row)
    stay: list[int] = []
    dropped: list[DroppedPatch] = []
    for members in alike.values():
        first, *others = sorted(members, key=lambda r: (_KEEP_FIRST.index(splits[r]), index.paths[r]))
        contradicted = len({labels[row] for row in members}) > 1
        if contradicted:
            dropped.append(DroppedPatch(index.paths[first], "contradiction", index.paths[others[0]]))
        else:
            stay.append(first)
        why = "contradiction" if contradicted else "copy"
        dropped += [DroppedPatch(index.paths[row], why, index.paths[first]) for row in others]
    return sorted(stay), dropped


def gathered(index: PatchIndex) -> tuple[PatchIndex, tuple[MovedPatch, ...]]:
    """Bring each group that lies in several splits to the one most of its patches are in."""
    splits: list[str | None] = index.table["split"].to_pylist()
    members: dict[str, list[int]] = defaultdict(list)
    for row, group in enumerate(index.table["group"].to_pylist()):
        if group is not None:
            members[group].append(row)
    moved: list[MovedPatch] = []
    for rows in members.values():
        counts = Counter(splits[row] for row in rows if splits[row] is not None)
        if len(counts) < 2:
            continue
        home = max((split for split in SPLITS if counts[split]), key=counts.__getitem__)
        for row in rows:
            if splits[row] not in (home, None):
                moved.append(MovedPatch(index.paths[row], splits[row], home))
                splits[row] = home
    if not moved:
        return index, ()
    field = SCHEMA.field("split")
    table = index.table.set_column(SCHEMA.get_field_index("split"), field, pa.array(splits, field.type))
    protocol = (
        f"{index.split_protocol or 'as given'}; {len(moved):,} patches moved to the split of their group"
    )
    return with_fields(index, table=table, split_protocol=protocol), tuple(moved)


@dataclass(frozen=True)
class CleaningReport:
    """What :func:`fix_index` changed.

    Attributes
    ----------
    name, before, after : str
        Of the index, and its fingerprints before and after.
    patches_before, patches_after : int
        How many patches.
    form : str
        Suffix, mode and size of every file now.
    converted : mapping of str to int
        Files of each size and mode there were.
    squeezed : int
        Files that were not square, and are.
    dropped : tuple of Dropped
        Patches left out.
    groups : int
        Groups of two or more patches now.
    moved : tuple of Moved
        Patches that changed their split.
    """

    name: str
    before: str
    after: str
    patches_before: int
    patches_after: int
    form: str
    converted: dict[str, int]
    squeezed: int
    dropped: tuple[DroppedPatch, ...]
    groups: int
    moved: tuple[MovedPatch, ...]

    def lines(self) -> list[str]:
        """Return the changes as text for a terminal."""
        copies = [one for one in self.dropped if one.why == "copy"]
        against = [one for one in self.dropped if one.why == "contradiction"]
        lines = [f"{self.name}: {self.patches_after:,} of {self.patches_before:,} patches kept"]
        lines.append(f"dropped   {len(copies):,} copies of files that stay")
        lines.append(f"          {len(against):,} copies that carry different labels, all of them")
        lines += [f"          {one.path} = {one.of}" for one in self.dropped[:_SHOWN]]
        forms = ", ".join(f"{form} ({n:,})" for form, n in list(self.converted.items())[:_SHOWN])
        lines.append(f"converted {forms}")
        lines.append(f"          all to {self.form}")
        if self.squeezed:
            lines.append(f"          {self.squeezed:,} were not square and are squeezed")
        lines.append(f"grouped   {self.groups:,} groups of patches that stay together")
        lines.append(f"moved     {len(self.moved):,} patches to the split of their group")
        return lines


def fix_index(
    index: PatchIndex,
    out: Path,
    *,
    size: int | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
) -> CleaningReport:
    """Write ``out/index.parquet``, ``out/patches/`` and ``out/fix.json``; the source is left as it is.

    Of files that are the same byte for byte, or are so once converted, one stays: a test patch rather
    than a val patch rather than a train patch, then the first by path. Copies that carry different labels
    all go, since nobody knows which is right. Every file becomes a square of one size, 8-bit RGB PNG (a
    lossless TIFF where there are more than 8 bits or other bands). Groups that near duplicates join
    across splits go to the split most of their patches are in.

    Parameters
    ----------
    index : PatchIndex
        What to clean.
    out : Path
        Folder to write; it appears when all is done.
    size : int, optional
        Side of all patches, pixels; by default the commonest.
    overwrite : bool
        Replace an existing folder.
    progress : Progress
        Called with stages ``"convert"``, ``"decode"``, ``"compare"`` and ``"align"``.

    Raises
    ------
    SettingError
        If `size` is not between 1 and 4096.
    DataError
        If a patch is gone or has changed, or nothing is left.
    OutputError
        If `out` exists without `overwrite`, holds the source, or cannot be written.
    """
    side = _commonest_side(index) if size is None else size
    if not 1 <= side <= MAX_SIZE:
        raise SettingError(
            f"patch size {side} is not between 1 and {MAX_SIZE} pixels", fix="choose another --size"
        )
    rows, dropped = resolve(index, range(len(index)), index.table["sha256"].to_pylist())
    with atomic_folder(out, overwrite=overwrite, keep=index.inputs) as folder:
        names, contents, mode = _convert(index, rows, side, folder / "patches", progress)
        stay, again = resolve(index, rows, contents)
        place = {row: at for at, row in enumerate(rows)}
        for row in set(rows) - set(stay):
            (folder / "patches" / names[place[row]]).unlink()
        if not stay:
            raise DataError(f"nothing is left of index '{index.name}'", fix="mend the labels of its copies")
        clean = _rewritten(
            index,
            stay,
            root=folder / "patches",
            names=[names[place[row]] for row in stay],
            contents=[contents[place[row]] for row in stay],
            mode=mode,
            side=side,
        )
        clean, moved = gathered(group_duplicates(clean, progress=progress))
        sizes = Counter(clean.table["group"].drop_null().to_pylist())
        forms = list(zip(*(index.table[c].to_pylist() for c in ("mode", "width", "height")), strict=True))
        fixed = CleaningReport(
            name=index.name,
            before=index.fingerprint,
            after=clean.fingerprint,
            patches_before=len(index),
            patches_after=len(clean),
            form=f"{PurePosixPath(clean.paths[0]).suffix}, {mode}, {side} x {side}",
            converted=dict(Counter(f"{m} {w} x {h}" for m, w, h in forms).most_common()),
            squeezed=sum(forms[row][1] != forms[row][2] for row in stay),
            dropped=tuple(sorted([*dropped, *again], key=lambda one: one.path)),
            groups=sum(count > 1 for count in sizes.values()),
            moved=moved,
        )
        write_index(clean, folder / "index.parquet")
        text = json.dumps(asdict(fixed), indent=2, ensure_ascii=False)
        (folder / "fix.json").write_text(text + "\n", encoding="utf-8")
    return fixed


def _commonest_side(index: PatchIndex) -> int:
    """Shorter side of the commonest size; of sizes that are as common, of a square."""
    sizes = Counter(zip(index.table["width"].to_pylist(), index.table["height"].to_pylist(), strict=True))
    best = min(sizes, key=lambda size: (-sizes[size], size[0] != size[1], size))
    return min(int(best[0]), int(best[1]), MAX_SIZE)


def _kept_bands(index: PatchIndex) -> tuple[str, ...]:
    """Red, green and blue if the first patch is a picture, else all its bands but alpha."""
    with open_patches(index.root) as reader:
        bands = decode(reader.read(index.paths[0]), name=index.paths[0]).bands
    seen = tuple(band for band in bands if band != "alpha")
    return RGB if set(seen) <= {*RGB, "gray"} else seen


def _convert(
    index: PatchIndex, rows: Sequence[int], side: int, folder: Path, progress: Progress
) -> tuple[list[str], list[str], str]:
    """Write every row of `rows` anew; return their names, SHA-256 and mode."""
    bands = _kept_bands(index)
    contents = index.table["sha256"].to_pylist()
    folder.mkdir()
    with open_patches(index.root) as reader:
        kinds: set[str] = set()

        def one(row: int) -> tuple[bytes, str]:
            path = index.paths[row]
            data = reader.read(path)
            if hashlib.sha256(data).hexdigest() != contents[row]:
                raise DataError(f"{path} has changed since it was indexed", fix="run swath data index again")
            pixels = resize(select_bands(decode(data, name=path), bands), side)
            kinds.add(mode_name(str(pixels.dtype), bands))
            if len(kinds) > 1:
                raise DataError(
                    f"{path} is deeper or shallower than the others ({', '.join(sorted(kinds))})",
                    fix="index 8-bit and 16-bit patches apart",
                )
            return encode_lossless(pixels, bands)

        def part(places: range) -> list[tuple[bytes, str]]:
            return [one(rows[place]) for place in places]

        names: list[str] = []
        hashes: list[str] = []
        taken: set[str] = set()
        for block in in_order(part, len(rows), stage="convert", progress=progress):
            for data, suffix in block:
                path = PurePosixPath(index.paths[rows[len(names)]])
                name = path.with_suffix(suffix).as_posix()
                if name.lower() in taken:  # a.jpg beside a.png; some file systems take A and a for the same
                    name = f"{path.as_posix()}{suffix}"
                taken.add(name.lower())
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(data)
                names.append(name)
                hashes.append(hashlib.sha256(data).hexdigest())
    return names, hashes, next(iter(kinds), "")


def _rewritten(
    index: PatchIndex,
    rows: Sequence[int],
    *,
    root: Path,
    names: Sequence[str],
    contents: Sequence[str],
    mode: str,
    side: int,
) -> PatchIndex:
    """Take `rows` of an index with their new files; meters a pixel follow the size."""
    table = index.table.take(pa.array(rows, pa.int64()))
    gsd = [
        None if meters is None else meters * min(width, height) / side
        for meters, width, height in zip(
            *(table[column].to_pylist() for column in ("gsd", "width", "height")), strict=True
        )
    ]
    n = len(rows)
    columns = {
        "path": list(names),
        "sha256": list(contents),
        "gsd": gsd,
        "mode": [mode] * n,
        "width": [side] * n,
        "height": [side] * n,
        **published_facts(index, rows),  # new files no longer tell where they come from
    }
    for name, values in columns.items():
        field = SCHEMA.field(name)
        table = table.set_column(SCHEMA.get_field_index(name), field, pa.array(values, field.type))
    order = pa.array(sorted(range(n), key=names.__getitem__), pa.int64())
    return with_fields(index, root=root, table=table.take(order), skipped=(), ignored=0)
