"""One error family: every mistake a user can fix ends as a :class:`SwathError` with its remedy.

Each kind is also the built-in exception that Python programs expect in its place:

===========================  =======================================================
:class:`DataError`           ``ValueError``
:class:`MissingFileError`    a :class:`DataError` and so ``ValueError``, and ``FileNotFoundError``
:class:`SettingError`        ``ValueError``
:class:`ModelFileError`      ``ValueError``
:class:`OutputError`         ``RuntimeError``
:class:`MissingExtraError`   ``ImportError``
===========================  =======================================================

The command line prints ``str(error)`` alone and exits with status 2; anything that is not a
``SwathError`` is a defect of swath and keeps its traceback.
"""

from __future__ import annotations

_LONGEST = 1000  # letters of a sentence; names in archives have up to 65,535


class SwathError(Exception):
    """A mistake the user can fix.

    Parameters
    ----------
    problem : str
        What was wrong and where, in one sentence without a full stop at the end.
    fix : str, optional
        What to do about it: the option, command or edit that remedies it.

    Examples
    --------
    >>> import swath
    >>> try:
    ...     swath.load("no-such-model")
    ... except swath.SwathError as error:
    ...     print(error.problem)
    ...     print(error.fix)
    there is no model 'no-such-model'
    give a .onnx file or a shipped name (eurosat)
    """

    def __init__(self, problem: str, *, fix: str | None = None) -> None:
        self.problem = _one_line(problem)
        self.fix = None if fix is None else _one_line(fix)
        super().__init__(f"{self.problem}; {self.fix}" if fix else self.problem)


def _one_line(text: str) -> str:
    """A sentence of one line, whatever a name or a library's message in it holds: terminals obey control characters."""
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST // 2]} ... {text[-_LONGEST // 4 :]}"
    return text if text.isprintable() else "".join(letter if letter.isprintable() else " " for letter in text)


class DataError(SwathError, ValueError):
    """An image, archive, table or scene cannot be used as it is."""


class MissingFileError(DataError, FileNotFoundError):
    """There is no such input: neither a file nor the name of something shipped."""


class SettingError(SwathError, ValueError):
    """An option, recipe field or configuration value is not valid."""


class ModelFileError(SwathError, ValueError):
    """A file is not a swath model, is damaged, or comes from a newer swath."""


class OutputError(SwathError, RuntimeError):
    """An output exists already, or cannot be written where it was asked for."""


class MissingExtraError(SwathError, ImportError):
    """A part of swath, or a package that works with it, is needed and not installed; the message names it."""

    def __init__(self, what: str, *, extra: str = "", package: str = "") -> None:
        if extra:
            missing, fix = f"the '{extra}' extra", f"in swath's folder run: pip install '.[{extra}]'"
        else:
            missing, fix = f"{package}, which is not installed", f"run: pip install {package}"
        super().__init__(f"{what} needs {missing}", fix=fix)
