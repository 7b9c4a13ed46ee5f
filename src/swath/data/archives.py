"""Open a folder or a zip archive of images, and go through images however they are given."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from swath.data.readers import FolderReader, PatchReader, is_folder, is_image_name, read_file
from swath.data.zips import ZipReader
from swath.errors import DataError
from swath.imagery import SUFFIXES


def open_patches(root: Path) -> PatchReader:
    """Open a folder or zip archive of patches.

    Raises
    ------
    DataError
        If `root` is neither, or the archive is damaged or unsafe: members with ``..``, absolute
        paths or drive letters, links, encrypted members, members that overlap or share a name, or
        that unpack to more than 1 GiB or (above 16 MiB) more than 200 times their packed size.
    """
    return FolderReader(root) if is_folder(root) else ZipReader(root)


@dataclass(frozen=True)
class Images:
    """Images found by :func:`walk_images`; goes through names and undecoded bytes, has a length."""

    plan: tuple[tuple[Path, tuple[str, ...] | None], ...]
    on_unreadable: Callable[[str, DataError], None] | None = None

    def __len__(self) -> int:
        return sum(1 if names is None else len(names) for _, names in self.plan)

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        for path, names in self.plan:
            if names is None:
                yield from self._read(str(path), partial(read_file, path))
                continue
            with open_patches(path) as reader:
                for name in names:
                    yield from self._read(f"{path}/{name}", partial(reader.read, name))

    def spread(self, count: int) -> Images:
        """At most `count` of the images, evenly spread over all; those that cannot be read are passed over."""
        kept = set(range(0, len(self), max(1, -(-len(self) // count))))
        plan: list[tuple[Path, tuple[str, ...] | None]] = []
        place = 0
        for path, names in self.plan:
            if names is None:
                plan += [(path, None)] if place in kept else []
                place += 1
                continue
            chosen = tuple(name for at, name in enumerate(names, start=place) if at in kept)
            plan += [(path, chosen)] if chosen else []
            place += len(names)
        return Images(tuple(plan), lambda _name, _error: None)

    def _read(self, name: str, read: Callable[[], bytes]) -> Iterator[tuple[str, bytes]]:
        try:
            data = read()
        except DataError as error:
            if self.on_unreadable is None:
                raise
            self.on_unreadable(name, error)
        else:
            yield name, data


def walk_images(
    inputs: Sequence[Path], *, on_unreadable: Callable[[str, DataError], None] | None = None
) -> Images:
    """Go through images given as files, folders and zip archives, reading one at a time.

    Folders (all levels, sorted) and archives give their files with an image suffix; a file named
    directly is passed on whatever it is, so that the decoder can say what is wrong with it.

    Parameters
    ----------
    inputs : sequence of Path
        Checked, and folders and archives listed, before the first image is read.
    on_unreadable : callable, optional
        Told the name of a file that cannot be read, and why; it is passed over then. By default the
        error is raised.

    Returns
    -------
    Images
        Iterates over ``(str, bytes)``: a name for messages and tables, and the undecoded bytes of the
        file. ``len()`` counts the images without reading them.

    Raises
    ------
    DataError
        If an input is missing, a folder or archive has no image, an archive is unsafe, or a file
        is larger than 1 GiB.
    """
    if not inputs:
        raise DataError("no images given", fix="name files, folders or zip archives")
    return Images(tuple((path, _names_in(path)) for path in inputs), on_unreadable)


def _names_in(path: Path) -> tuple[str, ...] | None:
    """Images in a folder or archive; ``None`` for a file to be taken as it is."""
    if not is_folder(path) and (is_image_name(path.name) or not zipfile.is_zipfile(path)):
        return None
    with open_patches(path) as reader:
        names = tuple(name for name in reader.names() if is_image_name(name))
    if not names:
        raise DataError(f"{path} holds no images", fix=f"images end in {', '.join(sorted(SUFFIXES))}")
    return names
