"""After the last epoch: calibrate, fit the baselines, pass the export check, write the run's files."""

from __future__ import annotations

import csv
import json
import platform
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import onnx
import torch
from matplotlib.figure import Figure

import swath
from swath.data import PatchIndex
from swath.evaluation.baselines import fit_baselines
from swath.evaluation.calibration import conformal_quantiles
from swath.files import atomic_file
from swath.imagery.color_match import patch_quantiles
from swath.inference.choice import make_engine
from swath.inference.ood import TRAIN_PATCHES, PatchOutputs, fit_out_of_distribution
from swath.model import Record, write_model
from swath.model.graph import assemble
from swath.model.ood import OutOfDistribution
from swath.model.record import (
    Baselines,
    ChannelQuantiles,
    DataInfo,
    EngineParity,
    Estimate,
    InputSpec,
    ReferencePatches,
    class_infos,
)
from swath.networks.catalog import OWN, Network
from swath.progress import Progress
from swath.training.batches import Normalization, Patches
from swath.training.calibrate import (
    ValidationResult,
    fit_offsets,
    to_probabilities,
    validate_network,
)
from swath.training.export import RoundedProducts, bf16_parity, check_export, export_body
from swath.training.loop import TrainedNetwork, has_bf16
from swath.training.recipe import Recipe
from swath.training.targets import Targets, one_hot
from swath.weights import OWN as OWN_LICENSE
from swath.weights import run_expectation, weights_metadata, write_weights

History = list[dict[str, float]]
REFERENCE_PATCHES = 10
REFERENCE_TOLERANCE = 1e-3
PARITY_PATCHES = 512
_MEANING = {
    "uint8": "8-bit picture as decoded; for EuroSAT, top-of-atmosphere reflectance x 10^4, 0-2750 drawn as 1-255",
    "uint16": "16-bit numbers as stored",
}


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
        label="training (as minimized)",
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


def conformal_of(
    val: PatchOutputs, patches: Patches, targets: Targets, *, temperature: float
) -> dict[str, float]:
    """Quantiles for prediction sets, from validation patches; none for several labels a patch.

    The temperature was fitted on the same patches: one number on thousands of them, which moves coverage by less
    than its interval.
    """
    if targets.task == "multi-label":
        return {}
    return conformal_quantiles(to_probabilities(val.logits, targets.task, temperature), patches.labels)


def out_of_distribution_of(
    probe_layers: Callable[[Patches], PatchOutputs],
    train: Patches,
    val: PatchOutputs,
    targets: Targets,
    *,
    temperature: float,
    size: int,
) -> OutOfDistribution | None:
    """Fit on evenly spread training patches, not augmented; None where validation patches are too few.

    Parameters
    ----------
    probe_layers : callable
        Runs the network over patches.
    train : Patches
        All of them.
    val : Seen
        Validation patches.
    targets : Targets
        Task and classes.
    temperature : float
        Divides the logits.
    size : int
        Side of the patches the network sees.
    """
    few = np.unique(np.linspace(0, len(train) - 1, min(len(train), TRAIN_PATCHES)).round().astype(np.int64))
    sample = Patches(np.ascontiguousarray(train.pixels[few]), train.labels[few])
    groups = sample.labels if sample.labels.ndim == 1 else np.zeros(len(few), np.int64)
    return fit_out_of_distribution(
        probe_layers(sample), groups, val, task=targets.task, temperature=temperature, size=size
    )


def finalize_run(
    index: PatchIndex,
    patches: dict[str, Patches],
    recipe: Recipe,
    targets: Targets,
    fitted: TrainedNetwork,
    *,
    out: Path,
    name: str,
    progress: Progress,
) -> dict[str, Estimate]:
    """Calibrate, pass the export check, and write a run's results; returns the validation metrics.

    Raises
    ------
    ModelFileError
        If the exported graph does not agree with the network; no model file is written then.
    """
    val = patches["val"]
    progress("exporting", 0, 4)
    seen = _seen(fitted, val)
    if targets.task != "single-label":
        seen = _center(fitted, seen, one_hot(val.labels, targets.task, len(targets.classes)))
    judged = validate_network(seen.logits, val.labels, targets)
    progress("exporting", 1, 4, note="baselines")
    train = patches["train"]
    baselines = None
    if targets.task != "multi-label":
        baselines = fit_baselines(train.pixels, train.labels, bands=recipe.bands, classes=targets.classes)
    progress("exporting", 2, 4, note="export check")
    spec = _input_spec(index, recipe, train.pixels, fitted)
    body = export_body(fitted.network, bands=len(recipe.bands), size=spec.size)
    graph = assemble(body, spec=spec, task=targets.task, temperature=judged.temperature)
    chosen = _spread_over_classes(_main_class(val.labels), PARITY_PATCHES)
    sample = np.ascontiguousarray(val.pixels[chosen])

    def forward(pixels: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        return to_probabilities(_forward(fitted, pixels), targets.task, judged.temperature)

    def bf16(pixels: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        with torch.autocast("cpu", torch.bfloat16) if has_bf16("cpu") else RoundedProducts():
            return forward(pixels)

    cuts = tuple(judged.thresholds.values())
    parity = (
        check_export(graph, forward, sample, threads=torch.get_num_threads(), cuts=cuts),
        bf16_parity(bf16, forward, sample, cuts=cuts),
    )
    progress("exporting", 3, 4, note="writing")
    reference = _reference(graph, sample[: min(REFERENCE_PATCHES, len(sample))])
    record = _record(index, recipe, targets, fitted, judged, spec, reference, baselines, parity, name)
    doubt = {
        "conformal": conformal_of(seen, val, targets, temperature=judged.temperature),
        "out_of_distribution": out_of_distribution_of(
            lambda few: _seen(fitted, few),
            train,
            seen,
            targets,
            temperature=judged.temperature,
            size=spec.size,
        ),
    }
    record = record.model_copy(update=doubt)
    write_history(out / "history.csv", fitted.history, kept=fitted.kept)
    draw_curves(out / "curves.png", fitted.history, kept=fitted.kept)
    with atomic_file(out / "weights.safetensors", overwrite=True) as temporary:
        expects = run_expectation(bands=spec.bands, data_type=spec.data_type, mean=spec.mean, sd=spec.sd)
        license = fitted.facts.license if fitted.facts else OWN_LICENSE
        write_weights(
            temporary,
            fitted.network.state_dict(),
            weights_metadata(expects, recipe.network, license=license),
        )
    with atomic_file(out / "metrics.json", overwrite=True) as temporary:
        values = {k: v.model_dump() for k, v in judged.metrics.items()}
        temporary.write_text(json.dumps({"split": "val", **values}, indent=2) + "\n", encoding="utf-8")
    write_model(out / "model.onnx", graph, record, overwrite=True)
    progress("exporting", 4, 4)
    return judged.metrics


def _center(fitted: TrainedNetwork, val: PatchOutputs, shares: npt.NDArray[np.float32]) -> PatchOutputs:
    """Add the offsets that validation asks for to the head; returns what the network gives then."""
    offsets = fit_offsets(val.logits, shares).astype(np.float32)
    head = cast(torch.nn.Linear, fitted.network.head)
    with torch.no_grad():
        head.bias.add_(torch.from_numpy(offsets))
    return PatchOutputs(val.pixels, val.features, val.logits + offsets)


def _forward(fitted: TrainedNetwork, pixels: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Logits ``[N, K]`` of the torch network for pixels as stored."""
    return np.concatenate([logits for logits, _ in _passes(fitted, pixels)])


def _seen(fitted: TrainedNetwork, patches: Patches) -> PatchOutputs:
    """Patches with their logits and features."""
    logits, features = (np.concatenate(rows) for rows in zip(*_passes(fitted, patches.pixels), strict=True))
    return PatchOutputs(patches.pixels, features, logits)


@torch.no_grad()
def _passes(
    fitted: TrainedNetwork, pixels: npt.NDArray[Any]
) -> list[tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]]:
    """Logits ``[n, L]`` and features ``[n, D]``, a batch each."""
    rows = []
    for start in range(0, len(pixels), 256):
        # A copy: torch warns of arrays it may not write to, and a memory map is one.
        values = fitted.normalization.apply(torch.from_numpy(np.array(pixels[start : start + 256])))
        found = fitted.network(values)
        rows.append((found.logits.float().numpy(), found.features.float().numpy()))
    return rows


def _main_class(labels: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """One class a patch to spread patches by: the label, or of several the first."""
    return labels if labels.ndim == 1 else np.where(labels.any(1), labels.argmax(1), labels.shape[1])


def _spread_over_classes(labels: npt.NDArray[np.int64], most: int) -> npt.NDArray[np.int64]:
    """Up to `most` places, first one of each class in turn, so that any prefix holds many classes."""
    turn = np.zeros(len(labels), np.int64)
    seen: Counter[int] = Counter()
    for place, label in enumerate(labels.tolist()):
        turn[place] = seen[label]
        seen[label] += 1
    return np.lexsort((labels, turn))[:most]


def _input_spec(
    index: PatchIndex, recipe: Recipe, pixels: npt.NDArray[Any], fitted: TrainedNetwork
) -> InputSpec:
    mean, sd = _numbers(fitted.normalization)
    channel_mean, channel_sd = _numbers(Normalization.of(pixels))
    stored = pixels.dtype.name
    return InputSpec(
        bands=recipe.bands,
        size=pixels.shape[-1],
        gsd=index.gsd,
        data_type=stored,
        value_range=(0.0, float(np.iinfo(pixels.dtype).max)),
        meaning=_MEANING[stored],
        mean=mean,
        sd=sd,
        channel_mean=channel_mean,
        channel_sd=channel_sd,
        channel_quantiles=_quantiles(pixels),
    )


def _quantiles(pixels: npt.NDArray[Any]) -> ChannelQuantiles:
    measured = patch_quantiles(pixels)
    return ChannelQuantiles(levels=measured.levels, values=measured.values)


def _numbers(normalization: Normalization) -> tuple[tuple[float, ...], tuple[float, ...]]:
    return tuple(map(float, normalization.mean)), tuple(map(float, normalization.sd))


def _reference(graph: onnx.ModelProto, pixels: npt.NDArray[Any]) -> ReferencePatches:
    engine = make_engine("onnxruntime", graph, threads=1)
    probabilities = engine.run(pixels, ("probabilities",))["probabilities"]
    return ReferencePatches.pack(pixels, probabilities, tolerance=REFERENCE_TOLERANCE)


def _record(
    index: PatchIndex,
    recipe: Recipe,
    targets: Targets,
    fitted: TrainedNetwork,
    judged: ValidationResult,
    spec: InputSpec,
    reference: ReferencePatches,
    baselines: Baselines | None,
    parity: tuple[EngineParity, ...],
    name: str,
) -> Record:
    return Record(
        name=name,
        created=datetime.now(UTC).date().isoformat(),
        task=targets.task,
        architecture=_architecture(recipe.network),
        total_parameters=sum(p.numel() for p in fitted.network.parameters()),
        pretrained=fitted.facts is not None,
        started_from=fitted.facts.model_dump(mode="json") if fitted.facts else None,
        input=spec,
        classes=class_infos(targets.classes),
        temperature=judged.temperature,
        thresholds=judged.thresholds,
        # Where a file of weights lay on this machine is nobody's business; what it was is in started_from.
        recipe=recipe.model_dump(mode="json") | ({"weights": fitted.facts.source} if fitted.facts else {}),
        data=DataInfo(
            name=index.name,
            fingerprint=index.fingerprint,
            counts={split: n for split, n in index.split_counts.items() if split},
            split_protocol=index.split_protocol,
            license=index.license,
            attribution=index.attribution,
        ),
        metrics=judged.metrics,
        baselines=baselines,
        parity=parity,
        reference=reference,
        versions={
            "swath": swath.__version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "lightning-fabric": version("lightning-fabric"),
            "onnx": onnx.__version__,
        },
    )


def _architecture(network: Network) -> str:
    if network.name in OWN:
        return f"{network.name} stem {network.stem} widths {list(network.widths)}"
    return network.name
