"""Run the command line as a user does, in this process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

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
