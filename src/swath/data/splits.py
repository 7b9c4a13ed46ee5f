"""Cut an index into train, val and test: stratified, grouped and seeded, or from lists."""

from __future__ import annotations

import csv
import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from dataclasses import replace as with_fields
from pathlib import Path, PurePosixPath

import pyarrow as pa

from swath.data.archives import is_image_name
from swath.data.index import SCHEMA, SPLITS, PatchIndex
from swath.errors import DataError, SettingError

GROUPS_WHOLE = "groups kept whole"  # what the protocol of every split says that looked at no places
NO_LABEL = ""  # no class has this name
MOST_FOLDS = 100


def splits_from_lists(index: PatchIndex, lists: Mapping[str, Path]) -> list[str | None]:
    """Split of each row of `index`, ``None`` for rows on no list; see :func:`swath.data.split_index`."""
    unknown = sorted(set(lists) - set(SPLITS))
    if unknown or not lists:
        raise SettingError(
            f"no split is named '{unknown[0]}'" if unknown else "no lists given",
            fix=f"splits: {', '.join(SPLITS)}",
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
    for row, group in enumerate(index.table.column("group").to_pylist()):
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
                names = [
                    line[0].strip() for line in csv.reader(stream, strict=True) if line and line[0].strip()
                ]
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
    """Rows that go to one side together: a group, or a patch that has none."""

    rows: tuple[int, ...]
    counts: Mapping[str, int]  # label -> patches
    rarest: str | None = None  # of several labels, the one by which it is shared out


def split_index(
    index: PatchIndex,
    *,
    val: float = 0.2,
    test: float = 0.2,
    seed: int = 0,
    lists: Mapping[str, Path] | None = None,
    keep: bool = True,
) -> PatchIndex:
    """Give rows a split.

    Without lists, every row gets one. Each class is shared out as asked, to within one group; groups
    stay whole; the outcome depends on the paths and the seed, not on the order of rows. Where patches have
    several labels, they are shared out by the rarest of them first (iterative stratification: Sechidis,
    Tsoumakas and Vlahavas 2011, ECML PKDD, 145-158); patches without a label are shared out like a class.

    Parameters
    ----------
    index : PatchIndex
        Splits it already has are kept: a val or test split stays as it is, and a missing one is cut
        from the other rows.
    val, test : float
        Share of each class, from 0 to below 1, of what is in no val or test split already.
    seed : int
        Another seed gives another split.
    lists : mapping of str to Path, optional
        Text or CSV files by split (train, val, test) whose first column names patches by path, by
        its last folder and file (``Class/file``), or by file name. They replace all splits there
        were; rows on no list get none (``PatchIndex.split_counts[None]`` counts them).
    keep : bool
        Whether to keep splits the index already has.

    Raises
    ------
    SettingError
        If the shares leave nothing to train on, or a split has an unknown name.
    DataError
        If a class has too few groups for the splits asked for, a group already lies in two splits,
        or a list is missing or empty, names unknown patches, or conflicts with another.
    """
    if lists is not None:
        splits = splits_from_lists(index, lists)
        files = ", ".join(f"{split} from {lists[split].name}" for split in SPLITS if split in lists)
        protocol = f"from lists ({files})"
    else:
        given: list[str | None] = index.table.column("split").to_pylist() if keep else [None] * len(index)
        splits = _assign(index, given, shares={"test": test, "val": val}, seed=seed)
        protocol = _protocol(given, splits, before=index.split_protocol, val=val, test=test, seed=seed)
    column = pa.array(splits, SCHEMA.field("split").type)
    place = SCHEMA.get_field_index("split")
    table = index.table.set_column(place, SCHEMA.field("split"), column)
    return with_fields(index, table=table, split_protocol=protocol)


def _protocol(
    given: Sequence[str | None],
    splits: Sequence[str | None],
    *,
    before: str,
    val: float,
    test: float,
    seed: int,
) -> str:
    """Say in words how `splits` came about from `given`, which came about as `before` says."""
    cut = [side for side in SPLITS if side != "train" and side in splits and side not in given]
    # Train is not kept where another split was cut from it.
    kept = [side for side in SPLITS if side in given and not (side == "train" and cut)]
    if list(given) == list(splits):
        return before
    shares = {"val": val, "test": test}
    percent = " and ".join(f"{100 * shares[side]:g} %" for side in cut)
    how = f"({percent} of each class, {GROUPS_WHOLE}, seed {seed})"
    if not kept:
        return f"{' and '.join(cut)} cut {how}" if cut else "all in train"
    rest = f"{' and '.join(cut)} cut from the rest {how}" if cut else "the rest in train"
    return f"{', '.join(kept)} {before or 'as given'}; {rest}"


def _assign(
    index: PatchIndex, given: Sequence[str | None], *, shares: Mapping[str, float], seed: int
) -> list[str | None]:
    if any(not 0 <= share < 1 for share in shares.values()) or sum(shares.values()) >= 1:
        raise SettingError(
            f"val {shares['val']} and test {shares['test']} leave nothing to train on",
            fix="give shares from 0 to below 1 that add up to less than 1",
        )
    to_cut = [side for side in ("test", "val") if shares[side] > 0 and side not in given]
    units = units_of(index, seed)
    splits: list[str | None] = ["train"] * len(index)
    free: list[Unit] = []
    for unit in units:
        side = _kept_side(unit, given, to_cut, index)
        if side is None:
            free.append(unit)
        for row in unit.rows:
            splits[row] = side or "train"
    sizes: Counter[str] = Counter()  # of what is not held out already: a published test may be most of a set
    for unit in free:
        sizes.update(unit.counts)
    for place, side in enumerate(to_cut):
        # Each side still to be cut, and train, must find a group of every class left.
        taken = _take(
            free, {label: shares[side] * n for label, n in sizes.items()}, leave=len(to_cut) - place
        )
        for unit in taken:
            for row in unit.rows:
                splits[row] = side
        chosen = {id(unit) for unit in taken}
        free = [unit for unit in free if id(unit) not in chosen]
    if to_cut:
        _check_sides(index, splits, ["train", *to_cut])
    return splits


def units_of(index: PatchIndex, seed: int) -> list[Unit]:
    """Groups in an order that depends on the seed and their paths only."""
    # A patch without any label counts as one of a class of its own.
    sets, paths = [labels or (NO_LABEL,) for labels in index.label_sets], index.paths
    rows: dict[tuple[str, str], list[int]] = defaultdict(list)
    for row, group in enumerate(index.table.column("group").to_pylist()):
        rows[("path", paths[row]) if group is None else ("group", group)].append(row)

    def order(members: Sequence[int]) -> bytes:
        return hashlib.sha256(f"{seed}:{min(paths[row] for row in members)}".encode()).digest()

    units = [
        Unit(tuple(m), Counter(label for row in m for label in sets[row]))
        for m in sorted(rows.values(), key=order)
    ]
    return _by_rarest(units) if index.multi_label else units


def _by_rarest(units: Sequence[Unit]) -> list[Unit]:
    """Units with the rarest label of all first, each marked with its own rarest one."""
    sizes: Counter[str] = Counter()
    for unit in units:
        sizes.update(unit.counts)
    label_matrix = [
        with_fields(u, rarest=min(u.counts, key=lambda label: (sizes[label], label))) for u in units
    ]
    return sorted(label_matrix, key=lambda unit: (sizes[str(unit.rarest)], str(unit.rarest)))


def _kept_side(
    unit: Unit, given: Sequence[str | None], to_cut: Sequence[str], index: PatchIndex
) -> str | None:
    """Return the split a unit already has; ``None`` if it is free to go anywhere."""
    sides = {given[row] for row in unit.rows} - {None}
    if len(sides) > 1:
        first = ", ".join(index.paths[row] for row in unit.rows[:3])
        raise DataError(
            f"patches of one group lie in several splits already ({', '.join(sorted(map(str, sides)))}): {first}",
            fix="split again with --resplit, or mend the splits of the source (swath data audit shows them all)",
        )
    side = next(iter(sides), None)
    # Val and test are cut from train where the index lacks them; with nothing to cut train stays.
    return None if side == "train" and to_cut else side


def _take(free: Sequence[Unit], target: Mapping[str, float], *, leave: int) -> list[Unit]:
    """Choose units whose class counts come close to `target`.

    A unit is taken if that brings the counts nearer to the target in the sum of squares; for groups
    of one class this ends within half a group of it. A unit with several labels is judged by its rarest
    one alone: common labels have time to even out, rare ones have not. Then a class still without a patch gets its
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
            unit
            for unit in left
            if label in unit.counts and all(remaining[other] > leave for other in unit.counts)
        ]
        if fitting and not have[label]:
            smallest = min(fitting, key=lambda unit: len(unit.rows))
            taken.append(smallest)
            have.update(smallest.counts)
            remaining.subtract(smallest.counts.keys())
            left.remove(smallest)
    return taken


def _check_sides(index: PatchIndex, splits: Sequence[str | None], sides: Sequence[str]) -> None:
    """Every class must occur on every side that was cut."""
    found = {(label, side) for labels, side in zip(index.label_sets, splits, strict=True) for label in labels}
    for label in index.classes:
        for side in sides:
            if (label, side) not in found:
                raise DataError(
                    f"class '{label}' has too few groups of patches to have any in '{side}'",
                    fix="give it more groups, or ask for fewer splits with a share of 0",
                )


def fold_index(
    index: PatchIndex, *, folds: int = 5, fold: int = 0, val: float = 0.2, seed: int = 0
) -> PatchIndex:
    """Make one fold the test split, and cut val from the rest.

    The folds depend on paths, groups and the seed only; so the same call with another `fold` gives the
    other parts of the same division.

    Parameters
    ----------
    index : PatchIndex
        Splits it has are forgotten; groups stay whole.
    folds : int
        How many parts, at least 2.
    fold : int
        Which of them is tested, from 0.
    val : float
        Share of the rest of each class for validation, 0 for none.
    seed : int
        Another seed gives another division.

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
        raise SettingError(
            f"there is no fold {fold} of {folds}", fix=f"folds are numbered from 0 to {folds - 1}"
        )
    numbers = fold_numbers(units_of(index, seed), len(index), folds=folds)
    _check(index, numbers, folds)
    splits = pa.array(["test" if n == fold else None for n in numbers], SCHEMA.field("split").type)
    place = SCHEMA.get_field_index("split")
    table = index.table.set_column(place, SCHEMA.field("split"), splits)
    how = f"is fold {fold} of {folds} (numbered from 0, {GROUPS_WHOLE}, seed {seed})"
    tested = with_fields(index, table=table, split_protocol=how)
    return split_index(tested, val=val, test=0.0, seed=seed)


def fold_numbers(units: Sequence[Unit], rows: int, *, folds: int) -> list[int]:
    """Share units out to folds so that each class is spread as evenly as its groups allow.

    Units go in order of size, the largest first, to the fold that lacks most of their classes, and of those to the
    one that has fewest patches of them.

    Parameters
    ----------
    units : sequence of Unit
        In an order that settles ties.
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
    for unit in sorted(units, key=lambda unit: -len(unit.rows)):  # stable, so the given order settles ties
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
