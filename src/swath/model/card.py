"""A model's card: what its record says, for people; on a terminal, and as the README of a model hub.

The page has the fields of a Hugging Face model card: YAML in front (license, tags, data, ``model-index`` of metrics;
https://huggingface.co/docs/hub/model-cards), then prose in the order of Mitchell et al. 2019, "Model cards for
model reporting" (FAT*).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml

from swath.model.file import ModelFile
from swath.model.record import Estimate, Record

_TASKS = {
    "single-label": "gives an image one of {k} classes",
    "binary": "says whether an image shows {positive} or {negative}",
    "multi-label": "gives an image any number of {k} labels",
}
_METRICS = {"accuracy": "accuracy", "macro_f1": "f1", "micro_f1": "f1", "f1": "f1", "auroc": "roc_auc"}
_NOT_STATED = "not stated"


def card(model: ModelFile) -> list[tuple[str, str]]:
    """Names and values to show, in order."""
    record = model.record
    spec = record.input
    size = model.path.stat().st_size
    rows = [
        ("name", record.name),
        ("file", f"{model.path} ({size / 1e6:.2f} MB)"),
        ("created", record.created),
        ("task", record.task),
        ("network", f"{record.architecture}, {record.total_parameters:,} parameters"),
        ("classes", ", ".join(record.class_names)),
        (
            "input",
            f"{', '.join(spec.bands)}; {spec.data_type}; {spec.size} x {spec.size} px"
            + (f" at {spec.gsd:g} m" if spec.gsd else ""),
        ),
        ("pixels are", spec.meaning),
        ("channel means", _per_band(spec.channel_mean)),
        ("channel standard deviations", _per_band(spec.channel_sd)),
        ("temperature", f"{record.temperature:.3f}"),
    ]
    if record.task == "binary":
        rows.append(("looks for", f"{record.class_names[1]}, where its probability is {record.cuts[0]:.3f} or more"))
    elif record.task == "multi-label":
        cuts = zip(record.class_names, record.cuts, strict=True)
        rows.append(("thresholds", ", ".join(f"{name} {cut:.3f}" for name, cut in cuts)))
    rows += [(f"validation {name.replace('_', ' ')}", _estimate(value)) for name, value in record.metrics.items()]
    rows += [
        ("data", f"{record.data.name}: " + ", ".join(f"{v:,} {k}" for k, v in record.data.counts.items())),
        ("data fingerprint", record.data.fingerprint),
        ("patches seen", _seen(record)),
        ("split", record.data.split_protocol),
        ("data license", record.data.license or "not known"),
    ]
    if record.data.attribution:
        rows.append(("attribution", record.data.attribution))
    for parity in record.parity:
        rows.append(
            (
                f"parity {parity.engine} {parity.precision}",
                f"same labels {100 * parity.label_agreement:.2f} % of {parity.patches}, "
                f"largest difference {parity.max_difference:.1e}",
            )
        )
    rows += [
        ("recipe", f"{record.recipe.get('name', '?')} ({record.recipe.get('epochs', '?')} epochs)"),
        ("made with", ", ".join(f"{k} {v}" for k, v in record.versions.items())),
        ("license", record.license),
    ]
    return rows


def model_card(model: ModelFile) -> str:
    """The README of a model hub: YAML in front, then what the record says in prose.

    Everything in it comes from the record; what the record does not hold is called not stated or not measured.
    """
    record = model.record
    front = yaml.safe_dump(_front(record), sort_keys=False, allow_unicode=True)
    sections = (
        ("Intended use", _use(record)),
        ("Limits", _limits(record)),
        ("Training data", _data(record)),
        ("Metrics", _metrics(record)),
        ("Calibration", _calibration(record)),
        ("Images unlike the training data", _ood(record)),
        ("How to use", _how(record, model.path.name)),
    )
    parts = [f"# {record.name}", _introduction(record)]
    parts += [f"## {title}\n\n{text}" for title, text in sections]
    return f"---\n{front}---\n\n" + "\n\n".join(parts) + "\n"


def _front(record: Record) -> dict[str, Any]:
    kinds = [_METRICS.get(name, name) for name in record.metrics]
    front: dict[str, Any] = {
        "license": record.license.lower(),
        "library_name": "onnx",
        "pipeline_tag": "image-classification",
        "tags": ["onnx", "earth-observation", "remote-sensing", "land-cover", record.task],
        "datasets": [record.data.name],
    }
    if kinds:
        dataset = {"name": record.data.name, "type": record.data.name, "split": "validation"}
        metrics = [
            {
                "type": kind,
                "name": name.replace("_", " "),
                "value": round(value.value, 6),
                "args": {"interval_95": [round(value.low, 6), round(value.high, 6)], "n": value.n},
            }
            for kind, (name, value) in zip(kinds, record.metrics.items(), strict=True)
        ]
        result = {"task": {"type": "image-classification"}, "dataset": dataset, "metrics": metrics}
        front["metrics"] = list(dict.fromkeys(kinds))
        front["model-index"] = [{"name": record.name, "results": [result]}]
    return front


def _introduction(record: Record) -> str:
    names = record.class_names
    does = _TASKS[record.task].format(k=len(names), negative=names[0], positive=names[-1])
    began = "trained from random weights"
    if record.started_from is not None:
        license = record.started_from.get("license") or _NOT_STATED
        how = "the weights as they came from" if record.started_from.get("untouched") else "trained from the weights"
        began = f"{how} {record.started_from.get('source', '')} (license: {license})"
    return (
        f"A network that {does}: {', '.join(names)}. {record.architecture}, {record.total_parameters:,} parameters, "
        f"{began}, {record.created}. License: {record.license}."
    )


def _use(record: Record) -> str:
    spec = record.input
    size = f"{spec.size} x {spec.size} pixels" + (f" of {spec.gsd:g} m" if spec.gsd else "")
    return (
        f"Patches of {size} with the bands {', '.join(spec.bands)}, {spec.data_type}, {spec.value_range[0]:g} to "
        f"{spec.value_range[1]:g}: {spec.meaning}. Scaling, normalization and probabilities are inside the file: feed "
        "pixels as decoded."
    )


def _limits(record: Record) -> str:
    spec = record.input
    points = [
        "It knows the classes above and no others; every image is given one of them."
        if record.task == "single-label"
        else "It knows the classes above and no others.",
        f"It was trained on channels with the means {_per_band(spec.channel_mean)} and standard deviations "
        f"{_per_band(spec.channel_sd)}; imagery in another rendering has to be brought to these first.",
        "Metrics hold for patches drawn as the validation patches were; new regions, seasons and sensors do worse.",
    ]
    return _bullets(points)


def _data(record: Record) -> str:
    data = record.data
    counts = ", ".join(f"{n:,} {split}" for split, n in data.counts.items())
    points = [
        f"{data.name}: {counts} patches; license {data.license or _NOT_STATED}.",
        f"Split: {data.split_protocol}.",
        f"Fingerprint of the index: `{data.fingerprint}`.",
        f"Patches it has seen: {_seen(record)}.",
        *([f"Attribution: {data.attribution}."] if data.attribution else []),
    ]
    return _bullets(points)


def _seen(record: Record) -> str:
    """How many patches the file can recognize as seen."""
    if not record.seen:
        return "not known, so no measurement can say whether it is a test"
    learned, chose = (sum(getattr(s, split).n for s in record.seen) for split in ("train", "val"))
    return f"salted codes of {learned:,} it learned from and {chose:,} it was chosen by, for swath evaluate to find"


def _metrics(record: Record) -> str:
    if not record.metrics:
        return "None in the record: not measured."
    rows = [
        f"| {name.replace('_', ' ')} | {100 * e.value:.2f} % | {100 * e.low:.2f} to {100 * e.high:.2f} % | {e.n:,} |"
        for name, e in record.metrics.items()
    ]
    head = ["| on validation patches | value | 95 % interval | n |", "|---|---|---|---|"]
    note = "\n\nThe model was chosen by these patches, which flatters it a little."
    return "\n".join([*head, *rows]) + note


def _calibration(record: Record) -> str:
    points = [f"Temperature {record.temperature:.3f}, fitted on validation patches and inside the graph."]
    if record.cuts:
        names = record.class_names[-len(record.cuts) :]
        cuts = ", ".join(f"{name} {cut:.3f}" for name, cut in zip(names, record.cuts, strict=True))
        points.append(f"Least probabilities at which a label is given: {cuts}.")
    points += [
        f"Prediction sets of {100 * float(level):g} % hold every class whose probability is at least {1 - q:.4f}."
        for level, q in record.conformal.items()
    ]
    return _bullets(points)


def _ood(record: Record) -> str:
    found = record.out_of_distribution
    if found is None:
        return "Not measured: the model answers whatever it is shown."
    said = (
        f"Marked by {found.method}; the threshold was chosen on {found.patches:,} validation patches, at most "
        f"{100 * found.false_alarms:g} % of which it flags."
    )
    if found.renderings:
        shares = ", ".join(f"{name} {100 * share:.1f} %" for name, share in found.renderings.items())
        said = f"{said[:-1]} in every rendering of them: {shares}."
    return said


def _how(record: Record, file: str) -> str:
    bands = len(record.input.bands)
    return (
        f"```\nswath predict {file} images/ --out predictions.csv\n"
        f"swath map {file} scene.tif --out map.tif\n```\n\n"
        f"Or in any ONNX runtime: input `pixels` `[N, {bands}, {record.input.size}, {record.input.size}]` "
        f"{record.input.data_type}, output `probabilities` `[N, {len(record.classes)}]`."
    )


def _bullets(points: Sequence[str]) -> str:
    return "\n".join(f"- {point}" for point in points)


def _estimate(value: Estimate) -> str:
    return f"{100 * value.value:.2f} % (95 %: {100 * value.low:.2f}-{100 * value.high:.2f}, n = {value.n:,})"


def _per_band(values: tuple[float, ...]) -> str:
    return ", ".join(f"{v:.1f}" for v in values)
