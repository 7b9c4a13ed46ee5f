"""The experiments by name: the question, and the variants that are compared."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from swath.errors import SettingError
from swath.experiments.variants import Variant
from swath.experiments.views import SENSORS, view_names
from swath.training import load_recipe

ExperimentName = Literal[
    "scratch-vs-transfer",
    "learning-curve",
    "input-size",
    "preprocessing",
    "sensor-shift",
    "high-resolution-first",
    "upsampling",
]
FRACTIONS = (0.01, 0.05, 0.10, 0.25, 0.50, 1.0)
SIZES = (32, 64, 96, 128, 224)
SENSOR_STRENGTH = 0.7  # of the augmentation, where it is on


# Fields that an experiment sets in its variants' recipes, and users may not.
_OWN = {
    "scratch-vs-transfer": ("weights",),
    "high-resolution-first": ("weights",),
    "input-size": ("size", "weights"),
    "sensor-shift": ("augmentation.sensor_shift",),
}


@dataclass(frozen=True)
class Experiment:
    """A question and its variants.

    Attributes
    ----------
    name : str
        On the command line.
    question : str
        What the variants are compared for.
    variants : tuple of Variant
        In the order they are run; a variant that another refers to comes first.
    across : str
        What the x axis of the picture shows: the ``fraction`` of the labels, or the ``variant`` alone.
    """

    name: str
    question: str
    variants: tuple[Variant, ...]
    across: str = "variant"


@dataclass(frozen=True)
class ExperimentSettings:
    """Options of an experiment.

    Attributes
    ----------
    scratch, transfer : str
        Recipes that train from scratch and from other weights.
    fractions : sequence of float, optional
        Shares of the labels: by default six from 1 % on where the question is about them, and all labels elsewhere,
        where only one can be given.
    sizes : sequence of int
        Patch sides.
    changes : sequence of str
        ``field=value``, for every variant.
    weights : str, optional
        What variants with the transfer recipe start from, instead of what the recipe says.
    """

    scratch: str = "fast"
    transfer: str = "mobilenetv2-finetune"
    fractions: Sequence[float] | None = None
    sizes: Sequence[int] = SIZES
    changes: Sequence[str] = ()
    weights: str | None = None


def experiment_names() -> list[str]:
    """Names of all experiments."""
    return sorted(_MAKERS)


def make_experiment(name: str, choices: ExperimentSettings) -> Experiment:
    """The variants of an experiment.

    Raises
    ------
    SettingError
        If there is none of that name, or a choice is out of range.
    """
    if name not in _MAKERS:
        near = difflib.get_close_matches(name, list(_MAKERS), n=1)
        raise SettingError(
            f"there is no experiment '{name}'",
            fix=f"did you mean '{near[0]}'?" if near else f"use one of {', '.join(experiment_names())}",
        )
    fractions = FRACTIONS if choices.fractions is None else choices.fractions
    if any(not 0 < fraction <= 1 for fraction in fractions) or not fractions:
        raise SettingError("fractions are above 0 and at most 1", fix="give --fractions 0.01,0.1,1, say")
    for change in choices.changes:
        field = change.partition("=")[0].strip()
        for own in ("seed", *_OWN.get(name, ())):
            if own == field or own.startswith(f"{field}."):
                raise SettingError(
                    f"--set {change} sets what the variants of {name} set themselves",
                    fix="give --weights" if own == "weights" else f"leave {field} out",
                )
    if not choices.sizes:
        raise SettingError("there is no patch side to try", fix="give --sizes 32,64, say")
    return _MAKERS[name](choices)


def _shares(choices: ExperimentSettings) -> list[float]:
    """Shares of the labels that are compared, small ones first."""
    return sorted(set(FRACTIONS if choices.fractions is None else choices.fractions))


def _share(choices: ExperimentSettings) -> float:
    """The one share of the labels that variants have which are compared for something else."""
    shares = {1.0} if choices.fractions is None else set(choices.fractions)
    if len(shares) > 1:
        raise SettingError(
            "the variants of this experiment all have the same labels, so it takes one share of them",
            fix="give --fractions 0.1, say, or leave it out for all labels",
        )
    return shares.pop()


def _part(fraction: float) -> str:
    return f"{100 * fraction:g} %"


def _scratch(choices: ExperimentSettings, fraction: float = 1.0) -> tuple[str, ...]:
    return (*choices.changes, _epochs(choices.scratch, choices.changes, fraction))


def _transferred(choices: ExperimentSettings, fraction: float = 1.0) -> tuple[str, ...]:
    weights = () if choices.weights is None else (f"weights={json.dumps(choices.weights)}",)
    return (*weights, *choices.changes, _epochs(choices.transfer, choices.changes, fraction))


def _epochs(recipe: str, changes: Sequence[str], fraction: float) -> str:
    """More epochs for fewer labels: ``fraction ** 0.5`` as many steps as on all of them."""
    all_of_them = load_recipe(recipe, changes=[*changes]).epochs
    return f"epochs={min(10_000, round(all_of_them / fraction**0.5))}"


def _transfer(choices: ExperimentSettings) -> Experiment:
    variants: list[Variant] = []
    for fraction in _shares(choices):
        scratch, transfer = f"scratch, {_part(fraction)}", f"transfer, {_part(fraction)}"
        long = Variant(f"scratch as long as {transfer}", choices.scratch, tuple(choices.changes), fraction, transfer)
        variants += [
            Variant(scratch, choices.scratch, _scratch(choices, fraction), fraction),
            Variant(transfer, choices.transfer, _transferred(choices, fraction), fraction, against=scratch),
            replace(long, minutes_of=transfer, pace_of=scratch),
        ]
    question = "Does starting from other weights beat starting from scratch, and at how many labels?"
    return Experiment("scratch-vs-transfer", question, tuple(variants), across="fraction")


def _labels(choices: ExperimentSettings) -> Experiment:
    variants: list[Variant] = []
    for fraction in _shares(choices):
        before = variants[-1].name if variants else None
        variants.append(
            Variant(_part(fraction), choices.scratch, _scratch(choices, fraction), fraction, against=before)
        )
    return Experiment("learning-curve", "What would more labels bring?", tuple(variants), across="fraction")


def _sizes(choices: ExperimentSettings) -> Experiment:
    variants: list[Variant] = []
    share = _share(choices)
    for size in sorted(set(choices.sizes)):
        own = (f"size={size}", f"augmentation.shift={size // 16}", "augmentation.crop=null")
        before = variants[-1].name if variants else None
        changes = (*own, *_transferred(choices, share))
        variants.append(Variant(f"{size} px", choices.transfer, changes, share, against=before))
    return Experiment("input-size", "How large must a patch be shown to the network?", tuple(variants))


def _preprocessing(choices: ExperimentSettings) -> Experiment:
    first, *others = view_names()
    share = _share(choices)
    right = Variant(first, choices.scratch, _scratch(choices, share), share)
    wrong = [replace(right, name=view, against=first, view=view, shares=first) for view in others]
    question = "What does it cost to show a network its patches otherwise than in training?"
    return Experiment("preprocessing", question, (right, *wrong))


def _sensor(choices: ExperimentSettings) -> Experiment:
    variants: list[Variant] = []
    share, first = _share(choices), view_names()[0]
    for strength, name in ((0.0, "plain"), (SENSOR_STRENGTH, "sensor-shift augmentation")):
        changes = (f"augmentation.sensor_shift={strength}", *_scratch(choices, share))
        for view in (first, *SENSORS):
            against = f"plain, {view}" if strength else None
            shares = None if view == first else f"{name}, {first}"
            made = Variant(f"{name}, {view}", choices.scratch, changes, share, against, view=view, shares=shares)
            variants.append(made)
    question = "Does augmentation that imitates other sensors help where the sensor differs?"
    return Experiment("sensor-shift", question, tuple(variants))


def _pretraining(choices: ExperimentSettings) -> Experiment:
    stage = "high-resolution stage"
    variants = [Variant(stage, choices.scratch, tuple(choices.changes), on="first")]
    for fraction in _shares(choices):
        scratch = Variant(f"scratch, {_part(fraction)}", choices.scratch, _scratch(choices, fraction), fraction)
        name = f"high resolution first, {_part(fraction)}"
        variants += [scratch, replace(scratch, name=name, against=scratch.name, weights_of=stage)]
    question = "Does a first stage on another, sharper set help?"
    return Experiment("high-resolution-first", question, tuple(variants), across="fraction")


def _upsampling(choices: ExperimentSettings) -> Experiment:
    share = _share(choices)
    changes = _scratch(choices, share)
    recipe = load_recipe(choices.scratch, changes=[*changes])
    if recipe.size is not None:
        raise SettingError(
            f"the recipe {recipe.name} shows every patch at {recipe.size} px, so enlarged ones would shrink again",
            fix="give --set size=null, or a --scratch recipe without a size",
        )
    # Crops and shifts cover the same ground on enlarged patches.
    given = recipe.augmentation
    crop = "null" if given.crop is None else f"{2 * given.crop}"
    large = (*changes, f"augmentation.crop={crop}", f"augmentation.shift={min(64, 2 * given.shift)}")
    plain = Variant("unchanged", choices.scratch, changes, share)
    bicubic = replace(plain, name="twice as large, bicubic", changes=large, against=plain.name, on="bicubic")
    learned = replace(bicubic, name="twice as large, super-resolution", against=bicubic.name, on="super-resolution")
    question = "Is a small super-resolution network a better way to enlarge patches than bicubic interpolation?"
    return Experiment("upsampling", question, (plain, bicubic, learned))


_MAKERS: dict[str, Callable[[ExperimentSettings], Experiment]] = {
    "scratch-vs-transfer": _transfer,
    "learning-curve": _labels,
    "input-size": _sizes,
    "preprocessing": _preprocessing,
    "sensor-shift": _sensor,
    "high-resolution-first": _pretraining,
    "upsampling": _upsampling,
}
