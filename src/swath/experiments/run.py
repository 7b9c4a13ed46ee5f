"""Run an experiment: every variant and seed once, whatever was interrupted, then its table."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from dataclasses import replace as with_fields
from pathlib import Path
from typing import Any, Literal

from swath.data import PatchIndex
from swath.errors import DataError, SettingError
from swath.evaluation.predictions import note_test_access
from swath.experiments.catalog import Experiment, ExperimentName, ExperimentSettings, make_experiment
from swath.experiments.compare import Row, draw, make_rows, paragraph, write_table
from swath.experiments.upsampling import WAYS, upsampled_indexes
from swath.experiments.variants import VariantResult, run_variant, write_facts
from swath.experiments.views import can_show
from swath.files import atomic_file
from swath.progress import Progress, silent
from swath.training import load_recipe

FACTS = "experiment.json"


@dataclass(frozen=True)
class ExperimentResult:
    """Result of an experiment.

    Attributes
    ----------
    rows : list of Row
        One a variant.
    text : str
        The result in a paragraph.
    out : pathlib.Path
        Folder with ``table.csv``, ``picture.png``, ``summary.md``, ``experiment.json`` and the variants' runs.
    """

    rows: list[Row]
    text: str
    out: Path


def run_experiment(
    name: ExperimentName,
    index: PatchIndex,
    *,
    out: str | Path,
    choices: ExperimentSettings | None = None,
    first: PatchIndex | None = None,
    seeds: int = 1,
    split: Literal["val", "test"] = "val",
    threads: int | None = None,
    progress: Progress = silent,
) -> ExperimentResult:
    """Run all variants of an experiment that are not done yet, and write what they say.

    A variant learns from part of the train split and chooses its epoch on another part of it; all variants answer for
    the same patches of `split`. Interrupted, the same call resumes; finished variants are never rerun,
    and further shares, sizes or seeds are added to them.

    Parameters
    ----------
    name : str
        One of :func:`swath.experiments.experiment_names`.
    index : PatchIndex
        One label a patch, with a train split and the one to evaluate.
    out : str or pathlib.Path
        Folder; an interrupted experiment in it is resumed.
    choices : ExperimentSettings, optional
        Recipes, shares of the labels, sizes, changes.
    first : PatchIndex, optional
        What ``high-resolution-first`` trains on first.
    seeds : int
        Repeats of every variant, seeds 0, 1, ...
    split : str
        ``val``, or ``test``, whose access is then recorded in `out`.

    Raises
    ------
    SettingError
        If there is no such experiment, or an option is out of range or missing.
    DataError
        If the index lacks a split or has several labels a patch, or `out` holds another experiment, the same on
        other patches, or a variant of other settings.
    """
    out = Path(out)
    experiment = make_experiment(name, choices or ExperimentSettings())
    if seeds < 1:
        raise SettingError(f"there are no variants to run with {seeds} seeds", fix="give --seeds 1 or more")
    if split not in ("val", "test"):
        raise SettingError(f"'{split}' is not a split that variants answer for", fix="give --split val or test")
    for each in (index, first):
        if each is not None and each.multi_label:
            raise DataError(
                f"patches of index '{each.name}' carry several labels, and experiments compare the one answer a patch",
                fix="use an index with one label a patch",
            )
    evaluated = index.where(split)
    experiment = _possible(experiment, index)
    needed = {variant.on for variant in experiment.variants}
    if "first" in needed and first is None:
        raise SettingError(
            f"{name} needs another index to train on first", fix="give --first INDEX, of sharper patches"
        )
    facts = {
        "experiment": name,
        "question": experiment.question,
        "index": index.name,
        "fingerprint": index.fingerprint,
        "split": split,
    }
    _claim(out, facts)
    if split == "test":
        accesses = out / "test_accesses.jsonl"
        note_test_access(accesses, model=f"experiment {name}", fingerprint=index.fingerprint, n=len(evaluated))
    indexes = {"main": index}
    if first is not None:
        indexes["first"] = first
    if needed & set(WAYS):
        indexes |= upsampled_indexes(index, out / "upsampled", split=split, threads=threads, progress=progress)
    results = _run_variants(experiment, indexes, out, seeds=seeds, split=split, threads=threads, progress=progress)
    rows = make_rows(results)
    text = paragraph(experiment, rows, patches=len(evaluated))
    with atomic_file(out / "table.csv", overwrite=True) as temporary:
        write_table(temporary, rows)
    with atomic_file(out / "picture.png", overwrite=True) as temporary:
        draw(temporary, experiment, rows)
    with atomic_file(out / "summary.md", overwrite=True) as temporary:
        temporary.write_text(f"# {experiment.name}\n\n{text}\n\n![](picture.png)\n", encoding="utf-8")
    write_facts(out / FACTS, {**facts, "seeds": seeds, "text": text})
    return ExperimentResult(rows, text, out)


def _run_variants(
    experiment: Experiment,
    indexes: Mapping[str, PatchIndex],
    out: Path,
    *,
    seeds: int,
    split: str,
    threads: int | None,
    progress: Progress,
) -> list[VariantResult]:
    results = []
    total, count = seeds * len(experiment.variants), 0
    for seed in range(seeds):
        done: dict[str, Path] = {}
        for variant in experiment.variants:
            folder = out / "variants" / f"{folder_name(variant.name)}-seed{seed}"
            progress("variants", count, total, note=variant.name)
            result = run_variant(
                variant,
                indexes[variant.on],
                seed=seed,
                evaluated=split,
                out=folder,
                done=done,
                threads=threads,
                progress=progress,
            )
            done[variant.name] = folder
            count += 1
            if result is not None:
                results.append(result)
    progress("variants", total, total)
    return results


def folder_name(variant: str) -> str:
    """A name for a variant's folder that every file system takes."""
    return re.sub(r"[^a-z0-9.]+", "-", variant.lower().replace(" %", "pct")).strip("-.")


def _possible(experiment: Experiment, index: PatchIndex) -> Experiment:
    """The experiment without the views that these patches cannot be shown in."""
    side = min(index.table.column(name).to_numpy().min() for name in ("width", "height"))

    def fits(view: str, recipe: str, changes: Sequence[str]) -> bool:
        return can_show(view, bands=load_recipe(recipe, changes=[*changes]).bands, side=side)

    variants = tuple(variant for variant in experiment.variants if fits(variant.view, variant.recipe, variant.changes))
    return with_fields(experiment, variants=variants)


def _claim(out: Path, facts: Mapping[str, Any]) -> None:
    """Record what a folder is for, or refuse one that holds something else."""
    path = out / FACTS
    if not path.is_file():
        write_facts(path, facts)
        return
    held = json.loads(path.read_text(encoding="utf-8"))
    for key, what in (("experiment", "experiment"), ("fingerprint", "set of patches"), ("split", "split")):
        if held.get(key) != facts[key]:
            raise DataError(
                f"{out} holds an experiment with another {what}"
                if key != "experiment"
                else f"{out} holds the experiment {held.get(key)}",
                fix="give another --out",
            )
