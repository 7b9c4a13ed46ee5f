"""Run the command line as a user does, in this process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from swath.cli import main


@dataclass(frozen=True)
class Ran:
    """What a command left behind."""

    code: int
    out: str
    err: str


Swath = Callable[..., Ran]


@pytest.fixture
def swath(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Swath:
    """Call as ``swath("predict", model, folder, "--out", table)``."""

    def call(*arguments: object) -> Ran:
        monkeypatch.setattr("sys.argv", ["swath", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        written = capsys.readouterr()
        return Ran(int(stop.value.code or 0), written.out, written.err)

    return call


def refused(swath: Swath, out: Path, *arguments: object, says: tuple[str, ...]) -> None:
    """The command exits with 2, says all of `says` in one message, and leaves `out`'s folder as it was."""
    before = sorted(p for p in out.parent.rglob("*"))
    ran = swath(*arguments)
    assert ran.code == 2, ran
    message = [line for line in ran.err.splitlines() if line.startswith("swath: ")]
    assert len(message) == 1, ran.err
    assert "Traceback" not in ran.err
    for part in says:
        assert part in message[0]
    assert sorted(p for p in out.parent.rglob("*")) == before
