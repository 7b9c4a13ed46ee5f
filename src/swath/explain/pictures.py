"""Pictures of evidence maps, and a folder of them for image files.

:func:`overlay_picture` draws one image and its map, :func:`contact_sheet` many, as PNG bytes. Colors are fixed: red
adds to the class, blue takes away, clear does neither. The scale of a map is symmetric about zero and its limit, which
is always printed, is the map's largest absolute value; so a faint map is recognized by its numbers, not by its colors.

:func:`explanations` explains images one by one; :func:`write_explanations` writes a picture of each and a table;
:func:`explain_images` does both for files on disk.
"""

from __future__ import annotations

import csv
import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure

from swath.data import walk_images
from swath.explain.evidence import Evidence, Explainer, class_number, explainer, upsample
from swath.explain.faithful import Faithfulness, faithfulness
from swath.files import as_cell, atomic_folder
from swath.inference import Classifier
from swath.pages.figures import fitted, to_display_rgb, to_png
from swath.pages.text import written
from swath.progress import Progress, silent

_STRONGEST = 0.65  # opacity at the limits of the scale; the land stays visible underneath
_FOR, _AGAINST = (0.93, 0.07, 0.09), (0.11, 0.27, 0.95)  # one hue per sign: only opacity says how much
_CLEAR = 1e-6  # limit used for a map of zeros, so that the scale is not empty
_COLUMN, _TITLE = 1.85, 1.6  # inches of a contact sheet: a column, and the widest title above one
_HOLDS, _FAILS = "black", "#a1260d"
# What the numbers of a map are, by the method that made it.
_UNITS = {
    "cam": "contribution to the logit of",
    "occlusion": "log-odds lost under a cover, of",
    "grad-cam": "contribution, to first order, to the logit of",
}
TABLE = "explain.csv"


def overlay_picture(
    pixels: npt.NDArray[Any], evidence: Evidence, *, bands: Sequence[str], name: str, check: Faithfulness | None = None
) -> bytes:
    """Draw the input, next to it or below the same with the map over it, and the color bar.

    Parameters
    ----------
    pixels : numpy.ndarray
        ``[bands, H, W]``; shown as :func:`swath.pages.figures.to_display_rgb` does.
    evidence : Evidence
        Of this one image.
    bands : sequence of str
        One name per band.
    name : str
        Name of the image, for the title.
    check : Faithfulness, optional
        Of this map: its verdict is written under the input.
    """
    shown = to_display_rgb(pixels, bands)
    height, width = shown.shape[:2]
    shape = min(max(height / width, 1 / 6), 6.0)
    side_by_side = shape > 0.6
    panel = 3.6 if side_by_side else 7.2
    size = (2 * panel + 1.4, panel * shape + 1.0) if side_by_side else (panel + 1.4, 2 * panel * shape + 1.4)
    figure = Figure(figsize=(size[0], max(size[1], 2.6)), layout="compressed")
    axes = figure.subplots(1 if side_by_side else 2, 2 if side_by_side else 1, squeeze=False).ravel()

    limit = scale_limit(evidence.maps)
    axes[0].imshow(shown)
    _draw(axes[1], shown, evidence.maps[0], limit)
    explained, label = written(evidence.explained[0]), written(evidence.labels[0])
    axes[0].set_title(written(name, limit=44), fontsize=9, loc="left", parse_math=False)
    axes[1].set_title(f"evidence for {explained}", fontsize=9, loc="left", parse_math=False)
    figure.suptitle(
        f"{label}, confidence {evidence.confidence[0]:.3f}", fontsize=12, fontweight="bold", parse_math=False
    )
    grid_height, grid_width = evidence.maps.shape[1:]
    _color_bar(figure, axes[1], limit, f"{_UNITS[evidence.method]} {explained}")
    if check is not None:
        verdict = textwrap.fill(check.sentence, 46 if side_by_side else 92)
        axes[0].set_xlabel(verdict, fontsize=8, color=_HOLDS if check.holds else _FAILS)
    axes[1].set_xlabel(f"computed for {grid_height} x {grid_width} places, interpolated between", fontsize=7)
    for axis in axes:
        axis.tick_params(labelsize=7)
    return to_png(figure, dpi=120)


def contact_sheet(
    pixels: npt.NDArray[Any],
    evidence: Evidence,
    *,
    bands: Sequence[str],
    truth: Sequence[str] | None = None,
    checks: Sequence[Faithfulness] | None = None,
    columns: int = 5,
) -> bytes:
    """Draw many images, each above its own map, whose title gives the limit of its scale.

    Parameters
    ----------
    pixels : numpy.ndarray
        ``[N, bands, H, W]``, for example one image per class.
    evidence : Evidence
        Of these images, in the same order.
    bands : sequence of str
        One name per band.
    truth : sequence of str, optional
        The true class of each image; the title gives it where the model's answer is another.
    checks : sequence of Faithfulness, optional
        Of each map: its verdict is written under it.
    columns : int
        Images in a row.
    """
    columns = min(columns, len(pixels))
    rows = -(-len(pixels) // columns)
    tall = 4.1 if checks is None else 4.3
    figure = Figure(figsize=(_COLUMN * columns + 0.9, tall * rows), layout="constrained")
    grid = figure.subplots(2 * rows, columns, squeeze=False)
    for axis in grid.flat:
        axis.set_axis_off()
    for i, image in enumerate(pixels):
        row, column = divmod(i, columns)
        top, bottom = grid[2 * row, column], grid[2 * row + 1, column]
        shown = to_display_rgb(image, bands, limit=320)
        top.imshow(shown)
        limit = scale_limit(evidence.maps[i])
        _draw(bottom, shown, evidence.maps[i], limit)
        wrong = truth is not None and truth[i] != evidence.labels[i]
        lines = [fitted(evidence.labels[i], inches=_TITLE, points=8), f"{evidence.confidence[i]:.3f}"]
        if truth is not None and wrong:
            lines.append(fitted(f"truth {truth[i]}", inches=_TITLE, points=8))
        top.set_title("\n".join(lines), fontsize=8, color=_FAILS if wrong else _HOLDS, parse_math=False)
        scale = fitted(evidence.explained[i], inches=_TITLE, points=7, after=f", ±{limit:.3g}")
        bottom.set_title(scale, fontsize=7, parse_math=False)
        if checks is not None:
            _verdict(bottom, checks[i])
    unit = f"{_UNITS[evidence.method]} the class named above each map, as a share of the limit given with it"
    _color_bar(figure, list(grid.flat), 1.0, unit)
    return to_png(figure)


def scale_limit(maps: npt.NDArray[np.float32]) -> float:
    """Give the limit of the symmetric scale: the largest absolute value."""
    return max(float(np.abs(maps).max(initial=0.0)), _CLEAR)


def overlay_colors() -> ListedColormap:
    """Blue to clear to red, opacity growing with the distance from zero."""
    place = np.linspace(-1, 1, 255)
    table = np.empty((255, 4))
    table[:, :3] = np.where(place[:, None] > 0, _FOR, _AGAINST)
    table[:, 3] = _STRONGEST * np.abs(place) ** 0.75
    return ListedColormap(table, name="evidence")


def _draw(axis: Axes, shown: npt.NDArray[np.uint8], evidence: npt.NDArray[np.float32], limit: float) -> None:
    height, width = shown.shape[:2]
    axis.imshow(shown)
    full = upsample(evidence[None], height=height, width=width)[0]
    axis.imshow(full, cmap=overlay_colors(), vmin=-limit, vmax=limit, interpolation="nearest")


def _verdict(axis: Axes, check: Faithfulness) -> None:
    """One short line under a map."""
    word, color = ("holds", _HOLDS) if check.holds else ("FAILS", _FAILS)
    text = f"{word}: beats {check.beaten} of {check.of}"
    axis.text(0.5, -0.04, text, transform=axis.transAxes, ha="center", va="top", fontsize=7, color=color)


def _color_bar(figure: Figure, axes: Axes | list[Axes], limit: float, unit: str) -> None:
    scale = ScalarMappable(norm=Normalize(-limit, limit), cmap=overlay_colors())
    bar = figure.colorbar(scale, ax=axes, fraction=0.05, aspect=28, ticks=[-limit, -limit / 2, 0, limit / 2, limit])
    bar.ax.set_yticklabels([f"{v:+.3g}" if v else "0" for v in (-limit, -limit / 2, 0, limit / 2, limit)], fontsize=7)
    bar.set_label(unit + "\n(red: for, blue: against)", fontsize=7, parse_math=False)


@dataclass(frozen=True)
class Explanation:
    """One image with its map.

    Attributes
    ----------
    path : str
        Name of the image.
    pixels : numpy.ndarray
        ``[bands, H, W]``, the model's bands.
    evidence : Evidence
        Of this one image.
    check : Faithfulness or None
        The verdict on the map, if asked for.
    """

    path: str
    pixels: npt.NDArray[Any]
    evidence: Evidence
    check: Faithfulness | None


@dataclass(frozen=True)
class ExplainedImage:
    """One row of ``explain.csv``.

    Attributes
    ----------
    path : str
        Name of the image.
    label : str
        The predicted class.
    confidence : float
        Its probability.
    explained : str
        The class the map is about.
    picture : str
        Name of the written PNG.
    method : str
        How the map was made.
    verdict : str
        ``holds`` or ``fails``; empty if the map was not checked.
    beaten : int, optional
        How many of 19 random maps it beats, if it was checked.
    """

    path: str
    label: str
    confidence: float
    explained: str
    picture: str
    method: str = "cam"
    verdict: str = ""
    beaten: int | None = None


def explanations(
    classifier: Classifier,
    images: Iterable[tuple[str, Any]],
    *,
    class_name: str | None = None,
    explain: Explainer | None = None,
    check: bool = False,
) -> Iterator[Explanation]:
    """Explain images one by one, so that only one is in memory.

    Parameters
    ----------
    classifier : Classifier
        A loaded model; for class activation maps its file must carry activations and a head.
    images : iterable of (str, bytes or array)
        Name and encoded content, or pixels ``[bands, H, W]``, of each image.
    class_name : str, optional
        The class to explain in every image; by default each image's predicted one.
    explain : callable, optional
        Makes the maps; by default class activation maps. See :func:`swath.explain.explainer`.
    check : bool
        Compare every map with random ones.

    Raises
    ------
    SettingError
        If the model has no class `class_name`.
    DataError
        If an image cannot be read or has not the model's bands and data type.
    SwathError
        If the model has no class activation maps.

    Examples
    --------
    >>> import numpy as np, swath
    >>> classifier = swath.load("eurosat")
    >>> black = np.zeros((3, 64, 64), np.uint8)
    >>> [found.evidence.maps.shape for found in explanations(classifier, [("black", black)])]
    [(1, 4, 4)]
    """
    if class_name is not None:
        class_number(classifier.record.class_names, class_name)
    explain = explain or explainer(classifier)
    for name, image in images:
        pixels = classifier.pixels_of(image, name=name)
        evidence = explain(pixels[None], classes=class_name and [class_name])
        checked = faithfulness(classifier, pixels[None], evidence)[0] if check else None
        yield Explanation(name, pixels, evidence, checked)


def write_explanations(
    folder: Path, explained: Iterable[Explanation], *, bands: Sequence[str]
) -> tuple[ExplainedImage, ...]:
    """Write ``<stem>.<method>.png`` for every image and ``explain.csv`` into an existing folder.

    Parameters
    ----------
    folder : Path
        Where to write.
    explained : iterable of Explanation
        From :func:`explanations`.
    bands : sequence of str
        The model's bands.

    Returns
    -------
    tuple of ExplainedImage
        The rows of the table.
    """
    rows: list[ExplainedImage] = []
    taken: set[str] = set()
    for one in explained:
        evidence, check = one.evidence, one.check
        picture = picture_name(one.path, taken, method=evidence.method)
        name = PurePosixPath(one.path).name
        (folder / picture).write_bytes(overlay_picture(one.pixels, evidence, bands=bands, name=name, check=check))
        rows.append(
            ExplainedImage(
                path=one.path,
                label=evidence.labels[0],
                confidence=round(float(evidence.confidence[0]), 6),
                explained=evidence.explained[0],
                picture=picture,
                method=evidence.method,
                verdict="" if check is None else "holds" if check.holds else "fails",
                beaten=None if check is None else check.beaten,
            )
        )
    # File names need not be valid text: their bytes are written as they are.
    with (folder / TABLE).open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([field.name for field in fields(ExplainedImage)])
        writer.writerows(map(as_cell, astuple(row)) for row in rows)
    return tuple(rows)


def explain_images(
    classifier: Classifier,
    inputs: Sequence[Path],
    out: Path,
    *,
    class_name: str | None = None,
    explain: Explainer | None = None,
    check: bool = False,
    overwrite: bool = False,
    progress: Progress = silent,
) -> tuple[ExplainedImage, ...]:
    """Explain image files: write a folder of pictures and ``explain.csv``, all or nothing.

    Parameters
    ----------
    classifier, class_name, explain, check
        As for :func:`explanations`.
    inputs : sequence of Path
        Images, folders and zips.
    out : Path
        The folder to make.
    overwrite : bool
        Replace an existing folder.
    progress : Progress
        Called for every image.

    Returns
    -------
    tuple of ExplainedImage
        One per image, in the order they were found.

    Raises
    ------
    SettingError, DataError, SwathError
        As :func:`explanations`, and if there is no image.
    OutputError
        If `out` exists without `overwrite` or cannot be written.
    """
    images = walk_images(inputs)

    def counted() -> Iterator[Explanation]:
        measured = explanations(classifier, images, class_name=class_name, explain=explain, check=check)
        for number, one in enumerate(measured, start=1):
            yield one
            progress("explain", number, len(images))

    with atomic_folder(out, overwrite=overwrite, keep=(*inputs, classifier.path)) as folder:
        return write_explanations(folder, counted(), bands=classifier.record.input.bands)


def picture_name(name: str, taken: set[str], *, method: str = "cam") -> str:
    """Choose a file name for the picture of image `name` that is not in `taken`, and add it there.

    Names that differ only in case count as the same: some file systems cannot hold both.
    """
    stem = re.sub(r"[^\w.-]+", "_", PurePosixPath(name.replace("\\", "/")).stem).strip("._") or "image"
    stem, number = stem.encode()[:100].decode(errors="ignore"), 1  # file systems count bytes
    candidate = f"{stem}.{method}.png"
    while candidate.lower() in taken:
        number += 1
        candidate = f"{stem}-{number}.{method}.png"
    taken.add(candidate.lower())
    return candidate
