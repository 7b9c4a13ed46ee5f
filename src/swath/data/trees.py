"""Labels, splits and groups read off the folders of a tree: decisions on names alone, no file is opened.

The tree is walked from the top: wrapping folders are looked through, folders named as parts of an experiment
(:mod:`swath.data.roles`) are splits, the next ones are classes. Where names allow two readings, one is taken and told
with the option that takes the other, or the tree is refused with that option.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from swath.data.entries import Entries, Entry
from swath.data.filenames import (
    ARCHIVE,
    EMPTY,
    FORMAT,
    STRAY,
    SYSTEM,
    UNLABELED,
    Listing,
    is_image_name,
    place_of,
    suffix_of,
    why_left_out,
)
from swath.data.roles import Role, is_fold, is_part, read_name, split_roles, splits_of, words_of
from swath.errors import DataError
from swath.imagery import SUFFIXES

# Folders of pictures about a data set, not of it.
_DISPLAY_WORDS = (
    "doc docs documentation fig figs figure figures preview previews sample samples example examples assets readme "
    "screenshot screenshots logo logos plot plots demo"
)
_DISPLAY = frozenset(_DISPLAY_WORDS.split())
_MASKS = frozenset(("mask", "masks", "label", "labels", "gt", "annotation", "annotations", "segmentation"))
_SHOWN = 3
_IN_FOLDERS = "put images at Class/image or split/Class/image, or list them in a CSV"


@dataclass
class _Folder:
    """Images directly in a folder, and the folders in it that hold any."""

    files: list[str] = field(default_factory=list)
    folders: dict[str, _Folder] = field(default_factory=dict)

    def images(self) -> Iterator[str]:
        """All images, at any depth."""
        yield from self.files
        for folder in self.folders.values():
            yield from folder.images()

    def first(self) -> str:
        """One of its images, for messages."""
        return next(self.images())


@dataclass
class _Reading:
    """What has been read so far."""

    where: str
    entries: list[Entry] = field(default_factory=list)
    unlabeled: dict[str, str] = field(default_factory=dict)  # images, and where they are counted
    notes: list[str] = field(default_factory=list)
    above: set[tuple[str, ...]] = field(default_factory=set)  # folders whose folders are the classes
    classes: set[str] = field(default_factory=set)  # that are named as splits, and said to be classes

    def add(self, folder: _Folder, label: str, *, split: str | None = None, group: str | None = None) -> None:
        self.entries += [Entry(path=name, label=label, split=split, group=group) for name in folder.images()]

    def leave_out(self, folder: _Folder, place: str) -> None:
        self.unlabeled |= dict.fromkeys(folder.images(), place)

    def no_class_folder(self, folder: _Folder, fix: str = _IN_FOLDERS) -> DataError:
        return DataError(f"{self.where}: image {folder.first()} lies in no class folder", fix=fix)


def entries_from_tree(listing: Listing, *, where: str, level: int | None = None) -> Entries:
    """Read labels, and splits where there are any, off the folders of a tree.

    ===============================================  ==================================================================
    ``Class/.../image``                              classes
    ``split/Class/.../image``                        splits named as in :mod:`swath.data.roles`, classes
    ``Class/split/image``                            the same
    ``fold1/Class/.../image``, ``2019/Class/image``  each fold or numbered part is a group, classes
    ``split/image``                                  no labels: left out, next to splits that have classes
    any of these beneath wrapping folders            the wrapping folders, and files next to them, are looked through
    ===============================================  ==================================================================

    Parameters
    ----------
    listing : Listing
        All files of the tree.
    where : str
        The source, for messages.
    level : int, optional
        Which folder names the class: 1 is the top. By default as the names tell.

    Raises
    ------
    DataError
        If there is no image, most images lie in no class folder, or the folders can be read in several ways.

    Examples
    --------
    >>> from swath.data.filenames import Listing
    >>> tree = Listing(("seg_test/seg_test/Forest/1.png", "seg_train/seg_train/Forest/2.png"))
    >>> [(entry.label, entry.split) for entry in entries_from_tree(tree, where="tree").rows]
    [('Forest', 'test'), ('Forest', 'train')]
    """
    images = [name for name in listing.names if is_image_name(name)]
    passed = [(name, reason) for name in listing.names if not is_image_name(name) and (reason := why_left_out(name))]
    passed += listing.left_out
    if not images:
        raise _no_images(where, passed)
    reading = _Reading(where)
    if level is None:
        _read(_folder_of(images), (), reading)
        _refuse_splits_as_classes(reading)
    else:
        _read_level(images, level, reading)
    placed = {entry.path for entry in reading.entries} | reading.unlabeled.keys()
    strays = [name for name in images if name not in placed]
    if len(strays) >= len(reading.entries):
        raise DataError(f"{where}: image {strays[0]} lies in no class folder", fix=_IN_FOLDERS)
    passed += [(name, STRAY) for name in strays]
    left_out, lost = _by_class(passed, listing.empty, reading, level)
    left_out += [(place, UNLABELED) for place in reading.unlabeled.values()]
    for label, reasons in sorted(lost.items()):
        why = ", ".join(f"{count:,} {reason}" for reason, count in reasons.items())
        reading.notes.append(
            f"class folder '{label}' holds no image that can be read, so there is no such class ({why})"
        )
    return Entries(tuple(reading.entries), left_out=tuple(left_out), notes=tuple(reading.notes))


def _refuse_splits_as_classes(reading: _Reading) -> None:
    """Refuse classes whose names are those of splits, which no other rule has explained."""
    roles = split_roles({entry.label or "" for entry in reading.entries}).keys() - reading.classes
    if len(roles) > 1:
        depth = len(min(reading.above, key=len)) + 1
        raise DataError(
            f"{reading.where} holds split folders ({_listed(roles)}) where classes are looked for",
            fix=f"say which folders are the classes, such as --labels {depth} or --labels {depth + 1}",
        )


def _no_images(where: str, passed: Sequence[tuple[str, str]]) -> DataError:
    """Say what there is instead."""
    archives = [name for name, reason in passed if reason == ARCHIVE]
    if archives:
        shown = ", ".join(archives[:_SHOWN])
        return DataError(
            f"{where} holds no images, but {len(archives)} archive(s) ({shown})",
            fix="unpack them, and index the folder",
        )
    kinds = Counter(f"{place_of(name, reason)}" if reason == FORMAT else reason for name, reason in passed)
    held = f" ({', '.join(f'{count:,} {kind}' for kind, count in kinds.most_common(_SHOWN))})" if kinds else ""
    return DataError(
        f"{where} holds no images{held}",
        fix=f"give a folder or zip of Class/image, or a CSV of path,label; images end in {', '.join(sorted(SUFFIXES))}",
    )


def _folder_of(images: Sequence[str]) -> _Folder:
    root = _Folder()
    for name in images:
        folder = root
        *parts, _ = name.split("/")
        for part in parts:
            folder = folder.folders.setdefault(part, _Folder())
        folder.files.append(name)
    return root


def _unwrapped(
    folder: _Folder, prefix: tuple[str, ...], *, inside: bool = False, classes: Collection[str] = ()
) -> tuple[_Folder, tuple[str, ...]]:
    """Look through folders that only wrap others; `inside` a split, a folder of a split's name is one too."""
    while True:
        deep = [name for name, one in folder.folders.items() if one.folders]
        beside = [name for name in folder.folders if name not in deep]
        if len(deep) != 1 or not all(_DISPLAY & set(words_of(name)) for name in beside):
            return folder, prefix
        name = deep[0]
        if name in classes or (not inside and read_name(name).exact and read_name(name).role != "trainval"):
            return folder, prefix
        folder, prefix = folder.folders[name], (*prefix, name)


def _read(root: _Folder, prefix: tuple[str, ...], reading: _Reading) -> None:
    """Read a tree whose top folders may be wrappers, splits, parts or classes."""
    folder, prefix = _unwrapped(root, prefix)
    roles = split_roles(folder.folders)
    others = folder.folders.keys() - roles.keys()
    if roles and not any(folder.folders[name].folders for name in roles):
        unlabeled = _flat_splits(folder, prefix, roles, others, reading)
        rest = _Folder(folder.files, {name: one for name, one in folder.folders.items() if name not in unlabeled})
        if roles.keys() == unlabeled:
            _read(rest, prefix, reading)
        else:
            _read_classes(rest, prefix, reading)
    elif roles and others:
        raise _mixed(roles, others, len(prefix), reading)
    elif roles:
        _read_splits(folder, prefix, roles, reading)
    else:
        _read_classes(folder, prefix, reading)


def _mixed(
    roles: Collection[str], others: Collection[str], depth: int, reading: _Reading, *, within: bool = False
) -> DataError:
    """Splits next to other folders, `depth` folders down or `within` the classes that lie there."""
    fix = (
        f"say which folders are the classes, these with --labels {depth + 1} or those within with --labels {depth + 2}"
    )
    if within:
        fix = f"move them, or keep what has a split and what has none with --labels {depth + 1}"
    return DataError(
        f"{reading.where} holds split folders ({_listed(roles)}) next to others ({_listed(others)})"
        + (" within its classes" if within else ""),
        fix=fix,
    )


def _flat_splits(
    folder: _Folder, prefix: tuple[str, ...], roles: Mapping[str, Role], others: Collection[str], reading: _Reading
) -> set[str]:
    """Decide on folders named as splits that hold images and no folders; return those left out for lack of labels.

    A folder named ``train`` alone among classes is one (of vehicles); ``test`` and the like are not.
    """
    if not others:
        raise reading.no_class_folder(
            folder.folders[min(roles)],
            f"{_IN_FOLDERS}; if the classes are {_listed(roles)}: --labels {len(prefix) + 1}",
        )
    exact = {name: role for name, role in roles.items() if read_name(name).exact}
    trains = [name for name, role in exact.items() if role in ("train", "trainval")]
    deep = any(folder.folders[name].folders for name in others)
    if trains and (deep or len(exact) > 1):
        raise _mixed(exact, others, len(prefix), reading)
    unlabeled = exact.keys() - set(trains)
    for name in unlabeled:
        reading.leave_out(folder.folders[name], name)
    for name in sorted(roles.keys() - unlabeled):
        reading.classes.add(name)
        reading.notes.append(f"folder '{name}' is read as a class, like {_listed(others)} next to it")
    return unlabeled


def _read_splits(folder: _Folder, prefix: tuple[str, ...], roles: Mapping[str, Role], reading: _Reading) -> None:
    splits = splits_of(roles)
    first = {name: _unwrapped(folder.folders[name], (*prefix, name), inside=True) for name in roles}
    several = [one for one, _ in first.values() if len(one.folders) > 1]
    known = {label for one in several for label in one.folders}
    told: list[str] = []
    for name in sorted(roles):
        inner, above = _unwrapped(folder.folders[name], (*prefix, name), inside=True, classes=known)
        labels = inner.folders.keys()
        only = next(iter(labels)) if len(labels) == 1 else None
        if not labels or (only and known and only not in known and roles[name] != "train"):
            if roles[name] in ("train", "trainval"):
                raise reading.no_class_folder(inner)
            reading.leave_out(inner, name)
            continue
        _read_classes(inner, above, reading, split=splits[name], within=True)
        if name.lower() not in ("train", "val", "valid", "validation", "test"):
            told.append(f"{name} = {splits[name] or 'in no split yet'}")
    if told:
        reading.notes.append(f"splits from folders: {', '.join(told)}")


def _read_classes(
    folder: _Folder, prefix: tuple[str, ...], reading: _Reading, *, split: str | None = None, within: bool = False
) -> None:
    """Read a folder whose folders are classes, or numbered parts of classes; `within` a split or a part."""
    if not folder.folders:
        if folder.files and not reading.entries:
            raise reading.no_class_folder(folder)
        return
    if _read_parts(folder, prefix, reading, split):
        return
    if not within and _read_class_splits(folder, prefix, reading):
        return
    _refuse_doubtful(folder, prefix, reading)
    reading.above.add(prefix)
    for label, one in folder.folders.items():
        reading.add(one, label, split=split)


def _refuse_doubtful(folder: _Folder, prefix: tuple[str, ...], reading: _Reading) -> None:
    """Refuse classes that may be places of the classes within, or pictures and their masks.

    Folders of numbers, dates or tiles within classes are none.
    """
    depth = len(prefix)
    shared = _shared(folder)
    if shared and (not all(map(_has_digit, shared)) or all(map(_has_digit, folder.folders))):
        raise DataError(
            f"{reading.where}: the folders {_listed(folder.folders)} hold folders of the same names ({_listed(shared)})"
            ", so either may be the classes",
            fix=f"say which with --labels {depth + 1} or --labels {depth + 2}",
        )
    masks = [name for name in folder.folders if _MASKS & set(words_of(name))]
    pictures = [name for name in folder.folders if name not in masks and {"images", "image"} & set(words_of(name))]
    if masks and pictures:
        raise DataError(
            f"{reading.where}: the folders {_listed([*pictures, *masks])} hold pictures and what is marked in them, "
            "not classes",
            fix=f"swath classifies whole patches; if these are the classes: --labels {depth + 1}",
        )


def _has_digit(name: str) -> bool:
    return any(letter.isdigit() for letter in name)


def _read_parts(folder: _Folder, prefix: tuple[str, ...], reading: _Reading, split: str | None) -> bool:
    """Read folds and numbered parts that hold the same classes: each is a group; ``False`` if these are none."""
    names, shared = folder.folders, _shared(folder)
    if len(names) < 2 or not shared or not all(map(is_part, names)):
        return False
    folds = all(map(is_fold, names))
    if split_roles(shared):
        raise DataError(
            f"{reading.where}: each of the folders {_listed(names)} holds splits of its own ({_listed(shared)})",
            fix=f"index one of them at a time, such as the folder {'/'.join((*prefix, min(names)))}",
        )
    if not folds and all(map(is_part, shared)):
        return False
    for name, one in names.items():
        reading.above.add((*prefix, name))
        for label, inner in one.folders.items():
            reading.add(inner, label, split=split, group="/".join((*prefix, name)))
    what = "fold" if folds else "part"
    reading.notes.append(
        f"{len(names)} {what} folders ({_listed(names)}) are groups, each kept whole by: swath data split --by group"
    )
    return True


def _read_class_splits(folder: _Folder, prefix: tuple[str, ...], reading: _Reading) -> bool:
    """Read ``Class/.../split/image``; ``False`` if no level of folders within the classes holds splits."""
    depth = len(prefix)
    within = {name: name.split("/")[depth:-1] for one in folder.folders.values() for name in one.images()}
    for level in range(1, max(map(len, within.values()))):
        names = {parts[level] for parts in within.values() if len(parts) > level}
        roles = split_roles(names)
        if len(set(roles.values())) > 1 and roles.keys() != names:
            raise _mixed(roles, names - roles.keys(), depth, reading, within=True)
        if roles and roles.keys() == names:
            break
    else:
        return False
    beneath: dict[str, set[str]] = defaultdict(set)
    for parts in within.values():
        beneath[parts[0]] |= set(parts[level + 1 : level + 2])
    if len(beneath) > 1 and len(set.intersection(*beneath.values())) > 1:
        raise DataError(
            f"{reading.where} holds several trees ({_listed(folder.folders)}), each with its own splits",
            fix=f"index one of them, or give --labels {depth + level + 2} to take the classes of all",
        )
    reading.above.add(prefix)
    splits = splits_of(roles)
    reading.entries += [
        Entry(path=name, label=parts[0], split=splits[parts[level]] if len(parts) > level else None)
        for name, parts in within.items()
    ]
    reading.notes.append(f"splits from the folders within each class: {', '.join(sorted(roles))}")
    return True


def _read_level(images: Sequence[str], level: int, reading: _Reading) -> None:
    """Read the class off the folder at `level`, and splits off any other folder named as one."""
    if level < 1:
        raise DataError(f"--labels {level} names no folder", fix="1 is the top folder, 2 the folders within")
    apart = {name: name.split("/")[:-1] for name in images}
    names: dict[int, set[str]] = defaultdict(set)
    for parts in apart.values():
        for depth, part in enumerate(parts):
            names[depth].add(part)
    splits = {depth: splits_of(split_roles(names[depth])) for depth in names if depth != level - 1}
    for name, parts in apart.items():
        if len(parts) >= level:
            found = (splits[d][part] for d, part in enumerate(parts) if d != level - 1 and part in splits[d])
            reading.entries.append(Entry(path=name, label=parts[level - 1], split=next(found, None)))


def _shared(folder: _Folder) -> list[str]:
    """Names of folders, two at least, that most of the folders hold, and that are most of what they hold."""
    counts = Counter(name for one in folder.folders.values() for name in one.folders)
    shared = sorted(name for name, count in counts.items() if count > 1 and 2 * count > len(folder.folders))
    most = 2 * sum(counts[name] for name in shared) > sum(counts.values())
    return shared if len(shared) > 1 and most else []


def _by_class(
    passed: Sequence[tuple[str, str]], empty: Sequence[str], reading: _Reading, level: int | None
) -> tuple[list[tuple[str, str]], dict[str, Counter[str]]]:
    """Where each file left out is counted, and the classes of which nothing is left, with the reasons."""
    classes = {entry.label for entry in reading.entries}
    left_out: list[tuple[str, str]] = []
    lost: dict[str, Counter[str]] = defaultdict(Counter)
    for name, reason in [*passed, *((folder, EMPTY) for folder in empty)]:
        label = None
        if reason not in (SYSTEM, STRAY):
            parts = name.split("/") if reason == EMPTY else name.split("/")[:-1]
            label = _class_of(parts, reading, level)
        place = place_of(name, reason)
        if label is not None and reason != EMPTY:
            place = f"{label}/*{suffix_of(name)}" if reason == FORMAT else label
        left_out.append((place, reason))
        if label is not None and label not in classes:
            lost[label][reason] += 1
    return left_out, lost


def _class_of(parts: Sequence[str], reading: _Reading, level: int | None) -> str | None:
    """Class of a file or folder that is no patch, by its folders."""
    if level is not None:
        return parts[level - 1] if len(parts) >= level else None
    for depth in range(len(parts)):
        if tuple(parts[:depth]) in reading.above:
            return parts[depth]
    return None


def _listed(names: Collection[str]) -> str:
    """The first few of some names."""
    shown = sorted(names)[:_SHOWN]
    return ", ".join(shown) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
