"""Every command ends with what to do now, and that runs as printed; so do the commands of README and docs."""

from __future__ import annotations

import contextlib
import re
import shlex
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from swath.data import read_index
from swath.model import Record, read_model, write_model
from swath.model.file import shipped_models
from tests.cli.conftest import Ran, Swath
from tests.cli.test_options import COMMANDS
from tests.mapping.scenes import write_scene as write_pixels
from tests.opinion.servers import chat_server, says
from tests.teaching.scenes import checkerboard, middles, remembering_model, write_places, write_scene
from tests.test_output_not_read import SETTINGS, class_map
from tests.tiny import CLASSES, write_tiny_model

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
LONG = {("train",), ("demo",), ("quickstart",), ("experiment",), ("tune",)}  # proposed, these are read but not run
SMALL = shlex.join(SETTINGS)
# Each with files of the fixture below. What is not here is in SLOW, in ONLINE: it downloads, or in SERVES.
FAST = {
    "assess": "assess classes.tif --reference classes.tif -o assessed",
    "cache clear": "cache clear",
    "cache info": "cache info",
    "compare": "compare tiny.onnx tiny.onnx index.parquet",
    "data audit": "data audit index.parquet",
    "data binary": "data binary index.parquet --positive River -o b.parquet",
    "data fix": "data fix index.parquet -o fixed",
    "data index": "data index patches -o 'my own.parquet'",
    "data relabel": "data relabel index.parquet review.csv -o r.parquet",
    "data report": "data report index.parquet -o about",
    "data resample": "data resample index.parquet --factor 2 -o coarse",
    "data split": "data split index.parquet -o s.parquet",
    "doctor": "doctor",
    "errors": "errors tiny.onnx index.parquet -o errors",
    "evaluate": "evaluate tiny.onnx index.parquet -o val",
    "explain": "explain tiny.onnx few -o why",
    "label-issues": "label-issues index.parquet --model tiny.onnx -o issues",
    "map": "map tiny.onnx scene.tif -o m.tif",
    "model calibrate": "model calibrate tiny.onnx index.parquet --false-alarms 0.1 -o c.onnx",
    "model card": "model card tiny.onnx -o card.md",
    "model check": "model check tiny.onnx",
    "model schema": "model schema",
    "model show": "model show tiny.onnx",
    "model stac": "model stac tiny.onnx -o i.json",
    "model threshold": "model threshold river.onnx river.parquet -o t.onnx",
    "opinion ask": "opinion ask few --model tiny.onnx --yes -o o.csv",
    "opinion evaluate": "opinion evaluate index.parquet --model tiny.onnx --n 8 --yes -o second",
    "predict": "predict tiny.onnx few -o p.csv",
    "sample": "sample classes.tif -o drawn.gpkg",
    "suggest": "suggest tiny.onnx scene.tif -o more.gpkg",
    "teach": "teach tiny.onnx --scene scene.tif --places places.csv -o taught.onnx",
}
ALSO = {  # the same commands, where they end in another way
    "assess": "assess classes.tif --reference classes.tif",
    "explain": "explain tiny.onnx few --check -o why",
    "map a scene of unknown land": "map eurosat noise.tif --bands 1,2,3 --rescale off --stride 64 -o m.tif",
    "map by a taught model": "map mine.onnx scene.tif --bands 1,2,3 -o m.tif",
    "opinion ask": "opinion ask few --model tiny.onnx --yes",
    "opinion evaluate": "opinion evaluate index.parquet --model tiny.onnx --n 8 --yes",
    "teach": "teach tiny.onnx --patches index.parquet -o taught.onnx",
}
MAPS = {  # what comes after them
    "map a scene of unknown land": "suggest eurosat noise.tif --bands 1,2,3 --rescale off --out places.gpkg",
    "map by a taught model": "sample m.tif --scene scene.tif --bands 1,2,3 --out sample-2.gpkg",
}
SLOW = {
    "demo": "demo --no-open",
    "experiment": f"experiment preprocessing index.parquet --scratch flash {SMALL} -o made",
    "networks": "networks resnet18",
    "quickstart": f"quickstart patches --no-open {SMALL}",
    "recipes": "recipes",
    "report": "report tiny.onnx index.parquet --quick -o report",
    "robustness": "robustness tiny.onnx index.parquet --patches 4 -o shifts",
    "train": f"train index.parquet --recipe flash {SMALL} -o run",
    "tune": f"tune index.parquet --recipe flash {SMALL} --trials 2 -o search",
    "weights add": "weights add weights.safetensors --license mit",
    "weights list": "weights list",
}
SLOW_TOO = {"explain an index": "explain tiny.onnx index.parquet --check --limit 10 -o why"}
ONLINE = {"data get", "weights get"}
SERVES = {"app", "serve"}  # until told to stop: tests/app/test_server.py, tests/service/test_server.py
Prepare = Callable[[Swath, str], None]
FILLED_IN = {"sample", "suggest"}  # what comes next needs labels that a person has to give first


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Model files that take a moment to make."""
    folder = tmp_path_factory.mktemp("models")
    remembering_model(folder / "tiny.onnx")
    made = read_model(write_tiny_model(folder / "raw.onnx", ("Residential", "River"), task="binary"))
    record = made.record.model_dump() | {"baselines": None}
    record["classes"][0]["name"] = "not River"
    write_model(folder / "river.onnx", made.graph, Record.model_validate(record))
    return folder


@pytest.fixture
def here(
    tmp_path: Path, models: Path, tiny_patches: Path, tiny_index_file: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A folder with small files of every kind, in which the commands run."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "patches").symlink_to(tiny_patches)
    (tmp_path / "few").mkdir()
    for patch in sorted((tiny_patches / "River").iterdir())[:3]:
        shutil.copy(patch, "few")
    for file in ("tiny.onnx", "river.onnx"):
        shutil.copyfile(models / file, file)
    shutil.copyfile(tiny_index_file, "index.parquet")
    table = checkerboard(CLASSES)
    write_scene(tmp_path / "scene.tif", table)
    write_places(tmp_path / "places.csv", middles(table))
    shutil.copyfile(class_map(tiny_patches), "classes.tif")
    return tmp_path


def parse(words: list[str]) -> tuple[tuple[str, ...], dict[str, Any]]:
    """The command that `words` call, and its arguments by the type that they have."""
    name = next(name for name in COMMANDS if list(name) == words[: len(name)])
    return name, COMMANDS[name].make_context(" ".join(name), words[len(name) :]).params


def goes_on(swath: Swath, ran: Ran, *, run: bool = True) -> None:
    """The last line says what to do now: a command whose inputs are there and that runs, or a file to look at."""
    assert ran.code == 0, ran.err
    for row in [] if ran.out.startswith("{") else ran.out.splitlines():  # what is no row is broken by words
        assert len(row) <= 80 or len(re.findall(r"\S {2,}(?=\S)", row)) < 2, row
    last = ran.err.splitlines()[-1]
    assert last.startswith("next: "), last
    if not last.startswith("next: swath "):
        assert any(Path(word.strip(",;")).exists() for word in last.split()), last
        return
    words = shlex.split(last.partition("  (")[0])[2:]
    if words[-1] != "--help":
        name, values = parse(words)
        for option in COMMANDS[name].params:
            value = values[option.name]
            if "--out" not in option.opts and isinstance(value, Path | list):
                for path in value if isinstance(value, list) else [value]:
                    assert not isinstance(path, Path) or path.exists(), last
        assert "model" not in values or values["model"] in shipped_models() or Path(values["model"]).exists(), last
        run = run and name not in LONG
    if not run:
        return
    followed = swath(*words)
    assert followed.code == 0, (last, followed.err)


@pytest.fixture
def prepare(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Swath, str], None]]:
    """Make what one command alone needs."""
    with contextlib.ExitStack() as stack:

        def made(swath: Swath, name: str) -> None:
            if name.startswith("opinion "):
                server = stack.enter_context(chat_server(says("River")))
                monkeypatch.setenv("OPENAI_BASE_URL", server.url)
            _prepare(swath, name)

        yield made


def _prepare(swath: Swath, name: str) -> None:
    if name == "data relabel":
        Path("review.csv").write_text(f"path,verdict\n{read_index(Path('index.parquet')).paths[0]},drop\n")
    if name == "model threshold":
        made = swath("data", "binary", "index.parquet", "--positive", "River", "-o", "river.parquet", "-q")
        assert made.code == 0
    if name == "map by a taught model":
        made = swath("teach", "tiny.onnx", "--scene", "scene.tif", "--places", "places.csv", "-o", "mine.onnx", "-q")
        assert made.code == 0, made.err
        Path("sample.gpkg").touch()
    if name == "map a scene of unknown land":
        noise = np.random.default_rng(0).integers(0, 256, (3, 128, 192)).astype(np.uint8)
        write_pixels(Path("noise.tif"), noise)
    if name == "weights add":
        save_file({"a": np.ones(3, np.float32)}, "weights.safetensors")


def test_every_command_is_here() -> None:
    assert {" ".join(words) for words in COMMANDS} == FAST.keys() | SLOW.keys() | ONLINE | SERVES


@pytest.mark.parametrize("name", FAST)
def test_it_says_what_to_do_now(swath: Swath, here: Path, prepare: Prepare, name: str) -> None:
    prepare(swath, name)
    goes_on(swath, swath(*shlex.split(FAST[name])), run=name not in FILLED_IN)


@pytest.mark.parametrize("name", ALSO)
def test_it_says_so_in_other_cases(swath: Swath, here: Path, prepare: Prepare, name: str) -> None:
    prepare(swath, name)
    ran = swath(*shlex.split(ALSO[name]))
    if name in MAPS:
        assert f"next: swath {MAPS[name]}" in ran.err
        assert "to look at it: open m.html" in ran.err
        assert ran.err.count("next: ") == 1
        assert "finer borders" not in ran.err or "taught" in name
    goes_on(swath, ran)


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW | SLOW_TOO)
def test_a_long_one_says_so_too(swath: Swath, here: Path, prepare: Prepare, name: str) -> None:
    prepare(swath, name)
    goes_on(swath, swath(*shlex.split((SLOW | SLOW_TOO)[name])))


def written_commands(page: Path) -> list[list[str]]:
    """The commands in the code blocks of a page, as their words; one may go on in the next line."""
    blocks = page.read_text(encoding="utf-8").split("```")[1::2]
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("swath ")]


@pytest.mark.parametrize("page", [README, *sorted((ROOT / "docs").glob("*.md"))], ids=lambda page: page.name)
def test_commands_of_a_page_have_what_they_need(page: Path) -> None:
    for words in written_commands(page):
        parse(words)


def fill_in(places: Path) -> None:
    """Label the places of a GeoPackage as a person would who agrees with the first class that there is."""
    with contextlib.closing(sqlite3.connect(places)) as base, base:
        (layer,) = base.execute("SELECT table_name FROM gpkg_contents").fetchone()
        names = [row[1] for row in base.execute(f'PRAGMA table_info("{layer}")')]
        label, said = ("class", "guess") if "guess" in names else ("reference", "'River'")
        base.execute(f'UPDATE "{layer}" SET "{label}" = {said}')


@pytest.mark.slow
def test_the_commands_of_the_readme_run_in_their_order(
    swath: Swath, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All but the longest run on what is shipped; training is made short, and a person's labels are made up."""
    monkeypatch.chdir(tmp_path)
    commands = written_commands(README)
    assert len(commands) > 20
    for words in commands:
        name, _ = parse(words)
        if name == ("experiment",):
            continue
        if name == ("train",):
            words += ["--recipe", "flash", "--set", "epochs=1"]
        if name == ("demo",):
            words += ["--no-open"]
        ran = swath(*words)
        goes_on(swath, ran, run=False)  # what is proposed runs above, on less
        if name in {("suggest",), ("sample",)}:
            fill_in(Path(words[words.index("-o") + 1]))
    samples = sorted(Path("swath-demo/samples").iterdir())
    for image, there in (("field.jpg", samples[0]), ("town.jpg", samples[-1])):
        shutil.copyfile(there, image)
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    values: dict[str, Any] = {}
    exec(compile(code, "README.md", "exec"), values)
    assert len(values["found"].labels) == 2


def test_links_between_pages_lead_somewhere() -> None:
    """Files and headings that README and docs name are there."""
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
    headings = {page: _anchors(page.read_text(encoding="utf-8")) for page in pages}
    count = 0
    for page in pages:
        text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        for link in re.findall(r'\]\(([^)\s]+)\)|(?:src|href)="([^"]+)"', text):
            target, _, part = "".join(link).partition("#")
            if "://" in target or target.startswith("mailto:"):
                continue
            file = (page.parent / target).resolve() if target else page
            assert file.exists(), f"{page.name}: {target}"
            assert not part or part in headings[file], f"{page.name}: {target}#{part}"
            count += 1
    assert count > 100
    linked = set(re.findall(r"docs/[\w-]+\.md", README.read_text(encoding="utf-8")))
    assert linked == {f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")}


def _anchors(text: str) -> set[str]:
    """What links can name in a page: its headings, as GitHub writes them, and what has a name of its own."""
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).lower()) for title in titles)
    return {title.strip().replace(" ", "-") for title in plain} | set(re.findall(r'<a id="([^"]+)"', text))
