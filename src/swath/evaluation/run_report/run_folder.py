"""What a training run left in its folder, for its report."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import yaml

from swath.errors import DataError

MODEL = "model.onnx"


@dataclass(frozen=True)
class RunFolder:
    """A run.

    Attributes
    ----------
    model : pathlib.Path
        Its model file.
    curves : pathlib.Path or None
        The picture of its loss and accuracy, where there is one.
    facts : dict of str to str
        Recipe, epochs, time, and the epoch that was kept with its score.
    """

    model: Path
    curves: Path | None
    facts: dict[str, str]


def open_run(folder: Path) -> RunFolder:
    """Read what a run left behind.

    Raises
    ------
    DataError
        If there is no model file in the folder, or its history or recipe cannot be read.
    """
    if not (folder / MODEL).is_file():
        raise DataError(
            f"{folder} holds no {MODEL}", fix="give the folder that swath train wrote, or a model file"
        )
    curves = folder / "curves.png"
    return RunFolder(folder / MODEL, curves if curves.is_file() else None, _facts(folder))


def _facts(folder: Path) -> dict[str, str]:
    facts = {}
    try:
        if (folder / "recipe.yaml").is_file():
            recipe = yaml.safe_load((folder / "recipe.yaml").read_text(encoding="utf-8"))
            facts["recipe"] = str(recipe["name"])
        if (folder / "history.csv").is_file():
            with (folder / "history.csv").open(newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
            facts["epochs"] = str(len(rows))
            facts["training time"] = f"{sum(float(row['seconds']) for row in rows):.0f} s"
            score = next(name for name in ("val_accuracy", "val_average_precision") if name in rows[0])
            kept = next(row for row in rows if row["kept"] == "1")
            facts["epoch kept"] = kept["epoch"]
            facts[score.replace("val_", "validation ").replace("_", " ")] = (
                f"{100 * float(kept[score]):.2f} %"
            )
    except (ValueError, KeyError, TypeError, IndexError, StopIteration, yaml.YAMLError) as error:
        raise DataError(
            f"{folder} is not as swath train left it: its recipe or history cannot be read",
            fix="give the model file in it instead",
        ) from error
    return facts
