"""A second opinion for one visitor, asked on a thread of its own: everything of the page but the screen."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from swath.app.answers import Answers
from swath.app.sentences import said
from swath.app.settings import MOST_ASKED
from swath.errors import SwathError
from swath.model import Record
from swath.opinion import Opinion, OpinionSettings, OpinionTable, VisionModel, ask_images, prepare_predictions
from swath.opinion.client import OPENAI
from swath.opinion.cost import Cost, money
from swath.opinion.images import PreparedImages
from swath.pages.text import counted, sentence

ADDRESS, NAME, KEY = "OPENAI_BASE_URL", "SWATH_VISION_MODEL", "OPENAI_API_KEY"  # as swath opinion takes them
# What is said in place of an answer; options of commands are no help here.
_OUTCOMES = {
    "refused": "It declined to answer.",
    "truncated": "Its answer was cut off before it came to a class.",
    "empty": "It sent an answer without words.",
    "no JSON": "It answered in free words instead of naming a class.",
    "other label": "It named something that is none of the classes.",
    "timed out": "Its server gave no answer in time. You can ask again.",
    "rate limited": "Its server has too many requests at the moment. Wait a little, then ask again.",
    "server error": "Its server failed to answer. You can ask again.",
    "not asked": "It was not asked, since there was no answer to those before. You can ask again.",
}
_DETAILED = ("refused", "no JSON", "other label")  # outcomes whose details are the other model's own words


class _StoppedError(Exception):
    """The visitor wants no opinion any more."""


def vision_model(folder: Path, *, stopped: threading.Event | None = None) -> VisionModel:
    """Whom the environment names, with answers kept in a folder of the visitor's.

    Parameters
    ----------
    folder : pathlib.Path
        Goes with the visitor: what they asked is theirs.
    stopped : threading.Event, optional
        Ends waits between attempts.

    Raises
    ------
    DataError
        If the address is none.
    """
    settings = OpinionSettings(
        model=os.environ.get(NAME) or OpinionSettings().model, base_url=os.environ.get(ADDRESS) or OPENAI
    )

    def sleep(seconds: float) -> None:
        if (stopped or threading.Event()).wait(seconds):
            raise _StoppedError

    return VisionModel(settings, cache=folder / "opinions", sleep=sleep)


def why_not(model: VisionModel) -> SwathError | None:
    """Why nobody can be asked: no key, no network, or no client; None where that is possible."""
    try:
        model.check()
    except SwathError as error:
        return error
    return None


def prepare(record: Record, answers: Answers, model: VisionModel, *, only_unsure: bool) -> PreparedImages:
    """Questions about classified pictures, :data:`~swath.app.settings.MOST_ASKED` at most; nothing is sent.

    Raises
    ------
    DataError, SettingError
        As :func:`swath.opinion.prepare_predictions`.
    """
    whole = prepare_predictions(record, answers.predictions, answers.pixels, model, only_unsure=only_unsure)
    if len(whole.rows) <= MOST_ASKED:
        return whole
    rows, questions = whole.rows[:MOST_ASKED], whole.questions[:MOST_ASKED]
    return PreparedImages(
        whole.classifier, whole.predictions, whole.unsure, rows, questions, model.estimate(questions), whole.left_out
    )


class OpinionJob:
    """Opinions under way, or what became of them.

    Parameters
    ----------
    prepared : PreparedImages
        What to ask.
    answers : Answers
        The pictures, and what the classifier says of them.
    folder : pathlib.Path
        Where answers are kept.

    Attributes
    ----------
    answers : Answers
        As given.
    rows : tuple of int
        The pictures asked on.
    table : OpinionTable or None
        What both say, once it is there.
    problem : str or None
        Why there is none, in a sentence.
    """

    def __init__(self, prepared: PreparedImages, answers: Answers, folder: Path) -> None:
        self.answers, self.rows = answers, prepared.rows
        self.table: OpinionTable | None = None
        self.problem: str | None = None
        self._stopped = threading.Event()
        self._done, self._note = 0, ""
        model = vision_model(folder, stopped=self._stopped)
        self._thread = threading.Thread(target=self._run, args=(prepared, model), daemon=True)
        self._thread.start()

    @property
    def is_running(self) -> bool:
        """Whether it is still under way."""
        return self._thread.is_alive() and not self.was_stopped

    @property
    def was_stopped(self) -> bool:
        """Whether the visitor stopped it; the answer under way is not waited for."""
        return self._stopped.is_set()

    @property
    def share(self) -> float:
        """How far it is, 0-1."""
        return self._done / max(len(self.rows), 1)

    @property
    def text(self) -> str:
        """How far it is, in words."""
        return f"{self._done} of {counted(len(self.rows), 'picture', 'pictures')} {self._note}".strip()

    def cancel(self) -> None:
        """Ask no more."""
        self._stopped.set()

    def wait(self, seconds: float | None = None) -> None:
        """Wait until it has ended."""
        self._thread.join(seconds)

    def _run(self, prepared: PreparedImages, model: VisionModel) -> None:
        try:
            self.table = ask_images(prepared, model, progress=self._progress)
        except _StoppedError:
            pass
        except SwathError as error:
            self.problem = said(error)

    def _progress(self, stage: str, done: int, total: int, *, note: str = "") -> None:
        del stage, total
        if self._stopped.is_set():
            raise _StoppedError
        self._done, self._note = done, f"({note})" if note else ""


def outcome(opinion: Opinion) -> str:
    """What there is in place of an answer, in words.

    Examples
    --------
    >>> outcome(Opinion(outcome="other label", detail="Lava is none of the classes"))
    'It named something that is none of the classes. Lava is none of the classes.'
    """
    own = sentence(opinion.detail) if opinion.detail and opinion.outcome in _DETAILED else ""
    return f"{_OUTCOMES[opinion.outcome]} {own}".strip()


def agreement(label: str, opinion: Opinion) -> str:
    """Whether both say the same, in a sentence.

    Examples
    --------
    >>> agreement("River", Opinion(outcome="answered", label="Forest"))
    'They disagree: River or Forest. Look at the picture yourself.'
    """
    if opinion.outcome != "answered":
        return "There is no second opinion on this picture."
    if not opinion.names_a_class:
        return "The other model cannot decide, so this is no second opinion."
    if opinion.label == label:
        return f"Both say {label}. That is a good sign, and no proof: both may be wrong in the same way."
    return f"They disagree: {label} or {opinion.label}. Look at the picture yourself."


def cost_text(cost: Cost) -> str:
    """Tokens and money in words.

    Examples
    --------
    >>> cost_text(Cost(questions=1, prompt_tokens=500, completion_tokens=60, usd=0.00185))
    '560 tokens, 0.0018 USD'
    """
    pictures = "" if cost.pictures_counted else " besides those of the pictures, which this model counts its own way"
    price = "the price of which is not known here" if cost.usd is None else money(cost.usd)
    return f"{cost.tokens:,} tokens{pictures}, {price}"
