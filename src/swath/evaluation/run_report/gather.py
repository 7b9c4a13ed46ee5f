"""Put a model through everything that is measured, once, and keep what the page is made of."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import yaml

from swath.data import Audit, PatchIndex, audit
from swath.data.spatial import optimistic_bias
from swath.errors import DataError, SwathError
from swath.evaluation.errors.analyze import measure_errors
from swath.evaluation.errors.findings import ErrorAnalysis, confused_pairs
from swath.evaluation.errors.page import error_sections
from swath.evaluation.evaluate import measure_split, write_evaluation
from swath.evaluation.faithfulness import SANITY_DRAWS
from swath.evaluation.faithfulness_page import write_maps_report
from swath.evaluation.results import Evaluation
from swath.evaluation.robustness import measure_robustness, write_robustness
from swath.evaluation.run_report.color_match import measure_color_match
from swath.evaluation.run_report.verdict import ConfusedClasses, Findings
from swath.explain import explainer
from swath.explain.sanity import randomized_explainer_factory
from swath.inference import Classifier
from swath.model import read_model
from swath.pages.html import Section
from swath.progress import Progress

SCORE, ROBUSTNESS, MAPS, ERRORS = "score", "robustness", "maps", "errors.json"
_METHOD = "cam"
FEW_MISTAKES = 10  # below which another split tells more of which classes are confused
MODEL = "model.onnx"


@dataclass(frozen=True)
class ReportEffort:
    """How many patches are looked at under every shift and when maps are checked, and draws of weights for that."""

    shifted: int
    mapped: int
    draws: int


WHOLE, QUICK = (
    ReportEffort(shifted=500, mapped=150, draws=SANITY_DRAWS),
    ReportEffort(shifted=100, mapped=30, draws=4),
)


@dataclass(frozen=True)
class ReportInputs:
    """What the page is made of.

    Attributes
    ----------
    findings : Findings
        The measurements.
    mistakes : list of Section
        Of the error analysis, with galleries.
    audit : Audit
        Of the index.
    left_out : dict of str to str
        What could not be measured, and why.
    """

    findings: Findings
    mistakes: list[Section]
    audit: Audit
    left_out: dict[str, str]


def gather(
    classifier: Classifier,
    index: PatchIndex,
    folder: Path,
    *,
    split: str,
    effort: ReportEffort,
    progress: Progress,
) -> ReportInputs:
    """Measure; write ``score/``, ``robustness/``, ``maps/`` and ``errors.json`` into `folder`.

    The score is of `split`. Whatever a reader will act upon (mistakes, shifts, maps) is looked at on patches that
    are no test: ``val``, or without one ``train``; where there is neither, on `split` itself.
    """
    acted = used_for_decisions(index, split)
    left_out: dict[str, str] = {}
    score = measure_split(classifier, index, split=split, progress=progress)
    write_evaluation(score, folder / SCORE)
    errors = suite = maps = color_match = None
    mistakes: list[Section] = []
    try:
        errors = measure_errors(classifier, index, split=acted, progress=progress)
        mistakes = error_sections(errors)
        (folder / ERRORS).write_text(errors.to_json(), encoding="utf-8")
    except SwathError as error:
        left_out["mistakes"] = error.problem
    try:
        maps = write_maps_report(
            classifier,
            explainer(classifier, _METHOD),
            randomized_explainer_factory(classifier, read_model(classifier.path), _METHOD),
            index,
            folder / MAPS,
            split=acted,
            limit=effort.mapped,
            draws=effort.draws,
            progress=progress,
        )
    except SwathError as error:
        left_out["maps"] = error.problem
    try:
        suite = measure_robustness(classifier, index, split=acted, patches=effort.shifted, progress=progress)
        write_robustness(suite, folder / ROBUSTNESS)
        color_match = measure_color_match(
            classifier, index, split=acted, patches=effort.shifted, progress=progress
        )
    except SwathError as error:
        left_out["shifts"] = error.problem
    findings = Findings(
        score=score,
        confused=_confused(errors, score),
        errors=errors,
        robustness=suite,
        maps=maps,
        color_match=color_match,
        # Of another index the model knows neither side.
        optimistic=optimistic_bias(index) if score.same_index else "",
    )
    return ReportInputs(findings, mistakes, audit(index, progress=progress), left_out)


def used_for_decisions(index: PatchIndex, split: str) -> str:
    """The split that may be looked at patch by patch in a report on `split`."""
    there = index.split_counts
    return next((name for name in ("val", "train") if name in there), split)


def _confused(errors: ErrorAnalysis | None, score: Evaluation) -> ConfusedClasses | None:
    """Which classes are confused: where mistakes were looked at, or in the score if those are few."""
    if errors is None:
        return None
    if errors.errors >= FEW_MISTAKES or errors.split == score.split or score.predictions is None:
        return ConfusedClasses(errors.split, errors.pairs)
    return ConfusedClasses(
        score.split, confused_pairs(score.predictions.confusion, score.predictions.classes)
    )


@dataclass(frozen=True)
class RunFolder:
    """A run.

    Attributes
    ----------
    model : pathlib.Path
        Its model file.
    curves : pathlib.Path or None
        The picture of its loss and accuracy, where there is one.
    facts : dict of str to str
        Recipe, epochs, time, and the epoch that was kept with its score.
    """

    model: Path
    curves: Path | None
    facts: dict[str, str]


def open_run(folder: Path) -> RunFolder:
    """Read what a run left behind.

    Raises
    ------
    DataError
        If there is no model file in the folder, or its history or recipe cannot be read.
    """
    if not (folder / MODEL).is_file():
        raise DataError(
            f"{folder} holds no {MODEL}", fix="give the folder that swath train wrote, or a model file"
        )
    curves = folder / "curves.png"
    return RunFolder(folder / MODEL, curves if curves.is_file() else None, _facts(folder))


def _facts(folder: Path) -> dict[str, str]:
    facts = {}
    try:
        if (folder / "recipe.yaml").is_file():
            recipe = yaml.safe_load((folder / "recipe.yaml").read_text(encoding="utf-8"))
            facts["recipe"] = str(recipe["name"])
        if (folder / "history.csv").is_file():
            with (folder / "history.csv").open(newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
            facts["epochs"] = str(len(rows))
            facts["training time"] = f"{sum(float(row['seconds']) for row in rows):.0f} s"
            score = next(name for name in ("val_accuracy", "val_average_precision") if name in rows[0])
            kept = next(row for row in rows if row["kept"] == "1")
            facts["epoch kept"] = kept["epoch"]
            facts[score.replace("val_", "validation ").replace("_", " ")] = (
                f"{100 * float(kept[score]):.2f} %"
            )
    except (ValueError, KeyError, TypeError, IndexError, StopIteration, yaml.YAMLError) as error:
        raise DataError(
            f"{folder} is not as swath train left it: its recipe or history cannot be read",
            fix="give the model file in it instead",
        ) from error
    return facts
