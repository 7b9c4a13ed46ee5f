"""What demo and quickstart share: use a model on patches it never saw, and make a report of it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from swath.data import PatchIndex, cached_pixels, open_patches
from swath.evaluation import (
    Evaluation,
    Link,
    Number,
    Section,
    data_section,
    evaluate,
    explanation_section,
    map_section,
    provenance_section,
    result_section,
    write_report,
)
from swath.evaluation.intervals import proportion
from swath.evaluation.plots import sample_grid
from swath.evaluation.predictions import checked_split
from swath.evaluation.results import display_name
from swath.explain import Faithfulness, contact_sheet, explain_images, faithfulness
from swath.explain.cam import class_evidence
from swath.imagery import decode
from swath.inference import Classifier, predict_files
from swath.inference.predictions import JOINED, NO_LABEL
from swath.mapping import MapAccuracy, MapSummary, map_accuracy, map_scene, write_mosaic
from swath.pages.figures import to_display_rgb
from swath.progress import Progress

MOST_PATCHES = 625  # of the sewn scene: 16 square kilometers a hundred patches, at EuroSAT's 10 m
BLOCK = 5  # columns of patches in which the sewn scene is filled, so that classes lie together
MISTAKES = 10  # shown in the explanations beside one patch a class


@dataclass(frozen=True)
class ShowcaseResult:
    """What a demo or quickstart found.

    Attributes
    ----------
    report : pathlib.Path
        The page that links everything.
    evaluation : Evaluation
        On the test split.
    map_accuracy : Agreement or None
        Of the map of the sewn scene with the scene's known truth; patches with several labels have no one
        truth, and no map is made of them.
    """

    report: Path
    evaluation: Evaluation
    map_accuracy: MapAccuracy | None


def show(
    classifier: Classifier,
    index: PatchIndex,
    folder: Path,
    *,
    title: str,
    summary: str,
    findings: Sequence[str],
    between: Sequence[Section],
    links: Sequence[Link],
    progress: Progress,
) -> ShowcaseResult:
    """Predict, explain, evaluate and map the test split of `index`; write ``folder/index.html``.

    Where patches have several labels, each stands for its rarest one, and nothing is mapped.

    Parameters
    ----------
    findings : sequence of str
        Sentences about the data, for its section.
    between : sequence of Section
        Sections between data and result.
    links : sequence of Link
        Files made before, to link beside those made here.
    """
    record = classifier.record
    part = checked_split(index, split="test", classes=record.class_names, task=record.task)
    size = classifier.size
    pixels = cached_pixels(part, bands=classifier.record.input.bands, size=size, progress=progress)
    progress("report", 0, 6, note="samples")
    labels = _main_labels(part)
    picture = sample_grid(pixels, labels, bands=classifier.record.input.bands)
    (folder / "samples.png").write_bytes(picture)
    samples = _copy_samples(part, labels, folder / "samples")
    predict_files(classifier, [samples], folder / "predictions.csv", top_k=min(3, len(record.classes)))
    _shorten(folder / "predictions.csv", folder)
    progress("report", 1, 6, note="explanations")
    looked = _looked(classifier, part, labels, pixels, samples, folder)
    progress("report", 2, 6, note="test")
    evaluation = evaluate(classifier, index, split="test", out=folder / "test")
    progress("report", 3, 6, note="map")
    mapped = None if part.multi_label else _map_known_scene(classifier, part, pixels, folder)
    progress("report", 5, 6, note="page")
    sections = [
        data_section(_counts(index), patches=len(index), sentences=findings, samples=folder / "samples.png"),
        *between,
        result_section(evaluation, folder / "test"),
        looked,
        *([_map_part(classifier, *mapped, folder)] if mapped else []),
        provenance_section(classifier.record, links=links),
    ]
    first = list(evaluation.headline().items())[:2]
    numbers = [Number(f"test {display_name(name)}", value, f"n = {value.n:,}") for name, value in first]
    files = [Link("Metrics", folder / "test" / "metrics.json")]
    if mapped:
        agreed = proportion(mapped[1].patches_right, mapped[1].patches)
        numbers.append(Number("map agrees with the truth", agreed))
        files.insert(0, Link("Land map (GeoTIFF)", mapped[0].files.classes))
    write_report(
        folder / "index.html",
        sections,
        title=title,
        summary=summary,
        numbers=numbers,
        links=[*links, *files],
    )
    progress("report", 6, 6)
    return ShowcaseResult(folder / "index.html", evaluation, mapped[1] if mapped else None)


def _main_labels(part: PatchIndex) -> list[str]:
    """One label a patch: its own, or of several the rarest in the split."""
    if not part.multi_label:
        return part.labels
    counts = Counter(label for labels in part.label_sets for label in labels)
    return [min(labels, key=lambda n: (counts[n], n)) if labels else NO_LABEL for labels in part.label_sets]


def _copy_samples(part: PatchIndex, labels: Sequence[str], folder: Path) -> Path:
    """One patch a class as files, so that the same commands can be tried on them by hand."""
    folder.mkdir()
    with open_patches(part.root) as reader:
        for row in _first_of_each(labels):
            name = part.paths[row]
            target = folder / PurePosixPath(name).name
            if target.exists():  # classes may number their files alike
                target = folder / f"{row}-{target.name}"
            target.write_bytes(reader.read(name))
    return folder


def _shorten(table: Path, folder: Path) -> None:
    """Name files as seen from the report: the folder has another name until all is done."""
    table.write_text(table.read_text(encoding="utf-8").replace(f"{folder}{os.sep}", ""), encoding="utf-8")


def _looked(
    classifier: Classifier,
    part: PatchIndex,
    labels: Sequence[str],
    pixels: npt.NDArray[Any],
    samples: Path,
    folder: Path,
) -> Section:
    """Where the model looked; or why that cannot be shown of this network."""
    links = [Link("Predictions of the samples", folder / "predictions.csv")]
    if classifier.head is None or "activations" not in classifier.outputs:
        text = (
            "This network does not end in pooled maps and one linear layer, so there are no exact maps of where it "
            "looked. swath explain --method occlusion makes others."
        )
        return Section("Where the model looks", text=[text], links=links)
    explain_images(classifier, [samples], folder / "explanations")
    _shorten(folder / "explanations" / "explain.csv", folder)
    checks = _explain_mistakes(classifier, part, labels, pixels, folder / "explanations.png")
    links.insert(0, Link("One picture a sample", folder / "explanations"))
    return explanation_section(folder / "explanations.png", checks=checks, links=links)


def _explain_mistakes(
    classifier: Classifier, part: PatchIndex, labels: Sequence[str], pixels: npt.NDArray[Any], out: Path
) -> tuple[Faithfulness, ...]:
    """One patch a class, then the mistakes the model was most confident of, each map with its verdict."""
    judged = classifier.decide(classifier.run(pixels)["probabilities"])
    names = classifier.record.class_names
    whole = [JOINED.join(n for n in names if n in given) or NO_LABEL for given in part.label_sets]
    wrong = [row for row, label in enumerate(judged.named) if label != whole[row]]
    surest = sorted(wrong, key=lambda row: -judged.confidence[row])[:MISTAKES]
    rows = [*_first_of_each(labels), *surest]
    evidence = class_evidence(classifier, pixels[rows])
    truth = [whole[row] for row in rows]
    checks = faithfulness(classifier, pixels[rows], evidence)
    bands = classifier.record.input.bands
    contact_sheet(out, pixels[rows], evidence, bands=bands, truth=truth, checks=checks)
    return checks


def _map_known_scene(
    classifier: Classifier, part: PatchIndex, pixels: npt.NDArray[Any], folder: Path
) -> tuple[MapSummary, MapAccuracy]:
    """Sew the test patches into a scene whose truth is known, and map it."""
    names = classifier.record.class_names
    labels = np.array([names.index(label) for label in part.labels])
    # The same share of every class, class by class, so that the scene looks like land.
    chosen = _evenly(labels, MOST_PATCHES)
    blocks = max(1, round(len(chosen) ** 0.5 / BLOCK))
    columns = min(BLOCK * blocks, len(chosen))
    rows = len(chosen) // columns
    width = min(BLOCK, columns)
    order = chosen[: rows * columns].reshape(-1, rows, width).transpose(1, 0, 2).reshape(-1)
    scene = folder / "scene.tif"
    truth = write_mosaic(
        pixels[order],
        [names[k] for k in labels[order]],
        names,
        columns=columns,
        out=scene,
        gsd=part.gsd or 10.0,
    )
    mapped = map_scene(classifier, scene, folder / "map.tif")
    return mapped, map_accuracy(mapped.files.classes, truth, patch=classifier.size)


def _map_part(classifier: Classifier, mapped: MapSummary, agreed: MapAccuracy, folder: Path) -> Section:
    scene = decode(folder / "scene.tif")
    Image.fromarray(to_display_rgb(scene.pixels, scene.bands, limit=800)).save(folder / "scene.png")
    right = proportion(agreed.patches_right, agreed.patches)
    return map_section(
        mapped.files.picture,
        classes=classifier.record.classes,
        hectares=mapped.hectares or {},
        sentences=[
            f"The scene is sewn from {agreed.patches:,} test patches, class by class, so the truth of every "
            f"pixel is known: {agreed.patches_right:,} patches are correctly mapped.",
            "Its place on the globe is made up; its pixels are not.",
            *mapped.warnings,
        ],
        numbers=[Number("patches correctly mapped", right)],
        links=[
            Link("Classes (Cloud Optimized GeoTIFF)", mapped.files.classes),
            Link("Confidence", mapped.files.confidence),
            *([Link("Not like the training data", mapped.files.ood)] if mapped.files.ood else []),
            Link("Areas and provenance", mapped.files.record),
            Link("Legend", mapped.files.legend),
            Link("The scene", folder / "scene.tif"),
        ],
        scene=folder / "scene.png",
    )


def _first_of_each(labels: Sequence[str]) -> list[int]:
    first: dict[str, int] = {}
    for row, label in enumerate(labels):
        first.setdefault(label, row)
    return [first[label] for label in sorted(first)]


def _evenly(labels: npt.NDArray[np.int64], most: int) -> npt.NDArray[np.int64]:
    """Up to `most` rows, as many of each class as possible alike, ordered by class."""
    a_class = max(1, most // len(np.unique(labels)))
    return np.concatenate([np.flatnonzero(labels == value)[:a_class] for value in np.unique(labels)])


def _counts(index: PatchIndex) -> dict[str, dict[str, int]]:
    rows = zip(index.label_sets, index.table["split"].to_pylist(), strict=True)
    pairs = Counter((label, split) for labels, split in rows for label in labels)
    return {
        label: {
            split or "in no split": n for (name, split), n in sorted(pairs.items(), key=str) if name == label
        }
        for label in index.classes
    }
