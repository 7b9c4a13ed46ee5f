"""Write the report of a run or a model: one page for people, one JSON for programs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from swath.data import PatchIndex
from swath.evaluation.evaluate import OPENINGS, checked_split, note_opening
from swath.evaluation.report import write_report
from swath.evaluation.run_report.gather import QUICK, WHOLE, Gathered, acted_on, gather
from swath.evaluation.run_report.page import key_figures, page_sections
from swath.evaluation.run_report.run_folder import open_run
from swath.evaluation.run_report.verdict import Verdict, verdict
from swath.files import atomic_folder
from swath.inference import load
from swath.inference.engines import AUTO
from swath.progress import Progress, silent

PAGE, FACTS = "index.html", "report.json"


@dataclass(frozen=True)
class Report:
    """What was written and what it says.

    Attributes
    ----------
    page : pathlib.Path
        The HTML page, which needs no other file.
    verdict : Verdict
        In sentences.
    found : Gathered
        The measurements.
    """

    page: Path
    verdict: Verdict
    found: Gathered


def report(
    model: str | Path,
    index: PatchIndex,
    *,
    out: str | Path,
    split: str = "test",
    quick: bool = False,
    engine: str = AUTO,
    threads: int | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
) -> Report:
    """Measure a model in every way and gather it on one page, the verdict first.

    Writes into the folder `out`, all or nothing: ``index.html``; ``report.json``, the verdict and what it rests on;
    and the parts' own files in ``score/``, ``stress/``, ``maps/`` and ``errors.json``. Opening ``test`` adds one
    line to ``test_openings.jsonl`` in the folder that holds `out`, as :func:`swath.evaluation.evaluate` does: only
    the score is of the test, and what a reader will act upon is of ``val``.

    Parameters
    ----------
    model : str or Path
        The folder of a training run, a model file, or the name of a shipped model.
    index : PatchIndex
        Labelled patches with splits.
    out : Path
        The folder to make.
    split : str
        ``"test"`` or another split, for the score.
    quick : bool
        Fewer patches under shifts and in the check of maps: wider intervals, in a third of the time.
    engine, threads
        As for :func:`swath.inference.load`.
    overwrite : bool
        Replace an existing folder.
    progress : Progress
        Told of every part.

    Raises
    ------
    DataError
        If a run's folder holds no model, the split is empty, the patches are of another task, or a class is not
        one of the model's.
    ModelFileError, SettingError
        If the model or the engine cannot be used.
    OutputError
        If `out` exists without `overwrite` or cannot be written.
    """
    out = Path(out)
    run = open_run(Path(model)) if Path(model).is_dir() else None
    classifier = load(run.model if run else model, engine=engine, threads=threads)
    record = classifier.record
    part = checked_split(index, split=split, classes=record.class_names, task=record.task)
    keep = (*index.inputs, classifier.path)
    with atomic_folder(out, overwrite=overwrite, keep=keep) as folder:
        if "test" in (split, acted_on(index, split)):
            path = out.parent / OPENINGS
            note_opening(path, model=record.name, fingerprint=index.fingerprint, n=len(part))
        effort = QUICK if quick else WHOLE
        found = gather(classifier, index, folder, split=split, effort=effort, progress=progress)
        said = verdict(found.findings)
        write_report(
            folder / PAGE,
            page_sections(found, said, record, folder, run=run),
            title=f"Report: {record.name}",
            summary=said.paragraph,
            numbers=key_figures(found),
        )
        (folder / FACTS).write_text(_json(said, found), encoding="utf-8")
    return Report(out / PAGE, said, found)


def _json(said: Verdict, found: Gathered) -> str:
    findings = found.findings
    harmonised = findings.harmonised
    values = {
        "model": findings.score.model,
        "split": findings.score.split,
        "verdict": said.model_dump(mode="json"),
        "harmonised": harmonised.model_dump(mode="json") if harmonised else None,
        "optimistic": findings.optimistic,
        "left_out": found.left_out,
    }
    return json.dumps(values, indent=2, ensure_ascii=False) + "\n"
