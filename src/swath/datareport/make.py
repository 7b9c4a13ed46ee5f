"""Write a data report: one page for people, one JSON for programs."""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from swath.data import PatchIndex
from swath.datareport.embedding import embed
from swath.datareport.facts import DataFacts, gather
from swath.datareport.pictures import draw_all
from swath.datareport.sections import headers_warning, modes_warning, page_sections
from swath.evaluation import Number, write_report
from swath.files import atomic_folder
from swath.progress import Progress, silent
from swath.words import counted

PAGE, FACTS = "index.html", "facts.json"
_STAGE = "report"
_LEFT = ("leak", "copies", "near", "ignored")  # findings it words itself, and those that spoil no score


def data_report(
    index: PatchIndex, out: Path, *, overwrite: bool = False, progress: Progress = silent
) -> DataFacts:
    """Write ``out/index.html``, which needs no other file, and ``out/facts.json``.

    Parameters
    ----------
    index : PatchIndex
        With splits or without, of one label a patch or several.
    out : Path
        Folder to write; it appears when all is done.
    overwrite : bool
        Replace an existing folder.
    progress : Progress
        Called with stages ``"decode"``, ``"compare"``, ``"align"``, ``"headers"``, ``"score"``,
        ``"features"`` and ``"report"``.

    Returns
    -------
    DataFacts
        What the page says.

    Raises
    ------
    DataError
        If the index has no patches, or one is gone or has changed.
    OutputError
        If `out` exists without `overwrite`, holds the data, or cannot be written.
    """
    with atomic_folder(out, overwrite=overwrite, keep=index.inputs) as folder:
        facts, pixels, bands = gather(index, progress=progress)
        embedding = embed(pixels, bands, progress=progress)
        progress(_STAGE, 0, 2, note="pictures")
        with tempfile.TemporaryDirectory() as scratch:
            pictures = draw_all(Path(scratch), index, facts, pixels, bands, embedding)
            progress(_STAGE, 1, 2, note="page")
            write_report(
                folder / PAGE,
                page_sections(index, facts, pictures, embedding, bands),
                title=f"Data report: {index.name or 'unnamed'}",
                summary=verdict(facts),
                numbers=_numbers(facts),
            )
        text = json.dumps(facts_json(facts), indent=2, ensure_ascii=False)
        (folder / FACTS).write_text(text + "\n", encoding="utf-8")
        progress(_STAGE, 2, 2)
    return facts


def verdict(facts: DataFacts) -> str:
    """Say in a few plain sentences whether a score on this set can be believed."""
    against = [
        headers_warning(facts),
        modes_warning(facts),
        *(one.sentence() for one in facts.overlaps),
        counted(facts.copies, "file repeats", "files repeat") + " another byte for byte."
        if facts.copies
        else "",
        counted(len(facts.audit.leaks), "duplicate lies", "duplicates lie")
        + " in more than one split, so a test would flatter."
        if facts.audit.leaks
        else "",
        *(
            f.text
            for f in facts.audit.findings
            if f.kind not in _LEFT and not (f.kind == "giveaway" and headers_warning(facts))
        ),
    ]
    said = [sentence for sentence in against if sentence]
    if not said:
        return "Nothing was found that would make a score on these patches doubtful."
    return "Before a score on these patches is believed: " + " ".join(said)


def facts_json(facts: DataFacts) -> dict[str, Any]:
    """Facts as plain values; an estimate is its value, interval and count."""
    plain: dict[str, Any] = json.loads(
        json.dumps(asdict(facts), default=lambda value: value.model_dump(), ensure_ascii=False)
    )
    return plain


def _numbers(facts: DataFacts) -> list[Number]:
    numbers = [
        Number("patches", f"{facts.audit.patches:,}", f"in {len(facts.classes)} classes"),
        Number(
            "duplicates", f"{len(facts.audit.exact):,} + {len(facts.audit.near):,}", "exact sets + near pairs"
        ),
    ]
    headers = facts.shortcuts.headers
    if headers is not None:
        chance = f"chance: {100 * headers.told.chance:.1f} %"
        numbers.append(Number("told by headers alone", headers.told.accuracy, chance))
    colours = facts.shortcuts.colours
    if colours is not None:
        numbers.append(Number("told by colours alone", colours.told.accuracy))
    return numbers
