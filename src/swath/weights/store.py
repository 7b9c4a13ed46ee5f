"""The store of weights: files named by their SHA-256, and one small JSON entry per name.

``objects/<sha256>`` are the files; ``names/<name>.json`` say which of them a name means, and under which
license; ``partial/`` holds unfinished downloads. Files are verified whenever they are used, so a
damaged or changed one is never loaded. Each entry is its own file, so that two processes cannot overwrite each
other's.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from pydantic import Field

from swath.config import Settings
from swath.data.cache import default_cache
from swath.errors import DataError, OutputError, SettingError
from swath.files import atomic_file, write_text
from swath.weights.facts import Expectation, from_json


class Entry(Settings):
    """One name in the store, and the facts about its file."""

    name: str = Field(min_length=1, description="as imagenet:BACKBONE, hf:REPO/FILE, torchgeo:NAME or sha256:...")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size: int = Field(ge=0)
    filename: str = Field(description="what the file was called where it came from")
    url: str | None = Field(default=None, description="where it was fetched")
    license: str | None = None
    license_url: str | None = None
    expects: Expectation | None = None
    published: bool = Field(default=True, description="whether a fetched file's publisher states its SHA-256")


@dataclass(frozen=True)
class Store:
    """A folder of weights.

    Attributes
    ----------
    folder : Path
        Made when first written to.
    """

    folder: Path

    @classmethod
    def default(cls) -> Store:
        """The user's own: ``$SWATH_CACHE/weights``, or ``~/.cache/swath/weights``."""
        return cls(default_cache() / "weights")

    def find(self, name: str) -> Entry | None:
        """The entry of a name, or ``None``.

        Raises
        ------
        SettingError
            If the entry is damaged.
        """
        note = self._note(name)
        return self._read(note) if note.is_file() else None

    def about(self, sha256: str, *, name: str | None = None) -> Entry | None:
        """The facts about a file, from all entries for it.

        The entry under `name` comes first, then what a user stated for the content itself, then the others;
        what one leaves open, the next fills in.
        """
        order = (name, f"sha256:{sha256}")
        found = [entry for entry in self.entries() if entry.sha256 == sha256]
        found.sort(key=lambda entry: order.index(entry.name) if entry.name in order else len(order))
        if not found:
            return None
        licensed = next((entry for entry in found if entry.license), found[0])
        expecting = next((entry for entry in found if entry.expects), found[0])
        return found[0].model_copy(
            update={"license": licensed.license, "license_url": licensed.license_url, "expects": expecting.expects}
        )

    def entries(self) -> list[Entry]:
        """All entries, by name."""
        notes = sorted((self.folder / "names").glob("[!.]*.json"))  # a leading dot: being written
        return sorted((self._read(note) for note in notes), key=lambda entry: entry.name)

    def path(self, entry: Entry) -> Path:
        """The file an entry means, verified.

        Raises
        ------
        DataError
            If it is missing or not the file it was.
        """
        path = self._object(entry.sha256)
        if not path.is_file():
            raise DataError(f"the store lacks the file of {entry.name}: {path}", fix=_again(entry))
        found = sha256_of(path)
        if found != entry.sha256:
            raise DataError(
                f"{path} is not the file it was: its SHA-256 is {found}", fix=f"delete it, and {_again(entry)}"
            )
        return path

    def partial(self, name: str) -> Path:
        """File into which `name` is downloaded."""
        folder = _made(self.folder / "partial")
        return folder / f"{hashlib.sha256(name.encode()).hexdigest()[:32]}.part"

    def holds(self, sha256: str) -> Path | None:
        """The file of that content, if it is there; not verified."""
        path = self._object(sha256)
        return path if path.is_file() else None

    def adopt(self, part: Path, entry: Entry) -> None:
        """Move a verified download from the `partial` folder into the store, and write its entry."""
        target = self._object(entry.sha256)
        _made(target.parent)
        part.replace(target)
        self.note(entry)

    def copy_in(self, file: Path, entry: Entry) -> None:
        """Copy a file into the store, and write its entry.

        Raises
        ------
        DataError
            If `file` changes while it is copied.
        OutputError
            If the store cannot be written.
        """
        target = self._object(entry.sha256)
        _made(target.parent)
        with atomic_file(target, overwrite=True) as temporary:
            shutil.copyfile(file, temporary)
            if sha256_of(temporary) != entry.sha256:
                raise DataError(f"{file} has changed while it was copied", fix="run the same command again")
        self.note(entry)

    def note(self, entry: Entry) -> None:
        """Write an entry."""
        _made(self._note(entry.name).parent)
        write_text(self._note(entry.name), entry.model_dump_json(indent=1) + "\n")

    def _object(self, sha256: str) -> Path:
        return self.folder / "objects" / sha256

    def _note(self, name: str) -> Path:
        plain = quote(name, safe="")
        if len(plain) > 150:  # file systems allow 255 bytes
            plain = f"{plain[:100]}-{hashlib.sha256(name.encode()).hexdigest()[:32]}"
        return self.folder / "names" / f"{plain}.json"

    @staticmethod
    def _read(note: Path) -> Entry:
        try:
            text = note.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise SettingError(f"{note} cannot be read ({error})", fix="delete it") from error
        return from_json(Entry, text, where=str(note), fix="delete it")


def _made(folder: Path) -> Path:
    """A folder of the store, made if need be, that can be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise OutputError(
            f"the store of weights {folder} cannot be written ({error.strerror})",
            fix="set SWATH_CACHE to a folder you can write to",
        ) from error
    return folder


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, lower-case hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _again(entry: Entry) -> str:
    if entry.name.startswith("sha256:"):
        return "add it again: swath weights add FILE"
    if entry.name.startswith("imagenet:"):
        return f"fetch it again: swath weights get imagenet --network timm:{entry.name.removeprefix('imagenet:')}"
    return f"fetch it again: swath weights get {entry.name}"
