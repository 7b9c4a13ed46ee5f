"""Demo and quickstart: the whole path in one call, ending in the page of a report with a map on it.

:func:`demo` shows what the shipped model does on shipped patches, without a training library or a download;
:func:`quickstart` goes from labeled patches through training to a map. Both measure a short report on the test split,
explain some of its patches, map a mosaic of them whose truth is known, and write one folder.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np

from swath.data import (
    PatchIndex,
    audit,
    build_index,
    group_duplicates,
    open_patches,
    split_index,
    write_audit,
    write_index,
)
from swath.evaluation import Evaluation, SplitPredictions
from swath.evaluation.intervals import proportion
from swath.evaluation.plots import sample_strips
from swath.evaluation.predictions import TEST_ACCESSES, checked_split, note_test_access
from swath.evaluation.run_report import PAGE, SCORE, RunFolder, measure_report, open_run, write_report_folder
from swath.evaluation.sections import explanation_section, map_section
from swath.explain import (
    class_evidence,
    evidence_tiles,
    explanations,
    faithfulness,
    has_class_evidence,
    write_explanations,
)
from swath.files import atomic_folder
from swath.inference import Classifier, load
from swath.inference.predictions import JOINED, NO_LABEL
from swath.mapping import LegendEntry, Map, MapAccuracy, map_accuracy, map_scene, mosaic_order, write_mosaic
from swath.pages.figures import RgbImage, pixels_to_png, to_display_rgb
from swath.pages.html import Link, Number, Section
from swath.progress import Progress, silent

SHIPPED = "eurosat"
CRS, ORIGIN = "EPSG:32632", (600_000.0, 5_400_000.0)  # where the mosaic pretends to be
MISTAKES = 10  # shown in the explanations, besides one patch per class


@dataclass(frozen=True)
class Sample:
    """A patch to try the commands on, and what the model says of it.

    Attributes
    ----------
    path : pathlib.Path
        The image.
    pixels : numpy.ndarray
        ``[H, W, 3]`` uint8, to be looked at.
    truth, label : str
        Its label, and the predicted one.
    confidence : float
        Of the prediction, 0-1.
    """

    path: Path
    pixels: RgbImage
    truth: str
    label: str
    confidence: float


@dataclass(frozen=True)
class ShowcaseResult:
    """Outcome of a demo or quickstart.

    Attributes
    ----------
    report : pathlib.Path
        The page that links everything.
    evaluation : Evaluation
        On the test split.
    map_accuracy : MapAccuracy or None
        Accuracy of the map of the mosaic; None where patches have several labels, for they have no one truth.
    samples : tuple of Sample
        One test patch per class.
    cells : numpy.ndarray or None
        ``[rows, columns, 3]`` uint8: the map of the mosaic, a pixel for each of its patches, in the legend's colors.
    legend : tuple of LegendEntry
        Of the map; empty where there is none.
    """

    report: Path
    evaluation: Evaluation
    map_accuracy: MapAccuracy | None
    samples: tuple[Sample, ...] = ()
    cells: RgbImage | None = None
    legend: tuple[LegendEntry, ...] = ()


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
    overwrite : bool
        Replace an existing folder.
    progress : Progress
        Called for every part.

    Raises
    ------
    DataError
        If the model has other classes.
    OutputError
        If `out` exists without `overwrite` or cannot be written.
    """
    with atomic_folder(out, overwrite=overwrite) as folder:
        classifier = load(model, engine=engine, threads=threads)
        index = build_index("eurosat-mini", progress=progress)
        write_index(index, folder / "index.parquet")
        shown = _show(
            classifier,
            index,
            folder,
            intro=f"The model '{classifier.record.name}' on {index.split_counts['test']:,} Sentinel-2 patches, "
            "64 x 64 pixels at 10 m, shipped with swath.",
            links=[Link("Patch index", folder / "index.parquet")],
            progress=progress,
        )
    return _moved(shown, out)


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
    overwrite : bool
        Replace an existing folder.
    progress : Progress
        Called for every part.

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
        write_audit(audit(index, progress=progress), folder / "audit.json")
        result = train(index, chosen, out=folder / "run", name="quickstart", threads=threads, progress=progress)
        seconds = sum(row["seconds"] for row in result.history)
        shown = _show(
            load(result.model, threads=threads),
            index,
            folder,
            run=open_run(folder / "run"),
            intro=f"{len(index):,} patches of '{index.name}' indexed, audited and split, and a network trained from "
            f"scratch in {seconds:.0f} s.",
            links=[
                Link("Patch index", folder / "index.parquet"),
                Link("Audit", folder / "audit.json"),
                Link("Model file", result.model),
                Link("Recipe as run", folder / "run" / "recipe.yaml"),
            ],
            progress=progress,
        )
    return _moved(shown, out)


def _show(
    classifier: Classifier,
    index: PatchIndex,
    folder: Path,
    *,
    intro: str,
    links: Sequence[Link],
    run: RunFolder | None = None,
    progress: Progress,
) -> ShowcaseResult:
    """Measure a short report on the test split, explain, map, and write everything into `folder`."""
    record = classifier.record
    part = checked_split(index, split="test", classes=record.class_names, task=record.task)
    note_test_access(folder / TEST_ACCESSES, model=record.name, fingerprint=index.fingerprint, n=len(part))
    progress("report", 0, 3, note="test")
    measured = measure_report(classifier, index, parts=("mistakes",), progress=progress)
    found = measured.predictions
    labels = _main_labels(found.part)
    progress("report", 1, 3, note="explanations")
    section, samples = _explain(classifier, found, labels, folder)
    sections = [section]
    progress("report", 2, 3, note="map")
    numbers, accuracy, land, cells = [], None, None, None
    if not found.part.multi_label:
        section, accuracy, land, cells = _map(classifier, found, folder)
        sections.append(section)
        numbers = list(section.numbers)
        links = [*links, Link("Land map (GeoTIFF)", folder / "map.tif")]
    write_report_folder(
        folder,
        measured,
        record,
        run=run,
        sections=sections,
        samples=sample_strips(found.pixels, labels, bands=record.input.bands),
        intro=intro,
        numbers=numbers,
        links=[*links, Link("Prediction of each test patch (CSV)", folder / SCORE / "predictions.csv")],
    )
    progress("report", 3, 3)
    return ShowcaseResult(
        folder / PAGE, measured.findings.score, accuracy, samples, cells, () if land is None else land.legend
    )


def _moved(shown: ShowcaseResult, out: Path) -> ShowcaseResult:
    """The result with the paths that its files have once the folder has its name."""
    folder = shown.report.parent
    samples = tuple(replace(sample, path=out / sample.path.relative_to(folder)) for sample in shown.samples)
    return replace(shown, report=out / PAGE, samples=samples)


def _main_labels(part: PatchIndex) -> list[str]:
    """One label per patch: its own, or of several the rarest in the split."""
    if not part.multi_label:
        return part.labels
    counts = Counter(label for labels in part.label_sets for label in labels)
    return [min(labels, key=lambda n: (counts[n], n)) if labels else NO_LABEL for labels in part.label_sets]


def _explain(
    classifier: Classifier, found: SplitPredictions, labels: Sequence[str], folder: Path
) -> tuple[Section, tuple[Sample, ...]]:
    """Copy one patch per class, to try the commands on, and explain these and the most confident mistakes."""
    first = {label: row for row, label in reversed(list(enumerate(labels)))}
    rows = [first[label] for label in sorted(first)]
    samples = folder / "samples"
    samples.mkdir()
    images: list[tuple[str, bytes]] = []
    shown: list[Sample] = []
    bands = classifier.record.input.bands
    with open_patches(found.part.root) as reader:
        for row in rows:
            name = PurePosixPath(found.paths[row]).name
            if (samples / name).exists():  # classes may number their files alike
                name = f"{row}-{name}"
            images.append((f"samples/{name}", reader.read(found.paths[row])))
            (samples / name).write_bytes(images[-1][1])
            pixels = to_display_rgb(found.pixels[row], bands)
            label, confidence = found.predictions.labels[row], float(found.confidence[row])
            shown.append(Sample(samples / name, pixels, labels[row], label, confidence))
    links = [Link("One patch per class", samples)]
    if not has_class_evidence(classifier):
        text = (
            "This network does not end in global average pooling and one linear layer, so it has no exact class "
            "activation maps. swath explain --method occlusion makes others."
        )
        return Section("Explanations", text=[text], links=links), tuple(shown)
    (folder / "explanations").mkdir()
    write_explanations(folder / "explanations", explanations(classifier, images), bands=bands)
    wrong = np.flatnonzero(~found.right)
    rows += wrong[np.argsort(-found.confidence[wrong], kind="stable")][:MISTAKES].tolist()
    pixels = found.pixels[rows]
    evidence = class_evidence(classifier, pixels)
    checks = faithfulness(classifier, pixels, evidence)
    sets = found.part.label_sets
    truth = [JOINED.join(n for n in found.classes if n in sets[row]) or NO_LABEL for row in rows]
    tiles = evidence_tiles(pixels, evidence, bands=bands, truth=truth, checks=checks)
    links.insert(0, Link("One picture per sample", folder / "explanations"))
    return explanation_section(tiles, checks=checks, links=links), tuple(shown)


def _map(classifier: Classifier, found: SplitPredictions, folder: Path) -> tuple[Section, MapAccuracy, Map, RgbImage]:
    """Map a mosaic of the test patches, whose truth is known: once for its files, once in memory to be measured."""
    record = classifier.record
    order, columns = mosaic_order(found.truth)
    pixels = found.pixels[order]
    scene = folder / "scene.tif"
    gsd, (east, north) = found.part.gsd or 10.0, ORIGIN
    truth = write_mosaic(
        pixels,
        [found.part.labels[row] for row in order],
        found.classes,
        columns=columns,
        out=scene,
        bands=record.input.bands,
        crs=CRS,
        gsd=gsd,
        origin=ORIGIN,
    )
    transform = (gsd, 0, east, 0, -gsd, north)
    size = pixels.shape[-1]
    grid = pixels.reshape(-1, columns, *pixels.shape[1:]).transpose(2, 0, 3, 1, 4)
    array = grid.reshape(len(grid), len(order) // columns * size, columns * size)
    # A window for each patch of the mosaic: their borders are no borders of land.
    place = {"crs": CRS, "transform": transform, "name": scene.name, "stride": size}
    land = map_scene(classifier, array, **place)
    files = map_scene(classifier, array, out=folder / "map.tif", **place).files
    accuracy = map_accuracy(land.array, truth, patch=size)
    colors = np.full((256, 3), 255, np.uint8)
    for entry in land.legend:
        colors[entry.value] = [int(entry.color[k : k + 2], 16) for k in (0, 2, 4)]
    right = proportion(accuracy.patches_right, accuracy.patches)
    section = map_section(
        pixels_to_png(colors[land.array]),
        classes=record.classes,
        hectares=land.hectares or {},
        sentences=[
            f"The scene is a mosaic of {accuracy.patches:,} test patches, class by class, so the true class of every "
            f"pixel is known: {accuracy.patches_right:,} patches are correctly mapped.",
            "Its place on the globe is made up; its pixels are not.",
            *land.warnings,
        ],
        numbers=[Number(f"patches correctly mapped{found.seen.count.mark}", right, f"n = {accuracy.patches:,}")],
        links=[
            Link("Scene and map, one above the other", files.page),
            Link("Classes (Cloud Optimized GeoTIFF)", files.classes),
            Link("Confidence", files.confidence),
            *([Link("Out-of-distribution score", files.ood)] if files.ood else []),
            Link("Areas and provenance", files.record),
            Link("Legend", files.legend),
            Link("The scene", scene),
        ],
        scene=pixels_to_png(to_display_rgb(array, record.input.bands, limit=800)),
    )
    return section, accuracy, land, colors[land.array[size // 2 :: size, size // 2 :: size]]
