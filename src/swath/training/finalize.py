"""After the last epoch: calibrate, export and check, write the run's files.

:func:`calibrate` fits what validation patches decide, :func:`export_model` makes the graph, passes the export check and
fills the record, and :func:`write_run` writes all of it.
"""

from __future__ import annotations

import json
import math
import platform
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import onnx
import torch

import swath
from swath.data import PatchIndex
from swath.data.named import EUROSAT_SOURCE
from swath.data.rows import unnamed_bands
from swath.data.spatial import noted_protocol
from swath.evaluation.baselines import fit_baselines
from swath.evaluation.calibration import conformal_quantiles
from swath.evaluation.plots import history_chart
from swath.evaluation.temperature import fit_offsets, to_probabilities
from swath.files import atomic_files, write_csv
from swath.imagery.color_match import patch_quantiles
from swath.imagery.header import RGB
from swath.imagery.rgb import is_numbered
from swath.inference.choice import make_engine
from swath.inference.ood import TRAIN_PATCHES, PatchOutputs, fit_out_of_distribution
from swath.model import Record, write_model
from swath.model.graph import assemble
from swath.model.memory import ClassMemory
from swath.model.ood import OutOfDistribution
from swath.model.record import Baselines, ChannelQuantiles, DataInfo, InputSpec, ReferencePatches, class_infos
from swath.model.seen import salt_of, with_seen
from swath.networks import CUSTOM, CustomNetwork, Network
from swath.networks.catalog import OWN
from swath.training.batches import Normalization, Patches, outputs_of
from swath.training.calibrate import ValidationResult, validate_network
from swath.training.export import RoundedProducts, bf16_parity, check_export, export_body
from swath.training.loop import TrainedNetwork
from swath.training.run import TrainingRun, has_bf16
from swath.weights import OWN as OWN_LICENSE
from swath.weights import Expectation, weights_metadata, write_weights

History = list[dict[str, float]]
# What a completed run writes; where the model file is, the others belong to it.
RESULT_FILES = ("model.onnx", "weights.safetensors", "metrics.json", "history.csv", "curves.svg")
REFERENCE_PATCHES = 10
REFERENCE_TOLERANCE = 1e-3
PARITY_PATCHES = 512
_MEANING = {"uint8": "8-bit picture as decoded", "uint16": "16-bit numbers as stored"}
EUROSAT_MEANING = "8-bit picture of Sentinel-2 level 1C, reflectance x 10^4 from 0 to 2750 drawn as 1 to 255"


@dataclass(frozen=True)
class Calibration:
    """What validation patches decide, and what they are compared with.

    Attributes
    ----------
    outputs : PatchOutputs
        Of the network for the validation patches.
    validation : ValidationResult
        Temperature, thresholds and metrics.
    conformal : dict of str to float
        Quantiles for prediction sets; none for the multi-label task. The temperature was fitted on the same patches:
        one number on thousands of them, which moves coverage by less than its interval.
    baselines : Baselines or None
        Fitted on training patches; None for the multi-label task.
    """

    outputs: PatchOutputs
    validation: ValidationResult
    conformal: dict[str, float]
    baselines: Baselines | None


def calibrate(run: TrainingRun, trained: TrainedNetwork) -> Calibration:
    """Fit offsets (into the network's head), temperature, thresholds and quantiles on val, and baselines on train."""
    targets, labels = run.targets, run.val.labels
    run.progress("exporting", 0, 4)
    outputs = _outputs(trained, run.val)
    if targets.task != "single-label":
        outputs = _center(trained, outputs, targets.shares(labels))
    validation = validate_network(outputs.logits, labels, targets)
    run.progress("exporting", 1, 4, note="baselines")
    if targets.task == "multi-label":
        return Calibration(outputs, validation, {}, None)
    probabilities = to_probabilities(outputs.logits, targets.task, validation.temperature)
    baselines = fit_baselines(run.train.pixels, run.train.labels, bands=run.recipe.bands, classes=targets.classes)
    return Calibration(outputs, validation, conformal_quantiles(probabilities, labels), baselines)


def export_model(
    run: TrainingRun, index: PatchIndex, trained: TrainedNetwork, calibration: Calibration, *, name: str
) -> tuple[onnx.ModelProto, Record]:
    """The model's graph, which passed the export check, and its record.

    Raises
    ------
    ModelFileError
        If the exported graph does not agree with the network.
    """
    recipe, targets, validation, facts = run.recipe, run.targets, calibration.validation, trained.facts
    run.progress("exporting", 2, 4, note="export check")
    spec = _input_spec(run, index, trained.normalization)
    body = export_body(trained.network, bands=len(recipe.bands), size=spec.size)
    graph = assemble(body, spec=spec, task=targets.task, temperature=validation.temperature)
    chosen = _spread_over_classes(_main_class(run.val.labels), PARITY_PATCHES)
    sample = np.ascontiguousarray(run.val.pixels[chosen])

    def forward(pixels: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        outputs = outputs_of(trained.network, trained.normalization, pixels)
        logits = np.concatenate([one.logits.numpy() for one in outputs])
        return to_probabilities(logits, targets.task, validation.temperature)

    def bf16(pixels: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        with torch.autocast("cpu", torch.bfloat16) if has_bf16("cpu") else RoundedProducts():
            return forward(pixels)

    cuts = tuple(validation.thresholds.values())
    parity = (
        check_export(graph, forward, sample, threads=torch.get_num_threads(), cuts=cuts),
        bf16_parity(bf16, forward, sample, cuts=cuts),
    )
    run.progress("exporting", 3, 4, note="writing")
    reference = sample[:REFERENCE_PATCHES]
    probabilities = make_engine("onnxruntime", graph, threads=1).run(reference, ("probabilities",))["probabilities"]
    learned, labels = sample_training(run, trained)
    record = Record(
        name=name,
        created=datetime.now(UTC).date().isoformat(),
        task=targets.task,
        architecture=_architecture(recipe.network),
        total_parameters=sum(p.numel() for p in trained.network.parameters()),
        pretrained=facts is not None,
        started_from=facts.model_dump(mode="json") if facts else None,
        input=spec,
        classes=class_infos(targets.classes, binary=targets.task == "binary"),
        temperature=validation.temperature,
        thresholds=validation.thresholds,
        # Where a file of weights lay on this machine is nobody's business; what it was is in started_from.
        recipe=recipe.model_dump(mode="json")
        | ({"weights": facts.source} if facts else {})
        | {"epochs": trained.epochs},
        data=DataInfo(
            name=index.name,
            fingerprint=index.fingerprint,
            counts={split: n for split, n in index.split_counts.items() if split},
            split_protocol=noted_protocol(index),
            license=index.license,
            attribution=index.attribution,
        ),
        seen=with_seen(
            facts.seen if facts else (),
            bands=spec.bands,
            train=run.train.pixels,
            val=run.val.pixels,
            size=spec.size,
            salt=salt_of(run.identity),
        ),
        metrics=validation.metrics,
        baselines=calibration.baselines,
        conformal=calibration.conformal,
        out_of_distribution=fit_ood(run, learned, labels, calibration, size=spec.size),
        memory=None if targets.task == "multi-label" else ClassMemory.of(learned.features, labels),
        parity=parity,
        reference=ReferencePatches.pack(reference, probabilities, tolerance=REFERENCE_TOLERANCE),
        versions={
            "swath": swath.__version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "lightning-fabric": version("lightning-fabric"),
            "onnx": onnx.__version__,
        },
    )
    return graph, record


def write_run(run: TrainingRun, trained: TrainedNetwork, graph: onnx.ModelProto, record: Record) -> None:
    """Write a run's results, which appear together, the model file last."""
    out, spec = run.folder, record.input
    network, license = trained.network, trained.facts.license if trained.facts else OWN_LICENSE
    if isinstance(network, CustomNetwork):  # whose names are the module's own, and license its author's to say
        network, license = network.module, None
    expects = Expectation(bands=spec.bands, data_type=spec.data_type, scale=1, mean=spec.mean, sd=spec.sd)
    # Cloned, for Keras lists its weights twice and safetensors takes no two names of one memory.
    weights = {name: value.detach().clone() for name, value in network.state_dict().items()}
    values = {k: v.model_dump() for k, v in record.metrics.items()}
    with atomic_files([out / name for name in RESULT_FILES], overwrite=True) as paths:
        model, stored, metrics, history, curves = paths.values()
        write_history(history, trained.history, kept=trained.kept)
        curves.write_bytes(history_chart(trained.history, kept=trained.kept).to_svg())
        write_weights(
            stored,
            weights,
            weights_metadata(
                expects,
                run.recipe.network,
                license=license,
                classes=record.class_names,
                seen=record.seen,
                attribution="; ".join(_credits(record)) or None,
            ),
        )
        metrics.write_text(json.dumps({"split": "val", **values}, indent=2) + "\n", encoding="utf-8")
        write_model(model, graph, record)
    run.progress("exporting", 4, 4)


def _credits(record: Record) -> list[str]:
    """Whom to credit for the data that a model learned from, its start included."""
    began = (record.started_from or {}).get("attribution")
    return list(dict.fromkeys(filter(None, (record.data.attribution, began))))


def sample_training(run: TrainingRun, trained: TrainedNetwork) -> tuple[PatchOutputs, npt.NDArray[Any]]:
    """Evenly spread training patches, not augmented, with what the network makes of them; and their labels."""
    train, count = run.train, min(len(run.train), TRAIN_PATCHES)
    rows = np.unique(np.linspace(0, len(train) - 1, count).round().astype(np.int64))
    sample = Patches(np.ascontiguousarray(train.pixels[rows]), train.labels[rows])
    return _outputs(trained, sample), sample.labels


def fit_ood(
    run: TrainingRun, learned: PatchOutputs, labels: npt.NDArray[Any], calibration: Calibration, *, size: int
) -> OutOfDistribution | None:
    """Out-of-distribution statistics of the patches of :func:`sample_training`; None where validation ones are too few.

    Of patches as stored, also where the recipe draws them in other renderings: scenes are brought to this one, and
    statistics wide enough for all renderings hardly tell swapped bands or aerial pictures any more.
    """
    groups = labels if labels.ndim == 1 else np.zeros(len(labels), np.int64)
    return fit_out_of_distribution(
        learned,
        groups,
        calibration.outputs,
        task=run.targets.task,
        temperature=calibration.validation.temperature,
        size=size,
    )


def _outputs(trained: TrainedNetwork, patches: Patches) -> PatchOutputs:
    """Patches with their logits and features."""
    rows = list(outputs_of(trained.network, trained.normalization, patches.pixels))
    logits, features = (torch.cat([getattr(row, name) for row in rows]).numpy() for name in ("logits", "features"))
    return PatchOutputs(patches.pixels, features, logits)


def _center(trained: TrainedNetwork, val: PatchOutputs, shares: npt.NDArray[np.float32]) -> PatchOutputs:
    """Add the offsets fitted on validation patches to the head; returns the network's outputs afterwards."""
    offsets = fit_offsets(val.logits, shares).astype(np.float32)
    network = trained.network
    (bias,) = network.bias if isinstance(network, CustomNetwork) else (cast(torch.nn.Linear, network.head).bias,)
    with torch.no_grad():
        bias.add_(torch.from_numpy(offsets))
    return PatchOutputs(val.pixels, val.features, val.logits + offsets)


def _main_class(labels: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """One class per patch to spread patches by: the label, or the first of several."""
    return labels if labels.ndim == 1 else np.where(labels.any(1), labels.argmax(1), labels.shape[1])


def _spread_over_classes(labels: npt.NDArray[np.int64], most: int) -> npt.NDArray[np.int64]:
    """Up to `most` rows, one of each class in turn, so that any prefix holds many classes."""
    turn = np.zeros(len(labels), np.int64)
    seen: Counter[int] = Counter()
    for place, label in enumerate(labels.tolist()):
        turn[place] = seen[label]
        seen[label] += 1
    return np.lexsort((labels, turn))[:most]


def _input_spec(run: TrainingRun, index: PatchIndex, normalization: Normalization) -> InputSpec:
    pixels = run.train.pixels
    measured, quantiles = Normalization.of(pixels), patch_quantiles(pixels)
    stored = pixels.dtype.name
    eurosat = (
        stored == "uint8"
        and set(run.recipe.bands) <= set(RGB)
        and set(index.where("train").column("source")) == {EUROSAT_SOURCE}
    )
    return InputSpec(
        bands=run.recipe.bands,
        size=pixels.shape[-1],
        gsd=index.gsd,
        data_type=stored,
        value_range=(0.0, float(np.iinfo(pixels.dtype).max)),
        meaning=EUROSAT_MEANING if eurosat else _MEANING[stored],
        rendering="eurosat" if eurosat else None,
        mean=tuple(map(float, normalization.mean)),
        sd=tuple(map(float, normalization.sd)),
        file_bands=unnamed_bands(index) if any(map(is_numbered, run.recipe.bands)) else None,
        channel_mean=tuple(map(float, measured.mean)),
        channel_sd=tuple(map(float, measured.sd)),
        channel_quantiles=ChannelQuantiles(levels=quantiles.levels, values=quantiles.values),
    )


def _architecture(network: Network) -> str:
    if network.name in OWN:
        return f"{network.name} stem {network.stem} widths {list(network.widths)}"
    return network.name.removeprefix(CUSTOM)


def write_history(path: Path, history: History, *, kept: int) -> None:
    """One row per epoch: seconds, losses, scores, and 1 for the one whose weights were kept."""
    rows = [row | {"kept": int(place == kept)} for place, row in enumerate(history)]
    write_csv(path, list(rows[0]), [["" if math.isnan(v) else v for v in row.values()] for row in rows])
