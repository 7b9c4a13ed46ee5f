"""Plant wrong labels, to measure how many of them a list of suspects finds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace as with_fields

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from swath.data import SCHEMA, PatchIndex
from swath.errors import SettingError


def plant_flips(
    index: PatchIndex, *, share: float = 0.05, towards: Mapping[str, str] | None = None, seed: int = 0
) -> tuple[PatchIndex, npt.NDArray[np.int64]]:
    """Give a share of the patches a wrong label.

    Parameters
    ----------
    index : PatchIndex
        N patches with one label each, taken as right.
    share : float
        Of all patches.
    towards : mapping of str to str, optional
        Class-dependent noise: only patches of these classes are flipped, each to the class it is mapped to. By
        default the noise is symmetric: any patch, any other class.
    seed : int
        Another seed flips others.

    Returns
    -------
    tuple of PatchIndex and numpy.ndarray
        The same patches, and the rows with a wrong label ``[M]`` int64, ascending.

    Raises
    ------
    SettingError
        If a class is unknown or mapped to itself, or fewer patches can be flipped than are asked for.
    """
    classes = index.classes
    for name, other in (towards or {}).items():
        if name == other or not {name, other} <= set(classes):
            raise SettingError(f"cannot flip '{name}' to '{other}'", fix=f"the classes: {', '.join(classes)}")
    labels = list(index.labels)
    able = [row for row, label in enumerate(labels) if towards is None or label in towards]
    wanted = round(share * len(labels))
    if len(classes) < 2 or not 0 < wanted <= len(able):
        raise SettingError(f"cannot flip {wanted} of {len(able)} labels", fix="choose another share")
    random = np.random.default_rng(seed)
    flipped = np.sort(random.choice(np.array(able), wanted, replace=False)).astype(np.int64)
    for row in flipped.tolist():
        others = [name for name in classes if name != labels[row]]
        drawn = others[int(random.integers(len(others)))]
        labels[row] = drawn if towards is None else towards[labels[row]]
    place, field = SCHEMA.get_field_index("label"), SCHEMA.field("label")
    table = index.table.set_column(place, field, pa.array(labels, field.type))
    return with_fields(index, table=table), flipped
