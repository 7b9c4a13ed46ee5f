"""The report of a model as a folder: one page, the verdict first, and the files of every part.

:func:`report` does all of it for a model and an index. The pieces are there for pipelines that add their own sections:
:func:`swath.evaluation.run_report.measure.measure_report` measures, and :func:`write_report_folder` writes the sections
in reading order, each from the room that measured it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from swath.data import PatchIndex
from swath.evaluation.errors.page import error_sections
from swath.evaluation.evaluate import write_evaluation
from swath.evaluation.faithfulness_page import NUMBERS, checked_section, example_tiles, key_numbers, write_maps
from swath.evaluation.predictions import TEST_ACCESSES, checked_split, note_test_access
from swath.evaluation.results import Evaluation, display_name, reliability_of
from swath.evaluation.robustness import robustness_section, write_robustness
from swath.evaluation.run_report.color_match import ColorMatchResult
from swath.evaluation.run_report.measure import (
    Part,
    ReportMeasurements,
    RunFolder,
    measure_report,
    open_run,
    used_for_decisions,
)
from swath.evaluation.run_report.verdict import Verdict, key_points, verdict
from swath.evaluation.sections import (
    data_section,
    evaluation_charts,
    provenance_section,
    result_section,
    training_section,
)
from swath.evaluation.seen import seen_numbers
from swath.explain import evidence_key
from swath.files import atomic_folder
from swath.inference import load
from swath.inference.choice import AUTO
from swath.model import Record
from swath.pages.html import Image, Link, Listing, Number, Section, Table, write_report
from swath.pages.text import listed, points, sentence
from swath.progress import Progress, silent

PAGE, FACTS = "index.html", "report.json"
SCORE, ROBUSTNESS, MAPS, ERRORS = "score", "robustness", "maps", "errors.json"
_RULES = (
    "Words follow fixed rules: very good where the 95 % interval of the score begins at 95 % or above, good at 85 %, "
    "fair at 70 %, else poor. A class is named where its F1 does not clearly reach 85 %, a shift where its interval "
    "lies below that of unshifted patches, and a suggestion only with the effect it had in these very measurements."
)
_LOSSES = "Largest losses"  # the gallery that a report shows
_TITLES: dict[Part, str] = {"mistakes": "Mistakes", "maps": "Explanation maps", "shifts": "Under other conditions"}


@dataclass(frozen=True)
class Report:
    """A written report.

    Attributes
    ----------
    page : pathlib.Path
        The HTML page, which needs no other file.
    verdict : Verdict
        In sentences.
    measured : ReportMeasurements
        All that it rests on.
    """

    page: Path
    verdict: Verdict
    measured: ReportMeasurements


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
    """Measure a model in every way and write one page about it, the verdict first.

    Writes the files of :func:`write_report_folder` into the folder `out`, all or nothing. Opening ``test`` adds one
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
    with atomic_folder(out, overwrite=overwrite, keep=(*index.inputs, classifier.path)) as folder:
        if "test" in (split, used_for_decisions(index, split)):
            path = out.parent / TEST_ACCESSES
            note_test_access(path, model=record.name, fingerprint=index.fingerprint, n=len(part))
        measured = measure_report(classifier, index, split=split, quick=quick, progress=progress)
        write_report_folder(folder, measured, record, run=run)
    return Report(out / PAGE, verdict(measured.findings), measured)


def write_report_folder(
    folder: Path,
    measured: ReportMeasurements,
    record: Record,
    *,
    run: RunFolder | None = None,
    sections: Sequence[Section] = (),
    samples: Sequence[Image] = (),
    title: str = "",
    intro: str = "",
    numbers: Sequence[Number] = (),
    links: Sequence[Link] = (),
) -> None:
    """Write a report into an existing folder.

    Writes ``index.html``; ``report.json``, the verdict and what it rests on; and the parts' own files: ``score/``,
    ``errors.json``, ``maps/`` and ``robustness/``.

    Parameters
    ----------
    folder : Path
        Where to write.
    measured : ReportMeasurements
        From :func:`swath.evaluation.run_report.measure.measure_report`.
    record : Record
        Of the model.
    run : RunFolder, optional
        The training, to be shown too.
    sections : sequence of Section
        Further sections, shown after the measured ones.
    samples : sequence of Image
        Strips of sample patches for the section on data.
    title, intro : str
        Of the page; `intro` comes before the verdict's points.
    numbers, links : sequences
        Further key numbers, and files to open first.
    """
    findings, said = measured.findings, verdict(measured.findings)
    score, shifts = findings.score, findings.robustness
    notes = score.notes()
    write_evaluation(score, folder / SCORE)
    if findings.errors is not None:
        (folder / ERRORS).write_text(findings.errors.to_json(), encoding="utf-8")
    if findings.maps is not None and measured.map_examples is not None:
        (folder / MAPS).mkdir()
        write_maps(folder / MAPS, findings.maps, measured.map_examples)
    if shifts is not None:
        write_robustness(shifts, folder / ROBUSTNESS)
    parts = [part for part in _TITLES if part in measured.parts]
    section_of = {"mistakes": _mistakes, "maps": _maps, "shifts": _shifts}
    write_report(
        folder / PAGE,
        [
            _verdict(measured, said),
            # Reliability has its own section.
            result_section(
                score.model_copy(update={"reliability": None}) if reliability_of(score) else score,
                folder / SCORE,
                title=f"Score on '{score.split}'",
            ),
            *(section_of[part](measured, folder) or _not_measured(measured, part) for part in parts),
            _reliability(score),
            _data(measured, record, samples),
            *([training_section(run.curves, facts=run.facts)] if run is not None and run.curves else []),
            *sections,
            provenance_section(record, facts={"engine": score.engine, "intervals": score.intervals}),
        ],
        title=title or f"Report on '{record.name}'",
        summary=intro,
        points=key_points(findings),
        numbers=[
            *seen_numbers(
                {display_name(name): v for name, v in list(score.unseen.headline().items())[:2]} if score.unseen else {}
            ),
            *(
                Number(display_name(name) + score.seen.mark, v, notes[name])
                for name, v in list(score.headline().items())[:2]
            ),
            *(
                [Number(f"accuracy over all shifts{shifts.seen.mark}", shifts.score, "mean corruption score")]
                if shifts
                else []
            ),
            *numbers,
        ],
        links=links,
    )
    match = findings.color_match
    facts = {
        "model": score.model,
        "split": score.split,
        "seen": score.seen.model_dump(mode="json"),
        "is_test": score.is_test,
        "verdict": said.model_dump(mode="json"),
        "color_match": match.model_dump(mode="json") if match else None,
        "optimistic": findings.optimistic,
        "origin": findings.origin,
        "left_out": measured.left_out,
    }
    (folder / FACTS).write_text(json.dumps(facts, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _verdict(measured: ReportMeasurements, said: Verdict) -> Section:
    names = {"mistakes": "mistakes", "maps": "explanation maps", "shifts": "shifts"}
    missing = [name for part, name in names.items() if part not in measured.parts]
    texts = [_RULES]
    if missing:
        texts.insert(0, f"Not measured here: {listed(missing)}. Measure all with: swath report MODEL INDEX --out DIR")
    return Section(
        "The verdict in full", lists=[Listing(name, texts) for name, texts in said.parts.items()], text=texts
    )


def _not_measured(measured: ReportMeasurements, part: Part) -> Section:
    reason = measured.left_out.get(part, "nothing to show")
    return Section(_TITLES[part], text=(f"Not measured: {reason}.",))


def _mistakes(measured: ReportMeasurements, folder: Path) -> Section | None:
    """All of the error analysis in one section, with one gallery."""
    errors = measured.findings.errors
    if errors is None:
        return None
    found = error_sections(errors)
    tables = [
        Table(table.columns, table.rows, table.caption or section.title)
        for section in found
        for table in section.tables
    ]
    gallery = next((section for section in found if section.title == _LOSSES), Section(""))
    slices = [text for section in found if section.title == "Slices" for text in section.text]
    wrong = f"{errors.errors:,} of {errors.n:,} patches of the split '{errors.split}' are misclassified."
    return Section(
        _TITLES["mistakes"],
        text=(errors.seen.sentences, wrong, *slices, *gallery.text),
        warnings=[warning for section in found for warning in section.warnings],
        tables=tables,
        images=[image for section in found for image in section.images] if gallery.tiles else (),
        tiles=gallery.tiles,
        links=[Link("All findings (JSON)", folder / ERRORS)],
    )


def _maps(measured: ReportMeasurements, folder: Path) -> Section | None:
    check = measured.findings.maps
    if check is None:
        return None
    section = checked_section(check)
    examples = measured.map_examples
    return replace(
        section,
        title=_TITLES["maps"],
        text=(check.verdict, *section.text),
        numbers=key_numbers(check),
        images=(*section.images, *([evidence_key("each map on its own scale")] if examples else [])),
        tiles=example_tiles(examples) if examples else (),
        links=[Link("All numbers (JSON)", folder / MAPS / NUMBERS)],
    )


def _shifts(measured: ReportMeasurements, folder: Path) -> Section | None:
    result, match = measured.findings.robustness, measured.findings.color_match
    if result is None:
        return None
    section = robustness_section(result, folder / ROBUSTNESS)
    return replace(section, text=(*section.text, *([_color_match(match, result.seen.mark)] if match else [])))


def _color_match(found: ColorMatchResult, mark: str) -> str:
    clean = (
        f"changes accuracy by {points(found.clean_gain)}" if found.clean_changed else "leaves the patches as they are"
    )
    return (
        f"Rescaling, {found.n:,} patches taken as one scene: under the surface shift at severity 5 "
        f"accuracy{mark} is {100 * found.before.value:.1f} % as they are and {100 * found.after.value:.1f} % with "
        f"--rescale auto, {points(found.gain)}. {sentence(found.sentence)} Without a shift it {clean}."
    )


def _reliability(score: Evaluation) -> Section:
    text, numbers = [], []
    tables: Sequence[Table] = ()
    if (found := reliability_of(score)) is not None:
        numbers.append(
            Number(f"calibration error (ECE){score.seen.mark}", found.calibration.ece, "beyond chance, in 15 bins")
        )
        tables = found.tables()
    else:
        text.append("Calibration and abstention are measured where a patch has one label.")
    if score.ood is None:
        text.append("The model file has no threshold to detect patches that are unlike its training data.")
    else:
        numbers.append(Number("unlike the training data", score.ood, f"n = {score.n:,}"))
    return Section(
        "Reliability of single predictions",
        text=text,
        numbers=numbers,
        tables=tables,
        images=evaluation_charts(score, "reliability.svg"),
    )


def _data(measured: ReportMeasurements, record: Record, samples: Sequence[Image] = ()) -> Section:
    found = measured.audit
    optimistic = [f.text for f in found.findings if f.kind in ("optimistic", "origin")]
    section = data_section(
        found.classes,
        patches=found.patches,
        sentences=(
            *(text for text in found.sentences() if text not in optimistic),
            f"Split protocol of the model's own data: {record.data.split_protocol}.",
        ),
        samples=samples,
    )
    warnings = optimistic if measured.findings.optimistic or measured.findings.origin else []
    return replace(section, title="Data and splits", warnings=warnings)
