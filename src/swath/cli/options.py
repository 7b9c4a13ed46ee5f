"""What every command shares: options with one spelling and one default, groups of help, ``--quiet`` and ``--json``.

A command returns its result and prints it for people as it goes. :class:`Commands` adds ``--quiet`` and
``--json`` to every command registered with it; with ``--json`` the text is dropped and the returned result is
printed instead.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import io
import os
import re
import shlex
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Annotated, Any, Literal, ParamSpec, TextIO, TypeVar, cast

import typer
from typer.core import TyperCommand, TyperGroup

from swath.errors import SettingError

N = TypeVar("N", int, float)
P = ParamSpec("P")
R = TypeVar("R")
_NEXT = "next: "  # begins the line of what to do now
_WIDEST = 100  # letters in a line of prose; longer ones are hard to read
_quiet = ContextVar("quiet", default=False)  # of the command that runs
HEADINGS = (
    "Start here",
    "Data",
    "Train",
    "Evaluate",
    "Predict and map",
    "Model files",
    "This installation",
    "Commands",
)

EngineName = Literal["auto", "openvino", "openvino-bf16", "onnxruntime"]
SplitName = Literal["train", "val", "test"]
Views = Literal[1, 4, 8]


def _shipped(pattern: str) -> Callable[[], list[str]]:
    """Completion with the names of files in the package, without importing what reads them."""
    return lambda: sorted(path.stem for path in Path(__file__).parents[1].glob(pattern))


def output(what: str) -> Any:
    """Declare ``--out``; `what` says what is written there."""
    return typer.Option("--out", "-o", help=what)


complete_model = _shipped("model/shipped/*.onnx")
complete_recipe = _shipped("training/recipes/*.yaml")
complete_patches = _shipped("data/shipped/*.zip")

Model = Annotated[
    str,
    typer.Argument(help="A .onnx file, or the name of a shipped model such as eurosat.", autocompletion=complete_model),
]
Index = Annotated[Path, typer.Argument(help="A patch index (.parquet) made by: swath data index")]
IndexOut = Annotated[Path, output("Index to write, ending in .parquet.")]
ModelOut = Annotated[Path, output("Model file to write, ending in .onnx.")]
SkipUnreadable = Annotated[
    bool, typer.Option("--skip-unreadable", help="Skip images that cannot be read, and count them.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Overwrite existing output (a folder is emptied first).")]
Split = Annotated[SplitName, typer.Option(help="Split to use. Do not tune on test.")]
Seed = Annotated[int, typer.Option(help="Random seed; the same seed gives the same result.")]
Changes = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="FIELD=VALUE", help="Change a field of the recipe: --set optimizer.lr=0.1"),
]
RECIPE = typer.Option(help="A shipped recipe (see: swath recipes) or a .yaml file.", autocompletion=complete_recipe)
SCENE = (
    "A raster (GeoTIFF, JPEG 2000, PNG, JPEG, VRT, or a COG by its address), a Sentinel-2 .SAFE folder or its zip, a "
    "Landsat Collection 2 folder, files of one band each (B02.tif B03.tif B04.tif), NetCDF or Zarr (scene.nc:VARIABLE)."
)
Scene = Annotated[list[str], typer.Argument(metavar="SCENE", help=SCENE)]
Bands = Annotated[
    str | None, typer.Option(metavar="N,N,...", help="Bands of the scene to use, in the model's order: 1,2,3")
]
RESCALE = typer.Option(
    metavar="HOW",
    help="How the input was drawn, to rescale it as the training images: auto (by name, tags, statistics and the "
    "model), off, l1c, l2a (Sentinel-2), tci or tci:WHITE (true color, as tci:3558), match (quantiles), or LOW:HIGH.",
)
Rescale = Annotated[str, RESCALE]
Nodata = Annotated[float | None, typer.Option(help="Value that means no data, instead of the scene's own.")]
Engine = Annotated[
    EngineName,
    typer.Option(
        metavar="ENGINE",
        help="What runs the model: onnxruntime or openvino (fp32), openvino-bf16, or auto: openvino, in bf16 where "
        "processor and model allow it.",
    ),
]
Threads = Annotated[int | None, typer.Option(help="Number of threads; by default, one per available core.")]
TestTimeAugmentation = Annotated[
    Views,
    typer.Option(
        help="Test-time augmentation: average over 1, 4 (rotations) or 8 (rotations and flips) views. Slightly "
        "more accurate, that many times slower."
    ),
]


class _Group(TyperGroup):
    """Commands under the headings of their help, as plain text; called without a command it shows its help."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, args or ["--help"])

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        width = max(map(len, self.commands))
        rows: dict[str, list[tuple[str, str]]] = {heading: [] for heading in HEADINGS}
        for name in self.list_commands(ctx):
            command = cast(TyperCommand, self.get_command(ctx, name))
            heading = command.rich_help_panel or "Commands"
            rows[heading].append((name.ljust(width), command.get_short_help_str(formatter.width)))
        for heading in filter(rows.get, HEADINGS):
            with formatter.section(heading):
                formatter.write_dl(rows[heading])


class Commands(typer.Typer):
    """A group of commands, each with ``--quiet`` and ``--json``; its help is plain text.

    Plain help starts faster than rich's and reads the same in any terminal.
    """

    def __init__(self, help: str, *, add_completion: bool = False) -> None:
        super().__init__(
            cls=_Group,
            help=help,
            rich_markup_mode=None,
            pretty_exceptions_enable=False,
            context_settings={"help_option_names": ["-h", "--help"]},
            add_completion=add_completion,
        )

    def add(self, heading: str, **commands: Callable[..., object] | typer.Typer) -> None:
        """Add commands and groups by name under one of :data:`HEADINGS`; an underscore becomes a hyphen."""
        for name, command in commands.items():
            if isinstance(command, typer.Typer):
                self.add_typer(command, name=name, rich_help_panel=heading)
            else:
                self.command(name.replace("_", "-"), rich_help_panel=heading)(command)

    def command(self, name: str | None = None, **settings: Any) -> Callable[[Any], Any]:
        """Register a function, which returns its result, as a command; see :class:`typer.Typer`."""
        register = super().command(name, **settings)

        def add(function: Any) -> Any:
            register(_printing(function))
            return function

        return add


class FailedCheck(typer.Exit):
    """Exit status 1 of a command that worked and found what it was asked to refuse; `result` is its result."""

    def __init__(self, result: object) -> None:
        super().__init__(1)
        self.result = result


def with_bars(function: Callable[P, R], /, *args: P.args, **settings: P.kwargs) -> R:
    """Call a function that takes ``progress`` and show its stages as bars until it returns."""
    from swath.progress import Bars

    with Bars(quiet=_quiet.get()) as progress:
        return cast(Callable[..., R], function)(*args, **settings, progress=progress)


def has_screen() -> bool:
    """Whether a person sits in front of this terminal with a desktop around it."""
    desktop = sys.platform in {"darwin", "win32"} or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    return bool(desktop) and sys.stdout.isatty()


def hint(text: str) -> None:
    """Print what to do next on standard error, unless ``--quiet`` was given."""
    if not _quiet.get():
        typer.echo(text, err=True)


def next_step(*command: str | Path, after: str = "") -> None:
    """Print the command that comes next, as it can be run, unless ``--quiet`` was given."""
    if not _quiet.get():
        typer.echo(f"{_NEXT}swath {shlex.join(map(str, command))}{after}", err=True)


def unused(name: str | Path) -> Path:
    """A name like `name` that nothing has, for an output of the next command: mine.onnx, else mine-2.onnx."""
    path = Path(name)
    names = (path.with_stem(f"{path.stem}-{k}") for k in range(2, 1000))
    return path if not path.exists() else next((other for other in names if not other.exists()), path)


def folded(text: str) -> str:
    """Break lines that are longer than the terminal is wide between words; a path or a name stays whole."""
    width = min(shutil.get_terminal_size().columns, _WIDEST)
    # A line with escapes is drawn, not written, and fits; a command to copy stays on one line, however long.
    whole = (len(line) <= width or "\x1b" in line or line.startswith(f"{_NEXT}swath ") for line in text.split("\n"))
    return "\n".join(line if fits else _fold(line, width) for fits, line in zip(whole, text.split("\n"), strict=True))


def _fold(line: str, width: int) -> str:
    gap = re.search(r"(?<=\S) {2,}(?=\S)", line)  # between a name and what is said of it
    column = gap.end() if gap and gap.end() <= width // 2 else len(line) - len(line.lstrip(" "))
    return textwrap.fill(line, width, subsequent_indent=" " * column, break_long_words=False, break_on_hyphens=False)


class _Screen:
    """A terminal on which prose is broken between words."""

    def __init__(self, terminal: TextIO) -> None:
        self._terminal, self.encoding = terminal, terminal.encoding

    def write(self, text: str) -> int:
        return self._terminal.write(folded(text))

    def flush(self) -> None:
        self._terminal.flush()

    def isatty(self) -> bool:
        return True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._terminal, name)


@contextlib.contextmanager
def resumable(how: str = "the same command") -> Iterator[None]:
    """Say how to go on with what Ctrl-C stops inside the block."""
    try:
        yield
    except KeyboardInterrupt:
        hint(f"to go on where it was stopped: {how}")
        raise


def numbers(text: str, kind: Callable[[str], N], *, option: str, example: str) -> tuple[N, ...]:
    """Read the comma-separated numbers of an option.

    Raises
    ------
    SettingError
        If `text` is not a list of numbers.
    """
    try:
        return tuple(kind(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise SettingError(
            f"{option} {text} is not a list of {'whole ' if kind is int else ''}numbers",
            fix=f"separate them by commas, as in {option} {example}",
        ) from None


def band_numbers(text: str | None) -> tuple[int, ...] | None:
    """Read the numbers of ``--bands``, if it is given; errors are those of :func:`numbers`."""
    return None if text is None else numbers(text, int, option="--bands", example="1,2,3")


def one_scene(parts: list[str]) -> str | list[str]:
    """A scene as functions take it: one path, or several."""
    return parts[0] if len(parts) == 1 else parts


def with_scene(parts: list[str] | None) -> list[str]:
    """The option ``--scene`` for each of its parts, for the command that comes next."""
    return [text for part in parts or [] for text in ("--scene", part)]


def scene_options(bands: str | None, rescale: str, nodata: float | None) -> list[str]:
    """How a scene was read, for the command that comes next to read it in the same way."""
    asked = {"--bands": bands, "--rescale": None if rescale == "auto" else rescale, "--nodata": nodata}
    return [str(part) for name, value in asked.items() if value is not None for part in (name, value)]


Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress bars and no hints.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON instead of text.")]


def _printing(function: Callable[..., object]) -> Callable[..., None]:
    """Give a command that returns its result the options ``--quiet`` and ``--json``."""

    @functools.wraps(function)
    def command(*, quiet: bool, json: bool, **arguments: Any) -> None:
        failed = None
        _quiet.set(quiet)
        # A file keeps its lines whole.
        out, err = (_Screen(stream) if stream.isatty() else stream for stream in (sys.stdout, sys.stderr))
        with contextlib.redirect_stdout(io.StringIO() if json else out), contextlib.redirect_stderr(err):
            try:
                result = function(**arguments)
            except FailedCheck as stop:
                failed, result = stop, stop.result
        if json:
            from pydantic_core import to_json

            text = to_json(result, indent=2, inf_nan_mode="null", fallback=_plain)
            typer.echo(text.decode())
        if failed:
            raise failed

    signature = inspect.signature(function, eval_str=True)
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=annotation)
        for name, annotation in (("quiet", Quiet), ("json", Json))
    ]
    parameters = [*signature.parameters.values(), *added]
    cast(Any, command).__signature__ = signature.replace(parameters=parameters)
    # Evaluated once here; typer would evaluate the strings three times for each command at every start.
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return command


def _plain(value: Any) -> Any:
    """NumPy's scalars and arrays as Python's; of anything else its text."""
    return value.tolist() if hasattr(value, "tolist") else str(value)
