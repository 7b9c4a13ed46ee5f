"""``swath weights``: what to start a training from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from swath.cli.train import require_training

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Weights to start from: list, fetch, add to the store."
)


@app.command("list")
def list_() -> None:
    """Show the weights in the store, and those known by name.

    Example: swath weights list
    """
    require_training()
    from swath.weights import Store
    from swath.weights.known import TORCHGEO, imagenet_weights, named_backbones

    store = Store.default()
    entries = store.entries()
    typer.echo(f"in the store {store.folder}:" if entries else f"the store {store.folder} is empty")
    for entry in entries:
        typer.echo(
            f"  {entry.name:<48} {entry.size / 2**20:7.1f} MiB  {entry.license or 'license unknown':<16} "
            f"sha256 {entry.sha256[:12]}"
        )
    typer.echo("known by name, fetched when first used:")
    for backbone in named_backbones():
        known = imagenet_weights(backbone)
        typer.echo(
            f"  imagenet, for {backbone:<34} {known.license:<16} hf:{known.repository}/{known.filename}"
        )
    for name, known in TORCHGEO.items():
        typer.echo(f"  torchgeo:{name:<39} {known.license or 'license unknown':<16} {known.about}")


@app.command()
def get(
    spec: Annotated[str, typer.Argument(help="imagenet, hf:REPO/FILE[@REVISION] or torchgeo:NAME.")],
    network: Annotated[
        str | None, typer.Option(help="The network imagenet weights are for (see: swath networks).")
    ] = None,
) -> None:
    """Fetch weights into the store, or verify those that are there.

    It goes on where it broke off. Proxies are taken from the environment; HF_TOKEN opens gated repositories.
    Example: swath weights get imagenet --network resnet50
    """
    require_training()
    from swath.errors import SettingError
    from swath.progress import Bars
    from swath.weights import license_warning, locate, parse_spec

    if parse_spec(spec).kind == "file":
        raise SettingError(
            f"'{spec}' is a file already", fix=f"to keep it in the store: swath weights add {spec}"
        )
    with Bars() as progress:
        found = locate(spec, network=network, progress=progress)
    checksum = "checksum verified" if found.published else "checksum not published"
    typer.echo(f"{found.source}: {found.path}, {checksum}, {found.license or 'license unknown'}")
    warning = license_warning(found.license, found.source)
    if warning is not None:
        typer.echo(f"note: {warning}", err=True)


@app.command()
def add(
    file: Annotated[Path, typer.Argument(help="A .safetensors file, or a state dict as .pth.")],
    as_: Annotated[
        str | None,
        typer.Option("--as", help="What it stands in for: imagenet:NETWORK, hf:REPO/FILE or torchgeo:NAME."),
    ] = None,
    license: Annotated[
        str | None, typer.Option(help="Its license, such as apache-2.0 or cc-by-nc-4.0.")
    ] = None,
    license_url: Annotated[str | None, typer.Option(help="Where the text of the license is.")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="The input it expects: mean=[0.5,0.5,0.5], sd=, scale=, bands=, data_type="
        ),
    ] = None,
) -> None:
    """Put a file into the store, so that it is used in place of a download and its license is known.

    Example: swath weights add mobilenet.safetensors --as imagenet:mobilenet_v2 --license apache-2.0
    """
    require_training()
    from swath.weights import add_weights, license_warning

    entry = add_weights(file, name=as_, license=license, license_url=license_url, expects=set_ or ())
    typer.echo(
        f"{entry.name}: {entry.size:,} bytes, sha256 {entry.sha256}, {entry.license or 'license unknown'}"
    )
    if entry.expects is None:
        typer.echo(
            "note: the input it expects is not known; state it with --set mean=[...] --set sd=[...]", err=True
        )
    warning = license_warning(entry.license, entry.name)
    if warning is not None:
        typer.echo(f"note: {warning}", err=True)
