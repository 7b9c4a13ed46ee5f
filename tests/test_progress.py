from __future__ import annotations

import io

import pytest
from rich.console import Console

from swath.progress import Bars, Pace, silent


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


class Clock:
    """A clock that goes on when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_rate_and_times_stop_when_the_stage_ends(screen):
    clock = Clock()
    with Bars(screen, clock=clock) as progress:
        progress("decode", 0, 50)
        clock.now += 10
        progress("decode", 50, 50)
        clock.now += 90
        progress("train", 0, 10)
    decode = next(line for line in reversed(shown(screen).splitlines()) if "decode" in line)
    assert "5.0/s, 0:10 elapsed" in decode
    assert "left" not in decode


@pytest.mark.parametrize(
    ("done", "seconds", "text"),
    [
        (3000, 2.0, "1,500/s, 0:02 elapsed"),
        (300, 200.0, "1.5/s, 3:20 elapsed"),
        (40, 1000.0, "25.0 s each, 16:40 elapsed"),
    ],
)
def test_rates_are_right_within_5_percent(done, seconds, text):
    pace = Pace(0, 10_000 + 200, now=7.0)
    pace.update(done, 10_200, now=7.0 + seconds)
    shown = pace.text(7.0 + seconds)
    assert shown.startswith(f"{text}, ")
    left = sum(int(part) * 60**k for k, part in enumerate(reversed(shown.split(", ")[2].split()[0].split(":"))))
    assert left == pytest.approx((10_200 - done) * seconds / done, rel=0.05, abs=0.5)


def test_what_a_resumed_run_had_before_is_not_its_pace():
    pace = Pace(900, 1000, now=0.0)
    pace.update(910, 1000, now=10.0)
    assert pace.text(10.0) == "1.0/s, 0:10 elapsed, 1:30 left"


def log_of(steps: int, seconds: float, *, stage: str = "training", known: bool = True) -> list[str]:
    clock = Clock()
    file = Console(file=io.StringIO(), force_terminal=False, width=80)
    with Bars(file, clock=clock) as progress:
        for step in range(steps + 1):
            progress(stage, step, steps if known else step, note=f"epoch {step // 100}")
            clock.now += seconds / steps
    return shown(file).splitlines()


def test_a_log_has_a_line_every_30_seconds_and_at_the_end():
    lines = log_of(600, 300)
    assert len(lines) == 10
    assert lines[0] == "training 60/600, 2.0/s, 0:30 elapsed, 4:30 left: epoch 0"
    assert lines[-1] == "training 600/600, 2.0/s, 5:00 elapsed: epoch 6"


def test_a_log_has_no_line_of_what_takes_no_time():
    assert log_of(600, 0.9) == []
    assert len(log_of(600, 1.1)) == 1


def test_a_log_of_work_of_unknown_size_ends_with_all_of_it():
    lines = log_of(200, 100, known=False)
    assert 4 <= len(lines) <= 5
    assert lines[-1].startswith("training 200/200")


def test_a_line_of_a_log_is_one_line_whatever_the_note(capsys):
    clock = Clock()
    file = Console(file=io.StringIO(), force_terminal=False, width=40)
    with Bars(file, clock=clock) as progress:
        progress("map", 0, 2)
        clock.now += 40
        progress("map", 1, 2, note="[red] " + "long " * 30)
    assert len(shown(file).splitlines()) == 1
    assert "[red]" in shown(file)


def test_quiet_writes_no_lines_either():
    clock = Clock()
    file = Console(file=io.StringIO(), force_terminal=False)
    with Bars(file, quiet=True, clock=clock) as progress:
        progress("map", 0, 2)
        clock.now += 40
        progress("map", 2, 2)
    assert shown(file) == ""
