"""The shipped model on shipped patches: no training library, no download."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from swath.data import build_index, write_index
from swath.files import atomic_folder
from swath.inference import load
from swath.pages.html import Link
from swath.pipelines.showcase import ShowcaseResult, show
from swath.progress import Progress, silent

SHIPPED = "eurosat"  # these patches had no part in its training


def demo(
    out: Path,
    *,
    model: str | Path = SHIPPED,
    engine: str = "auto",
    threads: int | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
) -> ShowcaseResult:
    """Classify, explain, test and map the shipped EuroSAT patches; write ``out/index.html``.

    Parameters
    ----------
    out : Path
        The folder to make, all or nothing.
    model : str or Path
        Any model with EuroSAT's classes.
    engine, threads
        What runs it; see :func:`swath.load`.

    Raises
    ------
    OutputError
        If `out` exists without `overwrite` or cannot be written.
    """
    with atomic_folder(out, overwrite=overwrite) as folder:
        classifier = load(model, engine=engine, threads=threads)
        index = build_index("eurosat-mini", progress=progress)
        write_index(index, folder / "index.parquet")
        shown = show(
            classifier,
            index,
            folder,
            title="What the model sees",
            summary=f"The model '{classifier.record.name}' on {index.split_counts['test']:,} real Sentinel-2 patches"
            + (" that it was not trained on." if model == SHIPPED else "."),
            findings=[
                "Real EuroSAT patches, 64 x 64 pixels at 10 m, shipped with swath; only the test split is used here."
            ],
            between=[],
            links=[Link("Patch index", folder / "index.parquet")],
            progress=progress,
        )
    return replace(shown, report=out / "index.html")
