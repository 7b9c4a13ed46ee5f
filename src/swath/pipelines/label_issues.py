"""List patches whose label is probably wrong, by models that did not learn from it: train, rank and write."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace as with_fields
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from swath.data import PatchIndex, class_numbers, group_duplicates
from swath.data.splits import fold_index
from swath.errors import DataError, OutputError, SettingError
from swath.evaluation.errors import LabelIssueReport, feature_probabilities, measure_label_issues, write_label_issues
from swath.evaluation.errors.labels import PAGE, TABLE, held_out_rows, label_numbers, seen_sentence
from swath.evaluation.predictions import TEST_ACCESSES, Model, model_pixels, note_test_access, predict_pixels
from swath.evaluation.seen import SeenCount, seen_rows
from swath.files import atomic_file, check_output
from swath.inference import Classifier, load
from swath.progress import Progress, silent

FOLDS = "folds"
PLAN = "plan.json"
VAL = 0.1  # of the other folds, on which a fold's network is chosen


def find_label_issues(
    index: PatchIndex,
    *,
    out: str | Path | None = None,
    recipe: str | None = None,
    changes: list[str] | None = None,
    model: Model | None = None,
    folds: int = 4,
    seed: int = 0,
    with_test: bool = False,
    engine: str = "auto",
    threads: int | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
) -> LabelIssueReport:
    """Rank patches by how probably their label is wrong; write ``label_issues.csv`` and ``label_issues.html``.

    Each patch gets probabilities from a model that has never seen its label. Either one small network per fold is
    trained on the other folds (needs the ``train`` extra), or regressions are fitted to the features of a
    finished `model`, which takes seconds. Near duplicates are in one fold. A run that was stopped resumes with the
    missing folds.

    Parameters
    ----------
    index : PatchIndex
        Patches with one label each. Splits do not matter, but patches of the test split are left out.
    out : str or pathlib.Path, optional
        The folder to write into; networks are kept in ``out/folds``. With `model` it may be left out, and nothing is
        written then.
    recipe : str, optional
        For the networks, which learn from scratch, for a shipped model may have learned the wrong labels: a shipped
        recipe or a YAML file; by default what :func:`swath.training.choose_recipe` names for as many patches.
    changes : list of str, optional
        Changes to it, such as ``"epochs=5"``.
    model : Classifier, str or pathlib.Path, optional
        Use this model's features instead of training.
    folds : int
        Number of cross-validation folds.
    seed : int
        Another seed gives other folds.
    with_test : bool
        Rank test patches too, and note an access to the test split: who corrects them needs another test.
    engine, threads
        As :func:`swath.load` takes them; `threads` for training too.
    overwrite : bool
        Replace an earlier list, and remove its networks.
    progress : Progress
        Called for every batch, epoch and fold.

    Raises
    ------
    DataError
        If patches have no single label, there is one class only, or a class has fewer groups than folds.
    SettingError, OutputError
        If a setting is not valid, or the folder holds folds of other data or settings.

    Examples
    --------
    >>> from swath.data import build_index
    >>> from swath.pipelines import find_label_issues
    >>> find_label_issues(build_index("eurosat-mini"), model="eurosat").patches
    1600
    """
    if out is None and model is None:
        raise SettingError("the networks of the folds need a folder", fix="give out=FOLDER, or a finished model")
    classifier = None
    if model is not None:
        classifier = model if isinstance(model, Classifier) else load(model, engine=engine, threads=threads)
    part = index if with_test else _without_test(index)
    # What is wrong with labels or folds is said before any work is done.
    label_numbers(part)
    recipe = recipe or ("" if classifier else _default_recipe(len(part)))
    held_out_rows(part, folds=folds, fold=0, seed=seed)
    if out is not None:
        out = Path(out)
        for name in (TABLE, PAGE):
            check_output(out / name, overwrite=overwrite)
        if with_test and "test" in index.split_counts:
            by = classifier.record.name if classifier else f"{folds} folds of recipe {recipe}"
            tested = index.split_counts["test"]
            note_test_access(out / TEST_ACCESSES, model=by, fingerprint=index.fingerprint, n=tested)
    part = group_duplicates(part, progress=progress)
    if classifier is not None:
        probabilities = feature_probabilities(classifier, part, folds=folds, seed=seed, progress=progress)
        method = f"Probabilities are from regressions on the features of '{classifier.record.name}', {folds} folds."
        seen = [seen_rows(classifier.record, model_pixels(classifier, part, progress=progress)).count]
    elif out is not None:
        if overwrite:
            shutil.rmtree(out / FOLDS, ignore_errors=True)
        probabilities, seen = trained_probabilities(
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
        method = f"Probabilities are from {folds} networks of recipe '{recipe}', each trained on the other folds."
    progress("page", 0, 1)
    report = measure_label_issues(part, probabilities, method=method, seen=seen_sentence(seen))
    if out is not None:
        write_label_issues(report, out, overwrite=overwrite)
    progress("page", 1, 1)
    return report


def _default_recipe(patches: int) -> str:
    from swath.training import choose_recipe  # torch, and only where networks are trained

    return choose_recipe(patches, start=False, short=True).name


def _without_test(index: PatchIndex) -> PatchIndex:
    """All patches but those of the test split."""
    table = index.table.filter(pc.fill_null(pc.not_equal(index.table["split"], "test"), True))
    if not table.num_rows:
        raise DataError(
            "all patches of the index are in the test split",
            fix="rank them with --with-test; who corrects them needs another test",
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
) -> tuple[npt.NDArray[np.float64], list[SeenCount]]:
    """Probability of each class for each patch, by networks trained on the other folds.

    Needs the ``train`` extra. On a tenth of each class of the other folds the network is chosen and calibrated; the
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
    tuple of numpy.ndarray and list of SeenCount
        ``[N, K]`` float64 in the order of ``index.classes``; and what each network has seen of the fold it predicts:
        nothing, but for the weights that it started from.

    Raises
    ------
    DataError, SettingError, OutputError
        As :func:`find_label_issues`.
    """
    from swath.training import load_recipe, train  # torch, and only here

    chosen = load_recipe(recipe, changes=changes)
    parts = [fold_index(index, folds=folds, fold=fold, val=VAL, seed=seed) for fold in range(folds)]
    plan = {
        "fingerprint": index.fingerprint,
        "recipe": json.dumps(chosen.model_dump(mode="json")),
        "folds": folds,
        "seed": seed,
    }
    _check_plan(out / PLAN, json.dumps(plan, indent=2) + "\n")
    probabilities, seen = np.empty((len(index), len(index.classes))), []
    progress("folds", 0, folds)
    for fold, fold_part in enumerate(parts):
        run = out / f"fold-{fold + 1}"
        decoded = out / "decoded"  # every fold decodes its own parts: kept in the user's cache they would fill it
        if not (run / "model.onnx").exists():
            train(fold_part, chosen, out=run, resume=True, threads=threads, cache=decoded, progress=progress)
        shutil.rmtree(decoded, ignore_errors=True)
        classifier = load(run / "model.onnx", engine=engine, threads=threads)
        rows = held_out_rows(index, folds=folds, fold=fold, seed=seed)
        pixels = model_pixels(classifier, index, progress=progress)[rows]
        columns = class_numbers(index.classes, classifier.record.class_names)
        probabilities[rows] = predict_pixels(classifier, pixels, progress=progress).probabilities[:, columns]
        seen.append(seen_rows(classifier.record, pixels).count)
        progress("folds", fold + 1, folds)
    return probabilities, seen


def _check_plan(path: Path, plan: str) -> None:
    """Write what the folds are of; refuse a folder whose folds are of something else."""
    if not path.exists():
        with atomic_file(path) as temporary:
            temporary.write_text(plan, encoding="utf-8")
    elif path.read_text(encoding="utf-8") != plan:
        raise OutputError(
            f"{path.parent} holds networks of other data, recipe or folds",
            fix="choose another --out, or pass --overwrite to train them again",
        )
