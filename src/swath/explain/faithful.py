"""Does a map tell the truth? Take pixels away in its order, and watch the answer.

The deletion and insertion curves of Petsiuk, Das and Saenko 2018, "RISE: randomized input sampling for
explanation of black-box models" (BMVC), section 4.2. *Deletion* hides the pixels a map calls important
first: of a good map the probability falls early, so the area under its curve is small. *Insertion* shows
them first on a blurred picture: the probability rises early, and the area is large.

An area means little by itself, so each is held against two others made the same way: of maps of random
numbers on the same grid (as coarse as the map: single random pixels are another kind of damage, and would
flatter or shame any map), and of the distance from the center, which knows nothing but where
photographers point.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from swath.errors import SettingError
from swath.explain.cam import Evidence, upsample
from swath.explain.occlusion import Fill, canvas
from swath.imagery import resize
from swath.inference import Classifier

Heat = npt.NDArray[np.float32]

STEPS = 16
STEPS_ALONE = 8  # of one picture's verdict, which ranks twenty areas and needs no fine curve
DELETED: Fill = "training"
INSERTED: Fill = "blur"
RANDOM_MAPS = 19  # with 19 random maps, being among the best two of twenty has a chance of one in ten
BEATEN = 18
_BATCH = 128


@dataclass(frozen=True)
class Curves:
    """Probability of the explained class as pixels go or come, and the areas under it.

    Attributes
    ----------
    deletion, insertion : numpy.ndarray
        ``[N, S + 1]`` float32, from no pixel to all of them in S steps of equal size.
    """

    deletion: npt.NDArray[np.float32]
    insertion: npt.NDArray[np.float32]

    @property
    def deletion_area(self) -> npt.NDArray[np.float64]:
        """``[N]``, 0-1: lower is better."""
        return _area(self.deletion)

    @property
    def insertion_area(self) -> npt.NDArray[np.float64]:
        """``[N]``, 0-1: higher is better."""
        return _area(self.insertion)


@dataclass(frozen=True)
class Faithfulness:
    """What hiding pixels in the order of one picture's map did, beside random maps.

    Attributes
    ----------
    deletion : float
        Area under the map's deletion curve, 0-1.
    random : float
        Mean area of the random maps.
    beaten : int
        Random maps whose area is larger than the map's.
    of : int
        How many random maps there were.
    """

    deletion: float
    random: float
    beaten: int
    of: int

    @property
    def holds(self) -> bool:
        """Whether the map may be believed: it beats at least 18 of 19 random maps."""
        return self.beaten >= BEATEN / RANDOM_MAPS * self.of

    @property
    def sentence(self) -> str:
        """The verdict in plain words."""
        beats = f"{self.beaten} of {self.of} random maps"
        if self.holds:
            return f"map holds: hiding what it marks costs more than {beats}"
        least = math.ceil(BEATEN / RANDOM_MAPS * self.of)
        return f"MAP FAILS, do not read it: hiding what it marks costs more than only {beats}; {least} are needed"


def curves(
    classifier: Classifier,
    pixels: npt.NDArray[Any],
    heat: Heat,
    numbers: npt.NDArray[np.int64],
    *,
    steps: int = STEPS,
    deleted: Fill = DELETED,
    inserted: Fill = INSERTED,
) -> Curves:
    """Measure the deletion and insertion curves of maps.

    Parameters
    ----------
    classifier : Classifier
        The model the maps are about.
    pixels : numpy.ndarray
        ``[N, bands, H, W]`` uint8 or uint16, as decoded.
    heat : numpy.ndarray
        ``[N, H, W]``: the higher, the earlier a pixel goes. Equal ones go row by row.
    numbers : numpy.ndarray
        ``[N]`` int64, the explained class of each picture.
    steps : int
        Into how many equal parts the pixels are divided.
    deleted, inserted : str
        What stands where pixels are gone, and where they have not come yet; see :mod:`swath.explain.occlusion`.

    Raises
    ------
    SettingError
        If `steps` is not positive, or the maps have not the size of the pictures.
    """
    if steps < 1:
        raise SettingError(f"{steps} steps", fix="give 1 or more")
    gone = deletion(classifier, pixels, heat, numbers, steps=steps, fill=deleted)
    # Insertion is deletion told backwards on another canvas: what is shown first is what is hidden last.
    come = deletion(classifier, pixels, -heat, numbers, steps=steps, fill=inserted)[:, ::-1]
    return Curves(gone, come)


def deletion(
    classifier: Classifier,
    pixels: npt.NDArray[Any],
    heat: Heat,
    numbers: npt.NDArray[np.int64],
    *,
    steps: int = STEPS,
    fill: Fill = DELETED,
) -> npt.NDArray[np.float32]:
    """Probability of each picture's class ``[N, steps + 1]`` as its pixels are hidden, hottest first."""
    n, _, height, width = pixels.shape
    if heat.shape != (n, height, width):
        raise SettingError(
            f"maps have shape {heat.shape}, pictures {pixels.shape}",
            fix="bring the maps to the pictures' size",
        )
    found = np.zeros((n, steps + 1), np.float32)
    cuts = np.linspace(0, height * width, steps + 1).round()
    for start in range(0, n, _BATCH):
        part = slice(start, start + _BATCH)
        seen = pixels[part]
        hidden = canvas(seen, fill, classifier.record.input)
        order = np.argsort(-heat[part].reshape(len(seen), -1), axis=1, kind="stable")
        rank = np.empty_like(order)
        np.put_along_axis(rank, order, np.arange(order.shape[1])[None], axis=1)
        rank = rank.reshape(len(seen), 1, height, width)
        for step, cut in enumerate(cuts):
            answers = classifier.run(np.where(rank < cut, hidden, seen))["probabilities"]
            found[part, step] = answers[np.arange(len(seen)), numbers[part]]
    return found


def random_heat(n: int, grid: tuple[int, int], size: tuple[int, int], *, seed: int) -> Heat:
    """Maps ``[n, *size]`` of independent random numbers on a grid, interpolated as maps are."""
    drawn = np.random.default_rng(seed).normal(size=(n, *grid)).astype(np.float32)
    return upsample(drawn, height=size[0], width=size[1])


def center_heat(n: int, size: tuple[int, int]) -> Heat:
    """Maps ``[n, *size]`` that are hottest in the center, by distance in shares of the sides."""
    rows, columns = ((np.arange(side) + 0.5) / side - 0.5 for side in size)
    one = -np.hypot(rows[:, None], columns[None, :]).astype(np.float32)
    return np.broadcast_to(one, (n, *size))


def faithfulness(
    classifier: Classifier, pixels: npt.NDArray[Any], evidence: Evidence, *, seed: int = 0
) -> tuple[Faithfulness, ...]:
    """Hold the map of every picture against random maps, one by one.

    Parameters
    ----------
    classifier : Classifier
        The model the maps are about.
    pixels : numpy.ndarray
        ``[N, bands, H, W]``, the pictures.
    evidence : Evidence
        Their maps.
    seed : int
        Seed of the random maps.

    Returns
    -------
    tuple of Faithfulness
        One a picture.
    """
    side = classifier.size
    small = resize(
        pixels, side
    )  # as the model's own graph does first, and twenty large ones need not be held
    grid = (evidence.maps.shape[1], evidence.maps.shape[2])
    names = classifier.record.class_names
    own = upsample(evidence.maps, height=side, width=side)
    random = random_heat(RANDOM_MAPS, grid, (side, side), seed=seed)
    found = []
    for i, name in enumerate(evidence.explained):
        heat = np.concatenate([own[i : i + 1], random])
        numbers = np.full(len(heat), names.index(name))
        twenty = np.repeat(small[i : i + 1], len(heat), axis=0)
        area = _area(deletion(classifier, twenty, heat, numbers, steps=STEPS_ALONE))
        beaten = int((area[0] < area[1:]).sum())
        found.append(Faithfulness(float(area[0]), float(area[1:].mean()), beaten, RANDOM_MAPS))
    return tuple(found)


def _area(curve: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Area under curves ``[N, S + 1]`` over shares 0-1, by the trapezium rule."""
    values = curve.astype(np.float64)
    return np.asarray((values[:, :-1] + values[:, 1:]).mean(axis=1) / 2)
