"""The patch index on disk: one Parquet file, written and read here alone, and checked before it is believed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from swath.data.index import SCHEMA, SPLITS, PatchIndex
from swath.data.named import shipped_name, shipped_path
from swath.data.readers import safe_name
from swath.errors import DataError
from swath.files import atomic_file

VERSION = 1
MAX_ROWS = 50_000_000
_METADATA_KEY = b"swath.index"
_SHIPPED_PREFIX = "shipped:"


def write_index(index: PatchIndex, path: str | Path, *, overwrite: bool = False) -> None:
    """Write an index as Parquet; the same index gives the same bytes.

    The root is stored relative to the folder of `path`, so that index and patches can move together.

    Raises
    ------
    OutputError
        If `path` exists and `overwrite` is false, or cannot be written.
    """
    path = Path(path)
    shipped = shipped_name(index.root)
    facts = {
        "version": VERSION,
        "root": f"{_SHIPPED_PREFIX}{shipped}" if shipped else _relative(index.root, path.resolve().parent),
        "name": index.name,
        "attribution": index.attribution,
        "split_protocol": index.split_protocol,
        "skipped": list(index.skipped),
        "ignored": index.ignored,
    }
    table = index.table.cast(SCHEMA).replace_schema_metadata(
        {_METADATA_KEY: json.dumps(facts, sort_keys=True)}
    )
    with atomic_file(path, overwrite=overwrite) as temporary:
        pq.write_table(table, temporary, compression="zstd", version="2.6", row_group_size=1 << 20)


def read_index(path: str | Path) -> PatchIndex:
    """Read and validate an index.

    Raises
    ------
    DataError
        If the file is missing, is no patch index or a damaged one, comes from a newer swath, or the
        patches it speaks of are gone.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"there is no index {path}", fix="make one with: swath data index SOURCE --out INDEX")
    again = "make one with: swath data index SOURCE --out INDEX"
    try:
        with pq.ParquetFile(path) as file:
            if file.metadata.num_rows > MAX_ROWS:
                raise DataError(f"{path} has {file.metadata.num_rows} rows; at most {MAX_ROWS} are read")
            facts = _facts((file.schema_arrow.metadata or {}).get(_METADATA_KEY), path)
            if not file.schema_arrow.equals(SCHEMA):
                raise DataError(f"the columns of {path} are not those of a patch index", fix=again)
            table = file.read()
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{path} is not a patch index, or is damaged ({reason})", fix=again) from error
    _check_rows(table, path)
    return PatchIndex(
        root=_find_root(facts["root"], path),
        table=table.replace_schema_metadata(None),
        name=facts["name"],
        attribution=facts["attribution"],
        split_protocol=facts["split_protocol"],
        skipped=tuple(facts["skipped"]),
        ignored=facts["ignored"],
        file=path,
    )


def _facts(raw: bytes | None, path: Path) -> dict[str, Any]:
    """Parse and check what an index says of itself."""
    kinds = {"version": int, "root": str, "name": str, "attribution": str, "split_protocol": str}
    kinds |= {"skipped": list, "ignored": int}
    try:
        facts = json.loads(raw or b"null")
    except ValueError:
        facts = None
    if not isinstance(facts, dict) or not isinstance(facts.get("version"), int):
        raise DataError(
            f"{path} is a Parquet file, but not a patch index",
            fix="make one with: swath data index SOURCE --out INDEX",
        )
    if facts["version"] > VERSION:
        raise DataError(
            f"{path} was written by a newer swath (index version {facts['version']})", fix="upgrade swath"
        )
    for name, kind in kinds.items():
        if not isinstance(facts.get(name), kind):
            raise DataError(f"the metadata of {path} are damaged at '{name}'", fix="make the index again")
    return facts


def _check_rows(table: pa.Table, path: Path) -> None:
    """Refuse rows no swath would have written."""
    paths = table.column("path").to_pylist()
    if not paths:
        raise DataError(f"{path} has no rows", fix="make the index again")
    for name in paths:
        if name is None or safe_name(name) != name:
            raise DataError(
                f"{path} has a patch path that leads outside its root: {name!r}", fix="make it again"
            )
    if len(set(paths)) != len(paths):
        raise DataError(f"{path} names a patch twice", fix="make the index again")
    for column in SCHEMA:
        if not column.nullable and table.column(column.name).null_count:
            raise DataError(f"{path} has rows without '{column.name}'", fix="make the index again")
    odd = set(table.column("split").to_pylist()) - {*SPLITS, None}
    if odd:
        raise DataError(
            f"{path} has unknown splits: {', '.join(sorted(odd))}", fix=f"known: {', '.join(SPLITS)}"
        )


def _find_root(stored: str, path: Path) -> Path:
    if stored.startswith(_SHIPPED_PREFIX):
        return shipped_path(stored.removeprefix(_SHIPPED_PREFIX))
    root = (path.resolve().parent / stored).resolve()
    if not root.exists():
        raise DataError(
            f"the patches of {path} are gone: there is no {root}",
            fix="put them back, or make the index again with: swath data index",
        )
    return root


def _relative(root: Path, folder: Path) -> str:
    return Path(os.path.relpath(root, folder)).as_posix()
