"""Search for a better recipe on the validation split, with Optuna."""

from __future__ import annotations

import contextlib
import hashlib
import math
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from swath.config import validate
from swath.data import PatchIndex
from swath.errors import DataError, SettingError
from swath.files import atomic_file, check_output, write_csv, write_text
from swath.machine import free_cores
from swath.networks.catalog import OWN
from swath.pages.charts import SMALL, Canvas, Chart, chart, fitting
from swath.pages.html import Link, Point, Section, Table, write_report
from swath.progress import Progress, silent
from swath.training.loop import Score, TrainingLoop
from swath.training.plan import with_enough_steps, with_network_of_start
from swath.training.recipe import Recipe, dump_recipe
from swath.training.run import (
    TrainingRun,
    decode_patches,
    identity_of,
    initialize_network,
    make_fabric,
    resolved,
    torch_settings,
)
from swath.training.targets import choose_targets, training_parts

Value = float | int | bool
CROP = "augmentation.crop"  # on or off; its side stays the recipe's
_RATE = 5.0  # how far rates may go either way, as a factor
_ENDED = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "cut short", TrialState.FAIL: "failed"}
STUDY, BEST, TABLE, PICTURE, PAGE = "study.db", "best.yaml", "trials.csv", "parallel.svg", "index.html"
WORK = "running"
Pruner = Literal["asha", "median", "none"]
_OVER = (TrialState.COMPLETE, TrialState.PRUNED)


def search_space(recipe: Recipe) -> dict[str, BaseDistribution]:
    """The fields worth searching around a recipe, few enough for some dozens of trials.

    Every range holds the recipe's own value. What decides how long an epoch takes or what the result is for (the
    network, its size, batch, epochs, bands, loss) stays as it is.
    """
    optimizer, augmentation = recipe.optimizer, recipe.augmentation
    frozen = recipe.freeze.epochs == "all"
    space: dict[str, BaseDistribution] = {"optimizer.lr": _around(optimizer.lr)}
    if optimizer.name == "muon":
        space["optimizer.adamw_lr"] = _around(optimizer.adamw_lr)
    else:
        usual = 0.1 if optimizer.name == "adamw" else 1e-3
        space["optimizer.weight_decay"] = FloatDistribution(0.0, max(usual, 2 * optimizer.weight_decay))
    if optimizer.name in ("muon", "sgd"):
        momentum = optimizer.momentum
        space["optimizer.momentum"] = FloatDistribution(min(0.4, momentum), max(0.95, momentum))
    if recipe.loss.name != "focal":
        smoothing = recipe.loss.label_smoothing
        space["loss.label_smoothing"] = FloatDistribution(0.0, max(0.2, smoothing))
    if recipe.network.name not in OWN or recipe.network.dropout:
        space["network.dropout"] = FloatDistribution(0.0, max(0.5, recipe.network.dropout))
    if recipe.weights != "none" and not frozen:
        space["freeze.backbone_lr_scale"] = FloatDistribution(min(0.05, recipe.freeze.backbone_lr_scale), 1, log=True)
    if not frozen:  # features of a frozen backbone are computed once, of unchanged patches
        space["augmentation.shift"] = IntDistribution(0, min(64, max(8, 2 * augmentation.shift)))
        if augmentation.crop is not None:
            space[CROP] = CategoricalDistribution([True, False])
        if augmentation.sensor_shift:
            space["augmentation.sensor_shift"] = FloatDistribution(0.0, 1.0)
    return space


def start_values(recipe: Recipe, space: Mapping[str, BaseDistribution]) -> dict[str, Value]:
    """The recipe's own values of the fields of a space."""
    values: dict[str, Value] = {}
    for field in space:
        group, _, name = field.partition(".")
        value = getattr(getattr(recipe, group), name)
        values[field] = value is not None if field == CROP else value
    return values


def with_values(recipe: Recipe, values: Mapping[str, Value]) -> Recipe:
    """The recipe with other values in these fields; numbers to four digits, so that they can be read."""
    plain: dict[str, Any] = recipe.model_dump(mode="json")
    own = start_values(recipe, dict.fromkeys(values, FloatDistribution(0, 1)))
    for field, value in values.items():
        group, _, name = field.partition(".")
        if value == own[field]:
            continue
        if field == CROP:
            plain[group][name] = None
        else:
            plain[group][name] = float(f"{value:.4g}") if isinstance(value, float) else value
    return validate(Recipe, plain, where=f"recipe {recipe.name}")


def _around(rate: float) -> FloatDistribution:
    return FloatDistribution(rate / _RATE, rate * _RATE, log=True)


def write_trials(path: Path, trials: Sequence[FrozenTrial], *, score: str) -> None:
    """One line per trial: how it ended, its best score, epochs, seconds and values."""
    fields = list(trials[0].params)
    header = ["trial", "ended", score, "epochs", "seconds", *fields, "problem"]
    with atomic_file(path, overwrite=True) as temporary:
        write_csv(temporary, header, [_cells(number, trial, fields) for number, trial in enumerate(trials)])


def _cells(number: int, trial: FrozenTrial, fields: Sequence[str]) -> list[object]:
    reached = score_of(trial)
    return [
        number,
        _ENDED[trial.state],
        "" if reached is None else f"{reached:.5f}",
        len(trial.intermediate_values),
        f"{trial.duration.total_seconds() if trial.duration else 0.0:.1f}",
        *(f"{v:.4g}" if isinstance(v, float) else v for v in map(trial.params.get, fields)),
        trial.user_attrs.get("problem", ""),
    ]


def score_of(trial: FrozenTrial) -> float | None:
    """The best score a trial reached, whole or cut short."""
    if trial.state == TrialState.COMPLETE:
        return float(trial.values[0])
    return max(trial.intermediate_values.values(), default=None)


def trials_chart(trials: Sequence[FrozenTrial], space: Mapping[str, BaseDistribution], *, score: str) -> Chart:
    """Parallel coordinates: a line per trial through one axis per field, the score on the last one.

    Axes lie below each other, so that they have room for their names on a screen of any width. Whole trials are
    darker the better they score, those cut short are gray and thin, the recipe the search started from is dashed.
    """
    whole = [t for t in trials if t.state == TrialState.COMPLETE]
    values = [t.values[0] for t in whole]
    low, high = min(values), max(values)
    axes = [(name.replace("_", " "), *_ends(kind)) for name, kind in space.items()]
    axes.append((score.removeprefix("val_").replace("_", " "), f"{100 * low:.2f} %", f"{100 * high:.2f} %"))
    lines: list[tuple[list[float], str, float, str]] = [
        (_places(trial, space), "grid", 1.2, "") for trial in trials if trial.state == TrialState.PRUNED
    ]
    for trial in sorted(whole, key=lambda t: t.values[0]):
        share = (trial.values[0] - low) / (high - low) if high > low else 1.0
        best = trial.values[0] == high
        look = ("accent", 2.8, "") if best else ("warm", 1.8, "5 4") if trial is trials[0] else ("soft", 1.2, "")
        lines.append(([*_places(trial, space), share], *look))

    def draw(width: float) -> Canvas:
        canvas = Canvas(width)
        left, right, step, top = 8.0, width - 8.0, 50.0, 24.0
        for number, (name, bottom, end) in enumerate(axes):
            y = top + step * number
            canvas.text(left - 4, y - 7, bottom, look="quiet", size=SMALL)
            canvas.text(width / 2, y - 7, fitting(name, 0.5 * width), anchor="middle", look="head")
            canvas.text(right + 4, y - 7, end, anchor="end", look="quiet", size=SMALL)
            canvas.line([(left, y), (right, y)], "quiet", width=1.4)
        for places, color, thick, dash in lines:
            points = [(left + (right - left) * share, top + step * k) for k, share in enumerate(places)]
            canvas.line(points, color, width=thick, dash=dash)
        canvas.height = top + step * (len(axes) - 1) + 10
        return canvas

    caption = (
        "Each line is a recipe tried, from setting to setting down to its score; thick: the best; dashed: the one the "
        "search started from; gray: cut short."
    )
    return chart("Recipes tried as lines through their settings and score", draw, caption=caption)


def write_page(path: Path, trials: Sequence[FrozenTrial], text: str, *, drawn: Chart, score: str, name: str) -> None:
    """The page of a search: what it found, its chart and its trials."""
    folder, fields = path.parent, list(trials[0].params)
    complete = [t for t in trials if t.state == TrialState.COMPLETE]
    what = score.removeprefix("val_").replace("_", " ")
    best = max(complete, key=lambda t: t.values[0])
    gain = 100 * (best.values[0] - trials[0].values[0])
    said = [Point("good", f"validation {what}, of {len(trials)} recipes", f"{100 * best.values[0]:.2f} %", head="Best")]
    if best is trials[0]:
        said.append(Point("beware", "points were gained: no recipe beat the one the search started from", "0"))
    else:
        small = "The best was selected on these same patches, so its score is optimistic."
        said.append(
            Point("beware", f"against '{name}', on the patches it was selected on", f"{gain:+.2f} points", small)
        )
    said.append(Point("next", "of best.yaml to train, and to evaluate on other patches", "1 run"))
    failed = any(t.user_attrs for t in trials)
    rows: list[tuple[str, ...]] = []
    for number, trial in enumerate(trials):
        reached, values = score_of(trial), trial.params
        rows.append(
            (
                f"trial {number}" + (", the start" if number == 0 else ", the best" if trial is best else ""),
                _ENDED[trial.state],
                "\u2013" if reached is None else f"{100 * reached:.2f} %",
                str(len(trial.intermediate_values)),
                *(_written(values[field]) for field in fields),
                *([str(trial.user_attrs.get("problem", "\u2013"))] if failed else []),
            )
        )
    header = ("recipe", "ended", what, "epochs", *(re.sub("[._]", " ", f) for f in fields))
    with atomic_file(path, overwrite=True) as temporary:
        write_report(
            temporary,
            [
                Section("Recipes tried", text=[text], images=[drawn]),
                Section(
                    "Every trial",
                    tables=[Table((*header, *(("problem",) if failed else ())), rows)],
                    links=[Link("Best recipe", folder / BEST), Link("Trials (CSV)", folder / TABLE)],
                ),
            ],
            title=f"Search around recipe '{name}'",
            points=said,
            overwrite=True,
        )


def _written(value: Value) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _places(trial: FrozenTrial, space: Mapping[str, BaseDistribution]) -> list[float]:
    """Where a trial crosses each axis, 0 to 1."""
    return [place_of(kind, trial.params[name]) for name, kind in space.items()]


def place_of(kind: BaseDistribution, value: float) -> float:
    """Where a value lies in its range, 0 to 1; evenly on the scale it was drawn from."""
    if isinstance(kind, CategoricalDistribution):
        return kind.to_internal_repr(value) / max(1, len(kind.choices) - 1)
    low, high = float(kind.low), float(kind.high)  # type: ignore[attr-defined]
    if isinstance(kind, FloatDistribution) and kind.log:
        low, high, value = math.log(low), math.log(high), math.log(value)
    return (value - low) / (high - low)


def _ends(kind: BaseDistribution) -> tuple[str, str]:
    if isinstance(kind, CategoricalDistribution):
        first, *_, last = ("on" if choice else "off" for choice in kind.choices)
        return first, last
    return f"{kind.low:.3g}", f"{kind.high:.3g}"  # type: ignore[attr-defined]


@dataclass(frozen=True)
class TuneResult:
    """Result of a search.

    Attributes
    ----------
    best : pathlib.Path
        The best recipe as YAML.
    text : str
        How much better it is than the recipe it started from, in a sentence or two.
    score : float
        Of the best recipe on the validation patches, 0 to 1.
    start : float
        Of the recipe it started from.
    trials : int
        Recipes tried, those cut short or diverged among them.
    """

    best: Path
    text: str
    score: float
    start: float
    trials: int


def tune(
    index: PatchIndex,
    recipe: Recipe,
    *,
    out: Path,
    trials: int = 20,
    pruner: Pruner = "asha",
    seed: int = 0,
    threads: int | None = None,
    overwrite: bool = False,
    cache: Path | None = None,
    progress: Progress = silent,
) -> TuneResult:
    """Try recipes around one, and keep the best by the score that also chooses the epoch, on validation patches.

    The recipe itself is the first trial. Later ones are proposed by the tree-structured Parzen estimator (Bergstra
    et al. 2011, NeurIPS 24) and cut short by successive halving (ASHA: Li et al. 2020, MLSys) or the median rule.
    Interrupted, the same call resumes, the current trial too; with more `trials` it adds them. The test
    split is not opened.

    Parameters
    ----------
    index : PatchIndex
        With ``train`` and ``val`` splits.
    recipe : Recipe
        Where the search starts; see :func:`swath.training.tune.search_space` for what it may change.
    out : pathlib.Path
        Folder for ``study.db``, ``best.yaml``, ``trials.csv``, ``parallel.svg`` and ``index.html``.
    trials : int
        How many in all, those of earlier calls among them.
    pruner : str
        ``asha``, ``median`` or ``none``.
    seed : int
        Of the proposals.
    threads : int, optional
        By default, as many as the cores this process may use.
    overwrite : bool
        Discard an earlier search in the folder.
    cache : pathlib.Path, optional
        Folder for decoded patches and features.

    Raises
    ------
    SettingError
        If an option is out of range, or the recipe itself does not train.
    DataError
        If a split is missing, or the folder holds a search from another recipe or on other patches.
    """
    if trials < 1:
        raise SettingError(f"{trials} trials are no search", fix="give --trials 2 or more")
    if threads is not None and threads < 1:
        raise SettingError(f"{threads} threads", fix="give --threads 1 or more")
    if pruner not in get_args(Pruner):
        raise SettingError(f"there is no pruner '{pruner}'", fix=f"use one of {', '.join(get_args(Pruner))}")
    parts = training_parts(index)
    targets = choose_targets(index, recipe)
    recipe = with_enough_steps(with_network_of_start(recipe), len(parts["train"]))
    identity = identity_of(recipe, *(part.fingerprint for part in parts.values()), f"{seed} {pruner}")
    check_output(out / STUDY, overwrite=True)
    if overwrite:
        _remove(out)
    with _study(out / STUDY, identity, recipe, pruner=pruner) as study, torch_settings(threads or free_cores()):
        run = TrainingRun(
            recipe,
            targets,
            *decode_patches(parts, recipe, targets, cache=cache, progress=progress),
            folder=out / WORK,
            identity=identity,
            fabric=make_fabric(recipe),
            cache=cache,
            progress=progress,
        )
        _enqueue_recipe(study, recipe)
        while (done := len(_finished(study))) < trials:
            progress("trials", done, trials, note=_note(study))
            _try_one(study, run, seed=seed)
        progress("trials", trials, trials, note=_note(study))
        shutil.rmtree(out / WORK, ignore_errors=True)
        return _write(out, recipe, _finished(study), score=Score.of(targets.task).column)


def _try_one(study: optuna.Study, run: TrainingRun, *, seed: int) -> None:
    """One trial, from proposal to score; a kill leaves a checkpoint that :func:`_enqueue_recipe` leads back to."""
    # A sampler of its own for every trial: a search that was interrupted proposes what it would have anyway.
    study.sampler = optuna.samplers.TPESampler(seed=seed * 100_003 + len(_finished(study)))
    trial = study.ask(search_space(run.recipe))
    candidate = with_values(run.recipe, trial.params)
    digest = hashlib.sha256(dump_recipe(candidate).encode()).hexdigest()
    folder = run.folder / digest[:16]
    column = Score.of(run.targets.task).column
    best = 0.0

    def on_epoch(row: dict[str, float]) -> None:
        nonlocal best
        best = max(best, row[column])
        trial.report(best, int(row["epoch"]))
        if trial.should_prune():
            raise optuna.TrialPruned

    fabric = make_fabric(candidate)
    fabric.launch()
    folder.mkdir(parents=True, exist_ok=True)
    attempt = replace(run, recipe=resolved(candidate), folder=folder, identity=digest, fabric=fabric)
    try:
        fitted = TrainingLoop(attempt, initialize_network(attempt)).fit(on_epoch=on_epoch)
    except optuna.TrialPruned:
        study.tell(trial, state=TrialState.PRUNED)
    except SettingError as error:
        if not _scored(study):  # the recipe itself: the search has nothing to start from
            raise
        trial.set_user_attr("problem", error.problem)
        study.tell(trial, state=TrialState.FAIL)
    else:
        study.tell(trial, fitted.history[fitted.kept][column])
    shutil.rmtree(folder, ignore_errors=True)


def _enqueue_recipe(study: optuna.Study, recipe: Recipe) -> None:
    """Queue what comes first: the trial a kill left unfinished, or in a new study the recipe itself."""
    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)  # without a problem: it does not count
        study.enqueue_trial(trial.params)
    if not study.get_trials(deepcopy=False):
        study.enqueue_trial(start_values(recipe, search_space(recipe)))


def _finished(study: optuna.Study) -> list[FrozenTrial]:
    """Trials that came to an end of their own; interrupted ones run again under another number."""
    return [t for t in study.get_trials() if t.state in _OVER or "problem" in t.user_attrs]


def _scored(study: optuna.Study) -> list[FrozenTrial]:
    return study.get_trials(states=(TrialState.COMPLETE,))


def _note(study: optuna.Study) -> str:
    scored = _scored(study)
    return f"best {100 * max(t.values[0] for t in scored):.2f} %" if scored else ""


def _write(out: Path, recipe: Recipe, finished: list[FrozenTrial], *, score: str) -> TuneResult:
    complete = [t for t in finished if t.state == TrialState.COMPLETE]
    best = max(complete, key=lambda t: t.values[0])  # of equals the first
    number, first = finished.index(best), finished[0]
    chosen = with_values(recipe, best.params)
    if best is not first:
        about = f"{recipe.name}, tuned: the best of {len(finished)} on validation patches."
        chosen = chosen.model_copy(update={"name": f"{recipe.name}-tuned", "about": about})
    write_text(out / BEST, dump_recipe(chosen))
    write_trials(out / TABLE, finished, score=score)
    text = _sentence(recipe.name, first.values[0], best.values[0], number, finished, score=score)
    drawn = trials_chart(finished, search_space(recipe), score=score)
    with atomic_file(out / PICTURE, overwrite=True) as temporary:
        temporary.write_bytes(drawn.to_svg())
    write_page(out / PAGE, finished, text, drawn=drawn, score=score, name=recipe.name)
    return TuneResult(out / BEST, text, best.values[0], first.values[0], len(finished))


def _sentence(name: str, start: float, best: float, number: int, finished: list[FrozenTrial], *, score: str) -> str:
    what = score.removeprefix("val_").replace("_", " ")
    cut = sum(t.state == TrialState.PRUNED for t in finished)
    tried = f"{len(finished)} recipes tried" + (f", {cut} of them cut short" if cut else "")
    if number == 0:
        return f"None of {tried} beat '{name}' as it is: validation {what} {100 * start:.2f} %."
    return (
        f"Trial {number} of {tried}: validation {what} {100 * best:.2f} % against {100 * start:.2f} % of '{name}' "
        f"({100 * (best - start):+.2f} points). The best was selected on these same patches, so its score is "
        "optimistic: train it, and evaluate it on other patches."
    )


@contextlib.contextmanager
def _study(path: Path, identity: str, recipe: Recipe, *, pruner: str) -> Iterator[optuna.Study]:
    """The study in `path`, new or resumed; Optuna's own lines are kept out of the bars."""
    if path.is_file():
        with path.open("rb") as file:
            start = file.read(15)
        if start and start != b"SQLite format 3":
            raise DataError(f"{path} is not a search", fix="give another --out, or pass --overwrite")
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = optuna.storages.RDBStorage(f"sqlite:///{path.resolve()}")
    try:
        study = optuna.create_study(
            storage=storage,
            study_name="swath",
            direction="maximize",
            pruner=_pruner(pruner, recipe.epochs),
            load_if_exists=True,
        )
        if study.user_attrs.setdefault("identity", identity) != identity:
            raise DataError(
                f"{path.parent} holds a search from another recipe, on other patches or with other options",
                fix="give another --out, or pass --overwrite",
            )
        study.set_user_attr("identity", identity)
        yield study
    finally:
        storage.remove_session()
        storage.engine.dispose()
        optuna.logging.set_verbosity(before)


def _pruner(name: str, epochs: int) -> optuna.pruners.BasePruner:
    if name == "asha":
        return optuna.pruners.SuccessiveHalvingPruner(min_resource=max(1, epochs // 9), reduction_factor=3)
    if name == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=epochs // 5)
    return optuna.pruners.NopPruner()


def _remove(out: Path) -> None:
    """Remove what a search wrote, and nothing else."""
    for name in (STUDY, BEST, TABLE, PICTURE, PAGE):
        (out / name).unlink(missing_ok=True)
    shutil.rmtree(out / WORK, ignore_errors=True)
