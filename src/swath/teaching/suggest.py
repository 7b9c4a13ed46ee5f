"""Which windows of a scene to label next: where the model is unsure, spread over the scene and over what it calls it.

Windows are chosen one after the other: each time the one whose features lie furthest from those chosen so far
(k-center: Sener and Savarese 2018, ICLR), weighted by how unsure the model is of it (margin: Scheffer et al. 2001)
and by how often its class was chosen already.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from swath.errors import DataError, ModelFileError, SettingError
from swath.files import check_output
from swath.inference import load
from swath.inference.choice import AUTO
from swath.inference.color_match import Mode
from swath.mapping.pictures import draw_places, footprints
from swath.mapping.places import LabeledPlace, Places, write_places
from swath.mapping.strips import Strips
from swath.model.memory import taught_places
from swath.model.record import NONE, predicted_class
from swath.progress import Progress, silent
from swath.teaching.windows import cut_at, cut_windows, open_strips

Strategy = Literal["mixed", "random", "margin", "entropy", "k-center"]
MOST = 4000  # windows looked at, drawn from larger scenes
_SURE = 0.5  # what a window counts of which the model is sure
_LEAST_DATA = 0.5
_AROUND = 2  # side of a picture in sides of the window
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Suggestions:
    """Windows to label.

    Attributes
    ----------
    files : tuple of Path
        GeoPackage, and the style with which QGIS offers the classes.
    places : Places
        Their middles, without classes, best first.
    looked_at : int
        Windows they were chosen from.
    guesses : dict of str to int
        What the model calls them.
    notes : tuple of str
        What was decided.
    """

    files: tuple[Path, ...]
    places: Places
    looked_at: int
    guesses: dict[str, int]
    notes: tuple[str, ...]


def suggest(
    model: str | Path,
    scene: Any,
    *,
    out: str | Path,
    n: int = 20,
    strategy: Strategy = "mixed",
    like: Places | None = None,
    bands: tuple[int, ...] | None = None,
    rescale: tuple[float, float] | None = None,
    nodata: float | None = None,
    match_colors: Mode = "auto",
    seed: int = 0,
    engine: str = AUTO,
    threads: int | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
) -> Suggestions:
    """Write the places of a scene whose labels would teach a model most, for people to fill in.

    Parameters
    ----------
    model : str or pathlib.Path
        A model file, or the name of a shipped one. Places it was taught from are not proposed again.
    scene : optional
        What :func:`swath.mapping.map_scene` takes.
    out : str or pathlib.Path
        GeoPackage to write: the empty column ``class``, the model's guess and confidence, and a picture.
    n : int
        How many.
    strategy : str
        ``"mixed"``, or one of the others to compare it with.
    like : Places, optional
        Propose the windows most similar to these, instead.
    bands, rescale, nodata, match_colors
        As for :func:`swath.mapping.map_scene`.
    seed : int
        Of what is drawn.
    engine, threads
        As for :func:`swath.load`.
    overwrite : bool
        Replace files that exist.
    progress : Progress
        Called with stages ``"windows"`` and ``"features"``.

    Raises
    ------
    SettingError
        If an option does not fit.
    DataError
        If the scene cannot be used.
    ModelFileError
        If the model has no features.
    OutputError
        If `out` exists without `overwrite` or cannot be written.
    """
    out = Path(out)
    if n < 1:
        raise SettingError(f"{n} places to suggest", fix="give --n a number above 0")
    if strategy not in get_args(Strategy):
        raise SettingError(f"there is no strategy '{strategy}'", fix=f"use one of {', '.join(get_args(Strategy))}")
    if out.suffix.lower() != ".gpkg":
        raise SettingError(f"places are written as GeoPackage, not as {out.name}", fix="end the name in .gpkg")
    for path in (out, out.with_suffix(".qml")):
        check_output(path, overwrite=overwrite)
    classifier = load(model, engine=engine, threads=threads)
    record = classifier.record
    if "features" not in classifier.outputs:
        raise ModelFileError(
            f"model '{record.name}' has no features, by which places are told apart", fix="use another"
        )
    size = record.input.size
    with open_strips(scene, record.input, bands=bands, rescale=rescale, nodata=nodata, match_colors=match_colors) as (
        strips,
        _,
        match,
    ):
        if not strips.scene.crs:
            raise DataError(
                f"{strips.scene.name} has no coordinate reference system, so places in it cannot be written",
                fix=f"give it one, for example with: rio edit-info --crs EPSG:32632 {strips.scene.name}",
            )
        at = _grid(strips, size, seed)
        pixels, share = cut_at(strips, at, size=size, views=1, seed=seed, progress=progress)
        kept = share >= _LEAST_DATA
        at, pixels = at[kept], pixels[kept, 0]
        if not len(at):
            raise DataError(f"{strips.scene.name} has no window with data", fix="give a scene with data")
        middles = _middles(strips, at)
        taught = taught_places(record.taught, middles.lonlat)
        at, pixels = at[~taught], pixels[~taught]
        middles = Places(tuple(row for row, old in zip(middles.rows, taught, strict=True) if not old), middles.crs, "")
        examples = None if like is None else cut_windows(strips, like, size=size, views=1, seed=seed).pixels[:, 0]
    if not len(at):
        raise DataError(f"all {int(taught.sum())} windows were taught already", fix="take another scene")
    found = _outputs(classifier, pixels, progress)
    features, probabilities = found["features"].astype(np.float64), found["probabilities"].astype(np.float64)
    said = predicted_class(record, probabilities)
    if examples is not None:
        near = similarity(features, classifier.run(examples, wanted=("features",))["features"].astype(np.float64))
        chosen, scores = np.argsort(-near, kind="stable")[:n], near
    else:
        chosen = choose(features, probabilities, said, n=n, strategy=strategy, seed=seed)
        scores = uncertainty(probabilities)
    names = record.class_names
    pictures = draw_places(
        scene,
        footprints(at[chosen], size=size, transform=strips.scene.transform, crs=middles.crs),
        around=_AROUND,
        needed=record.input.bands,
        of=record.input.file_bands,
        bands=bands,
        rescale=rescale,
        nodata=nodata,
        progress=progress,
    )
    rows = tuple(
        LabeledPlace(
            middles.rows[k].geometry,
            None,
            f"window {k}",
            {
                "rank": rank,
                "guess": None if said[k] == NONE else names[said[k]],
                "confidence": round(float(probabilities[k].max()), 4),
                "similarity" if examples is not None else "uncertainty": round(float(scores[k]), 4),
                "picture": pictures[rank - 1],
            },
        )
        for rank, k in enumerate(chosen.tolist(), start=1)
    )
    places = Places(rows, middles.crs, out.name, "class")
    files = write_places(out, places, classes={c.name: c.color_hint for c in record.classes}, overwrite=overwrite)
    guesses = Counter("none" if said[k] == NONE else names[said[k]] for k in chosen.tolist())
    notes = [] if match.warning is None else [match.warning]
    if len(chosen) < n:
        notes.append(f"the scene has {len(chosen)} windows to label, not {n}")
    return Suggestions(files, places, len(at), dict(guesses.most_common()), tuple(notes))


def choose(
    features: Floats, probabilities: Floats, said: Ints, *, n: int, strategy: Strategy = "mixed", seed: int = 0
) -> Ints:
    """Rows of windows to label, best first.

    Parameters
    ----------
    features, probabilities : numpy.ndarray
        ``[N, D]`` and ``[N, K]`` of windows.
    said : numpy.ndarray
        int64 ``[N]``, the class of each by the model.
    n : int
        How many, at most.
    strategy, seed
        As for :func:`suggest`.
    """
    count = min(n, len(features))
    if strategy == "random":
        return np.random.default_rng(seed).permutation(len(features))[:count]
    unsure = uncertainty(probabilities)
    if strategy == "margin":
        return np.argsort(-unsure, kind="stable")[:count]
    if strategy == "entropy":
        entropy = -(probabilities * np.log(probabilities + 1e-12)).sum(axis=1)
        return np.argsort(-entropy, kind="stable")[:count]
    mixed = strategy == "mixed"
    numbers = np.unique(said, return_inverse=True)[1]
    turns = np.zeros(int(numbers.max()) + 1)
    # The first is the most usual one, of those that are unsure: an odd window says little of the scene.
    first = ((features - features.mean(axis=0)) ** 2).sum(axis=1)
    scores = (_SURE + unsure) / (1e-9 + np.sqrt(first)) if mixed else -first
    near, chosen = np.full(len(features), np.inf), []
    for _ in range(count):
        best = int(scores.argmax())
        chosen.append(best)
        turns[numbers[best]] += 1
        near = np.minimum(near, ((features - features[best]) ** 2).sum(axis=1))
        scores = np.sqrt(near)
        if mixed:
            scores = scores * (_SURE + unsure) / np.sqrt(1 + turns[numbers])
        scores[chosen] = -1
    return np.array(chosen, np.int64)


def uncertainty(probabilities: Floats) -> Floats:
    """One minus the distance of the two largest probabilities ``[N, K]``."""
    top = np.sort(probabilities, axis=1)
    return np.asarray(1 - (top[:, -1] - top[:, -2]))


def similarity(features: Floats, examples: Floats) -> Floats:
    """Largest cosine of the angle between features ``[N, D]`` and examples ``[M, D]``, both from the scene's mean."""
    center = features.mean(axis=0)
    one, other = (
        (values - center) / np.maximum(np.linalg.norm(values - center, axis=1, keepdims=True), 1e-12)
        for values in (features, examples)
    )
    return np.asarray((one @ other.T).max(axis=1))


def _grid(strips: Strips, size: int, seed: int) -> Floats:
    """Rows and columns of the middles of windows next to each other, :data:`MOST` at most."""
    scene = strips.scene
    axes = [np.arange(max(1, length // size)) * size + min(size, length) / 2 for length in (scene.height, scene.width)]
    at = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)
    if len(at) <= MOST:
        return at
    return at[np.sort(np.random.default_rng(seed).permutation(len(at))[:MOST])]


def _middles(strips: Strips, at: Floats) -> Places:
    a, b, c, d, e, f = tuple(strips.scene.transform)[:6]
    rows = tuple(
        LabeledPlace({"type": "Point", "coordinates": [a * x + b * y + c, d * x + e * y + f]}, None, "")
        for y, x in at.tolist()
    )
    return Places(rows, strips.scene.crs, strips.scene.name)


def _outputs(classifier: Any, pixels: npt.NDArray[Any], progress: Progress) -> dict[str, npt.NDArray[Any]]:
    parts, step = [], 256
    for start in range(0, len(pixels), step):
        part = np.ascontiguousarray(pixels[start : start + step])
        parts.append(classifier.run(part, wanted=("features", "probabilities")))
        progress("features", min(start + step, len(pixels)), len(pixels))
    return {name: np.concatenate([part[name] for part in parts]) for name in ("features", "probabilities")}
