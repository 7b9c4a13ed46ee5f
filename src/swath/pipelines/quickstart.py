"""From labeled patches to a land map, with every step a newcomer should see."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from swath.data import audit, build_index, group_duplicates, split_index, write_audit, write_index
from swath.evaluation import training_section
from swath.evaluation.run_report.gather import open_run
from swath.files import atomic_folder
from swath.inference import load
from swath.pages.html import Link
from swath.pipelines.showcase import ShowcaseResult, show
from swath.progress import Progress, silent


def quickstart(
    out: Path,
    *,
    source: str | Path = "eurosat-mini",
    recipe: str = "quickstart",
    changes: list[str] | None = None,
    threads: int | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
) -> ShowcaseResult:
    """Index, audit, split, train, test, explain and map; write ``out/index.html``.

    Needs the ``train`` extra.

    Parameters
    ----------
    out : Path
        The folder to make, all or nothing.
    source : str or Path
        Whatever :func:`swath.data.build_index` takes.
    recipe : str
        A shipped recipe or a YAML file.
    changes : list of str, optional
        Changes to it, such as ``"epochs=5"``.
    threads : int, optional
        For training and inference; by default, the cores this process may use.

    Raises
    ------
    DataError, SettingError, OutputError
        As the steps do; nothing is left behind then.
    """
    from swath.training import load_recipe, train  # torch, and only here

    chosen = load_recipe(recipe, changes=changes)
    with atomic_folder(out, overwrite=overwrite) as folder:
        index = build_index(source, progress=progress)
        index = split_index(group_duplicates(index, progress=progress))
        write_index(index, folder / "index.parquet")
        audited = audit(index, progress=progress)
        write_audit(audited, folder / "audit.json")
        result = train(
            index, chosen, out=folder / "run", name="quickstart", threads=threads, progress=progress
        )
        run = folder / "run"
        seconds = sum(row["seconds"] for row in result.history)
        links = [
            Link("Patch index", folder / "index.parquet"),
            Link("Audit", folder / "audit.json"),
            Link("Model file", result.model),
        ]
        shown = show(
            load(result.model, threads=threads),
            index,
            folder,
            title="From patches to a land map",
            summary=f"{len(index):,} patches of '{index.name}' indexed, audited and split; a network trained "
            f"from scratch in {seconds:.0f} s; tested once on patches it never saw; and a map drawn with it.",
            findings=audited.sentences(),
            between=[
                training_section(
                    run / "curves.png",
                    facts=open_run(run).facts,
                    links=[Link("Recipe as run", run / "recipe.yaml")],
                )
            ],
            links=links,
            progress=progress,
        )
    return replace(shown, report=out / "index.html")
