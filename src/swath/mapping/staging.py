"""Several outputs of one job that appear under their final names only when all of them are whole."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from swath.errors import OutputError, SettingError
from swath.files import check_output


@contextlib.contextmanager
def staged(targets: Sequence[Path], *, overwrite: bool = False) -> Iterator[tuple[Path, ...]]:
    """Yield a path to write for each target; move them all, the first one last, if the block ends well.

    The paths lie in hidden folders beside their targets, ``.<first target there>.partial``, under the targets'
    own names. It is removed if the block raises. A killed process leaves it; the next run for the same
    target removes it and starts over, so only one run at a time may write to a target.

    Parameters
    ----------
    targets : sequence of Path
        The final files. The presence of the first one means that all are whole.
    overwrite : bool
        Replace files that exist.

    Raises
    ------
    OutputError
        If a target exists without `overwrite`, or cannot be written.
    SettingError
        If two targets are the same file.
    """
    if len({target.resolve() for target in targets}) < len(targets):
        raise SettingError("two outputs would go to the same file", fix="give them different names")
    for target in targets:
        check_output(target, overwrite=overwrite)
    # Named after a target of their own: runs whose other targets differ may share a parent.
    folders: dict[Path, Path] = {}
    for target in targets:
        folders.setdefault(target.parent, target.parent / f".{target.name}.partial")
    paths = tuple(folders[target.parent] / target.name for target in targets)
    try:
        for folder in folders.values():
            shutil.rmtree(folder, ignore_errors=True)
            _make(folder)
        yield paths
        for path, target in reversed(list(zip(paths, targets, strict=True))):
            path.replace(target)
    finally:
        for folder in folders.values():
            shutil.rmtree(folder, ignore_errors=True)


def _make(folder: Path) -> None:
    try:
        folder.mkdir()
    except OSError as error:
        raise OutputError(
            f"cannot make the folder {folder} ({error.strerror})",
            fix="remove it, or wait for the run that is using it",
        ) from error
