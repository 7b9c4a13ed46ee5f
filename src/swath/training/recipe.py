"""A recipe: every choice of a training run, validated, in one small file."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, model_validator

from swath.config import Settings, override, read_yaml, validate
from swath.errors import SettingError


class Network(Settings):
    """One of the project's own networks; see :mod:`swath.networks`."""

    name: Literal["patchnet", "stripnet"] = "patchnet"
    stem: int = Field(default=16, ge=4, le=512)
    widths: tuple[int, ...] = Field(default=(32, 64, 128), min_length=1, max_length=6)
    dropout: float = Field(default=0.0, ge=0, lt=1)

    @model_validator(mode="after")
    def _enough(self) -> Network:
        if self.name == "stripnet" and len(self.widths) < 2:
            raise ValueError("a stripnet needs at least two widths")
        return self


class Optimiser(Settings):
    """Muon on the inner convolutions, AdamW on everything else."""

    lr: float = Field(default=0.1, gt=0, description="peak rate of Muon")
    momentum: float = Field(default=0.6, ge=0, lt=1)
    other_lr: float = Field(default=3e-3, gt=0, description="peak rate of AdamW")
    weight_decay: float = Field(default=0.0, ge=0, description="AdamW's, on the head's weights only")
    warmup: float = Field(default=0.1, ge=0, lt=1, description="share of the steps spent warming up")


class Augmentation(Settings):
    """What may happen to a patch without changing its label."""

    flips: bool = True
    transpose: bool = True
    shift: int = Field(default=4, ge=0, le=64, description="pixels, either way, reflected at the edge")
    gain: float = Field(default=0.0, ge=0, le=0.5, description="sd of a random factor a band")
    crop: int | None = Field(default=None, ge=16, description="side of random crops early in the run")
    crop_until: float = Field(default=0.6, ge=0, le=1, description="share of the steps that crop")


class Recipe(Settings):
    """A whole training run."""

    name: str = Field(min_length=1)
    about: str = ""
    epochs: int = Field(ge=1, le=10_000)
    batch: int = Field(default=256, ge=2, le=65_536)
    size: int | None = Field(default=None, ge=16, le=1024, description="patch side; the data's own if unset")
    label_smoothing: float = Field(default=0.1, ge=0, lt=1)
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    seed: int = Field(default=0, ge=0, lt=2**31)
    network: Network = Network()
    optimiser: Optimiser = Optimiser()
    augmentation: Augmentation = Augmentation()


def recipe_names() -> list[str]:
    """Names of the recipes shipped in the package."""
    return sorted(p.name.removesuffix(".yaml") for p in _folder().iterdir() if p.name.endswith(".yaml"))


def load_recipe(name: str, *, changes: list[str] | None = None) -> Recipe:
    """Read a shipped recipe by name, or a YAML file by path, and apply ``field=value`` changes.

    Raises
    ------
    SettingError
        If there is no such recipe, or a field is unknown or out of range.
    """
    path = Path(name)
    if path.suffix not in {".yaml", ".yml"}:
        if name not in recipe_names():
            raise SettingError(
                f"there is no recipe '{name}'", fix=f"use one of {', '.join(recipe_names())} or a .yaml file"
            )
        path = Path(str(_folder() / f"{name}.yaml"))
    return validate(Recipe, override(read_yaml(path), changes or []), where=f"recipe {path.stem}")


def dump_recipe(recipe: Recipe) -> str:
    """The resolved recipe as YAML."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False)


def _folder() -> Any:
    return files("swath.training") / "recipes"
