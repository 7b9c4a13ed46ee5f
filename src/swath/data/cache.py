"""Decoded patches as one memory-mapped array, made once for given content, bands and size.

A cached array is found by the contents that the index states, so before it is used the files themselves are compared
with the index: by size and time where an earlier reading of the same file is on record, else by reading them. What a
long search finds in these pixels is kept next to them (:func:`cached_table`).
"""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import itertools
import logging
import math
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from importlib.metadata import version
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from swath.data.index import PatchIndex
from swath.data.rows import check_contents, decode_patch, map_patches, unnamed_bands
from swath.errors import DataError, OutputError, SettingError
from swath.files import atomic_file, sweep
from swath.imagery import RGB, resize, select_bands
from swath.imagery.rgb import BandError
from swath.machine import free_memory, home_folder
from swath.progress import Progress, silent

_log = logging.getLogger("swath")
LAYOUT = 2  # raise when the meaning of a cached file changes
MAX_SIZE = 4096
_CHUNK_BYTES = 16 * 2**20
# A file written this shortly before it was looked at may be written again without a change of its time.
_SETTLED_NS = 2 * 10**9
_NO_FILE = (-1, -1, -1)

_folder: ContextVar[Path | None] = ContextVar("folder of the cache", default=None)

Stamp = tuple[int, int, int]  # size in bytes, time of the last change of content and of status in nanoseconds
Pixels = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]


def cached_pixels(
    index: PatchIndex,
    *,
    bands: Sequence[str] = RGB,
    size: int | None = None,
    of: int | None = None,
    cache: Path | None = None,
    progress: Progress = silent,
) -> Pixels:
    """Return the pixels of all patches, decoding them only if the cache does not hold them.

    The cached array is named by the SHA-256 of the patches' contents and sizes in order, bands, size and
    decoder versions; a damaged one is written again. Whether the files still have these contents is checked at
    every call: what has another size or time than when it was last read is read again.

    Parameters
    ----------
    index : PatchIndex
        Row ``i`` of the result is row ``i`` of the index.
    bands : sequence of str
        Bands to take, in this order; see :func:`swath.imagery.select_bands`.
    size : int, optional
        Side in pixels to resize to; by default the patches' own, which they must share.
    of : int, optional
        Number of bands that files without band names must have; by default any, the same in all.
    cache : Path, optional
        Folder to cache in; by default ``$SWATH_CACHE``, or ``~/.cache/swath``. Where it cannot be written, which is
        said once, patches are decoded into memory.
    progress : Progress
        Called with stage ``"decode"``, ``"check"`` where files are compared with the index, and ``"wait"`` while
        another run decodes the same patches.

    Returns
    -------
    numpy.ndarray
        ``[N, bands, size, size]``, uint8 or uint16 as stored; read-only and mapped where it is cached.

    Raises
    ------
    SettingError
        If `size` is not between 1 and 4096.
    DataError
        If patches have several sizes and `size` is not given, differ in dtype, are neither 8 nor
        16 bit, lack a band, are gone, or have changed since they were indexed: these are counted and the
        first are named.
    OutputError
        If the cache's disk has no room, or it cannot be written and the patches do not fit into memory.
    """
    if not len(index):
        raise DataError(f"index '{index.name}' has no patches to decode")
    side = patch_side(index, size)
    count = unnamed_bands(index)
    if of is not None and count not in (None, of):
        raise BandError(
            f"the patches of index '{index.name}' have {count} bands without names, and {', '.join(bands)} are meant "
            f"in files of {of}",
            fix=f"use patches of {of} bands, or name the bands in all files (a GeoTIFF's band descriptions)",
        )
    folder = cache or default_cache()
    path = folder / "pixels" / f"{cache_key(index, bands=bands, size=side)}.npy"
    shape = (len(index), len(bands), side, side)
    pixels = _mapped(path, shape)
    _sweep(folder)
    now = time.time_ns()
    stamps = _stamps(index)
    if pixels is None and writable_cache(folder) is None:
        return _decoded(index, bands, side, count, progress)
    filled = pixels is None and _fill(path, index, bands, side, count, progress)
    if filled:
        _note(index, stamps, folder, now)
    else:
        known = _noted(index, folder)
        doubtful = [
            row
            for row, (name, content) in enumerate(zip(index.paths, index.column("sha256"), strict=True))
            if known.get(name) != (content, stamps[row])
        ]
        if doubtful:
            check_contents(index, rows=doubtful, progress=progress)
            _note(index, stamps, folder, now)
    pixels = _mapped(path, shape) if pixels is None else pixels
    if pixels is None:
        raise OutputError(f"the cache {path} changed while it was written", fix="run the command again")
    return pixels


def cached_table(
    index: PatchIndex, make: Callable[[], pa.Table], *, kind: str, bands: Sequence[str], size: int
) -> pa.Table:
    """Return what a search found in the pixels of `index`, searching only if the cache does not hold it.

    Ask for the pixels first (:func:`cached_pixels`): that is where files that have changed are noticed.

    Parameters
    ----------
    index : PatchIndex
        The table is kept under the contents of its patches, in order.
    make : callable
        Makes the table.
    kind : str
        Name of the search and version of its method: a folder of the cache.
    bands, size
        Of the pixels that are searched.

    Returns
    -------
    pyarrow.Table
        A damaged one is made again; one that cannot be written is not kept.
    """
    path = default_cache() / kind / f"{cache_key(index, bands=bands, size=size)}.parquet"
    with contextlib.suppress(OSError, pa.ArrowException):
        return pq.read_table(path, page_checksum_verification=True)
    table = make()
    with contextlib.suppress(OSError, OutputError), atomic_file(path, overwrite=True) as temporary:
        pq.write_table(table, temporary, write_page_checksum=True)
    return table


@contextlib.contextmanager
def cache_in(folder: Path) -> Iterator[None]:
    """Within the block, keep what this thread caches in another folder: one that goes with what is cached.

    Examples
    --------
    >>> from pathlib import Path
    >>> with cache_in(Path("private")):
    ...     default_cache()
    PosixPath('private')
    """
    token = _folder.set(folder)
    try:
        yield
    finally:
        _folder.reset(token)


def default_cache() -> Path:
    """Folder for what can be made again: ``$SWATH_CACHE``, else ``swath`` in ``$XDG_CACHE_HOME`` or ``~/.cache``."""
    if (elsewhere := _folder.get()) is not None:
        return elsewhere
    if chosen := os.environ.get("SWATH_CACHE"):
        return Path(chosen)
    shared = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (shared if shared.is_absolute() else home_folder() / ".cache") / "swath"  # as the XDG specification has it


def writable_cache(folder: Path) -> Path | None:
    """`folder`, made if need be; None where it cannot be written, which is said once."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        _tell_unwritable(folder, error.strerror)
        return None
    return folder


@functools.cache
def _sweep(folder: Path) -> None:
    """Remove what killed runs left in the cache, once per process."""
    for part in (*folder.glob("*/"), *folder.glob("weights/*/")):
        sweep(part)


@functools.cache
def _tell_unwritable(folder: Path, reason: str) -> None:
    _log.warning(
        "the cache %s cannot be written (%s), so patches are decoded each time: set SWATH_CACHE to another folder",
        folder,
        reason,
    )


def cache_key(index: PatchIndex, *, bands: Sequence[str], size: int) -> str:
    """Name of the cached pixels of `index`: hexadecimal SHA-256 of all they depend on."""
    digest = hashlib.sha256()
    for part in (
        f"layout {LAYOUT}",
        f"pillow {version('pillow')}",
        f"rasterio {version('rasterio')}",
        *bands,
        str(size),
    ):
        digest.update(part.encode() + b"\0")
    # Sizes that an index states wrongly are found when patches are decoded, whatever has been decoded before.
    for row in zip(*(index.column(name) for name in ("sha256", "width", "height")), strict=True):
        digest.update("{} {} {}\n".format(*row).encode())
    return digest.hexdigest()


def _stamps(index: PatchIndex) -> list[Stamp]:
    """Size and times of each patch's file: of the archive for all patches of an archive."""
    root = str(index.root)
    if index.root.is_file():
        return [_stamp(root)] * len(index)
    return [_stamp(f"{root}/{path}") for path in index.paths]


def _stamp(path: str) -> Stamp:
    try:
        status = os.stat(path)  # noqa: PTH116  (twice as fast as Path.stat, for tens of thousands of files)
    except OSError:
        return _NO_FILE  # it is read then, and the error named
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _record_of(root: Path, folder: Path) -> Path:
    return folder / "files" / f"{hashlib.sha256(str(root).encode()).hexdigest()}.parquet"


def _noted(index: PatchIndex, folder: Path) -> dict[str, tuple[str, Stamp]]:
    """Content and stamp of each file of the index's root that was read before; empty if nothing is on record."""
    try:
        table = pq.read_table(_record_of(index.root, folder))
        names, contents, *parts = (
            table.column(name).to_pylist() for name in ("path", "sha256", "size", "modified", "changed")
        )
    except (OSError, pa.ArrowException, KeyError):
        return {}
    return dict(zip(names, zip(contents, zip(*parts, strict=True), strict=True), strict=True))


def _note(index: PatchIndex, stamps: Sequence[Stamp], folder: Path, now: int) -> None:
    """Put on record that these files had the contents of the index while they had these stamps, taken at `now`."""
    record = _record_of(index.root, folder)
    known = _noted(index, folder)
    for path, content, stamp in zip(index.paths, index.column("sha256"), stamps, strict=True):
        if max(stamp[1:]) < now - _SETTLED_NS and stamp != _NO_FILE:
            known[path] = (content, stamp)
    table = pa.table(
        {
            "path": list(known),
            "sha256": [content for content, _ in known.values()],
            "size": [stamp[0] for _, stamp in known.values()],
            "modified": [stamp[1] for _, stamp in known.values()],
            "changed": [stamp[2] for _, stamp in known.values()],
        }
    )
    # Without a record files are only read again: a cache that cannot be written is no reason to stop.
    with contextlib.suppress(OSError, OutputError), atomic_file(record, overwrite=True) as temporary:
        pq.write_table(table, temporary)


def patch_side(index: PatchIndex, size: int | None) -> int:
    """Side in pixels that patches are decoded to: `size`, or the one they share.

    Raises
    ------
    SettingError
        If `size` is not between 1 and 4096.
    DataError
        If patches have several sizes, or are no squares, and `size` is not given.
    """
    if size is not None:
        if not 1 <= size <= MAX_SIZE:
            raise SettingError(f"patch size {size} is not between 1 and {MAX_SIZE} pixels", fix="choose another --size")
        return size
    sizes = Counter(zip(index.column("width"), index.column("height"), strict=True))
    (width, height), _ = sizes.most_common(1)[0]
    if len(sizes) > 1 or width != height or width > MAX_SIZE:
        shown = ", ".join(f"{w} x {h} ({n})" for (w, h), n in sizes.most_common(3))
        more = f" and {len(sizes) - 3} more" if len(sizes) > 3 else ""
        raise DataError(
            f"the patches of index '{index.name}' are not all squares of one size: {shown}{more}",
            fix=f"train with --set size={min(max(width, height, 16), 1024)}, or make them one size with: "
            f"swath data fix {index.file or 'INDEX'} --out FOLDER",
        )
    return int(width)


def _mapped(path: Path, shape: tuple[int, ...]) -> Pixels | None:
    """Map a cached file; ``None`` if there is none or it is incomplete."""
    try:
        pixels = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    complete = isinstance(pixels, np.memmap) and pixels.shape == shape and pixels.dtype in (np.uint8, np.uint16)
    return pixels if complete and pixels.flags.c_contiguous else None


def _decode(
    index: PatchIndex, bands: Sequence[str], side: int, count: int | None, progress: Progress
) -> Iterator[Pixels]:
    """The patches in order, all of the first one's type."""
    paths = index.paths
    sizes = list(zip(index.column("width"), index.column("height"), strict=True))

    def decoded(data: bytes, row: int) -> Pixels:
        picture = decode_patch(data, paths[row])
        if (picture.width, picture.height) != sizes[row]:
            raise DataError(
                f"{paths[row]} has {picture.width} x {picture.height} pixels and not the "
                f"{sizes[row][0]} x {sizes[row][1]} that the index says",
                fix="make the index again with: swath data index SOURCE --out INDEX",
            )
        try:
            return resize(select_bands(picture, bands, of=count), side)
        except BandError as error:
            raise BandError(f"{paths[row]}: {error.problem}", fix=error.fix) from error

    chunk = max(1, min(64, _CHUNK_BYTES // (2 * len(bands) * side * side)))
    first: Pixels | None = None
    for row, patch in enumerate(map_patches(index, decoded, chunk=chunk, stage="decode", progress=progress)):
        first = patch if first is None else first
        if patch.dtype != first.dtype:
            raise DataError(
                f"{paths[row]} holds {patch.dtype}, but {paths[0]} holds {first.dtype}",
                fix="index 8-bit and 16-bit patches apart",
            )
        yield patch


def _decoded(index: PatchIndex, bands: Sequence[str], side: int, count: int | None, progress: Progress) -> Pixels:
    """All patches in memory, if they fit."""
    patches = _decode(index, bands, side, count, progress)
    first = next(patches)
    needed, free = first.nbytes * len(index), free_memory()
    if needed > free // 2:
        raise OutputError(
            f"the {needed / 2**30:.1f} GiB of decoded patches do not fit into {free / 2**30:.1f} GiB of free memory",
            fix="set SWATH_CACHE to a folder you can write to",
        )
    pixels = np.empty((len(index), *first.shape), first.dtype)
    for row, patch in enumerate(itertools.chain([first], patches)):
        pixels[row] = patch
    return pixels


def _fill(
    path: Path, index: PatchIndex, bands: Sequence[str], side: int, count: int | None, progress: Progress
) -> bool:
    """Decode all patches into a new file, which takes its final name when it is complete.

    Another run that decodes the same patches is waited for; False if it has made the file.
    """
    shape = (len(index), len(bands), side, side)

    def wait(other: Path) -> None:
        progress("wait", min(_written(other), len(index) - 1), len(index), note="another run decodes these patches")

    with atomic_file(path, overwrite=True, waiting=wait) as temporary:
        if _mapped(path, shape) is not None:
            progress("wait", len(index), len(index))
            return False
        patches = _decode(index, bands, side, count, progress)
        first = next(patches)
        if shutil.disk_usage(path.parent).free < first.nbytes * len(index):
            raise OutputError(
                f"no room for {first.nbytes * len(index) / 2**30:.1f} GiB of decoded patches in {path.parent}",
                fix="set SWATH_CACHE to a folder on another disk",
            )
        # Plain writes, not a writable map: a disk that fills up is then an error, not a signal.
        with temporary.open("wb") as file:
            header = {
                "descr": np.lib.format.dtype_to_descr(first.dtype),
                "fortran_order": False,
                "shape": (len(index), *first.shape),
            }
            np.lib.format.write_array_header_1_0(file, header)
            for patch in itertools.chain([first], patches):
                file.write(np.ascontiguousarray(patch).data)
            file.flush()
            os.fsync(file.fileno())
    return True


def _written(path: Path) -> int:
    """Patches in a file that another run is writing."""
    with contextlib.suppress(OSError, ValueError), path.open("rb") as file:
        np.lib.format.read_magic(file)
        (_, *patch), _, dtype = np.lib.format.read_array_header_1_0(file)
        return int((os.fstat(file.fileno()).st_size - file.tell()) // (dtype.itemsize * math.prod(patch)))
    return 0
