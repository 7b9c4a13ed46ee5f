"""Iterate over images given as files, folders and zip archives, whatever they show."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from swath.data.archives import guessed_names, is_folder, open_patches, read_file
from swath.data.filenames import LeftOut, is_image_name, place_of, tally, why_left_out
from swath.errors import DataError
from swath.imagery import SUFFIXES


@dataclass(frozen=True)
class Images:
    """Images found by :func:`walk_images`: iterates over names and undecoded bytes, and has a length.

    Attributes
    ----------
    plan : tuple of (Path, tuple of str or None)
        Each input, and the images in it if it is a folder or archive.
    left_out : tuple of LeftOut
        Files in folders and archives that are not among the images, by reason.
    notes : tuple of str
        What else is to be said, such as a guessed encoding of names.
    """

    plan: tuple[tuple[Path, tuple[str, ...] | None], ...]
    left_out: tuple[LeftOut, ...] = ()
    notes: tuple[str, ...] = ()
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
        """At most `count` of the images, evenly spread over all; unreadable ones are passed over."""
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
        return Images(tuple(plan), on_unreadable=lambda _name, _error: None)

    def _read(self, name: str, read: Callable[[], bytes]) -> Iterator[tuple[str, bytes]]:
        try:
            data = read()
        except DataError as error:
            if self.on_unreadable is None:
                raise
            self.on_unreadable(name, error)
        else:
            yield name, data


def walk_images(inputs: Sequence[Path], *, on_unreadable: Callable[[str, DataError], None] | None = None) -> Images:
    """Iterate over images given as files, folders and zip archives, reading one at a time.

    Folders (all levels, sorted) and archives give their files with an image suffix; a file named
    directly is passed on whatever it is, so that the decoder can say what is wrong with it.

    Parameters
    ----------
    inputs : sequence of Path
        Checked, and folders and archives listed, before the first image is read.
    on_unreadable : callable, optional
        Called with the name of a file that cannot be read and the error; it is passed over then. By default the
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
    plan: list[tuple[Path, tuple[str, ...] | None]] = []
    left_out: list[tuple[str, str]] = []
    notes: list[str] = []
    for path in inputs:
        if not is_folder(path) and (is_image_name(path.name) or not zipfile.is_zipfile(path)):
            plan.append((path, None))
            continue
        with open_patches(path) as reader:
            listing = reader.listing()
            notes += guessed_names(reader)
        names = tuple(name for name in listing.names if is_image_name(name))
        passed = [(name, why_left_out(name)) for name in listing.names if not is_image_name(name)]
        found = [(place_of(name, why), why) for name, why in (*passed, *listing.left_out) if why is not None]
        if not names:
            held = f" ({'; '.join(f'{one.count:,} {one.reason}' for one in tally(found))})" if found else ""
            raise DataError(f"{path} holds no images{held}", fix=f"images end in {', '.join(sorted(SUFFIXES))}")
        plan.append((path, names))
        left_out += found
    return Images(tuple(plan), tally(left_out), tuple(notes), on_unreadable)
