"""Splits from lists of patches, as published beside many data sets."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from swath.data.index import SPLITS, PatchIndex
from swath.data.readers import is_image_name
from swath.errors import DataError, SettingError


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
