"""Split an index into train, val and test: stratified, in whole groups and seeded, or from published lists.

:func:`split_index` is the one way in. Rows that must stay together form a :class:`~swath.data.units.Unit`: a
group of the index, such as near duplicates or a scene; ground that patches share; a block on the globe; or a single
patch. Units are shared out class by class. Every split describes itself in ``PatchIndex.split_protocol``.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Literal, get_args

from swath.data.archives import read_file
from swath.data.duplicates import FOUND_GROUPS, GROUND
from swath.data.filenames import is_image_name
from swath.data.grouping import EXAMPLE, MIN_SCENES, group_index, suggestion
from swath.data.index import SPLITS, PatchIndex
from swath.data.overlap import group_duplicates
from swath.data.spatial import (
    BLOCK_KM,
    BLOCKS_WHOLE,
    GROUPS_WHOLE,
    LEFT_OUT,
    SMALLER_BLOCKS_KM,
    block_names,
    group_blocks,
    group_footprints,
    noted_protocol,
    overlapping_held_out,
)
from swath.data.tables import listed_paths
from swath.data.units import Unit, best_sides, fold_numbers, take_units, units_of
from swath.errors import DataError, SettingError
from swath.pages.text import counted
from swath.progress import Progress, silent

SplitBy = Literal["auto", "group", "scene", "block", "random"]
SHARE = 0.2  # of each class, for val and for test
MOST_FOLDS = 100


def split_index(
    index: PatchIndex,
    *,
    by: SplitBy = "auto",
    group_by: str | None = None,
    block_km: float | None = None,
    val: float | None = None,
    test: float | None = None,
    seed: int = 0,
    lists: Mapping[str, str | Path] | None = None,
    folds: int | None = None,
    fold: int = 0,
    keep: bool = True,
    progress: Progress = silent,
) -> PatchIndex:
    """Split an index into train, val and test; groups, and patches that show the same ground, always stay whole.

    Each class is shared out as asked, to within one group; the outcome depends on the paths and the seed, not on the
    order of rows. Where patches have several labels, they are shared out by the rarest of them first (iterative
    stratification: Sechidis, Tsoumakas and Vlahavas 2011, ECML PKDD, 145-158); patches without a label are shared
    out like a class.

    Parameters
    ----------
    index : PatchIndex
        See :func:`swath.data.group_duplicates` for grouping its near duplicates first.
    by : str
        ``group``: every patch must be in a group, such as its scene. ``scene``: groups, else the scenes that names
        suggest, stay whole. ``block``: patches of one block on the globe stay together. ``random``: groups and single
        patches are shared out. ``auto``: the first of group, block and scene that the data allow, scenes only where
        names leave no doubt, else random. Patches whose footprints overlap stay together in any case.
    group_by : str, optional
        A column or a regular expression that joins patches to groups first; see
        :func:`swath.data.grouping.group_index`.
    block_km : float, optional
        Side of a block, kilometers; for ``block`` alone. By default 10, or the largest of 5, 2 and 1 that
        gets every class into every split.
    val, test : float, optional
        Share of each class, from 0 to below 1, of what is in no val or test split already. By default 0.2;
        with `lists`, no val but the listed one, else that share of the train list, near duplicates grouped.
    seed : int
        Another seed gives another split.
    lists : mapping of str to Path, optional
        Text or CSV files by split (train, val, test) whose first column names patches by path, by
        its last folder and file (``Class/file``), or by file name. They replace all splits there
        were; rows on no list get none (``PatchIndex.split_counts[None]`` counts them).
    folds : int, optional
        Cross-validation: make this many folds, from 2 to 100, and use one as the test split. The same call with
        another `fold` gives the other parts of the same division.
    fold : int
        Which fold, from 0.
    keep : bool
        Keep the val and test splits the index has; without folds or lists.
    progress : Progress
        Called while near duplicates are searched, with `lists` and `val` alone.

    Returns
    -------
    PatchIndex
        Its ``split_protocol`` says all of this, and why a test is too optimistic, if it is: see
        :func:`swath.data.spatial.optimistic_bias` and :func:`swath.data.spatial.unknown_origin`.
        Where groups are few, they are shared out as well as they can be, and a class that some split
        lacks is named in the protocol.

    Raises
    ------
    SettingError
        If the shares leave nothing to train on, a split or `by` has an unknown name, there is no such fold, or
        arguments contradict one another.
    DataError
        If there are too few groups for the splits asked for, a group already lies in two splits, patches lack
        the coordinates, groups or names to split by, or a list is missing or empty, names unknown patches, or
        conflicts with another.

    Examples
    --------
    >>> import swath.data
    >>> index = swath.data.build_index("eurosat-mini")
    >>> swath.data.split_index(index, val=0.1, test=0.2, keep=False).split_counts
    {'train': 1540, 'val': 220, 'test': 440}
    >>> swath.data.split_index(index, folds=5, fold=1, val=0.0).split_counts
    {'train': 1760, 'test': 440}
    """
    if lists is not None:
        if folds is not None or fold or by != "auto" or test is not None or group_by is not None:
            raise SettingError(
                "lists say which patch goes where",
                fix="leave --by, --group-by, --folds, --fold and --test out, or give a --test-list",
            )
        listed = _listed(index, {split: Path(path) for split, path in lists.items()})
        return _noted(listed if val is None else _val_from_train(listed, val=val, seed=seed, progress=progress))
    if by not in get_args(SplitBy):
        raise SettingError(
            f"there is no way to split by '{by}'", fix=f"choose --by from {', '.join(get_args(SplitBy))}"
        )
    if fold and folds is None:
        raise SettingError(f"fold {fold} of no folds", fix="give their number, for example --folds 5")
    if folds is not None and test is not None:
        raise SettingError("with --folds the test is one fold", fix="leave --test out")
    grouped = index if group_by is None else group_index(index, group_by)[0]
    val, test = (SHARE if share is None else share for share in (val, test))

    def shared_out(whole: PatchIndex) -> PatchIndex:
        if folds is not None:
            return fold_index(whole, folds=folds, fold=fold, val=val, seed=seed)
        return _shared_out(whole, val=val, test=test, seed=seed, keep=keep)

    # The rest of splits that somebody made: blocks and scenes would reach across them.
    given = keep and folds is None and index.has_splits
    ground = group_footprints(grouped, keep=given, progress=progress)
    wanted = {"val": val, "test": test if folds is None else 1 / max(folds, 1)}
    way = by if by != "auto" else _safest(ground, given=given)
    made, kept_whole = _split(ground, way, shared_out, km=block_km, wanted=wanted)
    if by == "auto" and kept_whole != GROUPS_WHOLE and missing_classes(made):
        made, kept_whole = _split(ground, "random", shared_out, km=None, wanted=wanted)
    if made.column("split") == index.column("split"):  # nothing has changed, so the protocol stays
        return replace(grouped, split_protocol=noted_protocol(grouped))
    protocol = made.split_protocol.replace(GROUPS_WHOLE, kept_whole)
    if LEFT_OUT in protocol:  # whose chains are cut where patches are left out
        grouped = _without_chains(grouped)
    return _noted(grouped.with_columns({"split": made.column("split")}, split_protocol=protocol))


def _safest(index: PatchIndex, *, given: bool) -> str:
    """The way to split that keeps most apart of what the index knows of its patches."""
    groups: set[str | None] = set(index.column("group"))
    found = tuple(name for name in groups if name is None or name.startswith(FOUND_GROUPS))
    if not found and len(groups) >= MIN_SCENES:
        return "group"
    if given:
        return "random"
    if not index.table["lon"].null_count:
        blocks = block_names(index.column("lon"), index.column("lat"), km=min(SMALLER_BLOCKS_KM))
        return "block" if len(set(blocks)) >= MIN_SCENES else "random"
    suggested = suggestion(index)
    return "scene" if suggested is not None and suggested.sure else "random"


def _split(
    index: PatchIndex,
    by: str,
    shared_out: Callable[[PatchIndex], PatchIndex],
    *,
    km: float | None,
    wanted: Mapping[str, float],
) -> tuple[PatchIndex, str]:
    """Split in one way, and what its protocol says is kept whole."""
    if by == "block":
        return _by_blocks(index, shared_out, km=km, wanted=wanted)
    lacking = index.table["group"].null_count
    if by == "group" and lacking:
        raise DataError(
            f"{lacking:,} of {len(index):,} patches of index '{index.name}' are in no group to split by",
            fix=f"name the scene of each with --group-by, such as --group-by {EXAMPLE}, or split with --by random",
        )
    if by != "scene" or not lacking:
        return shared_out(index), GROUPS_WHOLE
    suggested = suggestion(index)
    if suggested is None:
        raise DataError(
            f"the names of patches, such as {index.paths[0]}, say nothing of scenes",
            fix=f"say which part of the path names the scene, such as --group-by {EXAMPLE}, or split with --by random",
        )
    whole, _ = group_index(index, suggested.pattern)
    return shared_out(whole), f"{suggested.scenes} {suggested.what} by '{suggested.pattern}' kept whole"


def _by_blocks(
    index: PatchIndex, shared_out: Callable[[PatchIndex], PatchIndex], *, km: float | None, wanted: Mapping[str, float]
) -> tuple[PatchIndex, str]:
    """Split by blocks of `km`, or by the largest blocks that get every class into every split and half the shares.

    Where patches overlap in chains across too many blocks, blocks are kept whole without the chains, and patches that
    overlap held-out ones are left out.
    """
    sizes = (BLOCK_KM, *SMALLER_BLOCKS_KM) if km is None else (km,)
    chained = not index.table["footprint"].null_count
    apart = _without_chains(index)
    best: tuple[tuple[int, bool], PatchIndex, str] | None = None
    refused: DataError | None = None
    for chains in (True, False) if chained and apart != index else (True,):
        for size in sizes:
            try:
                made = shared_out(group_blocks(index if chains else apart, km=size))
            except DataError as error:
                refused = refused or error
                continue
            if not chains:
                made = _without_borders(made)
            lack = _lack(made, wanted)
            if best is None or lack < best[0]:
                best = (lack, made, f"blocks of {size:g} {BLOCKS_WHOLE}")
            if lack == (0, False):
                break
        if best is not None and not best[0][0]:
            break
    if best is None:
        raise refused or DataError("there is no block to split by")
    return best[1], best[2]


def _lack(index: PatchIndex, wanted: Mapping[str, float]) -> tuple[int, bool]:
    """Classes that splits lack, and whether one of them has less than half the share it should have."""
    counts = index.split_counts
    sides = ["train", *(side for side, share in wanted.items() if share > 0)]
    short = any(counts.get(side, 0) < share / 2 * len(index) for side, share in wanted.items())
    return len(_missing(index, index.column("split"), sides)), short


def _without_chains(index: PatchIndex) -> PatchIndex:
    """The index without the groups that shared ground alone made."""
    groups = [None if group is not None and group.startswith(GROUND) else group for group in index.column("group")]
    return index.with_columns({"group": groups})


def _without_borders(index: PatchIndex) -> PatchIndex:
    """Leave out what overlaps held-out patches."""
    left = set(overlapping_held_out(index))
    if not left:
        return index
    splits = [None if row in left else split for row, split in enumerate(index.column("split"))]
    return index.with_columns({"split": splits}, split_protocol=f"{index.split_protocol}; {len(left):,} {LEFT_OUT}")


def missing_classes(index: PatchIndex) -> list[tuple[str, str]]:
    """Every (class, split) without a patch, of the splits that occur."""
    return _missing(index, index.column("split"), [side for side in SPLITS if side in index.split_counts])


def _missing(index: PatchIndex, splits: Sequence[str | None], sides: Sequence[str]) -> list[tuple[str, str]]:
    found = {(label, side) for labels, side in zip(index.label_sets, splits, strict=True) for label in labels}
    return [(label, side) for label in index.classes for side in sides if (label, side) not in found]


def split_gaps(index: PatchIndex) -> tuple[str, ...]:
    """Say which classes have no patch in a split, and why where they are in too few groups."""
    missing: dict[str, list[str]] = defaultdict(list)
    for label, side in missing_classes(index):
        missing[label].append(side)
    groups: dict[str, set[str]] = defaultdict(set)
    for row, (labels, group) in enumerate(zip(index.label_sets, index.column("group"), strict=True)):
        for label in labels:
            groups[label].add(group or f"row {row}")
    sentences = []
    for label, sides in missing.items():
        those, n = " and ".join(sides), len(groups[label])
        have = "has" if len(sides) == 1 else "have"
        way = f"{those} {have} no patch of '{label}'"
        if n == 1:
            way += f", all of which are in one group, '{next(iter(groups[label]))}'"
        elif n < len(index.split_counts):
            way += f", which is in {n} groups only"
        if n >= len([split for split in index.split_counts if split]):
            sentences.append(f"{way}, which other splits have: split all again with --resplit")
        else:
            sentences.append(f"{way}: add patches of other scenes or places, or leave the class out")
    return tuple(sentences)


def _noted(index: PatchIndex) -> PatchIndex:
    """Add to the protocol why a test on the splits is optimistic, or that nothing is known of it."""
    return replace(index, split_protocol=noted_protocol(index))


def _listed(index: PatchIndex, lists: Mapping[str, Path]) -> PatchIndex:
    files = ", ".join(f"{split} from {lists[split].name}" for split in SPLITS if split in lists)
    return index.with_columns({"split": splits_from_lists(index, lists)}, split_protocol=f"from lists ({files})")


def _val_from_train(index: PatchIndex, *, val: float, seed: int, progress: Progress) -> PatchIndex:
    """Take a val split from the train split alone; copies on two published lists stay where they are."""
    if index.split_counts.get("val"):
        raise SettingError("there is a val split already", fix="leave --val or the list of val patches out")
    if not val > 0:
        raise SettingError(f"val {val} is no share to take", fix="give --val 0.1, say")
    train = group_footprints(group_duplicates(index.where("train"), progress=progress), progress=progress)
    parts = iter(_shared_out(train, val=val, test=0, seed=seed, keep=False).column("split"))
    splits = [next(parts) if split == "train" else split for split in index.column("split")]
    how = f"val drawn from train ({100 * val:g} % of each class, {GROUPS_WHOLE}, seed {seed})"
    return index.with_columns({"split": splits}, split_protocol=f"{index.split_protocol}; {how}")


def splits_from_lists(index: PatchIndex, lists: Mapping[str, Path]) -> list[str | None]:
    """Split of each row of `index`, ``None`` for rows on no list; see :func:`swath.data.split_index`."""
    unknown = sorted(set(lists) - set(SPLITS))
    if unknown or not lists:
        raise SettingError(
            f"no split is named '{unknown[0]}'" if unknown else "no lists given", fix=f"splits: {', '.join(SPLITS)}"
        )
    names = _Names(index.paths)
    splits: list[str | None] = [None] * len(index)
    for split in (split for split in SPLITS if split in lists):
        for row in names.rows_of(lists[split]):
            if splits[row] is not None:
                twice = f"'{splits[row]}' and '{split}'" if splits[row] != split else f"'{split}' twice"
                raise DataError(
                    f"{index.paths[row]} is listed for {twice}, at last by {lists[split]}", fix="list each patch once"
                )
            splits[row] = split
    groups: dict[str, int] = {}
    for row, group in enumerate(index.column("group")):
        if group is None or splits[row] is None:
            continue
        other = groups.setdefault(group, row)
        if splits[other] != splits[row]:
            raise DataError(
                f"{index.paths[other]} ({splits[other]}) and {index.paths[row]} ({splits[row]}) are in one group "
                f"(duplicates, or grouped by the source) but on different lists",
                fix="list them for the same split",
            )
    return splits


class _Names:
    """Finds rows by path or by the end of a path."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._rows: dict[str, list[int]] = defaultdict(list)
        for row, path in enumerate(paths):
            parts = PurePosixPath(path).parts
            for start in range(len(parts)):
                self._rows["/".join(parts[start:])].append(row)

    def rows_of(self, file: Path) -> list[int]:
        """Rows that a list names; its first line may be a header."""
        names = listed_paths(read_file(file), where=f"the list {file}")
        found = [self._find(name, file) for name in names]
        if found and found[0] is None and not is_image_name(names[0]):
            found, names = found[1:], names[1:]
        missing = [name for name, row in zip(names, found, strict=True) if row is None]
        if missing:
            raise DataError(
                f"{file} lists {len(missing)} patch(es) the index does not have, first {missing[0]}",
                fix="give the lists made for this data set",
            )
        if not found:
            raise DataError(f"{file} lists no patches")
        return [row for row in found if row is not None]

    def _find(self, name: str, file: Path) -> int | None:
        """Row with the longest common end of its path; folder and file at least, unless only a file is given."""
        parts = PurePosixPath(name.replace("\\", "/")).parts
        for length in range(len(parts), min(2, len(parts)) - 1, -1):
            rows = self._rows.get("/".join(parts[len(parts) - length :]), [])
            if len(rows) > 1:
                raise DataError(f"{file}: {name} fits {len(rows)} patches", fix="list it by its full path")
            if rows:
                return rows[0]
        return None


def _shared_out(index: PatchIndex, *, val: float, test: float, seed: int, keep: bool = True) -> PatchIndex:
    """Give every row a split; those of val and test that the index has are kept if `keep`."""
    given = index.column("split") if keep else [None] * len(index)
    splits = _assign(index, given, shares={"test": test, "val": val}, seed=seed)
    if keep and LEFT_OUT in index.split_protocol:  # they stay out
        splits = [None if before is None else after for before, after in zip(given, splits, strict=True)]
    protocol = _protocol(given, splits, before=index.split_protocol, val=val, test=test, seed=seed)
    return index.with_columns({"split": splits}, split_protocol=protocol)


def _protocol(
    given: Sequence[str | None], splits: Sequence[str | None], *, before: str, val: float, test: float, seed: int
) -> str:
    """Describe how `splits` were made from `given`, which `before` describes."""
    drawn = [side for side in SPLITS if side != "train" and side in splits and side not in given]
    # Train is not kept where another split was drawn from it.
    kept = [side for side in SPLITS if side in given and not (side == "train" and drawn)]
    if list(given) == list(splits):
        return before
    shares = {"val": val, "test": test}
    percent = " and ".join(f"{100 * shares[side]:g} %" for side in drawn)
    how = f"({percent} of each class, {GROUPS_WHOLE}, seed {seed})"
    if not kept:
        return f"{' and '.join(drawn)} drawn {how}" if drawn else "all in train"
    rest = f"{' and '.join(drawn)} drawn from the rest {how}" if drawn else "the rest in train"
    return f"{', '.join(kept)} {before or 'as given'}; {rest}"


def _assign(
    index: PatchIndex, given: Sequence[str | None], *, shares: Mapping[str, float], seed: int
) -> list[str | None]:
    if any(not 0 <= share < 1 for share in shares.values()) or sum(shares.values()) >= 1:
        raise SettingError(
            f"val {shares['val']} and test {shares['test']} leave nothing to train on",
            fix="give shares from 0 to below 1 that add up to less than 1",
        )
    to_draw = [side for side in ("test", "val") if shares[side] > 0 and side not in given]
    units = units_of(index, seed)
    splits: list[str | None] = ["train"] * len(index)
    free: list[Unit] = []
    for unit in units:
        side = _kept_side(unit, given, to_draw, index)
        if side is None:
            free.append(unit)
        for row in unit.rows:
            splits[row] = side or "train"
    if to_draw and not free:
        held = " and ".join(sorted({side for side in given if side is not None}))
        raise DataError(
            f"all patches of index '{index.name}' are in {held} already, and none is left for {' and '.join(to_draw)}",
            fix="split again with --resplit",
        )
    sizes: Counter[str] = Counter()  # of what is not held out already: a published test may be most of a set
    for unit in free:
        sizes.update(unit.counts)
    drawn_from = list(free)
    for place, side in enumerate(to_draw):
        # Each side still to be drawn, and train, must find a group of every class left.
        taken = take_units(free, {label: shares[side] * n for label, n in sizes.items()}, leave=len(to_draw) - place)
        for unit in taken:
            for row in unit.rows:
                splits[row] = side
        chosen = {id(unit) for unit in taken}
        free = [unit for unit in free if id(unit) not in chosen]
    sides = ["train", *to_draw]
    if to_draw and _missing(index, splits, sides):
        targets = [{label: shares[side] * n for label, n in sizes.items()} for side in to_draw]
        chosen_sides = best_sides(drawn_from, targets)
        for unit, number in zip(drawn_from, chosen_sides, strict=True):
            for row in unit.rows:
                splits[row] = sides[number]
        _check_sides(splits, sides, groups=len(drawn_from))
    return splits


def _kept_side(unit: Unit, given: Sequence[str | None], to_draw: Sequence[str], index: PatchIndex) -> str | None:
    """Return the split a unit already has; ``None`` if it is free to go anywhere."""
    sides = {given[row] for row in unit.rows} - {None}
    if len(sides) > 1:
        first = ", ".join(index.paths[row] for row in unit.rows[:3])
        raise DataError(
            f"patches of one group lie in several splits already ({', '.join(sorted(map(str, sides)))}): {first}",
            fix="split again with --resplit, or correct the splits of the source (swath data audit lists them)",
        )
    side = next(iter(sides), None)
    # Val and test are drawn from train where the index lacks them; with nothing to draw train is kept.
    return None if side == "train" and to_draw else side


def _check_sides(splits: Sequence[str | None], sides: Sequence[str], *, groups: int) -> None:
    """Check that no new split is empty."""
    empty = [side for side in sides if side not in splits]
    if empty:
        raise DataError(
            f"the patches form {counted(groups, 'group', 'groups')} that must stay whole, too few to fill "
            f"{', '.join(sides)}",
            fix="index patches of more scenes or places, ask for fewer splits with --val 0 or --test 0, or make groups "
            "smaller where that is right (--block-km, --group-by)",
        )


def fold_index(index: PatchIndex, *, folds: int = 5, fold: int = 0, val: float = 0.2, seed: int = 0) -> PatchIndex:
    """Make one fold the test split, and take val from the rest; see `folds` of :func:`split_index`.

    The folds depend on paths, groups and the seed only; splits the index has are ignored.

    Raises
    ------
    SettingError
        If there is no such fold, or the shares leave nothing to train on.
    DataError
        If a class has fewer groups than folds.
    """
    if not 2 <= folds <= MOST_FOLDS:
        raise SettingError(f"{folds} folds", fix=f"choose --folds from 2 to {MOST_FOLDS}")
    if not 0 <= fold < folds:
        raise SettingError(f"there is no fold {fold} of {folds}", fix=f"folds are numbered from 0 to {folds - 1}")
    numbers = fold_numbers(units_of(index, seed), len(index), folds=folds)
    _check(index, numbers, folds)
    splits = ["test" if number == fold else None for number in numbers]
    how = f"is fold {fold} of {folds} (numbered from 0, {GROUPS_WHOLE}, seed {seed})"
    return _shared_out(index.with_columns({"split": splits}, split_protocol=how), val=val, test=0.0, seed=seed)


def _check(index: PatchIndex, numbers: Sequence[int], folds: int) -> None:
    found: dict[str, set[int]] = {}
    for labels, number in zip(index.label_sets, numbers, strict=True):
        for label in labels:
            found.setdefault(label, set()).add(number)
    for label, there in sorted(found.items()):
        if len(there) < folds:
            raise DataError(
                f"class '{label}' has too few groups of patches for {folds} folds (it fills {len(there)})",
                fix=f"choose --folds {max(2, len(there))} or fewer, try another --seed, or give it more groups",
            )
