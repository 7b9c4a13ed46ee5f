"""The page Data: a zip of labeled pictures in, what is in it and what is wrong with it out."""

from __future__ import annotations

import base64
import shutil
import threading
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from swath.app import settings
from swath.app.elements import Bar, bars, watch
from swath.app.sentences import as_it_is, plain, sentences
from swath.app.session import saved, workspace
from swath.pages.text import counted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streamlit.runtime.uploaded_file_manager import UploadedFile

    from swath.app.data_check import DataCheck
    from swath.app.job import Job
    from swath.pages.html import Image
    from swath.progress import Progress

_SAMPLE, _OWN = "The sample pictures", "Pictures of mine"
_JOB = "data"
_one_report = threading.Lock()  # at a time: two would each take twice as long
_SHOWN = 12  # lines of a list
_STRIP = (
    "<figure style='margin:0 0 .8rem'><figcaption style='font-size:.875rem'>{name}</figcaption>"
    "<div style='overflow-x:auto' tabindex='0' role='group' aria-label='{alt}'>"
    "<img style='height:72px;max-width:none;display:block' alt='{alt}' src='data:image/png;base64,{data}'>"
    "</div></figure>"
)


def page() -> None:
    """Show the page."""
    st.title("Are these pictures fit for training?")
    st.write(
        "Give labeled pictures as a zip, with a folder for each class. You learn how many there are of each class, "
        "which are there twice, and what would let a model look better than it is."
    )
    source = st.segmented_control(
        "Which pictures?",
        [_OWN, _SAMPLE],
        default=_OWN,
        required=True,
        key="data source",
        help="The sample is a part of EuroSAT, which is shipped with swath.",
    )
    upload = None
    if source == _OWN:
        upload = st.file_uploader(
            "A zip of labeled pictures",
            type=["zip"],
            key="data archive",
            help=f"A folder for each class, or a table of names and classes; up to {settings.UPLOAD_MB} MB and "
            f"{settings.ARCHIVE_PICTURES:,} pictures.",
        )
    job = workspace().jobs.get(_JOB)
    running = job is not None and job.is_running
    missing = source == _OWN and upload is None
    asked = st.button(
        "Check the pictures",
        type="secondary" if st.context.theme.type == "dark" else "primary",
        key="data check",
        disabled=running or missing,
        help="Add a zip first." if missing else "What is found appears below.",
    )
    if asked and not running:
        with sentences():
            _start(upload)
            st.rerun()
        return
    if job is None:
        st.info("Add a zip above, then check it." if missing else "Check the pictures, and the result appears here.")
    elif running:
        watch(job, what="Checking")
    elif job.problem is not None:
        st.error(plain(job.problem))
    elif job.was_stopped:
        st.info("The check was stopped, and nothing of it was kept.")
    elif job.made is not None:
        _result(job.made)


def _start(upload: UploadedFile | None) -> None:
    """Begin to check an upload, or the shipped pictures, in place of what was checked before."""
    from swath.app.data_check import check_archive
    from swath.app.job import Job
    from swath.data import shipped_path

    mine = workspace()
    before: Job[DataCheck] | None = mine.jobs.pop(_JOB, None)
    if before is not None and before.made is not None:
        shutil.rmtree(before.made.page.parent.parent, ignore_errors=True)
    folder, given = mine.new_folder(), mine.new_folder()
    archive = shipped_path("eurosat-mini") if upload is None else saved([upload], given)[0]

    def work(progress: Progress) -> DataCheck:
        try:
            return check_archive(archive, folder, progress=progress)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    mine.jobs[_JOB] = Job(work, turn=_one_report, then=lambda: shutil.rmtree(given, ignore_errors=True))


def _result(found: DataCheck) -> None:
    """Problems first, then what there is of each class, and files to take along."""
    facts = found.facts
    st.subheader(f"{facts.audit.patches:,} pictures in {counted(len(facts.classes), 'class', 'classes')}")
    if not found.problems:
        st.success("Nothing was found that would make a score on these pictures unreliable.")
    else:
        st.warning(
            "Before relying on what a model scores on them:\n\n"
            + "\n".join(f"- {as_it_is(one)}" for one in found.problems)
        )
    totals = {name: sum(counts.values()) for name, counts in facts.classes.items()}
    _classes(totals)
    _files(found)
    st.subheader("Some of each class")
    st.html("".join(_strip(one) for one in found.samples))
    if found.passed_over:
        with st.expander(f"What was passed over, and how the zip was read ({len(found.passed_over):,})"):
            st.markdown("\n".join(f"- {as_it_is(line)}" for line in found.passed_over[:_SHOWN]))
            if len(found.passed_over) > _SHOWN:
                st.caption(f"And {len(found.passed_over) - _SHOWN:,} more.")
    _downloads(found)


def _classes(totals: Mapping[str, int]) -> None:
    """Pictures of each class, as bars."""
    from swath.model.record import class_infos

    most = max(totals.values())
    colors = {info.name: info.color_hint for info in class_infos(list(totals))}
    st.subheader("How many of each class")
    bars([Bar(name, colors[name], n / most, f"{n:,}") for name, n in totals.items()])


def _files(found: DataCheck) -> None:
    """What the files are, and which are there twice."""
    facts = found.facts
    st.subheader("The files")
    rows = {
        "size in pixels": _counts(facts.audit.sizes),
        "kind of pixels": _counts(facts.audit.modes),
        "format": _counts(facts.forms),
        "the same file again": f"{facts.copies:,}" if facts.copies else "none",
        "the same picture in another file": f"{len(facts.audit.near):,}" if facts.audit.near else "none",
        "the same picture in two classes": f"{len(facts.audit.contradictions):,}"
        if facts.audit.contradictions
        else "none",
        "pictures of one single color": f"{len(facts.plain):,}" if facts.plain else "none",
        "much darker or brighter than their class": f"{len(facts.outliers):,}" if facts.outliers else "none",
    }
    st.table({"what": list(rows), "how many": list(rows.values())})
    twice = [*facts.audit.contradictions, *facts.audit.exact, *((pair.first, pair.second) for pair in facts.audit.near)]
    if twice:
        with st.expander("Pictures that are there twice"):
            st.markdown("\n".join(f"- {as_it_is(' = '.join(names[:4]))}" for names in dict.fromkeys(twice[:_SHOWN])))
            if len(twice) > _SHOWN:
                st.caption("More are in the report.")


def _counts(counts: Mapping[str, int]) -> str:
    """The commonest of some kinds, with their numbers."""
    if len(counts) == 1:
        return next(iter(counts))
    more = f", and {len(counts) - 4} others" if len(counts) > 4 else ""
    return ", ".join(f"{name}: {n:,}" for name, n in list(counts.items())[:4]) + more


def _strip(one: Image) -> str:
    """Pictures of a class in a row, which a narrow screen lets its reader move."""
    data = one.source if isinstance(one.source, bytes) else one.source.read_bytes()
    encoded = base64.b64encode(data).decode("ascii")
    return _STRIP.format(name=escape(one.caption), alt=escape(one.alt, quote=True), data=encoded)


def _downloads(found: DataCheck) -> None:
    """Buttons for the report, and what to do next."""
    stem = Path(found.name).stem
    st.subheader("Take it with you")
    with st.container(horizontal=True):
        st.download_button(
            "Report (HTML)",
            found.page.read_bytes,
            file_name=f"{stem}-report.html",
            mime="text/html",
            on_click="ignore",
            help="Everything that was found, with pictures and charts, on one page that opens in any browser.",
        )
        st.download_button(
            "Numbers (JSON)",
            found.numbers.read_bytes,
            file_name=f"{stem}-facts.json",
            mime="application/json",
            on_click="ignore",
            help="The same as numbers, for programs.",
        )
    st.subheader("What next?")
    st.write(
        "Mend what is wrong, then train. Training is not done on this page: it takes long. Whoever types commands can "
        "copy these lines."
    )
    st.code("\n".join(found.commands), language="sh", wrap_lines=True)
