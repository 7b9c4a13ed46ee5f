"""What a run takes from an index: its train and val patches, checked against each other and the recipe."""

from __future__ import annotations

from pathlib import Path

from swath.data import PatchIndex, cached_pixels
from swath.errors import DataError, SettingError
from swath.networks import smallest_patch, takes_one_size
from swath.progress import Progress
from swath.training.batches import Patches
from swath.training.recipe import Recipe
from swath.training.targets import Targets


def training_parts(index: PatchIndex) -> dict[str, PatchIndex]:
    """The train and val parts, each with every class in it.

    Raises
    ------
    DataError
        If a split is missing, or a class has no patch in it.
    """
    if len(index.classes) < 2:
        raise DataError("the index has one class only", fix="add patches of another class")
    parts = {split: index.where(split) for split in ("train", "val")}
    for split, part in parts.items():
        missing = sorted(set(index.classes) - set(part.classes))
        if missing:
            raise DataError(
                f"the {split} split has no patch of {', '.join(missing)}",
                fix="make splits with: swath data split",
            )
    return parts


def decoded(
    parts: dict[str, PatchIndex],
    recipe: Recipe,
    targets: Targets,
    *,
    cache: Path | None,
    progress: Progress,
) -> dict[str, Patches]:
    """Pixels and targets of each part.

    Raises
    ------
    DataError
        If train and val patches differ in size or type.
    SettingError
        If they, or the recipe's crops, are too small for its network.
    """
    patches = {}
    for split, part in parts.items():
        pixels = cached_pixels(part, bands=recipe.bands, size=recipe.size, cache=cache, progress=progress)
        patches[split] = Patches(pixels, targets.of(part))
    one, other = patches["train"].pixels, patches["val"].pixels
    if (one.shape[1:], one.dtype) != (other.shape[1:], other.dtype):
        raise DataError(
            "train and val patches differ in size or type", fix="give --set size=64, or the size you want"
        )
    _check_sizes(one.shape[-1], recipe)
    return patches


def _check_sizes(size: int, recipe: Recipe) -> None:
    """Patches and crops are large enough for the network."""
    least, crop = smallest_patch(recipe.network), recipe.augmentation.crop
    if crop is not None and crop < least <= size:
        raise SettingError(
            f"crops of {crop} px are too small for this network, which needs {least}",
            fix=f"give --set augmentation.crop={least} or more",
        )
    if crop is not None and crop < size and takes_one_size(recipe.network):
        raise SettingError(
            f"the network {recipe.network.name} takes patches of one size, so no crops",
            fix="give --set augmentation.crop=null",
        )
    if size < least:
        raise SettingError(
            f"patches of {size} px are too small for the network {recipe.network.name}, which needs {least}",
            fix=f"give --set size={max(least, 16)}, or a network with fewer stages",
        )
