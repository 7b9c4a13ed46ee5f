"""Mistakes as sentences on the page: no traceback, no folder of this machine, no letter read as Markdown."""

from __future__ import annotations

import contextlib
import re
import tempfile
from collections.abc import Iterator

import streamlit as st

from swath.app import settings
from swath.errors import SwathError
from swath.pages.text import sentence


@contextlib.contextmanager
def sentences() -> Iterator[None]:
    """Show a mistake as one sentence in place of what follows in the block."""
    try:
        yield
    except SwathError as error:
        st.error(plain(said(error)))


def said(error: SwathError) -> str:
    """What is wrong, without the folder in which an upload lies here, and without options of commands as a fix."""
    return without_folders(error.problem if error.fix and " --" in error.fix else str(error))


def without_folders(text: str) -> str:
    """Text without the folders in which uploads lie here."""
    inner = re.escape(str(settings.current.folder or tempfile.gettempdir()))
    return re.sub(rf"{inner}(/visitor-[^/\s]+(/tmp[^/\s]+)?)?/", "", text)


def plain(text: str) -> str:
    """A sentence that may begin with the name of a file, as Markdown that shows it as it is."""
    first = text.split(" ", 1)[0]
    return as_it_is(f"{text.rstrip('.')}." if "." in first else sentence(text))


def as_it_is(text: str) -> str:
    """Text as Markdown that shows every letter of it.

    Examples
    --------
    >>> print(as_it_is("my_model *new*"))
    my\\_model \\*new\\*
    """
    return "".join(f"\\{letter}" if letter in r"\`*_{}[]<>#$:~" else letter for letter in text)
