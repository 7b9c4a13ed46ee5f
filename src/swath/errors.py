"""One error family: every mistake a user can make ends as a :class:`SwathError` with its mend.

The command line prints ``str(error)`` alone and exits with status 2; anything that is not a
``SwathError`` is a defect of swath and keeps its traceback.
"""

from __future__ import annotations


class SwathError(Exception):
    """A mistake the user can mend.

    Parameters
    ----------
    problem : str
        What was wrong and where, in one sentence without a full stop at the end.
    fix : str, optional
        What to do about it: the option, command or edit that mends it.
    """

    def __init__(self, problem: str, *, fix: str | None = None) -> None:
        self.problem = problem
        self.fix = fix
        super().__init__(f"{problem}; {fix}" if fix else problem)


class DataError(SwathError):
    """An image, archive, table or scene cannot be used as it is."""


class SettingError(SwathError):
    """An option, recipe field or configuration value is not valid."""


class ModelFileError(SwathError):
    """A file is not a swath model, is damaged, or comes from a newer swath."""


class OutputError(SwathError):
    """An output exists already, or cannot be written where it was asked for."""


class MissingExtraError(SwathError):
    """A command needs an optional part of swath that is not installed."""

    def __init__(self, what: str, *, extra: str) -> None:
        super().__init__(
            f"{what} needs the '{extra}' extra", fix=f"in swath's folder run: pip install '.[{extra}]'"
        )
