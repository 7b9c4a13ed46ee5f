"""A model's card: what its record says, for people."""

from __future__ import annotations

from swath.model.file import ModelFile
from swath.model.record import Estimate


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
        ("channel spreads", _per_band(spec.channel_sd)),
        ("temperature", f"{record.temperature:.3f}"),
    ]
    if record.task == "binary":
        rows.append(
            ("looks for", f"{record.class_names[1]}, where its probability is {record.cuts[0]:.3f} or more")
        )
    elif record.task == "multi-label":
        cuts = zip(record.class_names, record.cuts, strict=True)
        rows.append(("thresholds", ", ".join(f"{name} {cut:.3f}" for name, cut in cuts)))
    rows += [
        (f"validation {name.replace('_', ' ')}", _estimate(value)) for name, value in record.metrics.items()
    ]
    rows += [
        ("data", f"{record.data.name}: " + ", ".join(f"{v:,} {k}" for k, v in record.data.counts.items())),
        ("data fingerprint", record.data.fingerprint),
        ("split", record.data.split_protocol),
        ("data licence", record.data.licence or "not known"),
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
        ("licence", record.licence),
    ]
    return rows


def _estimate(value: Estimate) -> str:
    return f"{100 * value.value:.2f} % (95 %: {100 * value.low:.2f}-{100 * value.high:.2f}, n = {value.n:,})"


def _per_band(values: tuple[float, ...]) -> str:
    return ", ".join(f"{v:.1f}" for v in values)
