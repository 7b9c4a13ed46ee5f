"""What a second opinion is worth: how often it is right, what it alone knows, whether asking pays.

:func:`prepare_evaluation` draws labeled patches, has the classifier answer, and estimates the cost;
:func:`evaluate_opinions` asks, measures and writes. Patches on which the other model was not heard (time-outs, rate
limits, failing servers) are left out of all numbers and counted. What it did answer counts, also that it cannot decide
or refuses: then it has named no class, and is not right.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from swath.errors import DataError, SettingError
from swath.evaluation.compare import compare_classes, mcnemar
from swath.evaluation.intervals import mean_difference, proportion
from swath.evaluation.metrics import Metrics, cohen_kappa, confusion_matrix, measure, paired_differences
from swath.evaluation.predictions import (
    Index,
    Model,
    checked_split,
    open_inputs,
    predict_split,
    prepare_output,
    sample_rows,
)
from swath.files import atomic_folder
from swath.opinion.answers import Opinion
from swath.opinion.client import VisionModel
from swath.opinion.cost import Price
from swath.opinion.page import write_opinions
from swath.opinion.prompt import make_question, read_definitions
from swath.opinion.results import NO_CLASS, Mask, OpinionEvaluation, Pairs, PreparedEvaluation, Replacement, Review
from swath.opinion.selection import check_task, unsure_rows, unsure_rule
from swath.pages.text import counted
from swath.progress import Progress, silent

SAMPLE = 200
Labels = npt.NDArray[np.int64]


def prepare_evaluation(
    classifier: Model,
    index: Index,
    model: VisionModel,
    *,
    n: int = SAMPLE,
    split: str = "val",
    definitions: Mapping[str, str] | None = None,
    below: float | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
) -> PreparedEvaluation:
    """Draw patches of a split at random and make the questions; nothing leaves this machine.

    A larger `n` adds to the patches of a smaller one, whose answers are kept.

    Parameters
    ----------
    classifier : Classifier, str or pathlib.Path
        A model with one label per image.
    index : PatchIndex, str or pathlib.Path
        Labeled patches with splits.
    model : VisionModel
        Whom the questions are for.
    n : int
        Patches to draw; all of the split if it has fewer.
    split : str
        ``"val"``, ``"test"`` or ``"train"``. An access to ``test`` is noted next to `out`, as
        :func:`swath.evaluation.evaluate` does.
    definitions, below
        As for :func:`swath.opinion.prepare_images`.
    seed : int
        Draws the patches.
    out : str or pathlib.Path, optional
        The folder that will be written, which is checked.
    overwrite : bool
        Replace it.
    progress : Progress
        Called for every batch.

    Raises
    ------
    DataError
        If the split cannot be measured, or the model gives several labels per image.
    SettingError
        If a setting is not valid, or `split` is test and there is no `out` to note it next to.
    OutputError
        If `out` exists without `overwrite` or cannot be written.

    Examples
    --------
    >>> from swath.data import build_index
    >>> made = prepare_evaluation("eurosat", build_index("eurosat-mini"), VisionModel(), n=20)
    >>> len(made.questions), made.found.split
    (20, 'val')
    >>> "- SeaLake: open water" in made.questions[0].text
    True
    """
    first, patches = open_inputs(classifier, index)
    check_task(first.record)
    if n < 1:
        raise SettingError(f"--n {n}", fix="give the number of patches to ask about, 1 or more")
    if out is not None:
        prepare_output(first, patches, split=split, out=Path(out), overwrite=overwrite, limit=n)
    elif split == "test":
        raise SettingError("an access to the test split is noted next to the result", fix="say where with --out DIR")
    part = checked_split(patches, split=split, classes=first.record.class_names, task=first.record.task)
    rows = sample_rows(len(part), n, seed=seed)
    found = predict_split(first, patches, split=split, rows=rows, progress=progress)
    spec = first.record.input
    lines = read_definitions(None, found.classes) if definitions is None else definitions
    questions = tuple(
        make_question(pixels, bands=spec.bands, classes=found.classes, definitions=lines, gsd=patches.gsd or spec.gsd)
        for pixels in found.pixels
    )
    return PreparedEvaluation(
        found,
        unsure_rows(first.record, found.predictions, below=below),
        unsure_rule(first.record, below=below, detects_ood=first.detects_ood),
        questions,
        model.estimate(questions),
    )


def evaluate_opinions(
    prepared: PreparedEvaluation,
    model: VisionModel,
    *,
    out: str | Path | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
) -> OpinionEvaluation:
    """Ask about the prepared patches, and measure.

    Parameters
    ----------
    prepared : PreparedEvaluation
        From :func:`prepare_evaluation`.
    model : VisionModel
        The one they were prepared for.
    out : str or pathlib.Path, optional
        Folder to write: ``index.html``, a page; ``opinion.json``, all numbers; ``opinions.csv``, every patch; and
        ``confusion.csv``.
    overwrite : bool
        Replace it.
    progress : Progress
        Called for every patch.

    Raises
    ------
    DataError
        If the model was heard on no patch; and as :meth:`VisionModel.ask`.
    SettingError, MissingExtraError
        As :meth:`VisionModel.ask`.
    OutputError
        If `out` exists without `overwrite` or cannot be written.
    """
    before = model.requests
    opinions = model.ask(prepared.questions, progress=progress)
    result = measure_opinions(prepared, opinions, model, requests=model.requests - before)
    if out is not None:
        with atomic_folder(Path(out), overwrite=overwrite, keep=prepared.found.inputs) as folder:
            write_opinions(folder, result, prepared, opinions)
    return result


def measure_opinions(
    prepared: PreparedEvaluation, opinions: Sequence[Opinion], model: VisionModel, *, requests: int = 0
) -> OpinionEvaluation:
    """All numbers of opinions on the prepared patches; nothing is asked or written.

    Raises
    ------
    DataError
        If the model was heard on no patch.
    """
    heard = np.array([not one.is_missing for one in opinions])
    if not heard.any():
        raise DataError(
            f"{model.settings.model} was heard on none of {counted(len(opinions), 'patch', 'patches')} "
            f"({opinions[0].outcome}: {opinions[0].detail})",
            fix="run the same command again when the server answers",
        )
    found, unsure = prepared.found.take(heard), prepared.unsure[heard]
    said = [one for one, kept in zip(opinions, heard, strict=True) if kept]
    k, names = len(found.classes), (*found.classes, NO_CLASS)
    truth, first = found.truth, found.predicted
    second = np.array([found.classes.index(one.label) if one.names_a_class else k for one in said], np.int64)
    right, other = first == truth, second == truth
    confusion = confusion_matrix(truth, second, classes=k + 1)
    accuracy, macro_f1 = paired_differences(truth, second, first, classes=k + 1)
    cost, price = model.counted(said), model.settings.charged
    everywhere = np.ones(len(truth), bool)
    return OpinionEvaluation(
        classifier=found.record.name,
        vision_model=model.settings.model,
        host=model.settings.host,
        split=found.split,
        fingerprint=found.fingerprint,
        sample=len(opinions),
        n=len(truth),
        outcomes=dict(Counter("unsure" if one.label and not one.names_a_class else one.outcome for one in opinions)),
        unsure_rule=prepared.rule,
        seen=found.seen.count,
        first=_metrics(confusion_matrix(truth, first, classes=k + 1), names),
        second=_metrics(confusion, names),
        answered=proportion(int(other.sum()), int((second < k).sum())),
        accuracy=accuracy,
        macro_f1=macro_f1,
        kappa_first=cohen_kappa(truth, first, classes=k + 1),
        kappa_second=cohen_kappa(truth, second, classes=k + 1),
        kappa_between=cohen_kappa(first, second, classes=k + 1),
        pairs=Pairs(
            both=int((right & other).sum()),
            only_classifier=int((right & ~other).sum()),
            only_other=int((~right & other).sum()),
            neither=int((~right & ~other).sum()),
        ),
        test=mcnemar(truth, first, second),
        per_class=compare_classes(truth, first, second, names=found.classes),
        confusion=tuple(map(tuple, confusion[:k].tolist())),
        always=_replacement(truth, first, second, everywhere, said, price, classes=k),
        where_unsure=_replacement(truth, first, second, unsure, said, price, classes=k),
        disagreement=_review((second < k) & (second != first), ~right),
        unsure=_review(unsure, ~right),
        cost=cost,
        requests=requests,
    )


def _metrics(confusion: Labels, names: Sequence[str]) -> Metrics:
    """Metrics over the classes; that no class was named counts against the class that it is."""
    made = measure(confusion, names)
    return made.model_copy(
        update={"per_class": {name: one for name, one in made.per_class.items() if name != NO_CLASS}}
    )


def _replacement(
    truth: Labels,
    first: Labels,
    second: Labels,
    asked: Mask,
    said: Sequence[Opinion],
    price: Price | None,
    *,
    classes: int,
) -> Replacement:
    taken = np.where(asked & (second < classes), second, first)
    change = (taken == truth).astype(np.float64) - (first == truth)
    count, net = int(asked.sum()), int(change.sum())
    spent = None
    if price is not None:
        spent = sum(
            price.of(one.prompt_tokens, one.completion_tokens) for one, of in zip(said, asked, strict=True) if of
        )
    return Replacement(
        asked=count,
        accuracy=proportion(int((taken == truth).sum()), len(truth)),
        gain=mean_difference(change),
        net=net,
        usd_per_1000=None if spent is None else 1000 * spent / len(truth),
        requests_per_net=count / net if net > 0 else None,
        usd_per_net=spent / net if spent is not None and net > 0 else None,
    )


def _review(sign: Mask, wrong: Mask) -> Review:
    both = int((sign & wrong).sum())
    return Review(
        share=proportion(int(sign.sum()), len(sign)),
        found=proportion(both, int(wrong.sum())),
        mistaken=proportion(both, int(sign.sum())),
    )
