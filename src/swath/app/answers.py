"""What a model says of a visitor's pictures, in words, tables and pages: everything of Classify but the screen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from swath.app.samples import names, read
from swath.app.sentences import said
from swath.app.settings import ALL_PIXELS, MOST_PICTURES, PICTURE_PIXELS
from swath.data import walk_images
from swath.errors import DataError, SwathError
from swath.evaluation.calibration import prediction_sets
from swath.explain import explainer, faithfulness, has_class_evidence
from swath.explain.evidence import Evidence
from swath.explain.faithful import Faithfulness
from swath.explain.pictures import overlay, overlay_picture, scale_limit
from swath.files import write_csv
from swath.imagery import decode
from swath.inference import Classifier, Predictions
from swath.inference.predictions import Prediction, concatenate
from swath.model import Record
from swath.pages.figures import RgbImage, pixels_to_png, to_display_rgb
from swath.pages.html import Image, Section, Swatch, Table, write_report
from swath.pages.text import counted, listed, sentence
from swath.progress import Progress, silent

SHOWN = 440  # pixels of the longer side of a picture on the screen
TOO_LARGE = 4  # times the patch's side, from which on a picture is rather a scene
OOD = "unlike the training data"
Pixels = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Answers:
    """What a model says of pictures.

    Attributes
    ----------
    predictions : Predictions
        Of the pictures that could be read, in their order.
    pixels : tuple of numpy.ndarray
        ``[bands, H, W]`` of each.
    problems : tuple of str
        One sentence for each file that could not be used.
    """

    predictions: Predictions
    pixels: tuple[Pixels, ...]
    problems: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.pixels)


def answer(classifier: Classifier, files: Sequence[Path], *, progress: Progress = silent) -> Answers:
    """Classify the pictures in files and zip archives; what cannot be used is passed over and named.

    Parameters
    ----------
    classifier : Classifier
        The model.
    files : sequence of pathlib.Path
        Pictures and archives of pictures.
    progress : Progress
        Called for every picture.

    Raises
    ------
    DataError
        If there are too many pictures, or too large ones.
    """
    problems: list[str] = []
    named: list[tuple[str, Pixels]] = []
    sources = []
    for file in files:
        try:
            sources.append((file, walk_images([file], on_unreadable=lambda _, error: problems.append(said(error)))))
        except SwathError as error:
            problems.append(said(error))
    total = sum(len(images) for _, images in sources)
    if total > MOST_PICTURES:
        raise DataError(f"there are {total:,} pictures", fix=f"give {MOST_PICTURES} or fewer at a time")
    held = done = 0
    for file, images in sources:
        for path, data in images:
            name = str(Path(path).relative_to(file.parent))
            done += 1
            try:
                picture = decode(data, name=name, max_pixels=PICTURE_PIXELS)
                pixels = classifier.pixels_of(picture, name=name)
            except SwathError as error:
                problems.append(said(error))
                continue
            held += pixels.shape[1] * pixels.shape[2]
            if held > ALL_PIXELS:
                raise DataError(
                    f"these pictures have more than {ALL_PIXELS // 1_000_000} million pixels together",
                    fix="give fewer or smaller ones at a time",
                )
            named.append((name, pixels))
            progress("read", done, total)
    none = classifier.decide(np.zeros((0, len(classifier.record.classes)), np.float32))
    parts = list(classifier.stream(named, layout="chw", total=len(named), progress=progress))
    return Answers(concatenate(parts) if parts else none, tuple(pixels for _, pixels in named), tuple(problems))


def sample_answers(classifier: Classifier, label: str) -> Answers:
    """What the model says of the shipped picture of a class."""
    name = names()[label][0]
    (data,) = read([name])
    pixels = classifier.pixels_of(data, name=name)
    found = replace(classifier.answer(pixels[None]), paths=[Path(name).name])
    return Answers(found, (pixels,), ())


@dataclass(frozen=True, eq=False)
class Why:
    """A heat map of the evidence for one class of one picture, and whether it may be believed.

    Attributes
    ----------
    pixels : numpy.ndarray
        ``[bands, H, W]``.
    evidence : Evidence
        Of this picture.
    check : Faithfulness
        Compared with random maps.
    """

    pixels: Pixels
    evidence: Evidence
    check: Faithfulness

    def shown(self, bands: Sequence[str], *, opacity: float) -> RgbImage:
        """The picture under the map's colors, of which `opacity` (0-1) is laid over it."""
        land = enlarged(self.pixels, bands)
        colors = overlay(land, self.evidence.maps[0], limit=scale_limit(self.evidence.maps))
        mixed = land * (1 - opacity) + colors * np.float32(opacity)
        return np.rint(mixed).astype(np.uint8)

    @property
    def note(self) -> str:
        """Whether the map is faithful, in plain words."""
        effect = f"hiding what it marks changes the answer more than {{}} of {self.check.of} random maps do"
        if self.check.holds:
            return f"This map can be relied on: {effect.format(self.check.beaten)}."
        return f"Do not rely on this map: {effect.format(f'only {self.check.beaten}')}, which may be chance."


def explain(classifier: Classifier, pixels: Pixels, class_name: str) -> Why:
    """Map the evidence for a class in one picture, and check the map."""
    make = explainer(classifier, "cam" if has_class_evidence(classifier) else "occlusion")
    evidence = make(pixels[None], classes=[class_name])
    return Why(pixels, evidence, faithfulness(classifier, pixels[None], evidence)[0])


def enlarged(pixels: Pixels, bands: Sequence[str]) -> RgbImage:
    """A picture to be looked at: small ones are enlarged without smoothing."""
    shown = to_display_rgb(pixels, bands, limit=SHOWN)
    times = max(1, SHOWN // max(shown.shape[:2]))
    return shown.repeat(times, 0).repeat(times, 1)


def picture_png(pixels: Pixels, bands: Sequence[str]) -> bytes:
    """A picture as a PNG to be looked at."""
    return pixels_to_png(enlarged(pixels, bands))


def candidates(record: Record, probabilities: npt.NDArray[np.float32]) -> str | None:
    """The conformal prediction set of one picture in a sentence; None where the model keeps no quantiles.

    Examples
    --------
    >>> import swath
    >>> record = swath.load("eurosat", threads=1).record
    >>> candidates(record, np.eye(10, dtype=np.float32)[8])
    'Only River is a candidate at the 90 % level.'
    """
    if not record.conformal:
        return None
    level, quantile = min(record.conformal.items(), key=lambda pair: abs(float(pair[0]) - 0.9))
    held = prediction_sets(probabilities[None], quantile)[0]
    names = [record.class_names[j] for j in np.argsort(-probabilities, kind="stable") if held[j]]
    at = f"at the {100 * float(level):.0f} % level"
    if not names:
        return f"No class is a clear candidate {at}: the picture is between classes."
    if len(names) == 1:
        return f"Only {names[0]} is a candidate {at}."
    return f"{counted(len(names), 'candidate', 'candidates')} {at}: {listed(names)}."


def size_note(classifier: Classifier, pixels: Pixels) -> str | None:
    """What to say of a picture much larger than what the model was trained on."""
    height, width = pixels.shape[1:]
    if max(height, width) < TOO_LARGE * classifier.size:
        return None
    return (
        f"This picture has {width:,} x {height:,} pixels and is answered as one patch of {classifier.size} x "
        f"{classifier.size}. If it shows several kinds of land, map it on the page Map a scene."
    )


def write_table(out: Path, predictions: Predictions) -> Path:
    """Write what `swath predict --top-k 3` writes, as CSV."""
    columns = predictions.columns(top_k=min(3, len(predictions.classes)))
    write_csv(out, list(columns), zip(*columns.values(), strict=True))
    return out


def explained_png(why: Why, bands: Sequence[str], *, name: str) -> bytes:
    """The picture next to its heat map, with the scale and the note."""
    return overlay_picture(why.pixels, why.evidence, bands=bands, name=name, check=why.check)


def write_page(out: Path, classifier: Classifier, answers: Answers, *, chosen: int, why: Why) -> Path:
    """Write one page that opens offline: all answers, and one picture in full.

    Parameters
    ----------
    out : pathlib.Path
        The ``.html`` file to write.
    classifier : Classifier
        The model.
    answers : Answers
        With at least one picture.
    chosen : int
        Which picture is shown in full.
    why : Why
        Its heat map.
    """
    record, predictions = classifier.record, answers.predictions
    one = predictions[chosen]
    colors = {info.name: info.color_hint for info in record.classes}
    sections = [
        Section(
            f"{one.path}: {labeled(one)}",
            text=[line for line in (candidates(record, predictions.probabilities[chosen]), why.note) if line],
            warnings=[sentence(f"this picture is {OOD}: predictions are unreliable there")] if one.is_ood else [],
            tables=[
                Table(
                    ("class", "probability"),
                    [(Swatch(colors[name], name), f"{100 * p:.1f} %") for name, p in predictions.top(5)[chosen]],
                )
            ],
            images=[
                Image(
                    explained_png(why, record.input.bands, name=Path(one.path).name),
                    f"{one.path} and the evidence for {why.evidence.explained[0]} in it",
                )
            ],
        )
    ]
    if len(answers) > 1:
        rows = [
            (row.path, row.label or "(no label)", f"{100 * row.confidence:.1f} %", OOD if row.is_ood else "")
            for row in predictions
        ]
        sections.append(Section("All pictures", tables=[Table(("picture", "label", "confidence", "note"), rows)]))
    summary = f"{counted(len(answers), 'picture', 'pictures')} classified with the model {record.name}."
    write_report(out, sections, title="Answers", summary=summary, overwrite=True)
    return out


def labeled(one: Prediction) -> str:
    """Label and confidence in words."""
    return f"{one.label or '(no label)'}, {100 * one.confidence:.1f} %"
