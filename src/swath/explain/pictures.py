"""Pictures of evidence maps, and a folder of them for image files.

:func:`overlay` lays a map over a picture; :func:`overlay_picture` draws one image and its map as a PNG,
:func:`evidence_tiles` many for a page. Colors are fixed: red adds to the class, blue takes away; where evidence is
small the land is left bare, and a line encloses the tenth of the picture with the most evidence for. The scale is
symmetric about zero and its limit, which is always printed, is the largest absolute value of the maps that stand in a
row; so a faint map is recognized by its numbers, not by its colors.

:func:`explanations` explains images one by one; :func:`write_explanations` writes a picture of each and a table;
:func:`explain_images` does both for files on disk.
"""

from __future__ import annotations

import csv
import io
import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL.Image
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure

from swath.data import walk_images
from swath.explain.evidence import Evidence, Explainer, class_number, explainer, upsample
from swath.explain.faithful import Faithfulness, faithfulness
from swath.files import as_cell, atomic_folder
from swath.inference import Classifier
from swath.pages.charts import LINE, SMALL, Canvas, Chart, chart, wrapped
from swath.pages.figures import RgbImage, to_display_rgb, to_png
from swath.pages.html import Image
from swath.pages.text import written
from swath.progress import Progress, silent

PANEL = 128  # pixels of a patch on a page
_GAP, _PICTURE = 4, 420  # pixels between patches, and of a picture of its own
_STRONGEST = 0.6  # opacity at the limits of the scale; the land stays visible underneath
_CLEAR_BELOW, _TOP = 0.25, 0.1  # share of the limit up to which the land is bare; share of the picture in the line
_FOR, _AGAINST = (0.93, 0.07, 0.09), (0.11, 0.27, 0.95)  # one hue per sign: only opacity says how much
_CLEAR = 1e-6  # limit used for a map of zeros, so that the scale is not empty
_LAND = 138  # gray under the color bar
_HOLDS, _FAILS = "black", "#a1260d"
# What the numbers of a map are, by the method that made it.
_UNITS = {
    "cam": "contribution to the logit of",
    "occlusion": "log-odds lost under a cover, of",
    "grad-cam": "contribution, to first order, to the logit of",
}
TABLE = "explain.csv"


def overlay(land: RgbImage, evidence: npt.NDArray[np.float32], *, limit: float) -> RgbImage:
    """Lay the colors of a map over a picture: clear where the evidence is small, with a line around the top tenth.

    Parameters
    ----------
    land : numpy.ndarray
        ``[H, W, 3]`` uint8.
    evidence : numpy.ndarray
        ``[h, w]`` float32; interpolated to the picture.
    limit : float
        The end of the scale, the same for maps that are compared.

    Returns
    -------
    numpy.ndarray
        ``[H, W, 3]`` uint8.
    """
    full = upsample(evidence[None], height=land.shape[0], width=land.shape[1])[0]
    colors = _colors(np.clip(full / limit, -1, 1))
    opacity = colors[:, :, 3:]
    mixed = np.rint(land * (1 - opacity) + 255 * colors[:, :, :3] * opacity).astype(np.uint8)
    most = (full >= np.quantile(full, 1 - _TOP)) & (full > 0)
    if most.any() and not most.all():
        mixed[_grown(most) & ~most] = 255  # a light line outside a dark one is seen on any land
        mixed[most & _grown(~most)] = 0
    return mixed


def _grown(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """A mask and the pixels next to it."""
    wide = np.pad(mask, 1)
    return wide[1:-1, 1:-1] | wide[:-2, 1:-1] | wide[2:, 1:-1] | wide[1:-1, :-2] | wide[1:-1, 2:]


def _colors(share: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Color and opacity ``[..., 4]`` of evidence as a share of the limit, -1 to 1."""
    place = np.asarray(share, np.float64)[..., None]
    strength = np.clip((np.abs(place) - _CLEAR_BELOW) / (1 - _CLEAR_BELOW), 0, 1)
    return np.concatenate([np.where(place > 0, _FOR, _AGAINST), _STRONGEST * strength], axis=-1)


def panels(pixels: npt.NDArray[Any], *, bands: Sequence[str], maps: Sequence[npt.NDArray[np.float32]] = ()) -> bytes:
    """Draw a patch and its maps side by side, all maps on one scale.

    Parameters
    ----------
    pixels : numpy.ndarray
        ``[bands, H, W]``.
    bands : sequence of str
        One name per band.
    maps : sequence of numpy.ndarray
        ``[h, w]`` float32 each.

    Returns
    -------
    bytes
        A JPEG.
    """
    land = _enlarged(to_display_rgb(pixels, bands, limit=PANEL), PANEL)
    limit = max(map(scale_limit, maps), default=_CLEAR)
    shown = [land, *(overlay(land, evidence, limit=limit) for evidence in maps)]
    gap = np.full((len(land), _GAP, 3), 138, np.uint8)
    pieces = [piece for panel in shown for piece in (panel, gap)][:-1]
    stream = io.BytesIO()
    PIL.Image.fromarray(np.concatenate(pieces, axis=1)).save(stream, "JPEG", quality=88, subsampling=0)
    return stream.getvalue()


def _enlarged(shown: RgbImage, side: int) -> RgbImage:
    """Bring a picture to `side` pixels without smoothing."""
    ratio = side / max(shown.shape[:2])
    size = (max(1, round(shown.shape[1] * ratio)), max(1, round(shown.shape[0] * ratio)))
    return np.asarray(PIL.Image.fromarray(shown).resize(size, PIL.Image.Resampling.NEAREST))


def evidence_key(what: str = "evidence, as a share of the largest in the row") -> Chart:
    """Draw the scale of the maps in their own colors, over gray land."""

    def draw(width: float) -> Canvas:
        canvas = Canvas(width)
        left, length, steps = 4.0, min(width, 460.0) - 8, 40
        canvas.text(left, 12, "against the class")
        canvas.text(left + length, 12, "for the class", anchor="end")
        for step in range(steps):
            share = 2 * (step + 0.5) / steps - 1
            red, green, blue, opacity = _colors(np.array(share)).tolist()
            mixed = [round(_LAND * (1 - opacity) + 255 * part * opacity) for part in (red, green, blue)]
            color = "#" + "".join(f"{part:02x}" for part in mixed)
            canvas.rectangle(left + length * step / steps, 20, length / steps + 0.5, 16, color, exact=True)
        for share, text in ((-1, "\u22121"), (-0.5, "\u22120.5"), (0, "0"), (0.5, "0.5"), (1, "1")):
            anchor = "start" if share == -1 else "end" if share == 1 else "middle"
            canvas.text(left + length * (share + 1) / 2, 51, text, anchor=anchor, look="quiet", size=SMALL)
        canvas.height = 56
        for text in wrapped(
            f"{what}; the black and white line encloses the tenth with the most evidence for", width - 8
        ):
            canvas.height += LINE
            canvas.text(left, canvas.height - 2, text, look="quiet")
        return canvas

    return chart("Color scale of the maps: blue against the class, clear for little evidence, red for the class", draw)


def evidence_tiles(
    pixels: npt.NDArray[Any],
    evidence: Evidence,
    *,
    bands: Sequence[str],
    truth: Sequence[str] | None = None,
    checks: Sequence[Faithfulness] | None = None,
) -> list[Image]:
    """Show images, each next to its own map, with the limit of its scale in words.

    Parameters
    ----------
    pixels : numpy.ndarray
        ``[N, bands, H, W]``, for example one image per class.
    evidence : Evidence
        Of these images, in the same order.
    bands : sequence of str
        One name per band.
    truth : sequence of str, optional
        The true class of each image; named where the model's answer is another.
    checks : sequence of Faithfulness, optional
        Of each map: its verdict is written under it.
    """
    tiles = []
    for i, image in enumerate(pixels):
        label, explained = written(evidence.labels[i], limit=48), written(evidence.explained[i], limit=48)
        wrong = truth is not None and truth[i] != evidence.labels[i]
        said = f"{label}, {100 * evidence.confidence[i]:.1f} %" + (f"; truth: {truth[i]}" if truth and wrong else "")
        scale = f"Map of {explained}, \u00b1{scale_limit(evidence.maps[i]):.3g}."
        verdict = ""
        if checks is not None:
            verdict = f" {'Holds' if checks[i].holds else 'FAILS'}: beats {checks[i].beaten} of {checks[i].of}."
        picture = panels(image, bands=bands, maps=[evidence.maps[i]])
        tiles.append(Image(picture, f"Patch and evidence for {explained}", f"{said}. {scale}{verdict}"))
    return tiles


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
    shown = _enlarged(shown, max(_PICTURE, *shown.shape[:2]))
    shape = min(max(shown.shape[0] / shown.shape[1], 1 / 6), 6.0)
    side_by_side = shape > 0.6
    panel = 3.6 if side_by_side else 7.2
    size = (2 * panel + 1.4, panel * shape + 1.0) if side_by_side else (panel + 1.4, 2 * panel * shape + 1.4)
    figure = Figure(figsize=(size[0], max(size[1], 2.6)), layout="compressed")
    axes = figure.subplots(1 if side_by_side else 2, 2 if side_by_side else 1, squeeze=False).ravel()

    limit = scale_limit(evidence.maps)
    axes[0].imshow(shown)
    axes[1].imshow(overlay(shown, evidence.maps[0], limit=limit))
    explained, label = written(evidence.explained[0]), written(evidence.labels[0])
    axes[0].set_title(written(name, limit=44), fontsize=9, loc="left", parse_math=False)
    axes[1].set_title(f"evidence for {explained}", fontsize=9, loc="left", parse_math=False)
    figure.suptitle(f"{label}, {100 * evidence.confidence[0]:.1f} %", fontsize=12, fontweight="bold", parse_math=False)
    grid_height, grid_width = evidence.maps.shape[1:]
    _color_bar(figure, axes[1], limit, f"{_UNITS[evidence.method]} {explained}")
    if check is not None:
        verdict = textwrap.fill(check.sentence, 46 if side_by_side else 92)
        axes[0].set_xlabel(verdict, fontsize=8, color=_HOLDS if check.holds else _FAILS)
    about = f"computed for {grid_height} x {grid_width} places, interpolated between; line: the top tenth"
    axes[1].set_xlabel(textwrap.fill(about, 52 if side_by_side else 100), fontsize=8)
    for axis in axes:
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
    return to_png(figure, dpi=120)


def scale_limit(maps: npt.NDArray[np.float32]) -> float:
    """Give the limit of the symmetric scale: the largest absolute value."""
    return max(float(np.abs(maps).max(initial=0.0)), _CLEAR)


def _color_bar(figure: Figure, axis: Axes, limit: float, unit: str) -> None:
    """The scale in the colors of the map over gray land."""
    colors = _colors(np.linspace(-1, 1, 255))
    over_land = _LAND / 255 * (1 - colors[:, 3:]) + colors[:, :3] * colors[:, 3:]
    scale = ScalarMappable(norm=Normalize(-limit, limit), cmap=ListedColormap(over_land, name="evidence"))
    places = [-limit, -limit / 2, 0, limit / 2, limit]
    bar = figure.colorbar(scale, ax=axis, fraction=0.05, aspect=28, ticks=places)
    bar.ax.set_yticklabels([f"{v:+.3g}" if v else "0" for v in places], fontsize=8)
    bar.outline.set_visible(False)
    bar.set_label(unit + "\n(red: for, blue: against)", fontsize=8, parse_math=False)


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
