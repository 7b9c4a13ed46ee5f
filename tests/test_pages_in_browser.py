"""Every kind of page in Chromium, at 1280 and 400 pixels, light and dark: nothing cut, nothing tiny, nothing barred.

Needs a Chromium on the path. The rules of axe-core are checked where SWATH_AXE names its ``axe.min.js``
(``npm pack axe-core``). On pages of one's own: ``python -m tests.test_pages_in_browser PAGE...``
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import optuna
import pytest

from swath.assessment import assess, sample_map
from swath.data import PatchIndex
from swath.datareport import data_report
from swath.evaluation.compare import compare
from swath.evaluation.errors import feature_probabilities, find_errors, measure_label_issues, write_label_issues
from swath.evaluation.plots import ClassScores, confusion_chart, curves_chart
from swath.evaluation.run_report import report
from swath.experiments import ExperimentSettings
from swath.experiments import compare as experiments
from swath.experiments.catalog import make_experiment
from swath.inference import load
from swath.model.record import Estimate
from swath.pages.html import Image, Listing, Number, Point, Section, Swatch, Table, write_report
from swath.training import load_recipe, tune
from tests.assessment.maps import labeled, land, write_map
from tests.browser import PROGRAM, Browser
from tests.evaluation.cases import HOSTILE
from tests.pages.test_html import picture_bytes
from tests.tiny import write_tiny_model

WIDTHS, SMALLEST = (1280, 400), 11.0
# What is wrong with how a page is laid out, as a list of sentences.
_LAYOUT = """(() => {
  const wrong = [], wide = document.documentElement.clientWidth;
  const say = (what, e) => wrong.push(what + ': ' + (e.closest('section') || document.body).id + ' <' + e.tagName + ' '
    + (e.getAttribute('class') || '') + '> ' + e.textContent.trim().replace(/\\s+/g, ' ').slice(0, 50));
  if (document.documentElement.scrollWidth > wide) wrong.push('the page is wider than the window');
  for (const e of document.body.querySelectorAll('*')) {
    if (!e.getClientRects().length || e.closest('.skip')) continue;
    const style = getComputedStyle(e), box = e.getBoundingClientRect();
    const head = e.closest('thead');
    if (head && getComputedStyle(head).clipPath !== 'none') continue;  // read aloud, not seen
    const moves = ['auto', 'scroll'].includes(style.overflowX);
    if (moves && e.scrollWidth > e.clientWidth + 1 && e.tabIndex < 0) say('moves sideways but not by keyboard', e);
    const overfull = e.clientWidth && e.scrollWidth > e.clientWidth + 1 && style.display !== 'inline';
    if (overfull && !moves && !e.closest('svg')) say('cut', e);
    const inside = e.closest('.scroll');
    if ((!inside || inside === e) && (box.right > wide + 1 || box.left < -1)) say('beyond the edge', e);
  }
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const e = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || !e.getClientRects().length) continue;
    let size = parseFloat(getComputedStyle(e).fontSize);
    if (e.closest('svg')) { const m = e.getScreenCTM(); size *= Math.hypot(m.a, m.b); }
    if (size < SMALLEST - 0.01) say('letters of ' + size.toFixed(1) + ' px', e);
  }
  for (const svg of document.querySelectorAll('svg.chart')) {
    if (!svg.getClientRects().length) continue;
    const box = svg.getBoundingClientRect();
    for (const t of svg.querySelectorAll('text')) {
      const own = t.getBoundingClientRect();
      if (own.left < box.left - 1 || own.right > box.right + 1 || own.top < box.top - 1 || own.bottom > box.bottom + 1)
        say('outside its chart', t);
    }
  }
  return [...new Set(wrong)];
})()""".replace("SMALLEST", str(SMALLEST))
_AXE = """axe.run(document, {resultTypes: ['violations']}).then(found => found.violations
  .filter(rule => ['serious', 'critical'].includes(rule.impact))
  .map(rule => rule.id + ': ' + rule.nodes.length + ' x ' + rule.nodes[0].target.join(' ') + ' '
    + rule.nodes[0].any.concat(rule.nodes[0].all).map(check => check.message).join('; ').slice(0, 300)))"""


def axe() -> str | None:
    """The checker's source, where there is one."""
    path = Path(os.environ.get("SWATH_AXE", "node_modules/axe-core/axe.min.js"))
    return path.read_text(encoding="utf-8") if path.is_file() else None


def faults(browser: Browser, page: Path, *, rules: str | None) -> Iterator[str]:
    """What is wrong with a page, at both widths and in both schemes."""
    for width in WIDTHS:
        for dark in (False, True):
            browser.open(page, width=width, dark=dark)
            found = browser.run(_LAYOUT)
            if rules is not None:
                browser.run(f"{rules}; 0")
                found += browser.run(_AXE)
            found += browser.console
            yield from (f"{page.parent.name} at {width} px, {'dark' if dark else 'light'}: {fault}" for fault in found)


Make = Callable[[Path, Path, PatchIndex], list[Path]]


def _report(out: Path, model: Path, index: PatchIndex) -> list[Path]:
    report(model, index, out=out, quick=True, engine="onnxruntime", threads=1)
    return [out / "index.html", out / "maps" / "index.html", out / "robustness" / "index.html"]


def _errors(out: Path, model: Path, index: PatchIndex) -> list[Path]:
    find_errors(model, index, split="train", maps="all", out=out)
    return [out / "index.html"]


def _compare(out: Path, model: Path, index: PatchIndex) -> list[Path]:
    other = write_tiny_model(out.parent / "other.onnx", temperature=2.0)
    compare(model, other, index, split="train", out=out)
    return [out / "index.html"]


def _labels(out: Path, model: Path, index: PatchIndex) -> list[Path]:
    found = measure_label_issues(index, feature_probabilities(load(model, threads=1), index))
    write_label_issues(found, out)
    return [out / "label_issues.html"]


def _data(out: Path, model: Path, index: PatchIndex) -> list[Path]:
    data_report(index, out)
    return [out / "index.html"]


def _assessment(out: Path, model: Path, index: PatchIndex) -> list[Path]:
    mapped, truth = land()
    folder = out.parent
    map_ = write_map(folder / "map.tif", mapped)
    sample_map(map_, out=folder / "places.gpkg", n=200, per_class=50)
    second = write_map(folder / "second.tif", land(seed=1)[0])
    places = labeled(folder / "places.gpkg", map_, truth)
    assess([map_, second], reference=places, out=out)
    assess([map_], reference=write_map(folder / "truth.tif", truth), out=folder / "agreement")
    return [out / "index.html", folder / "agreement" / "index.html"]


def _experiments(out: Path, model: Path, index: PatchIndex) -> list[Path]:
    def row(name: str, share: float, value: float, against: str | None) -> experiments.Row:
        accuracy = Estimate(value=value, low=value - 0.06, high=value + 0.04, n=600)
        difference = None if against is None else Estimate(value=0.021, low=-0.001, high=0.043, n=600)
        p = None if against is None else 0.0004
        labels = round(1400 * share)
        return experiments.Row(name, share, labels, (value,), accuracy, 212.5, 9, against, difference, p)

    pages = []
    curve = make_experiment("learning-curve", ExperimentSettings())
    rows = [row(f"from scratch with a long name, {s:.0%}", s, 0.6 + 0.3 * s, None) for s in (0.01, 0.1, 0.5, 1)]
    rows += [row(f"transfer, {s:.0%}", s, 0.7 + 0.25 * s, f"from scratch, {s:.0%}") for s in (0.01, 0.1, 0.5, 1)]
    bars = make_experiment("preprocessing", ExperimentSettings())
    for name, experiment, chosen in (("curve", curve, rows), ("bars", bars, rows[:3])):
        (out.parent / name).mkdir()
        pages.append(out.parent / name / "index.html")
        experiments.write_page(pages[-1], experiment, chosen, "In words. " * 30, index="an index")
    return pages


def _search(out: Path, model: Path, index: PatchIndex) -> list[Path]:
    space = tune.search_space(load_recipe("fast"))
    random = np.random.default_rng(0)
    trials = []
    for number in range(8):
        params = {
            name: random.choice(kind.choices).item() if hasattr(kind, "choices") else kind.low
            for name, kind in space.items()
        }
        state = optuna.trial.TrialState.PRUNED if number % 3 == 1 else optuna.trial.TrialState.COMPLETE
        value = None if number % 3 == 1 else 0.8 + 0.01 * number
        trials.append(
            optuna.trial.create_trial(
                state=state, value=value, params=params, distributions=space, intermediate_values={1: 0.5}
            )
        )
    out.mkdir()
    drawn = tune.trials_chart(trials, space, score="val_accuracy")
    tune.write_page(out / "index.html", trials, "Words.", drawn=drawn, score="val_accuracy", name="fast")
    return [out / "index.html"]


def _worst(out: Path, model: Path, index: PatchIndex) -> list[Path]:
    """What is hardest to fit: very many classes, names without a space, tables of many columns, hostile text."""
    long = "HerbaceousVegetationOfTheHighAlpineMeadowsAndPastures"
    names = [f"{long}{k}" for k in range(45)]
    value = Estimate(value=0.5, low=0.0, high=1.0, n=123456)
    random = np.random.default_rng(0)
    truth = random.random((200, 30)) < 0.3
    scores = random.random((200, 30))
    curves = [ClassScores(names[k], "F4E04D", truth[:, k], scores[:, k], 0.5) for k in range(30)]
    write_report(
        out / "index.html",
        [
            Section(long, text=[HOSTILE, long * 3], numbers=[Number(long, value, long)], warnings=[long * 2]),
            Section(
                "Tables",
                lists=[Listing(long, [long * 2])],
                tables=[
                    Table(names[:12], [[*names[:4], *[value] * 4, *range(10**9, 10**9 + 4)]] * 3, long),
                    Table(names, [range(45)] * 3, "sideways", sideways=True),
                    Table(("a", "", "c"), [(Swatch("FFFFFF", long), "", 1.5)]),
                ],
            ),
            Section(
                "Charts",
                images=[
                    confusion_chart(random.integers(0, 10**5, (45, 45)), names),
                    confusion_chart(random.integers(0, 10**5, (3, 3)), names[:3]),
                    curves_chart(curves),
                    Image(picture_bytes(), long, long * 2),
                ],
                strips=[Image(picture_bytes(), "strip", long)],
                tiles=[Image(picture_bytes(), "tile", long * 2)],
                small_tiles=True,
            ),
        ],
        title=long,
        summary=long * 2,
        points=[Point("good", long, long, long * 2), Point("next", HOSTILE), Point("fails", "x", "9", head=long)],
        numbers=[Number(long, long, long)],
    )
    return [out / "index.html"]


needs_browser = pytest.mark.skipif(PROGRAM is None, reason="no Chromium on the path")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as one:
        yield one


@needs_browser
@pytest.mark.slow
@pytest.mark.parametrize(
    "make", [_report, _errors, _compare, _labels, _data, _assessment, _experiments, _search, _worst]
)
def test_nothing_is_cut_tiny_or_barred(browser, make, tiny_model, tiny_index, tmp_path):
    rules = axe()
    found = [
        fault for page in make(tmp_path / "out", tiny_model, tiny_index) for fault in faults(browser, page, rules=rules)
    ]
    assert not found, "\n".join(found)


@needs_browser
@pytest.mark.slow
def test_what_is_wrong_is_found(browser, tmp_path):
    page = tmp_path / "bad.html"
    page.write_text(
        "<!doctype html><html lang=en><title>x</title><body><main><h1>x</h1><section id=s>"
        "<p style='font-size:9px'>tiny</p><div style='width:100px;overflow:hidden;white-space:nowrap'>"
        "a sentence that is longer than its box</div><div style='overflow-x:auto;width:90px'>"
        "<p style='width:300px'>y</p></div><p style='width:2000px'>wide</p>"
        "<svg class=chart width=50 height=20 viewBox='0 0 100 40'>"
        "<text x=5 y=20 font-size=12>long text</text></svg></section></main></body></html>"
    )
    found = " ".join(faults(browser, page, rules=None))
    for fault in (
        "letters of 9.0 px",
        "letters of 6.0 px",
        "cut: ",
        "not by keyboard",
        "beyond the edge",
        "wider than",
    ):
        assert fault in found


@needs_browser
@pytest.mark.slow
def test_the_rules_are_run(browser, tmp_path):
    rules = axe()
    if rules is None:
        pytest.skip("SWATH_AXE names no axe.min.js (npm pack axe-core)")
    page = tmp_path / "bad.html"
    page.write_text("<!doctype html><title>x</title><main><img src='data:,'><p style='color:#bbb'>pale</p></main>")
    found = " ".join(faults(browser, page, rules=rules))
    assert "image-alt" in found
    assert "color-contrast" in found


if __name__ == "__main__":
    with Browser() as own:
        for name in sys.argv[1:]:
            sys.stdout.writelines(f"{fault}\n" for fault in faults(own, Path(name), rules=axe()))
            sys.stdout.write(f"looked at {name}\n")
