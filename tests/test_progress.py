from __future__ import annotations

import io

import pytest
from rich.console import Console

from swath.progress import Bars, silent


@pytest.fixture
def screen():
    return Console(file=io.StringIO(), force_terminal=True, width=120, color_system=None)


def shown(screen: Console) -> str:
    return screen.file.getvalue()


def test_one_line_a_stage_with_counts_and_note(screen):
    with Bars(screen) as progress:
        progress("decode", 1, 4)
        progress("decode", 4, 4)
        progress("training", 3, 8, note="epoch 1")
    decode, training = [line for line in shown(screen).splitlines() if "/" in line][-2:]
    assert "decode" in decode
    assert "4/4" in decode
    assert "training" in training
    assert "3/8" in training
    assert "epoch 1" in training


def test_a_total_may_grow(screen):
    with Bars(screen) as progress:
        progress("classify", 1, 1)
        progress("classify", 5, 9)
    assert "5/9" in shown(screen)


def test_brackets_in_names_are_text_not_markup(screen):
    with Bars(screen) as progress:
        progress("tile [/red]", 1, 2, note="[bold]")
    assert "tile [/red]" in shown(screen)
    assert "[bold]" in shown(screen)


def test_the_bars_stop_when_the_work_fails(screen):
    def fail() -> None:
        with Bars(screen) as progress:
            progress("decode", 1, 2)
            raise ValueError("oops")

    with pytest.raises(ValueError, match="oops"):
        fail()
    with Bars(screen) as progress:  # rich allows one live display at a time
        progress("decode", 2, 2)


def test_results_on_standard_output_stay_clean(capsys):
    with Bars() as progress:
        progress("decode", 1, 1)
    assert capsys.readouterr().out == ""


def test_silent_says_nothing(capsys):
    silent("decode", 1, 2, note="x")
    assert capsys.readouterr() == ("", "")
