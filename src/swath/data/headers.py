"""What the headers of all files of an index say, read without decoding a pixel."""

from __future__ import annotations

from swath.data.archives import open_patches
from swath.data.index import PatchIndex
from swath.data.threads import in_order
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
        If a patch is gone or is no picture any more.
    """
    paths = index.paths
    with open_patches(index.root) as reader:

        def part(rows: range) -> list[Storage]:
            return [storage(reader.read(paths[row]), name=paths[row]) for row in rows]

        return [
            one for some in in_order(part, len(index), stage="headers", progress=progress) for one in some
        ]
