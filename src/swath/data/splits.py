"""Split an index into train, val and test: stratified, in whole groups and seeded, or from published lists.

:func:`split_index` is the one way in. Rows that must stay together form a :class:`Unit`: a group of the index, such as
near duplicates or a scene; a block on the globe; or a single patch. Units are shared out class by class. Every split
describes itself in ``PatchIndex.split_protocol``.
"""

from __future__ import annotations

import csv
import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Literal, get_args

from swath.data.archives import is_image_name
from swath.data.index import SPLITS, PatchIndex
from swath.data.overlap import group_duplicates
from swath.data.spatial import BLOCK_KM, BLOCKS_WHOLE, GROUPS_WHOLE, group_blocks, optimistic_bias
from swath.errors import DataError, SettingError
from swath.progress import Progress, silent

SplitBy = Literal["random", "block", "group"]
SHARE = 0.2  # of each class, for val and for test
NO_LABEL = ""  # no class has this name
MOST_FOLDS = 100


def split_index(
    index: PatchIndex,
    *,
    by: SplitBy = "random",
    block_km: float = BLOCK_KM,
    val: float | None = None,
    test: float | None = None,
    seed: int = 0,
    lists: Mapping[str, str | Path] | None = None,
    folds: int | None = None,
    fold: int = 0,
    keep: bool = True,
    progress: Progress = silent,
) -> PatchIndex:
    """Split an index into train, val and test; groups, such as near duplicates, always stay whole.

    Each class is shared out as asked, to within one group; the outcome depends on the paths and the seed, not on the
    order of rows. Where patches have several labels, they are shared out by the rarest of them first (iterative
    stratification: Sechidis, Tsoumakas and Vlahavas 2011, ECML PKDD, 145-158); patches without a label are shared
    out like a class.

    Parameters
    ----------
    index : PatchIndex
        See :func:`swath.data.group_duplicates` for grouping its near duplicates first.
    by : str
        ``random``: groups and single patches are shared out. ``block``: patches of one block on the globe
        stay together. ``group``: as random, but every patch must be in a group, such as its scene.
    block_km : float
        Side of a block, kilometers; for ``block`` alone.
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
        Its ``split_protocol`` says all of this, and ``optimistic`` of a random split whose held-out patches
        lie among training patches; see :func:`swath.data.spatial.optimistic_bias`.

    Raises
    ------
    SettingError
        If the shares leave nothing to train on, a split or `by` has an unknown name, there is no such fold, or
        arguments contradict one another.
    DataError
        If a class has too few groups for the splits asked for, a group already lies in two splits, patches lack
        the coordinates or groups to split by, or a list is missing or empty, names unknown patches, or
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
        if folds is not None or fold or by != "random" or test is not None:
            raise SettingError(
                "lists say which patch goes where",
                fix="leave --by, --folds, --fold and --test out, or give a --test-list",
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
    lacking = index.table["group"].null_count
    if by == "group" and lacking:
        raise DataError(
            f"{lacking:,} of {len(index):,} patches of index '{index.name}' are in no group to split by",
            fix="index a CSV with a column group (the scene, say), or split with --by random",
        )
    whole = group_blocks(index, km=block_km) if by == "block" else index
    val, test = (SHARE if share is None else share for share in (val, test))
    if folds is not None:
        made = fold_index(whole, folds=folds, fold=fold, val=val, seed=seed)
    else:
        made = _shared_out(whole, val=val, test=test, seed=seed, keep=keep)
    splits, protocol = made.column("split"), made.split_protocol
    if splits == index.column("split"):  # nothing has changed, so the protocol stays
        return _noted(index) if by == "random" else index
    if by == "block":
        protocol = protocol.replace(GROUPS_WHOLE, f"blocks of {block_km:g} {BLOCKS_WHOLE}")
    made = index.with_columns({"split": splits}, split_protocol=protocol)
    return _noted(made) if by == "random" else made


def _noted(index: PatchIndex) -> PatchIndex:
    """Add to the protocol of a random split why tests on it are optimistic, if they are."""
    why = optimistic_bias(index)
    if not why or why in index.split_protocol:
        return index
    return replace(index, split_protocol=f"{index.split_protocol}; {why}")


def _listed(index: PatchIndex, lists: Mapping[str, Path]) -> PatchIndex:
    files = ", ".join(f"{split} from {lists[split].name}" for split in SPLITS if split in lists)
    return index.with_columns({"split": splits_from_lists(index, lists)}, split_protocol=f"from lists ({files})")


def _val_from_train(index: PatchIndex, *, val: float, seed: int, progress: Progress) -> PatchIndex:
    """Take a val split from the train split alone; copies on two published lists stay where they are."""
    if index.split_counts.get("val"):
        raise SettingError("there is a val split already", fix="leave --val or the list of val patches out")
    if not val > 0:
        raise SettingError(f"val {val} is no share to take", fix="give --val 0.1, say")
    train = group_duplicates(index.where("train"), progress=progress)
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
                raise DataError(f"{index.paths[row]} is listed for {twice}", fix="list each patch once")
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
        try:
            with file.open(encoding="utf-8-sig", newline="") as stream:
                names = [line[0].strip() for line in csv.reader(stream, strict=True) if line and line[0].strip()]
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise DataError(f"cannot read the list {file} ({error})") from error
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


@dataclass(frozen=True)
class Unit:
    """Rows that go to one split together: a group, or a patch that has none."""

    rows: tuple[int, ...]
    counts: Mapping[str, int]  # label -> patches
    rarest: str | None = None  # of several labels, the one that decides


def _shared_out(index: PatchIndex, *, val: float, test: float, seed: int, keep: bool = True) -> PatchIndex:
    """Give every row a split; those of val and test that the index has are kept if `keep`."""
    given = index.column("split") if keep else [None] * len(index)
    splits = _assign(index, given, shares={"test": test, "val": val}, seed=seed)
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
    sizes: Counter[str] = Counter()  # of what is not held out already: a published test may be most of a set
    for unit in free:
        sizes.update(unit.counts)
    for place, side in enumerate(to_draw):
        # Each side still to be drawn, and train, must find a group of every class left.
        taken = _take(free, {label: shares[side] * n for label, n in sizes.items()}, leave=len(to_draw) - place)
        for unit in taken:
            for row in unit.rows:
                splits[row] = side
        chosen = {id(unit) for unit in taken}
        free = [unit for unit in free if id(unit) not in chosen]
    if to_draw:
        _check_sides(index, splits, ["train", *to_draw])
    return splits


def units_of(index: PatchIndex, seed: int) -> list[Unit]:
    """Units in an order that depends on the seed and their paths only."""
    # Patches without any label count as a class of their own.
    sets, paths = [labels or (NO_LABEL,) for labels in index.label_sets], index.paths
    rows: dict[tuple[str, str], list[int]] = defaultdict(list)
    for row, group in enumerate(index.column("group")):
        rows[("path", paths[row]) if group is None else ("group", group)].append(row)

    def order(members: Sequence[int]) -> bytes:
        return hashlib.sha256(f"{seed}:{min(paths[row] for row in members)}".encode()).digest()

    units = [
        Unit(tuple(m), Counter(label for row in m for label in sets[row])) for m in sorted(rows.values(), key=order)
    ]
    return _by_rarest(units) if index.multi_label else units


def _by_rarest(units: Sequence[Unit]) -> list[Unit]:
    """Units with the rarest label of all first, each marked with its own rarest one."""
    sizes: Counter[str] = Counter()
    for unit in units:
        sizes.update(unit.counts)
    marked = [replace(u, rarest=min(u.counts, key=lambda label: (sizes[label], label))) for u in units]
    return sorted(marked, key=lambda unit: (sizes[str(unit.rarest)], str(unit.rarest)))


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


def _take(free: Sequence[Unit], target: Mapping[str, float], *, leave: int) -> list[Unit]:
    """Choose units whose class counts come close to `target`.

    A unit is taken if that brings the counts nearer to the target in the sum of squares; for groups
    of one class this ends within half a group of it. A unit with several labels counts by its rarest
    one alone: common labels even out later, rare ones may not. Then a class still without a patch gets its
    smallest unit, if at least `leave` others with that class remain.
    """
    have: Counter[str] = Counter()
    taken: list[Unit] = []
    left: list[Unit] = []
    remaining = Counter(label for unit in free for label in unit.counts)
    for unit in free:
        decisive = unit.counts if unit.rarest is None else {unit.rarest: unit.counts[unit.rarest]}
        change = sum(n * (n + 2 * (have[label] - target[label])) for label, n in decisive.items())
        if change < 0 and all(remaining[label] > leave for label in unit.counts):
            taken.append(unit)
            have.update(unit.counts)
            remaining.subtract(unit.counts.keys())
        else:
            left.append(unit)
    for label in sorted(label for label in target if not have[label]):
        fitting = [
            unit for unit in left if label in unit.counts and all(remaining[other] > leave for other in unit.counts)
        ]
        if fitting and not have[label]:
            smallest = min(fitting, key=lambda unit: len(unit.rows))
            taken.append(smallest)
            have.update(smallest.counts)
            remaining.subtract(smallest.counts.keys())
            left.remove(smallest)
    return taken


def _check_sides(index: PatchIndex, splits: Sequence[str | None], sides: Sequence[str]) -> None:
    """Check that every class occurs in every new split."""
    found = {(label, side) for labels, side in zip(index.label_sets, splits, strict=True) for label in labels}
    for label in index.classes:
        for side in sides:
            if (label, side) not in found:
                raise DataError(
                    f"class '{label}' has too few groups of patches to have any in '{side}'",
                    fix="give it more groups, or ask for fewer splits with a share of 0",
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


def fold_numbers(units: Sequence[Unit], rows: int, *, folds: int) -> list[int]:
    """Assign units to folds so that each class is spread as evenly as its groups allow.

    Units go in order of size, the largest first, to the fold that lacks most of their classes, and of those to the
    one that has fewest patches of them.

    Parameters
    ----------
    units : sequence of Unit
        In an order that decides ties.
    rows : int
        Rows of the index; each is in one unit.
    folds : int
        Number of folds.

    Returns
    -------
    list of int
        Fold of each row, from 0.
    """
    numbers = [0] * rows
    have: list[Counter[str]] = [Counter() for _ in range(folds)]
    sizes = [0] * folds
    for unit in sorted(units, key=lambda unit: -len(unit.rows)):  # stable, so the given order decides ties
        best = min(
            range(folds),
            key=lambda fold: (
                -sum(not have[fold][label] for label in unit.counts),
                sum(n * have[fold][label] for label, n in unit.counts.items()),
                sizes[fold],
                fold,
            ),
        )
        have[best].update(unit.counts)
        sizes[best] += len(unit.rows)
        for row in unit.rows:
            numbers[row] = best
    return numbers


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
