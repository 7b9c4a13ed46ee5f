"""The first screen of the demo, at 80 columns."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from swath.cli.demo import _screen, _shows_pictures
from swath.mapping import LegendEntry, MapAccuracy
from swath.pipelines.showcase import Sample, ShowcaseResult
from tests.tiny import patches

NAMES = ("Forest", "HerbaceousVegetation", "Residential", "River", "SeaLake", "Highway")


@pytest.fixture
def shown() -> ShowcaseResult:
    """Six patches, of which one is mistaken, and a map of 24 rows of 25 patches."""
    samples = tuple(
        Sample(Path(f"{name}.png"), patches("River", 1)[0].transpose(1, 2, 0), name, name, 0.9) for name in NAMES[:-1]
    )
    mistaken = Sample(Path("h.png"), samples[0].pixels, "Highway", "River", 0.6)
    legend = tuple(LegendEntry(k + 1, f"{k}0{k}0{k}0", name, 1, 0.1, None) for k, name in enumerate(NAMES))
    cells = np.zeros((24, 25, 3), np.uint8)
    cells[:, :5] = 200
    accuracy = MapAccuracy(patches=600, patches_right=584, pixels=2_457_600, pixels_right=2_392_064)
    return ShowcaseResult(Path("out/index.html"), None, accuracy, (*samples, mistaken), cells, legend)


def test_the_first_screen_is_small(shown: ShowcaseResult) -> None:
    lines = _screen(shown)
    assert max(line.cell_len for line in lines) <= 80
    assert len(lines) <= 16
    text = "\n".join(line.plain for line in lines)
    assert "map: 584 of 600 right" in text
    for name in NAMES:
        assert f"■ {name}" in text


def test_a_mistake_is_marked(shown: ShowcaseResult) -> None:
    only = ShowcaseResult(shown.report, shown.evaluation, None, shown.samples[-2:])
    text = "\n".join(line.plain for line in _screen(only))
    assert "✗ River" in text
    assert "✓ SeaLake" in text


def test_pictures_need_a_terminal_with_colors(monkeypatch: pytest.MonkeyPatch) -> None:
    def console(**settings: object) -> Console:
        file = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
        return Console(file=file, force_terminal=True, width=80, **settings)

    assert _shows_pictures(console(color_system="truecolor"))
    assert not _shows_pictures(console(color_system="standard"))
    assert not _shows_pictures(console(color_system=None))
    assert not _shows_pictures(Console(file=io.StringIO(), width=80))
