"""The ways to cut an index: at random, by blocks on the globe, by scenes; once or in folds."""

from __future__ import annotations

from dataclasses import replace as with_fields
from typing import Literal, get_args

import pyarrow as pa

from swath.data.duplicates import group_duplicates
from swath.data.folds import fold_index
from swath.data.index import SCHEMA, PatchIndex
from swath.data.spatial import BLOCKS_WHOLE, check_groups, group_blocks, optimism
from swath.data.splits import GROUPS_WHOLE, split_index
from swath.errors import SettingError
from swath.progress import Progress, silent

By = Literal["random", "block", "group"]
BLOCK_KM = 10.0


def cut_index(
    index: PatchIndex,
    *,
    by: str = "random",
    block_km: float = BLOCK_KM,
    folds: int | None = None,
    fold: int = 0,
    val: float = 0.2,
    test: float = 0.2,
    seed: int = 0,
    keep: bool = True,
) -> PatchIndex:
    """Cut an index into train, val and test; groups, such as near duplicates, stay whole in every way.

    Parameters
    ----------
    index : PatchIndex
        Its groups stay as they are.
    by : str
        ``random``: groups and single patches are shared out. ``block``: patches of one block on the globe
        go together. ``group``: the same as random, but every patch must be in a group, such as its scene.
    block_km : float
        Side of a block, kilometres; used by ``block`` alone.
    folds : int, optional
        Make this many folds and test one of them; `test` and `keep` are not used then.
    fold : int
        Which fold, from 0.
    val, test, seed, keep
        As :func:`swath.data.split_index`.

    Returns
    -------
    PatchIndex
        Its ``split_protocol`` says all of this, and ``optimistic`` of a random cut whose held-out patches
        lie among training patches; see :func:`swath.data.spatial.optimism`.

    Raises
    ------
    SettingError, DataError
        If `by` is none of these, the index lacks what it needs, or as :func:`swath.data.split_index`.
    """
    if by not in get_args(By):
        raise SettingError(
            f"there is no way to split by '{by}'", fix=f"choose --by from {', '.join(get_args(By))}"
        )
    if fold and folds is None:
        raise SettingError(f"fold {fold} of no folds", fix="say how many there are, for example --folds 5")
    if by == "group":
        check_groups(index)
    whole = group_blocks(index, km=block_km) if by == "block" else index
    if folds is not None:
        made = fold_index(whole, folds=folds, fold=fold, val=val, seed=seed)
    else:
        made = split_index(whole, val=val, test=test, seed=seed, keep=keep)
    if made.table["split"].equals(index.table["split"]):
        return labelled(index) if by == "random" else index  # nothing was cut, so nothing is said of how
    place = SCHEMA.get_field_index("split")
    table = index.table.set_column(place, SCHEMA.field("split"), made.table["split"])
    protocol = made.split_protocol
    if by == "block":
        protocol = protocol.replace(GROUPS_WHOLE, f"blocks of {block_km:g} {BLOCKS_WHOLE}")
    cut = with_fields(index, table=table, split_protocol=protocol)
    return labelled(cut) if by == "random" else cut


def cut_val(index: PatchIndex, *, val: float, seed: int = 0, progress: Progress = silent) -> PatchIndex:
    """Cut a val split from the train split alone, by class and with near duplicates kept together.

    For published train and test lists: copies that lie on both of them stay where they are.

    Parameters
    ----------
    index : PatchIndex
        With a train split and no val split.
    val : float
        Share of each class of the train split, above 0 to below 1.
    seed : int
        Another seed gives another split.
    progress : Progress
        Told of the search for duplicates.

    Raises
    ------
    SettingError
        If `index` has a val split, or the share is out of range.
    DataError
        If there is no train split, or too few groups of a class in it.
    """
    if index.split_counts.get("val"):
        raise SettingError("there is a val split already", fix="leave --val or the list of val patches out")
    if not val > 0:
        raise SettingError(f"val {val} is no share to cut", fix="give --val 0.1, say")
    train = group_duplicates(index.where("train"), progress=progress)
    cut = iter(split_index(train, val=val, test=0, seed=seed, keep=False).table["split"].to_pylist())
    splits = [next(cut) if split == "train" else split for split in index.table["split"].to_pylist()]
    place = SCHEMA.get_field_index("split")
    table = index.table.set_column(place, SCHEMA.field("split"), pa.array(splits, SCHEMA.field("split").type))
    how = f"val cut from train ({100 * val:g} % of each class, {GROUPS_WHOLE}, seed {seed})"
    return with_fields(index, table=table, split_protocol=f"{index.split_protocol or 'as given'}; {how}")


def labelled(index: PatchIndex) -> PatchIndex:
    """Add to the protocol of a split that looked at no places why its tests will flatter, if they will."""
    why = optimism(index)
    if not why or why in index.split_protocol:
        return index
    return with_fields(index, split_protocol=f"{index.split_protocol}; {why}")
