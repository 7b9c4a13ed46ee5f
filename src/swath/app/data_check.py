"""What is in a visitor's zip of labeled pictures, and what is wrong with it: everything of Data but the screen."""

from __future__ import annotations

import re
import shlex
import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path

from swath.app import settings
from swath.app.sentences import without_folders
from swath.data import build_index, open_patches
from swath.data.cache import cache_in
from swath.data.named import shipped_name
from swath.datareport import DataFacts, data_report, reasons
from swath.datareport.facts import report_pixels
from swath.datareport.page import FACTS, PAGE, PatchPictures
from swath.errors import DataError
from swath.pages.html import Image
from swath.pages.text import counted
from swath.progress import Progress, silent

_SENTENCES = re.compile(r"(?<=\.) +")
_FIXED = ("mode", "copies", "contradiction", "shortcut")  # findings that swath data fix has a remedy for


@dataclass(frozen=True, eq=False)
class DataCheck:
    """What was found in labeled pictures.

    Attributes
    ----------
    name : str
        What the visitor calls the archive.
    facts : DataFacts
        As the data report states them.
    problems : tuple of str
        What to mend before training, in sentences without commands, the most serious first.
    passed_over : tuple of str
        Files that were not used, and how the archive was read.
    samples : tuple of Image
        A strip of pictures of each class.
    commands : tuple of str
        From the archive to a model, for somebody who types them.
    page, numbers : pathlib.Path
        The data report, and its facts as JSON.
    """

    name: str
    facts: DataFacts
    problems: tuple[str, ...]
    passed_over: tuple[str, ...]
    samples: tuple[Image, ...]
    commands: tuple[str, ...]
    page: Path
    numbers: Path


def check_archive(archive: Path, folder: Path, *, progress: Progress = silent) -> DataCheck:
    """Index an archive of labeled pictures and report on it as ``swath data report`` does.

    Parameters
    ----------
    archive : pathlib.Path
        Folders named after classes, or pictures with a table of labels; it is not needed any more afterwards.
    folder : pathlib.Path
        Where the report is written, and decoded pictures are kept while it is made.
    progress : Progress
        Called with the stages of :func:`swath.data.build_index` and :func:`swath.datareport.data_report`.

    Raises
    ------
    DataError
        If it is no such archive, is damaged or unsafe, or holds too much.
    """
    check_size(archive)
    index = build_index(archive, skip_unreadable=True, progress=progress)
    report, cache = folder / "report", folder / "cache"
    with cache_in(cache):
        facts = data_report(index, report, progress=progress)
        pixels, bands = report_pixels(index)
        samples = tuple(PatchPictures(index, pixels, bands).samples())
    shutil.rmtree(cache, ignore_errors=True)
    name = shipped_name(archive) or archive.name
    skipped = [f"cannot be read: {name}" for name in index.skipped]
    kinds = {finding.kind for finding in facts.audit.findings}
    mended = bool(kinds & set(_FIXED)) or len(facts.audit.modes) > 1 or len(facts.audit.sizes) > 1
    return DataCheck(
        name=name,
        facts=facts,
        problems=tuple(told for text in reasons(facts) if (told := without_commands(text))),
        passed_over=tuple(map(without_folders, (*skipped, *(one.line() for one in index.left_out), *index.notes))),
        samples=samples,
        commands=commands(name, unreadable=bool(index.skipped), fix=mended, split=None in index.split_counts),
        page=report / PAGE,
        numbers=report / FACTS,
    )


def check_size(archive: Path) -> None:
    """Refuse an archive that is none, or unsafe, or holds more than this page reports on, before it is unpacked.

    Raises
    ------
    DataError
        As :func:`swath.data.open_patches`; or if it holds too much.
    """
    if not zipfile.is_zipfile(archive):
        raise DataError(f"{archive.name} is no zip archive, or is damaged", fix="pack the folder of pictures again")
    with open_patches(archive) as reader:
        names = reader.names()
    if len(names) > settings.ARCHIVE_PICTURES:
        raise DataError(
            f"{archive.name} holds {counted(len(names), 'file', 'files')}",
            fix=f"give {settings.ARCHIVE_PICTURES:,} or fewer, or use the command line: swath data report",
        )
    with zipfile.ZipFile(archive) as opened:
        unpacked = sum(info.file_size for info in opened.infolist())
    if unpacked > settings.ARCHIVE_MB * 1_000_000:
        raise DataError(
            f"{archive.name} unpacks to {unpacked / 1e9:,.1f} GB",
            fix=f"give {settings.ARCHIVE_MB / 1000:g} GB or less at a time",
        )


def without_commands(text: str) -> str:
    """Sentences for people who do not type commands: those that name one are left out.

    Examples
    --------
    >>> without_commands("Two files are CMYK. Bring all files to one form with: swath data fix.")
    'Two files are CMYK.'
    """
    kept = [part for part in _SENTENCES.split(text) if "swath " not in part]
    return " ".join(kept)


def commands(archive: str, *, unreadable: bool, fix: bool, split: bool) -> tuple[str, ...]:
    """The command lines from an archive to a trained model.

    Examples
    --------
    >>> for line in commands("my set.zip", unreadable=False, fix=True, split=True):
    ...     print(line)
    swath data index 'my set.zip' --out 'my set.parquet'
    swath data fix 'my set.parquet' --out 'my set-clean'
    swath data split 'my set-clean/index.parquet' --out 'my set-clean/index.parquet' --overwrite
    swath train 'my set-clean/index.parquet' --out 'runs/my set'
    """
    stem = Path(archive).stem
    index = f"{stem}.parquet"
    lines = [["swath", "data", "index", archive, "--out", index, *(["--skip-unreadable"] if unreadable else [])]]
    if fix:
        lines.append(["swath", "data", "fix", index, "--out", f"{stem}-clean"])
        index = f"{stem}-clean/index.parquet"
    if split:
        lines.append(["swath", "data", "split", index, "--out", index, "--overwrite"])
    lines.append(["swath", "train", index, "--out", f"runs/{stem}"])
    return tuple(map(shlex.join, lines))
