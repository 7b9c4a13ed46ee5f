"""``swath weights``: pretrained weights to start a training from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from swath.cli import options as opt
from swath.cli.train import require_training

app = opt.Commands("List, download and add pretrained weights.")


@app.command("list")
def list_() -> object:
    """List the weights in the store and those known by name.

    Example: swath weights list
    """
    require_training()
    from swath.weights import Store
    from swath.weights.known import IMAGENET, TORCHGEO, imagenet_weights

    store = Store.default()
    entries = store.entries()
    typer.echo(f"in the store {store.folder}:" if entries else f"the store {store.folder} is empty")
    for entry in entries:
        facts = f"{entry.size / 2**20:.1f} MiB, {entry.license or 'license unknown'}, sha256 {entry.sha256[:12]}"
        typer.echo(f"  {entry.name}\n    {facts}")
    typer.echo("known by name, downloaded when first used:")
    for backbone in IMAGENET:
        known = imagenet_weights(backbone)
        typer.echo(f"  imagenet, for {backbone}\n    {known.license}, hf:{known.repository}/{known.filename}")
    for name, known in TORCHGEO.items():
        typer.echo(f"  torchgeo:{name}\n    {known.license or 'license unknown'}, {known.about}")
    names = [*(f"imagenet:{name}" for name in IMAGENET), *(f"torchgeo:{name}" for name in TORCHGEO)]
    opt.next_step("recipes")
    return {"store": store.folder, "entries": entries, "known": names}


@app.command()
def get(
    spec: Annotated[str, typer.Argument(help="imagenet, hf:REPO/FILE[@REVISION] or torchgeo:NAME.")],
    network: Annotated[
        str | None, typer.Option(help="Network for which to get imagenet weights (see: swath networks).")
    ] = None,
) -> object:
    """Download weights into the store, or verify those in it.

    An interrupted download resumes. Proxies are taken from the environment; HF_TOKEN opens gated repositories.

    Example: swath weights get imagenet --network resnet50
    """
    require_training()
    from swath.errors import SettingError
    from swath.weights import license_warning, locate, parse_spec

    if parse_spec(spec).kind == "file":
        raise SettingError(f"'{spec}' is a file already", fix=f"to keep it in the store: swath weights add {spec}")
    with opt.resumable():
        found = opt.with_bars(locate, spec, network=network)
    checksum = "checksum verified" if found.published else "checksum not published"
    typer.echo(f"{found.source}: {found.path}, {checksum}, {found.license or 'license unknown'}")
    warning = license_warning(found.license, found.source)
    if warning is not None:
        typer.echo(f"note: {warning}", err=True)
    opt.next_step("weights", "list")
    return found


@app.command()
def add(
    file: Annotated[Path, typer.Argument(help="A .safetensors file, or a state dict (.pth).")],
    as_: Annotated[
        str | None, typer.Option("--as", help="Name to use it for: imagenet:NETWORK, hf:REPO/FILE or torchgeo:NAME.")
    ] = None,
    license: Annotated[
        str | None, typer.Option(help="License of the weights, such as apache-2.0 or cc-by-nc-4.0.")
    ] = None,
    license_url: Annotated[str | None, typer.Option(help="URL of the license text.")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="FIELD=VALUE",
            help="Input the network expects: mean=[0.5,0.5,0.5], sd=, scale=, bands=, data_type=",
        ),
    ] = None,
) -> object:
    """Add a file to the store.

    With --as it is used instead of a download of that name; its license then travels with the models made from it.

    Example: swath weights add a.pth --as imagenet:resnet18 --license mit
    """
    require_training()
    from swath.weights import add_weights, license_warning

    entry = add_weights(file, name=as_, license=license, license_url=license_url, expects=set_ or ())
    typer.echo(f"{entry.name}: {entry.size:,} bytes, sha256 {entry.sha256}, {entry.license or 'license unknown'}")
    if entry.expects is None:
        typer.echo(
            "note: the input the network expects is not known; give it with --set mean=[...] --set sd=[...]", err=True
        )
    warning = license_warning(entry.license, entry.name)
    if warning is not None:
        typer.echo(f"note: {warning}", err=True)
    opt.next_step("weights", "list")
    return entry
