"""The sections of a run's report, in reading order: each from the room that measured it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from swath.data import PatchIndex
from swath.evaluation.calibration import Reliability
from swath.evaluation.faithfulness_page import checked_section, key_numbers
from swath.evaluation.predictions import TEST_ACCESSES, checked_split, note_test_access
from swath.evaluation.results import BinaryEvaluation, Evaluation, SingleLabelEvaluation, display_name
from swath.evaluation.robustness import robustness_section
from swath.evaluation.run_report.color_match import ColorMatchResult
from swath.evaluation.run_report.gather import (
    ERRORS,
    MAPS,
    QUICK,
    ROBUSTNESS,
    SCORE,
    WHOLE,
    ReportInputs,
    RunFolder,
    gather,
    open_run,
    used_for_decisions,
)
from swath.evaluation.run_report.verdict import Verdict, verdict
from swath.evaluation.sections import (
    data_section,
    evaluation_images,
    provenance_section,
    result_section,
    training_section,
)
from swath.files import atomic_folder
from swath.inference import load
from swath.inference.choice import AUTO
from swath.model import Record
from swath.pages.html import Image, Link, Number, Section, Table, points, write_report
from swath.progress import Progress, silent

_RULES = (
    "Words follow fixed rules: very good where the 95 % interval of the score begins at 95 % or above, good at 85 %, "
    "fair at 70 %, else poor. A class is named where its F1 does not clearly reach 85 %, a shift where its interval "
    "lies below that of unshifted patches, and a suggestion only with the effect it had in these very measurements."
)
_LOSSES = "Largest losses"  # the gallery that a report shows
PAGE, FACTS = "index.html", "report.json"


def page_sections(
    found: ReportInputs, said: Verdict, record: Record, folder: Path, *, run: RunFolder | None
) -> list[Section]:
    """Verdict, score, mistakes, maps, shifts, trust, data, training and record.

    Parameters
    ----------
    found : Gathered
        The measurements.
    said : Verdict
        What they mean.
    record : Record
        Of the model.
    folder : Path
        Where the parts' files lie.
    run : RunFolder or None
        What the training left behind.
    """
    findings = found.findings
    score = findings.score
    reliability = score.reliability if isinstance(score, SingleLabelEvaluation | BinaryEvaluation) else None
    plain: Evaluation = (
        score.model_copy(update={"reliability": None}) if reliability else score
    )  # it has its own section
    left = found.left_out
    full = [f"{name}: {' '.join(sentences)}" for name, sentences in said.parts.items()]
    sections = [Section("The verdict in full", text=(*full, _RULES))]
    sections.append(result_section(plain, folder / SCORE, title=f"Score on '{score.split}'"))
    sections.append(
        _mistakes(found, folder) if found.mistakes else _absent("Where it errs", left, "mistakes")
    )
    if findings.maps is not None:
        checked = checked_section(findings.maps, curves=folder / MAPS / "curves.png")
        sheet = Image(
            folder / MAPS / "maps.png",
            "Patches above their maps and verdicts",
            "Patches above their maps: red speaks for the class, blue against it; with the verdict on each.",
        )
        sections.append(
            replace(
                checked,
                title="Whether its maps can be believed",
                text=(findings.maps.verdict, *checked.text),
                numbers=key_numbers(findings.maps),
                images=(*checked.images, sheet),
                links=[Link("All numbers (JSON)", folder / MAPS / "explain.json")],
            )
        )
    else:
        sections.append(_absent("Whether its maps can be believed", left, "maps"))
    if findings.robustness is not None:
        shifted = robustness_section(findings.robustness, folder / ROBUSTNESS)
        told = _color_match(findings.color_match)
        sections.append(replace(shifted, text=(*shifted.text, *told)))
    else:
        sections.append(_absent("Under other conditions", left, "shifts"))
    sections.append(_reliability(reliability, score))
    sections.append(_data(found, record))
    if run is not None and run.curves is not None:
        sections.append(training_section(run.curves, facts=run.facts))
    return [
        *sections,
        provenance_section(record, facts={"engine": score.engine, "intervals": score.intervals}),
    ]


def key_figures(found: ReportInputs) -> list[Number]:
    """The numbers to see first."""
    score = found.findings.score
    numbers = [
        Number(display_name(name), value, f"n = {value.n:,}")
        for name, value in list(score.headline().items())[:2]
    ]
    if found.findings.robustness is not None:
        numbers.append(
            Number("accuracy over all shifts", found.findings.robustness.score, "mean corruption score")
        )
    return numbers


def _absent(title: str, left_out: dict[str, str], what: str) -> Section:
    return Section(title, text=(f"Not measured: {left_out.get(what, 'nothing to show')}.",))


def _mistakes(found: ReportInputs, folder: Path) -> Section:
    """All of the error analysis in one section, with one gallery."""
    errors = found.findings.errors
    counted = (
        f"{errors.errors:,} of {errors.n:,} patches of the split '{errors.split}' are answered wrongly."
        if errors
        else ""
    )
    tables = [
        Table(table.columns, table.rows, table.caption or section.title)
        for section in found.mistakes
        for table in section.tables
    ]
    gallery = next((s for s in found.mistakes if s.title == _LOSSES), None)
    slices = [text for s in found.mistakes if s.title == "Slices" for text in s.text]
    warnings: Sequence[str] = [w for s in found.mistakes for w in s.warnings]
    return Section(
        "Where it errs",
        text=(counted, *slices, *(gallery.text if gallery else ())),
        warnings=warnings,
        tables=tables,
        tiles=gallery.tiles if gallery else (),
        links=[Link("All findings (JSON)", folder / ERRORS)],
    )


def _color_match(found: ColorMatchResult | None) -> tuple[str, ...]:
    if found is None:
        return ()
    return (
        f"Matching colors, {found.n:,} patches taken for one scene: all the way under the atmosphere shift accuracy is "
        f"{100 * found.before.value:.1f} % as they are and {100 * found.after.value:.1f} % with --match-colors auto, "
        f"{points(found.gain)}. It was {found.said}. Without a shift it "
        + (
            f"changes accuracy by {points(found.clean_gain)}."
            if found.clean_changed
            else "leaves them as they are."
        ),
    )


def _reliability(reliability: Reliability | None, score: Evaluation) -> Section:
    text = []
    if reliability is None:
        text.append("Calibration and abstention are measured where a patch has one label.")
    if score.ood is None:
        text.append(
            "The model file cannot tell patches that are unlike its training data: it has no threshold."
        )
    numbers = []
    if reliability is not None:
        numbers.append(Number("calibration error (ECE)", reliability.calibration.ece, "15 bins"))
    if score.ood is not None:
        numbers.append(Number("not like the training data", score.ood, f"n = {score.n:,}"))
    return Section(
        "Whether a single answer can be believed",
        text=text,
        numbers=numbers,
        tables=reliability.tables() if reliability else (),
        images=evaluation_images(score, "reliability.png"),
    )


def _data(found: ReportInputs, record: Record) -> Section:
    optimistic = [f.text for f in found.audit.findings if f.kind == "optimistic"]
    protocol = f"The model's own data was split: {record.data.split_protocol}."
    said = [sentence for sentence in found.audit.sentences() if sentence not in optimistic]
    section = data_section(found.audit.classes, patches=found.audit.patches, sentences=(*said, protocol))
    warnings = optimistic if found.findings.optimistic else []
    return replace(section, title="The data and how it was split", warnings=warnings)


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
    found: ReportInputs


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
    and the parts' own files in ``score/``, ``robustness/``, ``maps/`` and ``errors.json``. Opening ``test`` adds one
    line to ``test_accesses.jsonl`` in the folder that holds `out`, as :func:`swath.evaluation.evaluate` does: only
    the score is of the test, and what a reader will act upon is of ``val``.

    Parameters
    ----------
    model : str or Path
        The folder of a training run, a model file, or the name of a shipped model.
    index : PatchIndex
        Labeled patches with splits.
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
        Called for every part.

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
        if "test" in (split, used_for_decisions(index, split)):
            path = out.parent / TEST_ACCESSES
            note_test_access(path, model=record.name, fingerprint=index.fingerprint, n=len(part))
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


def _json(said: Verdict, found: ReportInputs) -> str:
    findings = found.findings
    color_match = findings.color_match
    values = {
        "model": findings.score.model,
        "split": findings.score.split,
        "verdict": said.model_dump(mode="json"),
        "color_match": color_match.model_dump(mode="json") if color_match else None,
        "optimistic": findings.optimistic,
        "left_out": found.left_out,
    }
    return json.dumps(values, indent=2, ensure_ascii=False) + "\n"
