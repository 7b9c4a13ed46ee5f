"""The files of a scene in a folder or an archive, of which nothing is trusted.

Names are matched with patterns and never followed, metadata are read within limits and without entities, links must not
lead out of the folder, and an archive is read in place, file by file, never unpacked.
"""

from __future__ import annotations

import contextlib
import os
import re
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import BinaryIO
from xml.etree import ElementTree

from swath.errors import DataError, MissingFileError
from swath.imagery import remote
from swath.imagery.sentinel2 import Product

_MOST_NAMES = 20_000  # of files in a product
_DEEPEST = 6  # folders below the product's own
_MOST_BYTES = 64 * 2**20  # of metadata
_MOST_MEMBER = 8 * 2**30  # bytes of a band, unpacked
_MOST_RATIO = 200  # of a band's bytes unpacked to packed: images never come near it
_RATIO_FREE = 16 * 2**20
_ENCRYPTED = 0x1


@dataclass(frozen=True)
class BandFile:
    """A file that holds one band of a scene.

    Attributes
    ----------
    band : str or None
        What the band is called; None if nothing says so.
    name : str
        The file, relative to the product.
    pixel : float or None
        Meters that its pixels measure, if the product says so.
    scaling : tuple of float or None
        Scale and offset by which its values become reflectance, if they are not reflectance times 10,000.
    driver : str or None
        Of a variable in a file, GDAL's driver for it; `name` is then GDAL's own.
    index : int or None
        Number of the band in its variable; None for a file that must hold one band.
    """

    band: str | None
    name: str
    pixel: float | None = None
    scaling: tuple[float, float] | None = None
    driver: str | None = None
    index: int | None = None


@dataclass(frozen=True)
class SceneFiles:
    """A scene of several files.

    Attributes
    ----------
    name : str
        What messages call it.
    store : Store
        Where the files are.
    bands : tuple of BandFile
        One for each band, in the order of the product.
    product : Product
        What its metadata say.
    nodata : float or None
        Value that means no data where a file states none.
    """

    name: str
    store: Store
    bands: tuple[BandFile, ...]
    product: Product = field(default_factory=Product)
    nodata: float | None = None

    def label(self, file: BandFile) -> str:
        """What messages call one of the files."""
        own = remote.plain_name(file.name) if remote.is_address(file.name) else file.name.rpartition("/")[2]
        if file.driver is not None:
            return f"{self.name}:{file.name.rpartition(':')[2].strip('/')}"
        return own if isinstance(self.store, Files) else f"{own} of {self.name}"


class Store(ABC):
    """The files of a product.

    Attributes
    ----------
    path : Path
        The folder or archive.
    names : tuple of str
        Of all files, relative to it, with forward slashes, sorted.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.names = tuple(sorted(self._list()))

    @abstractmethod
    def _list(self) -> Iterator[str]:
        """Names of all files."""

    @abstractmethod
    def open(self, name: str) -> contextlib.AbstractContextManager[BinaryIO]:
        """Open a file for reading.

        Raises
        ------
        DataError
            If it is not safe to, or cannot be opened.
        """

    @abstractmethod
    def gdal_name(self, name: str) -> str:
        """What GDAL calls a file."""

    def read(self, name: str) -> bytes:
        """The content of a file of metadata.

        Raises
        ------
        DataError
            If it is too long.
        """
        with self.open(name) as stream:
            data = stream.read(_MOST_BYTES + 1)
        if len(data) > _MOST_BYTES:
            raise DataError(f"{name} of {self.path} is too long for metadata", fix="download the product again")
        return data

    def find(self, pattern: str) -> list[re.Match[str]]:
        """Names that match a pattern, whatever the case."""
        found = (re.fullmatch(pattern, name, re.IGNORECASE) for name in self.names)
        return [match for match in found if match is not None]


class Folder(Store):
    """A product in a folder."""

    def _list(self) -> Iterator[str]:
        root, count = str(self.path), 0
        for folder, below, files in os.walk(root):
            inside = os.path.relpath(folder, root)
            depth = 0 if inside == "." else inside.count(os.sep) + 1
            if depth >= _DEEPEST:
                below.clear()
            count += len(files)
            if count > _MOST_NAMES:
                raise DataError(f"{self.path} holds more files than any product", fix="give the folder of one scene")
            for name in files:
                yield name if inside == "." else f"{inside}/{name}".replace(os.sep, "/")

    def open(self, name: str) -> contextlib.AbstractContextManager[BinaryIO]:
        """Open a file that lies in the folder itself."""
        path = self.path / name
        if not path.resolve().is_relative_to(self.path.resolve()):
            raise DataError(f"{path} is a link that leads out of the folder", fix="put the file itself there")
        return _opened(path)

    def gdal_name(self, name: str) -> str:
        """Its path."""
        # An absolute path of a file that exists is never taken for a URL.
        return str((self.path / name).absolute())


class Files(Store):
    """Files given one by one, by path or address; their names are as they were given."""

    def __init__(self, names: Sequence[str]) -> None:
        self._given = names
        super().__init__(Path(names[0]).parent)
        self.names = tuple(names)  # their order may mean something

    def _list(self) -> Iterator[str]:
        yield from self._given

    def open(self, name: str) -> contextlib.AbstractContextManager[BinaryIO]:
        """Open a file; of an address, its first bytes."""
        return BytesIO(remote.read_head(name)) if remote.is_address(name) else _opened(Path(name))

    def gdal_name(self, name: str) -> str:
        """Its absolute path, or its name on GDAL's file system for addresses."""
        return remote.gdal_name(name) if remote.is_address(name) else str(Path(name).absolute())


class Archive(Store):
    """A product in a zip archive, read in place."""

    def _list(self) -> Iterator[str]:
        try:
            with zipfile.ZipFile(self.path) as archive:
                entries = archive.infolist()
        except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError) as error:
            raise DataError(f"{self.path} is no sound zip archive ({error})", fix="download it again") from error
        if len(entries) > _MOST_NAMES:
            raise DataError(f"{self.path} holds more files than any product", fix="give the archive of one scene")
        self._sizes: dict[str, zipfile.ZipInfo] = {}
        for entry in entries:
            if not entry.is_dir():
                if entry.filename in self._sizes:
                    raise DataError(f"{self.path} holds {entry.filename} twice", fix="download it again")
                self._sizes[entry.filename] = entry
                yield entry.filename

    @contextlib.contextmanager
    def open(self, name: str) -> Iterator[BinaryIO]:
        """Open a member that is no bomb."""
        entry = self._sizes[name]
        packed = max(entry.compress_size, 1)
        if entry.file_size > _MOST_MEMBER or entry.file_size > max(_RATIO_FREE, _MOST_RATIO * packed):
            raise DataError(
                f"{name} of {self.path} would unpack to {entry.file_size / 2**20:,.0f} MB, which no picture does",
                fix="download the product again from where it is published",
            )
        if entry.flag_bits & _ENCRYPTED:
            raise DataError(f"{self.path} is encrypted", fix="unpack it and give its folder")
        try:
            with zipfile.ZipFile(self.path) as archive, archive.open(entry) as stream:
                yield stream  # type: ignore[misc]  # it reads and seeks as a file does
        except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError, EOFError, zlib.error) as error:
            raise DataError(f"{name} of {self.path} is damaged ({error})", fix="download it again") from error

    def gdal_name(self, name: str) -> str:
        """Its name on GDAL's virtual file system for zip archives."""
        # Braces part the archive's own name from those in it, whatever both look like.
        return f"/vsizip/{{{self.path.absolute()}}}/{name}"


def _opened(path: Path) -> BinaryIO:
    if not path.is_file():  # a pipe would be waited for
        raise MissingFileError(f"there is no file {path}", fix="check the path")
    try:
        return path.open("rb")
    except OSError as error:
        raise DataError(f"{path} cannot be opened ({error.strerror})", fix="check its permissions") from error


class _PlainXml(ElementTree.TreeBuilder):
    """Builds a tree of XML that declares no document type, and so no entities."""

    def doctype(self, name: str, *_: str | None) -> None:
        """Refuse a document type; called before anything in it is read."""
        raise DataError(
            f"it declares a document type ({name})", fix="metadata of products have none: download it again"
        )


def read_xml(store: Store, name: str) -> ElementTree.Element:
    """The root of metadata in XML, whose tags have lost their name spaces.

    Raises
    ------
    DataError
        If it is damaged or declares a document type, in which entities may stand that grow without end or read
        other files.
    """
    try:
        parser = ElementTree.XMLParser(target=_PlainXml())  # noqa: S314  (there are no entities without doctype)
        parser.feed(store.read(name))
        root = parser.close()
    except DataError as error:
        raise DataError(f"{name} of {store.path} cannot be read: {error.problem}", fix=error.fix) from error
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise DataError(f"{name} of {store.path} is damaged XML ({error})", fix="download the product again") from error
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    return root
