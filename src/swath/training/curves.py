"""Learning curves as CSV and as a picture."""

from __future__ import annotations

import csv
from pathlib import Path

from matplotlib.figure import Figure

from swath.files import atomic_file

History = list[dict[str, float]]


def write_history(path: Path, history: History) -> None:
    """One row an epoch: seconds, losses, validation accuracy."""
    with atomic_file(path, overwrite=True) as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(history[0]))
        writer.writeheader()
        writer.writerows(history)


def draw_curves(path: Path, history: History) -> None:
    """Loss on the left, validation accuracy on the right."""
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    epochs = [h["epoch"] for h in history]
    marker = "o" if len(history) == 1 else None  # a line of one point cannot be seen
    left.plot(
        epochs,
        [h["train_loss"] for h in history],
        label="training (smoothed labels)",
        color="#14539A",
        marker=marker,
    )
    left.plot(epochs, [h["val_loss"] for h in history], label="validation", color="#D98032", marker=marker)
    left.set(xlabel="epoch", ylabel="loss", title="Loss")
    left.legend(frameon=False)
    accuracy = [100 * h["val_accuracy"] for h in history]
    right.plot(epochs, accuracy, color="#1B6B3A")
    best = max(range(len(accuracy)), key=accuracy.__getitem__)
    right.plot(epochs[best], accuracy[best], "o", color="#1B6B3A")
    right.set(xlabel="epoch", ylabel="accuracy, %", title=f"Validation accuracy, best {accuracy[best]:.1f} %")
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
    with atomic_file(path, overwrite=True) as temporary:
        figure.savefig(temporary, dpi=110, metadata={"Software": None})
