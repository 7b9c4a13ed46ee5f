"""``swath model``: show a model's card, check a model file."""

from __future__ import annotations

from typing import Annotated

import typer

from swath.cli.options import Engine, Model

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Look at a model file and check it.")


@app.command()
def show(
    model: Model,
    json: Annotated[bool, typer.Option("--json", help="Print the whole record as JSON.")] = False,
) -> None:
    """Print a model's card.

    Example: swath model show eurosat
    """
    from swath.model import card, read_model

    file = read_model(model)
    if json:
        typer.echo(file.record.model_dump_json(indent=2))
        return
    rows = card(file)
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        typer.echo(f"{name:<{width}}  {value}")


@app.command()
def check(
    model: Model,
    engine: Engine = "auto",
) -> None:
    """Validate a model file and run the golden patches it carries.

    Example: swath model check runs/mine/model.onnx
    """
    from swath.inference import check_model

    result = check_model(model, engine=engine)
    typer.echo(
        f"sound: {result.patches} golden patches on {result.engine}, largest difference "
        f"{result.max_difference:.1e} (allowed {result.tolerance:.0e})"
    )


@app.command()
def schema() -> None:
    """Print the JSON Schema of the record that model files carry."""
    import json as json_module

    from swath.model import record_schema

    typer.echo(json_module.dumps(record_schema(), indent=2))
