"""Learning curves as CSV and as a picture."""

from __future__ import annotations

import csv
from pathlib import Path

from matplotlib.figure import Figure

from swath.files import atomic_file

History = list[dict[str, float]]


def write_history(path: Path, history: History, *, kept: int) -> None:
    """One row an epoch: seconds, losses, validation score, and 1 for the one whose weights were kept."""
    rows = [row | {"kept": int(place == kept)} for place, row in enumerate(history)]
    with atomic_file(path, overwrite=True) as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def draw_curves(path: Path, history: History, *, kept: int) -> None:
    """Loss on the left, the validation score on the right, with a dot at the epoch that was kept."""
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    epochs = [h["epoch"] for h in history]
    marker = "o" if len(history) == 1 else None  # a line of one point cannot be seen
    left.plot(
        epochs,
        [h["train_loss"] for h in history],
        label="training (as minimised)",
        color="#14539A",
        marker=marker,
    )
    left.plot(epochs, [h["val_loss"] for h in history], label="validation", color="#D98032", marker=marker)
    left.set(xlabel="epoch", ylabel="loss", title="Loss")
    left.legend(frameon=False)
    column = next(name for name in ("val_accuracy", "val_average_precision") if name in history[0])
    name = column.removeprefix("val_").replace("_", " ")
    scores = [100 * h[column] for h in history]
    right.plot(epochs, scores, color="#1B6B3A")
    right.plot(epochs[kept], scores[kept], "o", color="#1B6B3A")
    right.set(xlabel="epoch", ylabel=f"{name}, %", title=f"Validation {name}, kept {scores[kept]:.1f} %")
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
    with atomic_file(path, overwrite=True) as temporary:
        figure.savefig(temporary, dpi=110, metadata={"Software": None})
