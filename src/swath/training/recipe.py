"""Recipes: every choice of a training run, validated, in one small file."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, field_validator, model_validator

from swath.config import Settings, changed, override, read_yaml, validate
from swath.errors import SettingError
from swath.imagery import RGB
from swath.networks.catalog import OWN, Network

_LENGTH = ("epochs", "min_steps")
Positive = Annotated[float, Field(gt=0)]


def _name(given: object) -> object:
    """A class's name as text; a program may give a number."""
    return str(given) if isinstance(given, int) and not isinstance(given, bool) else given


class Loss(Settings):
    """What is minimized; ``auto`` is cross-entropy for the single-label task, and BCE with logits otherwise."""

    name: Literal["auto", "cross-entropy", "bce", "focal"] = "auto"
    label_smoothing: float = Field(default=0.1, ge=0, lt=1)
    class_weights: Literal["none", "balanced"] | dict[str, Positive] = "none"
    pos_weight: Literal["balanced"] | Positive | None = Field(
        default=None, description="weight of positives in BCE: a number, or negatives per positive"
    )
    gamma: float = Field(default=2.0, ge=0, le=10, description="focal: how much easy patches are played down")
    alpha: float | None = Field(default=None, gt=0, lt=1, description="focal: weight of positives, 1 - it of others")

    @field_validator("class_weights", mode="before")
    @classmethod
    def _named(cls, weights: object) -> object:
        return {_name(key): value for key, value in weights.items()} if isinstance(weights, dict) else weights

    @model_validator(mode="after")
    def _fits(self) -> Loss:
        if self.name != "focal" and changed(self, "gamma", "alpha"):
            raise ValueError("gamma and alpha belong to the focal loss")
        return self


class Optimizer(Settings):
    """How weights move. ``muon`` is Muon on inner convolutions and AdamW (``adamw_lr``) on everything else."""

    name: Literal["muon", "sgd", "adam", "adamw"] = "muon"
    lr: float = Field(default=0.1, gt=0, description="peak rate; Muon's is in units of unit-length filters")
    momentum: float = Field(default=0.6, ge=0, lt=1, description="of muon (Nesterov) and sgd")
    adamw_lr: float = Field(default=3e-3, gt=0, description="peak learning rate of AdamW, with Muon")
    weight_decay: float = Field(default=0.0, ge=0, description="never on norms and biases; with Muon on matrices only")
    warmup: float = Field(default=0.1, ge=0, lt=1, description="share of the steps spent warming up")
    schedule: Literal["linear", "cosine", "constant"] = Field(
        default="linear", description="how the rate falls after the warm-up"
    )

    @model_validator(mode="after")
    def _fits(self) -> Optimizer:
        if self.name != "muon" and changed(self, "adamw_lr"):
            raise ValueError("adamw_lr belongs to muon")
        if self.name in ("adam", "adamw") and changed(self, "momentum"):
            raise ValueError("momentum belongs to muon and sgd")
        return self


class Freezing(Settings):
    """When the pre-trained part learns, how fast, and what its batch norms do."""

    epochs: int | Literal["all"] = Field(default=0, description="epochs in which only the head learns")
    backbone_lr_scale: float = Field(default=1.0, gt=0, le=1, description="its rate as a share of the head's")
    batch_norm: Literal["train", "frozen"] = Field(
        default="train", description="whether its norms keep the statistics and weights they came with"
    )

    @model_validator(mode="after")
    def _fits(self) -> Freezing:
        if isinstance(self.epochs, int) and self.epochs < 0:
            raise ValueError("frozen epochs are 0 or more, or 'all'")
        return self


class Augmentation(Settings):
    """Random changes to a patch that keep its label."""

    flips: bool = True
    transpose: bool = True
    shift: int = Field(default=4, ge=0, le=64, description="pixels, either way, reflected at the edge")
    gain: float = Field(default=0.0, ge=0, le=0.5, description="sd of a random factor per band")
    crop: int | None = Field(default=None, ge=16, description="side of random crops early in the run")
    crop_until: float = Field(default=0.6, ge=0, le=1, description="share of the steps that crop")
    mixup: float = Field(default=0.0, ge=0, le=10, description="alpha of MixUp's Beta; 0 is off")
    cutmix: float = Field(default=0.0, ge=0, le=10, description="alpha of CutMix's Beta; 0 is off")
    windows: float = Field(
        default=0.0, ge=0, le=1, description="share of patches that become windows between four, as a map has them"
    )
    randaugment: int = Field(default=0, ge=0, le=10, description="random geometric and color operations per patch")
    rendering: float = Field(
        default=0.0, ge=0, le=1, description="share of EuroSAT patches drawn as other Sentinel-2 products show them"
    )
    sensor_shift: float = Field(
        default=0.0, ge=0, le=1, description="strength of the sensor-shift policy; 1 is another sensor"
    )
    sensor_shift_prob: float = Field(default=0.7, ge=0, le=1, description="share of patches that the policy changes")


class Recipe(Settings):
    """A whole training run; made by :func:`load_recipe`.

    Examples
    --------
    >>> import swath
    >>> recipe = swath.load_recipe("fast")
    >>> recipe.network.name, recipe.optimizer.name, recipe.size
    ('patchnet', 'muon', None)
    """

    name: str = Field(min_length=1)
    about: str = ""
    epochs: int = Field(ge=1, le=10_000)
    batch_size: int = Field(default=256, ge=2, le=65_536)
    min_steps: int = Field(
        default=0,
        ge=0,
        description="optimizer steps a run takes at least: of few patches, smaller batches and more epochs",
    )
    size: int | None = Field(default=None, ge=16, le=1024, description="patch side; the data's own if unset")
    bands: tuple[str, ...] = Field(default=RGB, min_length=1, max_length=16)
    task: Literal["auto", "single-label", "binary", "multi-label"] = "auto"
    positive: str | None = Field(default=None, description="binary: the positive class; else the rarer one")
    weights: str = Field(
        default="none",
        description="none, a shipped model, a file, imagenet, hf:REPO/FILE or torchgeo:NAME to start from",
    )
    keep_start: bool = Field(
        default=True,
        description="weights that know all the classes stay as they are unless an epoch is better by more than chance",
    )
    start_share: float = Field(
        default=0.0, ge=0, lt=1, description="share in the result of the weights that training began with (WiSE-FT)"
    )
    sampling: Literal["natural", "balanced"] = Field(
        default="natural", description="balanced: every class as often as any other"
    )
    ema_decay: float = Field(
        default=0.0, ge=0, lt=1, description="decay of a running average of the weights (EMA); 0 is off"
    )
    early_stopping_patience: int | None = Field(
        default=None, ge=1, description="stop after so many epochs without a better validation score"
    )
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    seed: int = Field(default=0, ge=0, lt=2**31)
    network: Network = Network()
    loss: Loss = Loss()
    optimizer: Optimizer = Optimizer()
    freeze: Freezing = Freezing()
    augmentation: Augmentation = Augmentation()

    @field_validator("positive", mode="before")
    @classmethod
    def _named(cls, positive: object) -> object:
        return _name(positive)

    @field_validator("bands")
    @classmethod
    def _lower(cls, bands: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(band.lower() for band in bands)  # weights and scenes name them in either case

    @model_validator(mode="after")
    def _fits(self) -> Recipe:
        if self.freeze.epochs == "all" and changed(self.freeze, "backbone_lr_scale", "batch_norm"):
            raise ValueError("a backbone frozen in all epochs has no rate and no norm policy")
        # Its first step rescales every filter; the project's own networks were trained at that scale.
        learns = self.weights != "none" and self.freeze.epochs != "all"
        if self.optimizer.name == "muon" and learns and self.network.name not in OWN:
            raise ValueError("muon would undo pre-trained weights: give optimizer.name=adamw, optimizer.lr=0.001")
        if self.positive is not None and self.task not in ("auto", "binary"):
            raise ValueError(f"'positive' belongs to the binary task, not to {self.task}")
        return self


def recipe_names() -> list[str]:
    """Names of the recipes shipped in the package."""
    return sorted(p.name.removesuffix(".yaml") for p in _folder().iterdir() if p.name.endswith(".yaml"))


def load_recipe(name: str | Path, /, *, changes: Sequence[str] | None = None, **fields: Any) -> Recipe:
    """Read a shipped recipe by name, or a YAML file by path, and change fields of it.

    Parameters
    ----------
    name : str or pathlib.Path
        One of :func:`recipe_names`, or a ``.yaml`` file.
    changes : sequence of str, optional
        Assignments such as ``"optimizer.lr=0.05"``, as ``--set`` takes them.
    **fields
        Fields of :class:`Recipe` by name. A mapping changes the fields of a group that it names; one that is empty,
        or gives the group another ``name``, replaces the group. Epochs that are given stay as they are, however few
        optimizer steps they make: ``min_steps`` is 0 then.

    Raises
    ------
    SettingError
        If there is no such recipe, or a field is unknown or out of range.

    Examples
    --------
    >>> recipe = load_recipe("fast", epochs=3, optimizer={"lr": 0.05})
    >>> recipe.epochs, recipe.optimizer.lr, recipe.optimizer.momentum
    (3, 0.05, 0.6)
    """
    path = Path(name)
    if path.suffix not in {".yaml", ".yml"}:
        if str(name) not in recipe_names():
            raise SettingError(
                f"there is no recipe '{name}'", fix=f"use one of {', '.join(recipe_names())} or a .yaml file"
            )
        path = Path(str(_folder() / f"{name}.yaml"))
    held = read_yaml(path)
    # Of epochs alone that are given, none is added; what else is given says so itself.
    given = override(dict.fromkeys(_LENGTH), changes or (), fields)
    if given["epochs"] is not None and given["min_steps"] is None:
        held["min_steps"] = 0
    return validate(Recipe, override(held, changes or (), fields), where=f"recipe {path.stem}")


def dump_recipe(recipe: Recipe) -> str:
    """The resolved recipe as YAML."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False)


def _folder() -> Any:
    return files("swath.training") / "recipes"
