"""``swath serve`` and ``swath app``: models behind HTTP, for programs and for people."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from swath.cli import options as opt
from swath.errors import MissingExtraError, SettingError


def serve(
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="A .onnx file or a shipped name, or NAME=FILE to name it; repeat it for several. The first one "
            "answers where a request names none.  [default: eurosat]",
            autocompletion=opt.complete_model,
        ),
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 8000,
    host: Annotated[
        str, typer.Option(help="Address to listen on; one that other machines reach needs an API key.")
    ] = "127.0.0.1",
    public: Annotated[
        bool,
        typer.Option(
            "--public",
            help="Let others in: through a tunnel, if ngrok's SDK is installed and NGROK_AUTHTOKEN set; else it says "
            "what to put in front. Needs SWATH_API_KEY.",
        ),
    ] = False,
    queue: Annotated[
        int, typer.Option(min=1, max=100_000, help="Requests under way at most; further ones get status 429.")
    ] = 64,
    timeout: Annotated[float, typer.Option(min=0.1, max=3600, help="Seconds a request may take.")] = 10.0,
    max_mb: Annotated[int, typer.Option(min=1, help="Largest body of a request, megabytes.")] = 32,
    max_images: Annotated[int, typer.Option(min=1, max=1024, help="Most images in a request.")] = 64,
    max_pixels: Annotated[int, typer.Option(min=1, help="Most pixels of an image, width x height.")] = 16_000_000,
    log_predictions: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Keep a table (Parquet) of what was answered in this folder.")
    ] = None,
    jobs: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Also make maps (/v1/map); scenes and maps are kept here.")
    ] = None,
    max_scene_mb: Annotated[int, typer.Option(min=1, help="Largest scene to be mapped, megabytes.")] = 2048,
    max_scene_pixels: Annotated[
        int, typer.Option(min=1, help="Most pixels of a scene to be mapped, width x height.")
    ] = 2_000_000_000,
    engine: opt.Engine = "auto",
    threads: opt.Threads = None,
) -> object:
    """Classify images over HTTP, until Ctrl-C.

    The API is described at /openapi.json. If SWATH_API_KEY is set, requests must carry it, as in
    Authorization: Bearer KEY; without it only this machine is answered. Logs are JSON lines on standard error.

    Example: swath serve --model eurosat --port 8000
    """
    try:
        from swath.service.server import serve as run
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("swath"):
            raise
        raise MissingExtraError("swath serve", extra="app") from error
    from swath.config import validate
    from swath.service.public import NoTunnelError, check_public, in_front, tunnel
    from swath.service.settings import KEY, SHORTEST_KEY, ServiceSettings

    values: dict[str, Any] = {
        "models": tuple(model or ("eurosat",)),
        "engine": engine,
        "threads": threads,
        "queue": queue,
        "timeout": timeout,
        "max_bytes": max_mb * 2**20,
        "max_images": max_images,
        "max_pixels": max_pixels,
        "prediction_log": log_predictions,
        "jobs": jobs,
        "max_scene_bytes": max_scene_mb * 2**20,
        "max_scene_pixels": max_scene_pixels,
        "api_key": os.environ.get(KEY) or None,
    }
    if values["api_key"] is not None and len(values["api_key"]) < SHORTEST_KEY:  # named here, where it is not quoted
        raise SettingError(f"{KEY} has fewer than {SHORTEST_KEY} letters", fix="set it to a longer secret")
    settings = validate(ServiceSettings, values, where="swath serve")

    if public:
        check_public(settings)
    key = "" if settings.api_key is None else f'-H "Authorization: Bearer ${KEY}" '
    with contextlib.ExitStack() as stack:

        def listening(address: str) -> None:
            typer.echo(f"listening on {address}")
            if public:
                try:
                    address = stack.enter_context(tunnel(address))
                    typer.echo(f"public at {address}")
                except NoTunnelError as error:
                    typer.echo(f"not public: {error}\n{in_front(address, settings)}")
            opt.hint(f"next: curl {key}-F images=@field.jpg {address}/v1/predict")

        run(settings, host=host, port=port, listening=listening)
    return None


def app(
    model: Annotated[
        str, typer.Option(help="A .onnx file, or the name of a shipped model.", autocompletion=opt.complete_model)
    ] = "eurosat",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 8501,
    browser: Annotated[
        bool | None,
        typer.Option("--browser/--no-browser", help="Open the page in a browser; by default, if there is a screen."),
    ] = None,
    engine: opt.Engine = "auto",
    threads: opt.Threads = None,
) -> object:
    """Open a web page to classify pictures and to map scenes, until Ctrl-C.

    The page is for people who do not type commands. It runs on this machine and needs no network; nobody else can reach
    it, and what is uploaded is deleted when the page is closed.

    Example: swath app
    """
    try:
        from swath.app.server import serve as run
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("swath"):
            raise
        raise MissingExtraError("swath app", extra="app") from error
    from swath.app.settings import AppSettings

    def listening(address: str) -> None:
        typer.echo(f"the page is at {address}")
        opt.hint(f"next: open {address} in a browser; Ctrl-C ends it")
        if browser or (browser is None and opt.has_screen()):
            import webbrowser

            webbrowser.open(address)

    run(AppSettings(model=model, engine=engine, threads=threads), port=port, listening=listening)
    return None
