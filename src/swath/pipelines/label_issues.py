"""List patches whose label is probably wrong, by networks that did not learn from it."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from dataclasses import replace as with_fields
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from swath.data import PatchIndex, group_duplicates
from swath.data.splits import fold_index
from swath.errors import DataError, OutputError
from swath.evaluation.errors import LabelIssueReport, feature_probabilities, write_label_issues
from swath.evaluation.errors.crossfit import held_out_rows, label_numbers
from swath.evaluation.errors.review import PAGE, TABLE
from swath.evaluation.evaluate import TEST_ACCESSES, model_outputs, model_pixels, note_test_access
from swath.files import atomic_file, check_output
from swath.inference import load
from swath.progress import Progress, silent

FOLDS = "folds"
PLAN = "plan.json"
MANY = 6_000  # patches from which three epochs teach enough
VAL = 0.1  # of the other folds, by which a fold's network is chosen


@dataclass(frozen=True)
class _Plan:
    """What the folds of a folder are of."""

    fingerprint: str
    recipe: str
    folds: int
    seed: int

    def text(self) -> str:
        return json.dumps(self.__dict__, indent=2) + "\n"


def find_label_issues(
    index: PatchIndex,
    *,
    out: Path,
    recipe: str | None = None,
    changes: list[str] | None = None,
    model: str | Path | None = None,
    folds: int = 4,
    seed: int = 0,
    with_test: bool = False,
    engine: str = "auto",
    threads: int | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
) -> LabelIssueReport:
    """Rank patches by how probably their label is wrong; write ``label_issues.csv`` and ``label_issues.html``.

    Each patch is judged by a network that has never seen its label. Either one small network a fold is
    trained on the other folds (needs the ``train`` extra), or regressions are fitted to the features of a
    finished `model`, which takes seconds. Near duplicates lie in one fold. A run that was stopped goes on
    with the folds that are missing.

    Parameters
    ----------
    index : PatchIndex
        Patches with one label each; splits do not matter, but patches of the test split are left out.
    out : Path
        The folder to write into. Networks are kept in ``out/folds``.
    recipe : str, optional
        For the networks: a shipped recipe or a YAML file; by default ``flash``, whose few epochs are enough for
        many patches, or ``quickstart`` below :data:`MANY` patches.
    changes : list of str, optional
        Changes to it, such as ``"epochs=5"``.
    model : str or Path, optional
        Take this model's features instead of training.
    folds : int
        How many parts; each is judged by what was learned from the others.
    seed : int
        Another seed gives other folds.
    with_test : bool
        Judge test patches too: whoever mends them opens the test, so this is recorded as an opening.
    engine, threads
        As :func:`swath.load` takes them; `threads` for training too.
    overwrite : bool
        Throw an earlier list, and its networks, away.
    progress : Progress
        Told of everything.

    Raises
    ------
    DataError
        If patches have no single label, there is one class only, or a class has fewer groups than folds.
    SettingError, OutputError
        If a setting is not valid, or the folder holds folds of other data or settings.
    """
    classifier = load(model, engine=engine, threads=threads) if model is not None else None
    part = _chosen(index, with_test=with_test)
    # What is wrong with labels or folds is said before any work is done.
    label_numbers(part)
    recipe = recipe or ("flash" if len(part) >= MANY else "quickstart")
    held_out_rows(part, folds=folds, fold=0, seed=seed)
    for name in (TABLE, PAGE):
        check_output(out / name, overwrite=overwrite)
    if with_test and "test" in index.split_counts:
        by = classifier.record.name if classifier else f"{folds} folds of recipe {recipe}"
        tested = index.split_counts["test"]
        note_test_access(out / TEST_ACCESSES, model=by, fingerprint=index.fingerprint, n=tested)
    part = group_duplicates(part, progress=progress)
    if classifier is not None:
        probabilities = feature_probabilities(classifier, part, folds=folds, seed=seed, progress=progress)
        how = f"Judged by regressions on the features of model '{classifier.record.name}', {folds} folds."
    else:
        if overwrite:
            shutil.rmtree(out / FOLDS, ignore_errors=True)
        probabilities = trained_probabilities(
            part,
            out=out / FOLDS,
            recipe=recipe,
            changes=changes,
            folds=folds,
            seed=seed,
            engine=engine,
            threads=threads,
            progress=progress,
        )
        how = f"Judged by {folds} networks of recipe '{recipe}', each trained on the other folds."
    return write_label_issues(part, probabilities, out=out, how=how, overwrite=overwrite, progress=progress)


def _chosen(index: PatchIndex, *, with_test: bool) -> PatchIndex:
    """All patches but the test's, unless they are asked for."""
    if with_test:
        return index
    table = index.table.filter(pc.fill_null(pc.not_equal(index.table["split"], "test"), True))
    if not table.num_rows:
        raise DataError(
            "all patches of the index are in the test split", fix="judge them with --with-test, if you must"
        )
    return with_fields(index, table=table)


def trained_probabilities(
    index: PatchIndex,
    *,
    out: Path,
    recipe: str = "flash",
    changes: list[str] | None = None,
    folds: int = 4,
    seed: int = 0,
    engine: str = "auto",
    threads: int | None = None,
    progress: Progress = silent,
) -> npt.NDArray[np.float64]:
    """Probability of each class for each patch, by networks trained on the other folds.

    Needs the ``train`` extra. A tenth of each class of the other folds chooses and calibrates the network; the
    patch's own fold takes no part in it.

    Parameters
    ----------
    index : PatchIndex
        N patches with one label each; their splits do not matter, groups stay whole.
    out : Path
        Folder of the networks. A fold whose model is there is not trained again.
    recipe, changes, folds, seed, engine, threads, progress
        As for :func:`find_label_issues`.

    Returns
    -------
    numpy.ndarray
        ``[N, K]`` float64 in the order of ``index.classes``.

    Raises
    ------
    DataError, SettingError, OutputError
        As :func:`find_label_issues`.
    """
    from swath.training import load_recipe, train  # torch, and only here

    chosen = load_recipe(recipe, changes=changes)
    parts = [fold_index(index, folds=folds, fold=fold, val=VAL, seed=seed) for fold in range(folds)]
    _check_plan(out / PLAN, _Plan(index.fingerprint, json.dumps(chosen.model_dump(mode="json")), folds, seed))
    probabilities = np.empty((len(index), len(index.classes)))
    for fold, fold_part in enumerate(parts):
        run = out / f"fold-{fold + 1}"
        if not (run / "model.onnx").exists():
            # Every fold decodes its own parts: kept in the user's cache they would fill it, so they go.
            cache = out / "cache"
            train(fold_part, chosen, out=run, resume=True, threads=threads, cache=cache, progress=progress)
            shutil.rmtree(cache, ignore_errors=True)
        classifier = load(run / "model.onnx", engine=engine, threads=threads)
        rows = held_out_rows(index, folds=folds, fold=fold, seed=seed)
        pixels = model_pixels(classifier, index, progress=progress)[rows]
        answers = model_outputs(classifier, pixels, progress=progress)["probabilities"]
        columns = [classifier.record.class_names.index(name) for name in index.classes]
        probabilities[rows] = answers[:, columns]
        progress("folds", fold + 1, folds)
    return probabilities


def _check_plan(path: Path, plan: _Plan) -> None:
    """Write down what the folds are of; refuse a folder whose folds are of something else."""
    try:
        there = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        with atomic_file(path) as temporary:
            temporary.write_text(plan.text(), encoding="utf-8")
        return
    if there != plan.text():
        raise OutputError(
            f"{path.parent} holds networks of other data, recipe or folds",
            fix="choose another --out, or pass --overwrite to train them again",
        )
