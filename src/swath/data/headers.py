"""What the headers of all files of an index say, read without decoding a pixel."""

from __future__ import annotations

import hashlib

from swath.data.archives import open_patches
from swath.data.index import PatchIndex
from swath.data.readers import PatchReader
from swath.data.threads import in_order
from swath.errors import DataError
from swath.imagery import Storage, storage
from swath.progress import Progress, silent


def read_headers(index: PatchIndex, *, progress: Progress = silent) -> list[Storage]:
    """Read the headers of every patch, in index order.

    Parameters
    ----------
    index : PatchIndex
        Its files are read once each.
    progress : Progress
        Called with stage ``"headers"``.

    Raises
    ------
    DataError
        If a patch is gone or has changed.
    """
    paths, contents = index.paths, index.table["sha256"].to_pylist()

    def read(reader: PatchReader, row: int) -> Storage:
        data = reader.read(paths[row])
        if hashlib.sha256(data).hexdigest() != contents[row]:
            raise DataError(
                f"{paths[row]} has changed since it was indexed", fix="run swath data index again"
            )
        return storage(data, name=paths[row])

    with open_patches(index.root) as reader:

        def part(rows: range) -> list[Storage]:
            return [read(reader, row) for row in rows]

        return [
            one for some in in_order(part, len(index), stage="headers", progress=progress) for one in some
        ]
