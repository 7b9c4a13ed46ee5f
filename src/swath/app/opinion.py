"""The page Second opinion: what a vision-language model says of the same pictures, next to the classifier."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from swath.app import settings
from swath.app.elements import inline
from swath.app.sentences import as_it_is, plain, sentences
from swath.app.session import classifier, workspace
from swath.pages.text import counted

if TYPE_CHECKING:
    from swath.app.answers import Answers
    from swath.app.opinion_job import OpinionJob
    from swath.inference import Classifier, Predictions
    from swath.model import Record
    from swath.opinion import Opinion, VisionModel

_ALL, _UNSURE = "All pictures", "Only where the classifier is unsure"
_EVERY = 0.5  # seconds between two looks at opinions under way
_OOD = "Unlike the training data: this answer is unreliable."


def page() -> None:
    """Show the page."""
    st.title("What does another model say?")
    st.write(
        "A large model that has seen the whole Internet knows things that a classifier of small patches does not, and "
        "the other way round. Here both stand next to each other. The other one never sees the classifier's answer, "
        "and never overrules it."
    )
    with sentences():
        from swath.app.opinion_job import vision_model, why_not

        mine = workspace()
        model = vision_model(mine.folder)
        problem = why_not(model)
        if problem is not None:
            _how_to_begin(plain(problem.problem))
            return
        st.caption(as_it_is(f"Asked is {model.settings.model} at {model.settings.host}."))
        answers = mine.answers
        if answers is None or not len(answers):
            st.info("First choose pictures on the page Classify pictures, then come back: they are asked about here.")
            return
        with st.spinner("Loading the model ..."):
            loaded = classifier()
        _ask(loaded, answers, model)
        job = mine.opinion
        if job is None:
            st.info("Ask, and both answers appear here.")
        elif job.is_running:
            _watch(job)
        elif job.was_stopped:
            st.info("You stopped it. Answers that had come are kept: asking again does not pay for them twice.")
        elif job.problem is not None:
            st.error(plain(job.problem))
        else:
            _result(loaded, job)


def _how_to_begin(problem: str) -> None:
    """What is needed, and what the answer will look like."""
    st.info(f"**Nobody can be asked yet.** {problem}", icon=":material/key:")
    st.write("There are two ways to begin. Both are for whoever starts this page, before it is started:")
    st.markdown(
        "- **With OpenAI.** Get a key at OpenAI, and put it where the page finds it: `export OPENAI_API_KEY=...`, then "
        "`swath app`. A picture costs a fraction of a cent; the price is shown before anything is sent.\n"
        "- **With a model on this machine**, so that no picture leaves it: start a server such as Ollama, vLLM or "
        "llama.cpp with a model that sees, then `export OPENAI_BASE_URL=http://127.0.0.1:11434/v1` and "
        "`export SWATH_VISION_MODEL=` its name. No key is needed."
    )
    st.write("Either way, the software for asking comes with `pip install '.[opinion]'`, in swath's folder.")
    st.caption(
        "The key is read from the environment alone. It cannot be typed here, and it is never shown, written or logged."
    )
    st.subheader("What you will see")
    with st.container(border=True):
        left, right = st.columns(2, gap="medium")
        left.markdown(
            "**The classifier**\n\nIts class and its calibrated confidence, as on the page Classify pictures."
        )
        right.markdown(
            "**The other model**\n\nIts class, or that it cannot decide; how sure it says it is; and its reason, in "
            "its own words."
        )
        st.markdown("Below: whether they agree, and what it took in tokens and US dollars.")


def _ask(loaded: Classifier, answers: Answers, model: VisionModel) -> None:
    """What will be asked, what that costs, and the button."""
    from swath.app.opinion_job import OpinionJob, cost_text, prepare

    mine = workspace()
    which = st.segmented_control(
        "About which pictures?",
        [_ALL, _UNSURE],
        default=_ALL,
        required=True,
        wrap=True,
        key="asked about",
        help="Unsure is a classifier whose prediction set does not hold exactly one class, or whose picture is unlike "
        f"its training data. At most {settings.MOST_ASKED} pictures are asked about at a time.",
    )
    prepared = prepare(loaded.record, answers, model, only_unsure=which == _UNSURE)
    asked, new = len(prepared.rows), prepared.estimate.questions
    running = mine.opinion is not None and mine.opinion.is_running
    if not asked:
        st.success("The classifier is sure of all pictures, so there is nothing to ask.")
    else:
        left = len(answers) - asked if which == _ALL else 0
        some = f" ({left:,} others are left out, since {settings.MOST_ASKED} is the most at a time)" if left else ""
        if new:
            where = as_it_is(f"{model.settings.model} at {model.settings.host}")
            pictures = counted(new, "picture goes", "pictures go")
            st.write(f"{pictures} to {where}{some}: about {as_it_is(cost_text(prepared.estimate))}.")
            if not model.settings.is_local:
                st.warning("These pictures leave this machine.", icon=":material/cloud_upload:")
        else:
            st.write("All of them have been asked before: nothing is sent, and nothing is paid again.")
    if st.button("Ask", key="ask", disabled=running or not asked, help="Nothing is sent before you press this."):
        mine.opinion = OpinionJob(prepared, answers, mine.folder)
        st.rerun()


@st.fragment(run_every=_EVERY)
def _watch(job: OpinionJob) -> None:
    """How far it is, until it is there."""
    if not job.is_running:
        st.rerun()
    st.progress(job.share, f"Asking: {as_it_is(job.text)}")
    if st.button("Stop asking", key="stop asking", help="Answers that have come are kept while the page is open."):
        job.cancel()
        st.rerun()


def _result(loaded: Classifier, job: OpinionJob) -> None:
    """Both answers, picture by picture, and what they took."""
    from swath.app.opinion_job import cost_text

    table = job.table
    if table is None:
        st.error("Something went wrong while asking. You can ask again.")
        return
    heard = [one for one in table.opinions if one is not None and one.outcome == "answered"]
    pictures = counted(table.asked, "picture", "pictures")
    st.subheader(f"{len(heard)} of {pictures} answered, {table.differing} with another class")
    for row in job.rows:
        opinion = table.opinions[row]
        if opinion is not None:
            _pair(loaded.record, table.predictions, row, opinion, job.answers.pixels[row])
    st.caption(
        as_it_is(
            f"It took {cost_text(table.cost)} ({counted(table.requests, 'request', 'requests')} now), as its server "
            "counts. The other model's confidence is what it says of itself, and is not calibrated."
        )
    )


def _pair(record: Record, predictions: Predictions, row: int, opinion: Opinion, pixels: Any) -> None:
    """One picture with both answers."""
    from swath.app.answers import candidates, picture_png
    from swath.app.opinion_job import agreement, outcome

    one = predictions[row]
    with st.container(border=True):
        picture, left, right = st.columns([2, 3, 3], gap="medium")
        picture.image(
            inline(picture_png(pixels, record.input.bands)),
            caption=as_it_is(one.path),
            width="stretch",
            alt=f"The picture {one.path}",
        )
        left.markdown("**The classifier**")
        left.markdown(f"{as_it_is(one.label)}, {100 * one.confidence:.1f} % confident")
        words = candidates(record, predictions.probabilities[row])
        left.caption(" ".join([*([as_it_is(words)] if words else []), *([_OOD] if one.is_ood else [])]))
        right.markdown("**The other model**")
        if opinion.outcome == "answered":
            sure = "" if opinion.confidence is None else f", by its own word {100 * opinion.confidence:.0f} % sure"
            right.markdown(f"{as_it_is(opinion.label if opinion.names_a_class else 'It cannot decide')}{sure}")
            right.caption(as_it_is(opinion.reason or "It gives no reason."))
        else:
            right.markdown(as_it_is(outcome(opinion)))
        tokens = opinion.prompt_tokens + opinion.completion_tokens
        right.caption(f"{tokens:,} tokens{', asked before' if opinion.cached else ''}" if tokens else "")
        st.markdown(as_it_is(agreement(one.label, opinion)))
