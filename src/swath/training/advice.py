"""What would have done better: a linear probe on the frozen features of the shipped model, where patches are few.

It takes seconds, and a network that loses to it was not worth its training.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from swath.evaluation.intervals import mean_difference, proportion
from swath.evaluation.seen import seen_rows
from swath.evaluation.softmax import fit_softmax
from swath.imagery import RGB
from swath.inference import Classifier, load
from swath.model.record import Estimate
from swath.training.batches import Patches
from swath.training.plan import FEW, PROBE, START, fits_start
from swath.training.run import TrainingRun

RIDGE = 1e-2  # chosen by cross-validation on UC Merced: docs/training.md
STEPS = 100


@dataclass(frozen=True)
class ProbeComparison:
    """A frozen probe and the trained network on the same validation patches.

    Attributes
    ----------
    probe : Estimate
        Accuracy of the probe.
    gain : Estimate
        Its accuracy less that of the network, as a paired difference.
    """

    probe: Estimate
    gain: Estimate

    @property
    def better(self) -> bool:
        """Whether the probe is clearly better."""
        return self.gain.low > 0

    def __str__(self) -> str:
        low, high = (f"{100 * value:+.1f}" for value in (self.gain.low, self.gain.high))
        return (
            f"a linear probe on the frozen features of '{START}' is better on these val patches: "
            f"{100 * self.probe.value:.1f} %, {100 * self.gain.value:+.1f} points (95 %: {low} to {high}); "
            f"train with --recipe few, or --recipe {PROBE} for the probe itself"
        )


def compare_with_probe(run: TrainingRun, logits: npt.NDArray[np.float32]) -> ProbeComparison | None:
    """Fit a linear probe to the training patches, and compare it with the trained network on val.

    Parameters
    ----------
    run : TrainingRun
        What was trained.
    logits : numpy.ndarray
        ``[M, L]``, the network's for the validation patches.

    Returns
    -------
    ProbeComparison or None
        None where the shipped model cannot read the patches or has seen some of val, they are many, they have several
        labels, or the network was itself trained on frozen features.
    """
    train, val, task = run.train, run.val, run.targets.task
    fits = run.recipe.bands == RGB and fits_start(train.pixels)
    if not fits or len(train) >= FEW or task == "multi-label" or run.recipe.freeze.epochs == "all":
        return None
    classifier = load(START, engine="onnxruntime", threads=torch.get_num_threads())
    if seen_rows(classifier.record, np.asarray(val.pixels)).count.seen:
        return None
    run.progress("probe", 0, 1)
    learned, held_out = (_features(classifier, part) for part in (train, val))
    fitted = fit_softmax(learned, train.labels, outputs=len(run.targets.classes), ridge=RIDGE, steps=STEPS)
    right = fitted.predict(held_out) == val.labels
    called = (logits[:, 0] > 0).astype(np.int64) if task == "binary" else logits.argmax(1)
    run.progress("probe", 1, 1)
    gain = mean_difference(right.astype(float) - (called == val.labels))
    return ProbeComparison(proportion(int(right.sum()), len(right)), gain)


def _features(classifier: Classifier, patches: Patches) -> npt.NDArray[np.float32]:
    parts = [
        classifier.run(np.ascontiguousarray(patches.pixels[start : start + 256]), wanted=("features",))["features"]
        for start in range(0, len(patches), 256)
    ]
    return np.concatenate(parts)
