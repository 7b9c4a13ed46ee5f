"""Measure a model in every way, once, for the page of its report; nothing is written.

A finished training run is opened here too (:func:`open_run`): its curves and facts go on the same page.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import yaml

from swath.data import Audit, PatchIndex, audit
from swath.data.spatial import optimistic_bias, unknown_origin
from swath.errors import DataError, SwathError
from swath.evaluation.errors.analyze import measure_errors
from swath.evaluation.errors.findings import ErrorAnalysis, confused_pairs
from swath.evaluation.evaluate import measure_split
from swath.evaluation.faithfulness import SANITY_DRAWS, MapExamples, measure_maps
from swath.evaluation.plots import history_chart
from swath.evaluation.predictions import SplitPredictions, learned_from
from swath.evaluation.results import Evaluation
from swath.evaluation.robustness import measure_robustness
from swath.evaluation.run_report.color_match import measure_color_match
from swath.evaluation.run_report.verdict import ConfusedClasses, Findings
from swath.explain import explainer
from swath.explain.faithful import randomized_explainer_factory
from swath.inference import Classifier
from swath.pages.charts import Chart
from swath.progress import Progress, silent

Part = Literal["mistakes", "maps", "shifts"]
PARTS: tuple[Part, ...] = ("mistakes", "maps", "shifts")
MODEL = "model.onnx"
FEW_MISTAKES = 10  # below which another split shows better which classes are confused
_METHOD = "cam"
T = TypeVar("T")


@dataclass(frozen=True)
class ReportMeasurements:
    """All that a report shows.

    Attributes
    ----------
    findings : Findings
        The numbers.
    parts : tuple of str
        Which of :data:`PARTS` were asked for.
    left_out : dict of str to str
        Parts that could not be measured, and why.
    map_examples : MapExamples or None
        Patches with their maps and verdicts, where maps were checked.
    audit : Audit
        Of the index.
    """

    findings: Findings
    parts: tuple[Part, ...]
    left_out: dict[Part, str]
    map_examples: MapExamples | None
    audit: Audit

    @property
    def predictions(self) -> SplitPredictions:
        """Truth and prediction of each patch that the score is of."""
        found = self.findings.score.predictions
        if found is None:
            raise DataError("the score holds numbers only, no predictions", fix="measure it again")
        return found


def measure_report(
    classifier: Classifier,
    index: PatchIndex,
    *,
    split: str = "test",
    parts: Sequence[Part] = PARTS,
    quick: bool = False,
    progress: Progress = silent,
) -> ReportMeasurements:
    """Measure the score, and the parts that are asked for.

    The score is of `split`. Whatever a reader will act upon (mistakes, maps, shifts) is measured on other patches
    than the test's: ``val``, or without one ``train``; where there is neither, on `split` itself. The caller notes an
    access to the test split.

    Parameters
    ----------
    classifier : Classifier
        A loaded model of any task.
    index : PatchIndex
        Labeled patches with splits.
    split : str
        For the score.
    parts : sequence of str
        Which of :data:`PARTS` to measure besides the score.
    quick : bool
        Fewer patches under shifts and in the check of maps: wider intervals, in a third of the time.
    progress : Progress
        Called for every part.

    Raises
    ------
    DataError
        If the split cannot be measured. A part that cannot be is left out, and the reason kept.
    """
    acted = used_for_decisions(index, split)
    # Patches under every shift, patches whose maps are checked, and draws of random weights for that.
    shifted, mapped, draws = (100, 30, 4) if quick else (500, 150, SANITY_DRAWS)
    left_out: dict[Part, str] = {}

    def attempt(part: Part, measure: Callable[[], T]) -> T | None:
        try:
            return measure() if part in parts else None
        except SwathError as error:
            left_out[part] = error.problem
            return None

    score = measure_split(classifier, index, split=split, progress=progress)
    errors = attempt("mistakes", lambda: measure_errors(classifier, index, split=acted, progress=progress))
    maps = attempt(
        "maps",
        lambda: measure_maps(
            classifier,
            explainer(classifier, _METHOD),
            randomized_explainer_factory(classifier, _METHOD),
            index,
            split=acted,
            limit=mapped,
            draws=draws,
            progress=progress,
        ),
    )
    suite = attempt(
        "shifts", lambda: measure_robustness(classifier, index, split=acted, patches=shifted, progress=progress)
    )
    color_match = attempt(
        "shifts", lambda: measure_color_match(classifier, index, split=acted, patches=shifted, progress=progress)
    )
    own = learned_from(classifier, index)  # of another index the model knows neither side
    bias = optimistic_bias(index) if own else ""
    findings = Findings(
        score=score,
        confused=_confused(errors, score),
        errors=errors,
        robustness=suite,
        maps=maps[0] if maps else None,
        color_match=color_match,
        optimistic=bias,
        origin=unknown_origin(index) if own and not bias else "",
    )
    return ReportMeasurements(
        findings, tuple(parts), left_out, maps[1] if maps else None, audit(index, progress=progress)
    )


def used_for_decisions(index: PatchIndex, split: str) -> str:
    """Choose the split whose single patches may be shown in a report on `split`."""
    there = index.split_counts
    return next((name for name in ("val", "train") if name in there), split)


def _confused(errors: ErrorAnalysis | None, score: Evaluation) -> ConfusedClasses | None:
    """Which classes are confused: by the error analysis, or by the score if it has few mistakes."""
    if errors is None:
        return None
    if errors.errors >= FEW_MISTAKES or errors.split == score.split or score.predictions is None:
        return ConfusedClasses(errors.split, errors.pairs)
    return ConfusedClasses(score.split, confused_pairs(score.predictions.confusion, score.predictions.classes))


@dataclass(frozen=True)
class RunFolder:
    """A finished training run.

    Attributes
    ----------
    model : pathlib.Path
        Its model file.
    curves : Chart or None
        The chart of its loss and accuracy, where there is one.
    facts : dict of str to str
        Recipe, epochs, time, and the selected epoch with its score.
    """

    model: Path
    curves: Chart | None
    facts: dict[str, str]


def open_run(folder: Path) -> RunFolder:
    """Read the files of a training run.

    Raises
    ------
    DataError
        If there is no model file in the folder, or its history or recipe cannot be read.
    """
    if not (folder / MODEL).is_file():
        raise DataError(f"{folder} holds no {MODEL}", fix="give the folder that swath train wrote, or a model file")
    return RunFolder(folder / MODEL, *_history(folder))


def _history(folder: Path) -> tuple[Chart | None, dict[str, str]]:
    """The curves of a training, and what is worth saying of it."""
    facts: dict[str, str] = {}
    curves = None
    try:
        if (folder / "recipe.yaml").is_file():
            recipe = yaml.safe_load((folder / "recipe.yaml").read_text(encoding="utf-8"))
            facts["recipe"] = str(recipe["name"])
        if (folder / "history.csv").is_file():
            with (folder / "history.csv").open(newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
            facts["epochs"] = str(sum(row["epoch"] != "0" for row in rows))
            facts["training time"] = f"{sum(float(row['seconds']) for row in rows):.0f} s"
            score = next(name for name in ("val_accuracy", "val_average_precision") if name in rows[0])
            kept = next(row for row in rows if row["kept"] == "1")
            facts["epoch kept"] = "0: the network as it began" if kept["epoch"] == "0" else kept["epoch"]
            facts[score.replace("val_", "validation ").replace("_", " ")] = f"{100 * float(kept[score]):.2f} %"
            history = [{key: float(value or "nan") for key, value in row.items()} for row in rows]
            curves = history_chart(history, kept=rows.index(kept))
    except (ValueError, KeyError, TypeError, IndexError, StopIteration, yaml.YAMLError) as error:
        raise DataError(
            f"{folder} is not as swath train left it: its recipe or history cannot be read",
            fix="give the model file in it instead",
        ) from error
    return curves, facts
