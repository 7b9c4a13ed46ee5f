"""``swath networks``: what there is to train, and what it costs."""

from __future__ import annotations

from typing import Annotated

import typer

from swath.cli.train import require_training


def networks(
    names: Annotated[
        list[str] | None, typer.Argument(help="Networks to show; all by default. Also timm:NAME.")
    ] = None,
    size: Annotated[int, typer.Option(min=1, help="Side of the patches in pixels.")] = 64,
    bands: Annotated[int, typer.Option(min=1, max=64, help="Bands of the patches.")] = 3,
) -> None:
    """List the networks with their parameters, multiplications a patch, maps and needs.

    Any backbone of timm's is a network too: timm:NAME. With _fpn behind it, a name has a feature pyramid.
    Example: swath networks --size 96 resnet50 timm:regnety_004
    """
    require_training()
    from swath.config import validate
    from swath.errors import SettingError
    from swath.networks import Network, describe_network, network_names

    header = ("network", "parameters", f"MACs at {size} px", "features", "class maps", "smallest patch")
    rows: list[tuple[str, ...]] = [header]
    for name in names or network_names():
        try:
            settings = validate(Network, {"name": name}, where="networks")
            facts = describe_network(settings, bands=bands, outputs=10, size=size)
        except SettingError as error:
            if names:
                raise
            rows.append((name, "", "", "", "", error.problem))
            continue
        rows.append(
            (
                name,
                f"{facts.parameters / 1e6:,.2f} M",
                f"{facts.macs / 1e6:,.1f} M",
                f"{facts.features:,}",
                facts.maps,
                facts.needs,
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
    for row in rows:
        cells = [
            cell.rjust(width) if column in {1, 2, 3} else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        typer.echo("  ".join(cells).rstrip())
