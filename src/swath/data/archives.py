"""Open a folder or a zip archive of images, and go through images however they are given."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
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


def walk_images(inputs: Sequence[Path]) -> Iterator[tuple[str, bytes]]:
    """Go through images given as files, folders and zip archives, reading one at a time.

    Folders (all levels, sorted) and archives give their files with an image suffix; a file named
    directly is passed on whatever it is, so that the decoder can say what is wrong with it.

    Parameters
    ----------
    inputs : sequence of Path
        Checked, and folders and archives listed, before the first image is read.

    Returns
    -------
    iterator of (str, bytes)
        Name for messages and tables, and the undecoded bytes of the file.

    Raises
    ------
    DataError
        If an input is missing, a folder or archive has no image, an archive is unsafe, or a file
        is larger than 1 GiB.
    """
    if not inputs:
        raise DataError("no images given", fix="name files, folders or zip archives")
    return _read_all([(path, _names_in(path)) for path in inputs])


def _names_in(path: Path) -> list[str] | None:
    """Images in a folder or archive; ``None`` for a file to be taken as it is."""
    if not is_folder(path) and (is_image_name(path.name) or not zipfile.is_zipfile(path)):
        return None
    with open_patches(path) as reader:
        names = [name for name in reader.names() if is_image_name(name)]
    if not names:
        raise DataError(f"{path} holds no images", fix=f"images end in {', '.join(sorted(SUFFIXES))}")
    return names


def _read_all(plan: Sequence[tuple[Path, list[str] | None]]) -> Iterator[tuple[str, bytes]]:
    for path, names in plan:
        if names is None:
            yield str(path), read_file(path)
            continue
        with open_patches(path) as reader:
            for name in names:
                yield f"{path}/{name}", reader.read(name)
