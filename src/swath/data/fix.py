"""Write a cleaned copy of a data set: no duplicate files, one size and format, near duplicates grouped."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath

from swath.data.cache import MAX_SIZE
from swath.data.duplicates import near_duplicates
from swath.data.index import SPLITS, PatchIndex, write_index
from swath.data.known import published_facts
from swath.data.overlap import find_overlaps, groups_with, within_splits
from swath.data.rewrite import EncodedPatch, encode_patch, write_patches
from swath.data.rows import first_bands, map_patches, unnamed_bands
from swath.errors import DataError, SettingError
from swath.files import atomic_folder
from swath.imagery import RGB, decode, resize, select_bands
from swath.progress import Progress, silent

# A copy that is held out stays held out: dropping it from train leaves old test results comparable.
_KEEP_FIRST = ("test", "val", "train", None)
_SHOWN = 5


@dataclass(frozen=True)
class DroppedPatch:
    """A patch left out, and why: a ``copy`` of the path `of`, or in ``contradiction`` with it."""

    path: str
    why: str
    of: str


@dataclass(frozen=True)
class MovedPatch:
    """A patch that was moved to the split of most of its group."""

    path: str
    before: str | None
    after: str | None


def resolve(index: PatchIndex, rows: Sequence[int], contents: Sequence[str]) -> tuple[list[int], list[DroppedPatch]]:
    """Decide which rows to keep, given what each contains.

    Parameters
    ----------
    index : PatchIndex
        Its labels, splits and paths decide.
    rows : sequence of int
        Rows to choose from.
    contents : sequence of str
        Identity of the content of each of `rows`, such as its SHA-256.

    Returns
    -------
    tuple of list of int and list of DroppedPatch
        The one row to keep of each content, none where its copies carry different labels; and the others
        with the reason.
    """
    labels, splits = index.label_sets, index.column("split")
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
    """Move each group that lies in several splits to the one that most of its patches are in."""
    splits = index.column("split")
    members: dict[str, list[int]] = defaultdict(list)
    for row, group in enumerate(index.column("group")):
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
    protocol = f"{index.split_protocol or 'as given'}; {len(moved):,} patches moved to the split of their group"
    return index.with_columns({"split": splits}, split_protocol=protocol), tuple(moved)


@dataclass(frozen=True)
class CleaningReport:
    """What :func:`fix_index` changed.

    Attributes
    ----------
    name, before, after : str
        Of the index, and its fingerprints before and after.
    patches_before, patches_after : int
        Number of patches.
    form : str
        Suffix, mode and size of the new files.
    converted : mapping of str to int
        Old files of each mode and size.
    squeezed : int
        Files that were not square.
    dropped : tuple of DroppedPatch
        Patches left out.
    groups : int
        New groups of two or more patches.
    moved : tuple of MovedPatch
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
        lines.append(f"dropped   {len(copies):,} copies of files that are kept")
        lines.append(f"          {len(against):,} copies that carry different labels, all dropped")
        lines += [f"          {one.path} = {one.of}" for one in self.dropped[:_SHOWN]]
        forms = ", ".join(f"{form} ({n:,})" for form, n in list(self.converted.items())[:_SHOWN])
        lines.append(f"converted {forms}")
        lines.append(f"          all to {self.form}")
        if self.squeezed:
            lines.append(f"          {self.squeezed:,} were not square and are squeezed")
        lines.append(f"grouped   {self.groups:,} groups of patches kept in one split")
        lines.append(f"moved     {len(self.moved):,} patches to the split of their group")
        return lines


def fix_index(
    index: PatchIndex, out: Path, *, size: int | None = None, overwrite: bool = False, progress: Progress = silent
) -> CleaningReport:
    """Write ``out/index.parquet``, ``out/patches/`` and ``out/fix.json``; the source is not changed.

    Of files that are the same byte for byte, or are so once converted, one is kept: a test patch rather
    than a val patch rather than a train patch, then the first by path. Copies that carry different labels
    are all dropped, since nobody knows which is right. Every file becomes a square of one size, 8-bit RGB PNG (a
    lossless TIFF where there are more than 8 bits or other bands). Groups that near duplicates join
    across splits move to the split that most of their patches are in. Patches that share a part of their ground are
    grouped, never dropped or moved.

    Parameters
    ----------
    index : PatchIndex
        The index to clean.
    out : Path
        Folder to write; it appears when everything is done.
    size : int, optional
        Side of all patches, pixels; by default the most frequent one.
    overwrite : bool
        Replace an existing folder.
    progress : Progress
        Called with stages ``"convert"`` and ``"decode"``, and those of :func:`swath.data.near_duplicates` and
        :func:`swath.data.find_overlaps`.

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
        raise SettingError(f"patch size {side} is not between 1 and {MAX_SIZE} pixels", fix="choose another --size")
    unnamed_bands(index)  # the same in all files, or refused
    rows, dropped = resolve(index, range(len(index)), index.column("sha256"))
    source = index.take(rows)
    with atomic_folder(out, overwrite=overwrite, keep=index.inputs) as folder:
        written = _write_squares(source, folder / "patches", side, first_bands(index), progress)
        stay, again = resolve(source, range(len(source)), written.column("sha256"))
        for row in set(range(len(source))) - set(stay):
            (folder / "patches" / written.paths[row]).unlink()
        if not stay:
            raise DataError(f"nothing is left of index '{index.name}'", fix="correct the labels of its copies")
        stay.sort(key=written.paths.__getitem__)
        kept = source.take(stay)
        # Compared as they are in the source: nothing that was just written is read again.
        renamed = dict(zip(source.paths, written.paths, strict=True))
        near = [
            replace(pair, first=renamed[pair.first], second=renamed[pair.second])
            for pair in near_duplicates(kept, progress=progress)
        ]
        overlaps = [
            replace(pair, first=renamed[pair.first], second=renamed[pair.second])
            for pair in find_overlaps(kept, progress=progress)
        ]
        grouped = written.take(stay)
        # Copies move to one split; patches that only share ground stay where they are, and audit reports them.
        within = within_splits(grouped, near, overlaps)
        clean, moved = gathered(grouped.with_columns({"group": groups_with(grouped, near, within)}))
        sizes = Counter(clean.table["group"].drop_null().to_pylist())
        forms = Counter(zip(*(index.column(name) for name in ("mode", "width", "height")), strict=True))
        fixed = CleaningReport(
            name=index.name,
            before=index.fingerprint,
            after=clean.fingerprint,
            patches_before=len(index),
            patches_after=len(clean),
            form=f"{PurePosixPath(clean.paths[0]).suffix}, {clean.column('mode')[0]}, {side} x {side}",
            converted={f"{mode} {w} x {h}": n for (mode, w, h), n in forms.most_common()},
            squeezed=sum(w != h for w, h in zip(kept.column("width"), kept.column("height"), strict=True)),
            dropped=tuple(sorted([*dropped, *again], key=lambda one: one.path)),
            groups=sum(count > 1 for count in sizes.values()),
            moved=moved,
        )
        write_index(clean, folder / "index.parquet")
        text = json.dumps(asdict(fixed), indent=2, ensure_ascii=False)
        (folder / "fix.json").write_text(text + "\n", encoding="utf-8")
    return fixed


def _commonest_side(index: PatchIndex) -> int:
    """Shorter side of the most frequent size; of equally frequent sizes, of a square."""
    sizes = Counter(zip(index.column("width"), index.column("height"), strict=True))
    best = min(sizes, key=lambda size: (-sizes[size], size[0] != size[1], size))
    return min(int(best[0]), int(best[1]), MAX_SIZE)


def _write_squares(
    index: PatchIndex, folder: Path, side: int, bands: tuple[str, ...], progress: Progress
) -> PatchIndex:
    """Write every patch as a square of `side` pixels with these bands, all of one depth."""
    bands = RGB if set(bands) <= {*RGB, "gray"} else bands

    def square(data: bytes, row: int) -> EncodedPatch:
        picture = decode(data, name=index.paths[row])
        return encode_patch(resize(select_bands(picture, bands), side), bands)

    def checked() -> Iterator[EncodedPatch]:
        mode = None
        for path, patch in zip(index.paths, patches, strict=True):
            mode = mode or patch.mode
            if patch.mode != mode:
                raise DataError(
                    f"{path} is {patch.mode}, but {index.paths[0]} is {mode}",
                    fix="index 8-bit and 16-bit patches apart",
                )
            yield patch

    patches = map_patches(index, square, stage="convert", progress=progress)
    sizes = zip(index.column("gsd"), index.column("width"), index.column("height"), strict=True)
    gsd = [None if meters is None else meters * min(w, h) / side for meters, w, h in sizes]
    written = write_patches(index, folder, checked(), gsd=gsd)
    # The new files no longer have the hashes by which those of published sets are recognized.
    return written.with_columns(published_facts(index), skipped=(), left_out=(), notes=())
