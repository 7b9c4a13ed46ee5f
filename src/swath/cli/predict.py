"""``swath predict`` and ``swath explain``: classify images, and show the evidence for a class."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from swath.cli import options as opt
from swath.errors import MissingExtraError, SettingError

if TYPE_CHECKING:
    from swath.explain import Explainer
    from swath.explain.faithful import Part
    from swath.inference import Classifier

Inputs = Annotated[list[Path], typer.Argument(help="Images, folders or zip archives.")]
_TORCH = "grad-cam"


def predict(
    model: opt.Model,
    inputs: Inputs,
    out: Annotated[Path, opt.output("Table to write: .csv, .json or .parquet.")],
    top_k: Annotated[int | None, typer.Option(help="List the K most probable classes as well.")] = None,
    skip_unreadable: opt.SkipUnreadable = False,
    rescale: opt.Rescale = "off",
    engine: opt.Engine = "auto",
    threads: opt.Threads = None,
    tta: opt.TestTimeAugmentation = 1,
    overwrite: opt.Overwrite = False,
) -> object:
    """Classify images into a table of labels and probabilities.

    One row per image: path, label (or labels), confidence and the probability of every class. Images are taken as they
    are, or with --rescale all of them as parts of one scene.

    Example: swath predict eurosat patches/ --out preds.csv --top-k 3
    """
    from swath.inference import load, predict_files
    from swath.pages.text import counted

    product = next((path for path in inputs if path.suffix.upper() == ".SAFE"), None)
    if product is not None:
        raise SettingError(
            f"{product} is a scene, and predict classifies images",
            fix=f"map it: swath map {model} {product} --out map.tif",
        )
    classifier = load(model, engine=engine, threads=threads, tta=tta)
    summary = opt.with_bars(
        predict_files,
        classifier,
        inputs,
        out,
        top_k=top_k,
        skip_unreadable=skip_unreadable,
        rescale=rescale,
        overwrite=overwrite,
    )
    for label, count in summary.counts.items():
        typer.echo(f"{count:>8,}  {label}")
    if summary.skipped:
        typer.echo(
            f"{counted(len(summary.skipped), 'image', 'images')} could not be read, the first is {summary.skipped[0]}",
            err=True,
        )
    for line in (*summary.notes, *(one.line() for one in summary.left_out)):
        typer.echo(line, err=True)
    if summary.other_sizes:
        typer.echo(
            f"{counted(summary.other_sizes, 'image is', 'images are')} not {classifier.size} x {classifier.size} px, "
            "the size the model was trained at, and were resized: check that the ground resolution fits",
            err=True,
        )
    if summary.ood:
        typer.echo(
            f"warning: {counted(summary.ood, 'image', 'images')} ({100 * summary.ood / summary.rows:.1f} %) "
            "unlike the training data: predictions are unreliable there (column is_ood)",
            err=True,
        )
    if summary.rescale.warning:
        typer.echo(f"warning: {summary.rescale.warning}", err=True)
    elif rescale != "off":
        typer.echo(f"--rescale {rescale}: {summary.rescale.sentence}", err=True)
    typer.echo(f"{counted(summary.rows, 'row', 'rows')} in {out} (engine: {classifier.engine})")
    opt.next_step("explain", model, *inputs[:1], "--out", out.with_name(f"{out.stem}-why"))
    return summary


def explain(
    model: opt.Model,
    inputs: Annotated[
        list[Path],
        typer.Argument(help="Images, folders or zip archives; or, with --check, one patch index (.parquet)."),
    ],
    out: Annotated[
        Path, opt.output("Folder to write: a PNG per image and explain.csv, or the page of a checked index.")
    ],
    class_name: Annotated[
        str | None, typer.Option("--class", help="Explain this class instead of the predicted one.")
    ] = None,
    method: Annotated[
        Literal["cam", "occlusion", "grad-cam"],
        typer.Option(
            help="cam (exact, from the model file), occlusion (any model file), or grad-cam (MODEL is the folder of a "
            "training run; needs the train extra)."
        ),
    ] = "cam",
    check: Annotated[
        bool, typer.Option("--check", help="Compare the maps with random ones and report which fail.")
    ] = False,
    split: Annotated[
        opt.SplitName | None, typer.Option(help="Split of an index to use: val or train.  [default: val]")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Number of patches of an index to check.  [default: 300]")] = None,
    engine: opt.Engine = "auto",
    threads: opt.Threads = None,
    overwrite: opt.Overwrite = False,
) -> object:
    """Draw heat maps of the evidence for a class.

    With --check, measure whether the maps are faithful: whether hiding what they mark changes the prediction.

    Example: swath explain eurosat field.jpg --out why/ --class AnnualCrop

    Checked on an index: swath explain eurosat index.parquet --check --out maps/
    """
    from swath.data import walk_images
    from swath.explain import explain_images
    from swath.inference import load

    indexes = [path for path in inputs if path.suffix == ".parquet"]
    if indexes and (len(inputs) > 1 or not check or class_name is not None):
        raise SettingError(
            f"{indexes[0]} is an index, on which maps of the predicted classes are checked",
            fix="give it alone, with --check and without --class; or give images",
        )
    if not indexes and (split is not None or limit is not None):
        raise SettingError(
            "--split and --limit choose patches of an index, and these are images",
            fix="leave them out, or give an index (.parquet) with --check",
        )
    run = Path(model)
    file = run / "model.onnx" if method == _TORCH and run.is_dir() else model
    classifier = load(file, engine=engine, threads=threads)
    maps, randomized_explainer = _maps(classifier, method)
    if indexes:
        from swath.data import read_index
        from swath.evaluation.faithfulness_page import write_maps_report

        found = opt.with_bars(
            write_maps_report,
            classifier,
            maps,
            randomized_explainer,
            read_index(indexes[0]),
            out,
            split=split or "val",
            limit=300 if limit is None else limit,
            overwrite=overwrite,
        )
        typer.echo("\n".join(found.lines()))
        typer.echo(f"page: {(out / 'index.html').resolve().as_uri()}")
        opt.hint(f"next: look at {out / 'index.html'}")
        return found
    rows = opt.with_bars(
        explain_images, classifier, inputs, out, class_name=class_name, explain=maps, check=check, overwrite=overwrite
    )
    for one in walk_images(inputs).left_out:
        typer.echo(one.line(), err=True)
    for row in rows[:20]:
        verdict = f", {row.verdict} (beats {row.beaten} of 19 random maps)" if row.verdict else ""
        other = f", map of {row.explained}" if row.explained != row.label else ""
        typer.echo(f"{row.picture}: {row.label} ({100 * row.confidence:.1f} %){other}{verdict}")
    typer.echo(f"{len(rows)} pictures in {out}")
    if check:
        failed = sum(row.verdict == "fails" for row in rows)
        typer.echo(f"{failed} of {len(rows)} maps fail: do not interpret those")
        opt.hint(f"next: look at {out}, and at {out / 'explain.csv'}")
    elif rows:
        opt.next_step("explain", model, *inputs[:1], "--check", "--out", out.with_name(f"{out.name}-checked"))
    return rows


def _maps(classifier: Classifier, method: str) -> tuple[Explainer, Callable[[Part, int], Explainer]]:
    """What makes the maps, and what makes those of the same network with its weights randomized."""
    if method == _TORCH:
        for module in ("torch", "safetensors"):
            if importlib.util.find_spec(module) is None:
                raise MissingExtraError("Grad-CAM", extra="train")
        from swath.training.gradcam import grad_cam_of

        grad_cam = grad_cam_of(classifier, classifier.path.parent)
        return grad_cam, grad_cam.randomized_explainer
    from swath.explain import explainer
    from swath.explain.faithful import randomized_explainer_factory

    maps = explainer(classifier, method)
    return maps, randomized_explainer_factory(classifier, method)
