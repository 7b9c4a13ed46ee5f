"""Which windows of a scene to label next: those that speak for many others, and more so where the model is unsure.

Windows are chosen one after the other: each time the one that adds most to the similarity of all windows to their
nearest chosen one (facility location: Wei, Iyer and Bilmes 2015, ICML), where a window counts the more, the less sure
the model is of it (margin: Scheffer et al. 2001). Those that it was taught from count as chosen already.
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
from swath.inference.rescale import Asked
from swath.mapping.pictures import draw_places, footprints
from swath.mapping.places import LabeledPlace, Places, write_places
from swath.mapping.strips import Strips
from swath.model.memory import taught_places
from swath.model.record import NONE, predicted_class
from swath.progress import Progress, silent
from swath.teaching.windows import cut_at, cut_windows, open_strips

Strategy = Literal["coverage", "random", "margin", "entropy", "k-center"]
MOST = 4000  # windows looked at, drawn from larger scenes
_SURE = 0.8  # what a window counts of which the model is sure; one of which it is not counts 1 more
_NEAR = 0.007  # of all pairs of windows are nearer than the width of the similarity
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
    strategy: Strategy = "coverage",
    like: Places | None = None,
    bands: tuple[int, ...] | None = None,
    rescale: Asked = "auto",
    nodata: float | None = None,
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
        A model file, or the name of a shipped one. Windows it was taught from are not proposed again, nor others that
        they speak for.
    scene : optional
        What :func:`swath.mapping.map_scene` takes.
    out : str or pathlib.Path
        GeoPackage to write: the empty column ``class``, the model's guess and confidence, and a picture.
    n : int
        How many.
    strategy : str
        ``"coverage"``, or one of the others to compare it with.
    like : Places, optional
        Propose the windows most similar to these, instead.
    bands, rescale, nodata
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
    with open_strips(scene, record.input, bands=bands, rescale=rescale, nodata=nodata) as opened:
        strips, _, decision = opened
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
        if taught.all():
            raise DataError(f"all {len(at)} windows were taught already", fix="take another scene")
        examples = None if like is None else cut_windows(strips, like, size=size, views=1, seed=seed).pixels[:, 0]
    found = _outputs(classifier, pixels, progress)
    features, probabilities = found["features"].astype(np.float64), found["probabilities"].astype(np.float64)
    said = predicted_class(record, probabilities)
    if examples is not None:
        scores = similarity(features, classifier.run(examples, wanted=("features",))["features"].astype(np.float64))
        chosen = _highest(scores, taught, n)
    else:
        scores = uncertainty(probabilities)
        chosen = choose(features, probabilities, n=n, strategy=strategy, taught=taught, seed=seed)
    names = record.class_names
    pictures = draw_places(
        scene,
        footprints(at[chosen], size=size, transform=strips.scene.transform, crs=middles.crs),
        around=_AROUND,
        needed=record.input.bands,
        of=record.input.file_bands,
        bands=bands,
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
    notes = [] if decision.warning is None else [decision.warning]
    if len(chosen) < n:
        notes.append(f"the scene has {len(chosen)} windows to label, not {n}")
    return Suggestions(files, places, int((~taught).sum()), dict(guesses.most_common()), tuple(notes))


def choose(
    features: Floats,
    probabilities: Floats,
    *,
    n: int,
    strategy: Strategy = "coverage",
    taught: npt.NDArray[np.bool_] | None = None,
    seed: int = 0,
) -> Ints:
    """Rows of windows to label, best first.

    Parameters
    ----------
    features, probabilities : numpy.ndarray
        ``[N, D]`` and ``[N, K]`` of windows.
    n : int
        How many, at most.
    strategy, seed
        As for :func:`suggest`.
    taught : numpy.ndarray, optional
        bool ``[N]``, windows that the model was taught from, which are not chosen again; none by default.
    """
    taught = np.zeros(len(features), bool) if taught is None else taught
    if strategy == "random":
        return np.random.default_rng(seed).permutation(np.flatnonzero(~taught))[:n]
    if strategy == "margin":
        return _highest(uncertainty(probabilities), taught, n)
    if strategy == "entropy":
        return _highest(-(probabilities * np.log(probabilities + 1e-12)).sum(axis=1), taught, n)
    distances = squared_distances(features)
    if strategy == "k-center":
        return _furthest(distances, taught, n)
    return greedy_coverage(distances, _SURE + uncertainty(probabilities), taught, n)


def greedy_coverage(distances: npt.NDArray[np.float32], weights: Floats, taught: npt.NDArray[np.bool_], n: int) -> Ints:
    """Greedy facility location: the sum over windows of weight times similarity to the nearest chosen one."""
    similar = np.sqrt(distances)
    some = np.arange(0, len(similar), 1 + len(similar) // 1000)
    pairs = similar[some][some[:, None] != np.arange(len(similar))]
    width = max(float(np.quantile(pairs, _NEAR)), float(pairs.mean()) * 1e-3, 1e-6) if len(pairs) else 1.0
    np.exp(np.divide(similar, -width, out=similar), out=similar)
    counted = weights.astype(np.float32)
    near = similar[:, taught].max(axis=1, initial=0)
    free = ~taught
    chosen: list[int] = []
    for _ in range(min(n, int(free.sum()))):
        gains = np.where(free, counted @ np.maximum(similar - near[:, None], 0), -1)
        best = int(gains.argmax())
        chosen.append(best)
        free[best] = False
        near = np.maximum(near, similar[:, best])
    return np.array(chosen, np.int64)


def _furthest(distances: npt.NDArray[np.float32], taught: npt.NDArray[np.bool_], n: int) -> Ints:
    """Each time the window furthest from those chosen (Sener and Savarese 2018, ICLR); the most central one first."""
    near = distances[:, taught].min(axis=1) if taught.any() else -distances.mean(axis=1)
    free = ~taught
    chosen: list[int] = []
    for _ in range(min(n, int(free.sum()))):
        best = int(np.where(free, near, -np.inf).argmax())
        near = np.minimum(near, distances[:, best]) if chosen or taught.any() else distances[:, best]
        chosen.append(best)
        free[best] = False
    return np.array(chosen, np.int64)


def _highest(scores: Floats, taught: npt.NDArray[np.bool_], n: int) -> Ints:
    return np.argsort(np.where(taught, np.inf, -scores), kind="stable")[: min(n, int((~taught).sum()))]


def squared_distances(features: Floats) -> npt.NDArray[np.float32]:
    """``[N, N]``, in half the memory: there may be :data:`MOST` windows."""
    values = (features - features.mean(axis=0)).astype(np.float32)
    lengths = (values**2).sum(axis=1)
    found: npt.NDArray[np.float32] = values @ values.T
    found *= -2
    found += lengths[:, None]
    found += lengths[None]
    np.fill_diagonal(found, 0)
    np.maximum(found, 0, out=found)
    return found


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
