"""Work on a thread: watched, stopped, waiting its turn, and ended in a sentence."""

from __future__ import annotations

import threading

from swath.app.job import Job
from swath.errors import DataError
from swath.progress import Progress


def test_what_was_made_is_kept() -> None:
    ended: list[bool] = []

    def work(progress: Progress) -> str:
        progress("counting", 3, 4, note="apples")
        return "four"

    job = Job(work, then=lambda: ended.append(True))
    job.wait()
    assert (job.made, job.problem, job.is_running, ended) == ("four", None, False, [True])
    assert (job.state.stage, job.state.share) == ("counting", 0.75)
    assert "apples" in job.state.text


def test_a_stopped_job_has_made_nothing() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def work(progress: Progress) -> str:
        begun.set()
        go_on.wait(60)
        progress("counting", 1, 2)
        return "never"

    job = Job(work)
    assert begun.wait(60)
    job.cancel()
    go_on.set()
    job.wait()
    assert (job.made, job.problem, job.was_stopped) == (None, None, True)


def test_a_mistake_is_a_sentence() -> None:
    def work(progress: Progress) -> None:
        raise DataError("mine.zip is empty", fix="pack it again")

    job = Job(work)
    job.wait()
    assert job.problem == "mine.zip is empty; pack it again"


def test_jobs_of_one_turn_do_not_work_at_once() -> None:
    turn, ended = threading.Lock(), []
    with turn:
        job = Job(lambda _: "made", turn=turn, then=lambda: ended.append(True))
        assert job.state.stage.startswith("waiting")
        job.cancel()
        job.wait()
        assert (job.made, ended) == (None, [True])
        other = Job(lambda _: "made", turn=turn)
    other.wait()
    assert other.made == "made"
    assert not turn.locked()
