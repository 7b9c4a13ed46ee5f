"""A training run before its first epoch: what belongs together, its patches as numbers, and its initial network.

:class:`TrainingRun` is what every later step reads. :func:`decode_patches` turns the splits of an index into arrays,
and :func:`initialize_network` builds the recipe's network and loads its weights, or takes the user's own module.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from lightning_fabric import Fabric
from lightning_fabric.utilities.exceptions import MisconfigurationException
from torch import nn

from swath.data import PatchIndex, cached_pixels
from swath.data.rows import unnamed_bands
from swath.errors import DataError, SettingError
from swath.imagery import RGB
from swath.imagery.rgb import BandError
from swath.networks import KerasNetwork, build_network, custom_network, smallest_patch, takes_one_size
from swath.progress import Progress, silent
from swath.training.batches import Normalization, Patches
from swath.training.budget import Budget
from swath.training.export import check_exportable
from swath.training.recipe import Freezing, Recipe
from swath.training.targets import Targets
from swath.weights import WeightFacts, check_expectation, load_weights, weights_fingerprint

_log = logging.getLogger("swath")
_BANDS_OPTION = "name the bands to train on by their numbers, such as --set 'bands=[band_1, band_2, band_3]'"
# Some parameters get no gradient while the backbone is frozen, and plain DDP waits for all of them.
_DDP_FROZEN = "ddp_find_unused_parameters_true"


@dataclass(frozen=True)
class TrainingRun:
    """One training: of what, by which recipe, where.

    Attributes
    ----------
    recipe : Recipe
        With its precision resolved.
    targets : Targets
        Task and classes.
    train, val : Patches
        Decoded, N and M patches.
    folder : pathlib.Path
        Where the checkpoint and the results are written.
    identity : str
        Hash of recipe and patches; a checkpoint of another run is refused.
    fabric : lightning_fabric.Fabric
        Accelerator, devices and precision; launched.
    module : torch.nn.Module, optional
        The user's own network, in place of the recipe's.
    cache : pathlib.Path, optional
        Folder for decoded patches and features.
    require_redistributable : bool
        Refuse to start from weights whose license does not let the model be passed on.
    budget : Budget, optional
        Time it may take.
    clock : callable
        Seconds, for the history.
    progress : Progress
        Called with stages ``"features"``, ``"training"`` and ``"exporting"``.
    """

    recipe: Recipe
    targets: Targets
    train: Patches
    val: Patches
    folder: Path
    identity: str
    fabric: Fabric
    module: nn.Module | None = None
    cache: Path | None = None
    require_redistributable: bool = False
    budget: Budget | None = None
    clock: Callable[[], float] = time.perf_counter
    progress: Progress = silent


def decode_patches(
    parts: dict[str, PatchIndex], recipe: Recipe, targets: Targets, *, cache: Path | None, progress: Progress
) -> tuple[Patches, Patches]:
    """Pixels and targets of the train and val parts.

    Raises
    ------
    DataError
        If train and val patches differ in size or type.
    SettingError
        If the recipe draws patches otherwise that are not 8-bit pictures in color.
    """
    try:
        train, val = (
            Patches(
                cached_pixels(parts[split], bands=recipe.bands, size=recipe.size, cache=cache, progress=progress),
                targets.of(parts[split]),
            )
            for split in ("train", "val")
        )
    except BandError as error:
        unnamed = unnamed_bands(parts["train"])
        fix = error.fix if unnamed is None else f"{_BANDS_OPTION}, or name them in the files (band descriptions)"
        raise DataError(error.problem, fix=fix) from error
    if (train.pixels.shape[1:], train.pixels.dtype) != (val.pixels.shape[1:], val.pixels.dtype):
        raise DataError("train and val patches differ in size or type", fix="give --set size=64, or the size you want")
    if recipe.augmentation.rendering and (recipe.bands != RGB or train.pixels.dtype != np.uint8):
        raise SettingError(
            "augmentation.rendering draws 8-bit pictures of red, green and blue, and these patches are others",
            fix="give --set augmentation.rendering=0",
        )
    return train, val


def _check_sizes(size: int, recipe: Recipe) -> None:
    """Patches and crops are large enough for the recipe's network."""
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


@dataclass(frozen=True)
class InitialNetwork:
    """A network and what its input needs.

    Attributes
    ----------
    network : torch.nn.Module
        Maps normalized patches to :class:`swath.networks.Outputs`.
    normalization : Normalization
        That of the training patches, or the one the loaded weights were trained with.
    facts : WeightFacts or None
        What was loaded.
    """

    network: nn.Module
    normalization: Normalization
    facts: WeightFacts | None


def initialize_network(run: TrainingRun) -> InitialNetwork:
    """Build the recipe's network, seeded, and load its weights; or take the user's module and check it.

    Raises
    ------
    SwathError
        If patches or crops are too small for the network, the weights are not available, do not fit the network or
        expect another input, or the module does not take these patches or cannot be exported.
    """
    recipe, pixels = run.recipe, run.train.pixels
    bands, size, outputs = pixels.shape[1], pixels.shape[-1], run.targets.logits
    torch.manual_seed(recipe.seed)
    if run.module is not None:
        own = custom_network(
            run.module,
            bands=bands,
            size=size,
            crop=recipe.augmentation.crop,
            outputs=outputs,
            needs_bias=run.targets.task != "single-label",
        )
        if isinstance(own, KerasNetwork) and recipe.optimizer.name == "muon":
            raise SettingError(
                "muon takes filters as torch lays them out, and Keras has another layout",
                fix="choose another optimizer, for example load_recipe(..., optimizer={'name': 'adamw', 'lr': 0.001})",
            )
        check_exportable(own, bands=bands, size=size)
        return InitialNetwork(own, Normalization.of(pixels), None)
    _check_sizes(size, recipe)
    network = build_network(recipe.network, bands=bands, outputs=outputs, size=size).to(
        memory_format=torch.channels_last
    )
    measured = Normalization.of(pixels)
    if recipe.weights == "none":
        if recipe.freeze != Freezing():
            _log.warning(
                "the recipe freezes the backbone or slows it down, and its weights are random: "
                "give --weights, or --set 'freeze={}'"
            )
        return InitialNetwork(network, measured, None)
    facts = load_weights(
        network,
        recipe.weights,
        network_name=recipe.network.name,
        bands=recipe.bands,
        classes=run.targets.classes,
        progress=run.progress,
    )
    if run.require_redistributable:
        facts.check_redistributable()
    if facts.warning is not None:
        _log.warning(facts.warning)
    if facts.expects is None:
        _log.warning("%s does not say what input it expects: that of the training patches is used", facts.source)
        return InitialNetwork(network, measured, facts)
    check_expectation(
        facts.expects,
        bands=recipe.bands,
        data_type=pixels.dtype.name,
        largest=float(max(pixels[start : start + 1024].max() for start in range(0, len(pixels), 1024))),
        channel_mean=tuple(float(v) for v in measured.mean),
        source=facts.source,
    )
    mean, sd = (np.asarray(v, np.float32) for v in facts.expects.normalization(recipe.bands))
    return InitialNetwork(network, Normalization(mean, sd), facts)


def identity_of(recipe: Recipe, *others: str) -> str:
    """SHA-256 of what a run is of: the recipe but for its name, the weights it starts from, and `others`."""
    fields = recipe.model_dump(mode="json", exclude={"name", "about"})
    text = json.dumps([fields, weights_fingerprint(recipe.weights), *others], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def has_bf16(accelerator: str = "auto") -> bool:
    """Whether the training's hardware multiplies bf16 matrices."""
    if accelerator != "cpu" and torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported())
    able = torch.cpu.get_capabilities()
    return bool(able.get("avx512_bf16") or able.get("amx_bf16"))


def resolved(recipe: Recipe, *, accelerator: str = "auto") -> Recipe:
    """The recipe with the precision it will run in: ``auto`` is bf16 where the hardware has it."""
    if recipe.precision != "auto":
        return recipe
    return recipe.model_copy(update={"precision": "bf16" if has_bf16(accelerator) else "fp32"})


def make_fabric(recipe: Recipe, *, accelerator: str = "auto", devices: int | str = 1) -> Fabric:
    """Fabric with the recipe's precision; see :func:`resolved`.

    Raises
    ------
    SettingError
        If this machine has no such accelerator, or not as many.
    """
    bf16 = resolved(recipe, accelerator=accelerator).precision == "bf16"
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # its notes would break the bars
    try:
        return Fabric(
            accelerator=accelerator,
            devices=devices,
            precision="bf16-mixed" if bf16 else "32-true",
            strategy="auto" if recipe.freeze == Freezing() or devices in (1, "1") else _DDP_FROZEN,
        )
    except (ValueError, RuntimeError, MisconfigurationException) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise SettingError(
            f"cannot train on accelerator '{accelerator}', devices {devices} ({reason})",
            fix="use --accelerator auto --devices 1",
        ) from error


@contextlib.contextmanager
def torch_settings(threads: int) -> Iterator[None]:
    """Set torch's threads and determinism, and restore everything afterwards, the random generators too."""
    before = torch.get_num_threads()
    strict, warn = (torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled())
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        with torch.random.fork_rng():
            yield
    finally:
        torch.set_num_threads(before)
        torch.use_deterministic_algorithms(strict, warn_only=warn)
