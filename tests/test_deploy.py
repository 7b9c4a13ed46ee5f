"""The Dockerfile and the compose file: their syntax, and that what they name is there."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
import typer
import yaml

from swath.cli import app
from swath.service.decoding import memory_of
from swath.service.settings import ServiceSettings

ROOT = Path(__file__).parents[1]
WORDS = {"FROM", "WORKDIR", "RUN", "COPY", "ENV", "USER", "EXPOSE", "HEALTHCHECK", "ENTRYPOINT"}


def instructions() -> list[tuple[str, str]]:
    """Each instruction of the Dockerfile with its arguments, continued lines joined."""
    text = (ROOT / "deploy/Dockerfile").read_text()
    lines = re.sub(r"\\\n\s*", "", "\n".join(line for line in text.split("\n") if not line.startswith("#")))
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1]) for line in lines.splitlines() if line.strip()]


def parsed(arguments: list[str]) -> dict[str, object]:
    """What the command line makes of the arguments of ``swath serve``."""
    command = typer.main.get_command(app)
    assert arguments[:2] == ["swath", "serve"]
    serve = command.commands["serve"]  # type: ignore[attr-defined]
    return serve.make_context("serve", arguments[2:]).params


def test_the_image_runs_what_there_is_without_rights():
    made = instructions()
    assert {word for word, _ in made} <= WORDS
    last = dict(made)
    assert last["USER"] == "swath"
    place = [word for word, _ in made].index("USER")
    assert not any(word in {"RUN", "COPY"} for word, _ in made[place:])  # nothing after it needs rights
    assert "useradd --system --uid 10001" in next(rest for word, rest in made if "useradd" in rest)
    for word, rest in made:
        if word == "COPY" and not rest.startswith("--from"):
            for name in rest.split()[:-1]:
                assert (ROOT / name).exists()
                assert f"!{name}" in (ROOT / ".dockerignore").read_text().split()
    entry = parsed(json.loads(last["ENTRYPOINT"]))
    assert (entry["host"], entry["port"]) == ("0.0.0.0", 8000)
    assert last["EXPOSE"] == "8000"
    health = json.loads(last["HEALTHCHECK"].partition("CMD ")[2])
    compile(health[2], "health check", "exec")
    assert "127.0.0.1:8000/readyz" in health[2]


def test_the_variables_of_the_image_are_names_and_values():
    for word, rest in instructions():
        if word == "ENV":
            for pair in shlex.split(rest):
                assert re.fullmatch(r"[A-Z]+[A-Z_]*=\S+", pair)


def test_compose_starts_it_read_only_with_a_key():
    (service,) = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text())["services"].values()
    build = service["build"]
    assert (ROOT / "deploy" / build["context"] / build["dockerfile"]).resolve() == ROOT / "deploy/Dockerfile"
    entry = json.loads(dict(instructions())["ENTRYPOINT"])
    assert parsed([*entry, *service["command"]])["model"] == ["eurosat"]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["environment"]["SWATH_API_KEY"].startswith("${SWATH_API_KEY:?")
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert int(service["stop_grace_period"].removesuffix("s")) > ServiceSettings().drain
    # A server of 350 MiB at rest and decoders of 60, and what each may take on top of that.
    settings = ServiceSettings(decoders=2)
    most = 350 + settings.max_memory // 2**20 + 2 * (60 + memory_of(settings.max_pixels))
    assert int(service["mem_limit"].removesuffix("m")) >= most


@pytest.mark.parametrize("name", ["deploy/Dockerfile", "deploy/compose.yaml"])
def test_no_secret_is_in_them(name: str):
    assert not re.search(r"KEY[=:]\s*[A-Za-z0-9]{8,}", (ROOT / name).read_text())
