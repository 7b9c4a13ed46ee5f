"""Which bands of a scene a model is given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from swath.errors import DataError, SettingError
from swath.imagery.names import find_band, is_known, plain_name


@dataclass(frozen=True)
class Bands:
    """The bands of a scene that stand for a model's.

    Attributes
    ----------
    indexes : tuple of int
        Their numbers in the scene, counted from 1, in the model's order.
    how : str
        ``"asked for"``, ``"by name"`` or ``"by position"``.
    warning : str or None
        What the user should check, if anything.
    """

    indexes: tuple[int, ...]
    how: str
    warning: str | None = None


def choose_bands(
    names: Sequence[str | None], wanted: Sequence[str], *, asked: Sequence[int] | None = None, scene: str
) -> Bands:
    """Choose a model's bands from a scene's.

    Named bands are taken by name, even where there are just as many as the model wants: blue for red
    ruins a map. Bands whose names say nothing are taken by position, with a warning if some are left over or some
    have names; but not where a name says that the position is wrong.

    Parameters
    ----------
    names : sequence of str or None
        What the scene calls its bands, from their descriptions and colours; ``"alpha"`` is never a choice.
    wanted : sequence of str
        The model's bands.
    asked : sequence of int, optional
        The user's own choice, counted from 1.
    scene : str
        The scene's name, for messages.

    Raises
    ------
    SettingError
        If `asked` does not name as many bands as the model wants, or one the scene does not have.
    DataError
        If the scene has fewer bands than the model, all of its bands are known and one is missing, or a band that is
        known lies elsewhere than the model's order has it.
    """
    if asked is not None:
        return _asked(tuple(asked), len(names), wanted, scene)
    plain = [plain_name(name or "") for name in names]
    usable = [i for i, name in enumerate(plain, start=1) if name != "alpha"]
    if len(usable) < len(wanted):
        raise DataError(
            f"{scene} has {len(usable)} bands and the model needs {len(wanted)} ({', '.join(wanted)})",
            fix="give a scene with all of the model's bands",
        )
    found = [None if (at := find_band(names, band, bare=True)) is None else at + 1 for band in wanted]
    if None not in found and len(set(found)) == len(found):
        indexes = tuple(i for i in found if i is not None)
        numbered = [names[i - 1] for i in indexes if plain[i - 1][:1] == "b" and plain[i - 1][1:].isdigit()]
        warning = (
            f"bands {', '.join(str(n) for n in numbered)} were read as {', '.join(wanted)}, "
            "as Sentinel-2 numbers them; use --bands if this is another sensor"
            if numbered
            else None
        )
        return Bands(indexes, "by name", warning)
    misplaced = any(i is not None and usable[at] != i for at, i in enumerate(found))
    if misplaced or all(is_known(plain[i - 1]) for i in usable):
        missing = [band for band, i in zip(wanted, found, strict=True) if i is None]
        raise DataError(
            f"{scene} has bands {', '.join(str(names[i - 1]) for i in usable)} but not {', '.join(missing)}",
            fix="say which bands to use instead, such as --bands 1,2,3",
        )
    indexes = tuple(usable[: len(wanted)])
    called = [str(names[i - 1]) for i in indexes if plain[i - 1]]
    if len(usable) == len(wanted) and not called:
        return Bands(indexes, "by position")
    return Bands(
        indexes,
        "by position",
        f"the scene has {len(usable)} bands"
        + (f" (called {', '.join(called)})" if called else "")
        + f": the first {len(wanted)} were read as {', '.join(wanted)}; use --bands if they are not",
    )


def _asked(asked: tuple[int, ...], count: int, wanted: Sequence[str], scene: str) -> Bands:
    if len(asked) != len(wanted):
        raise SettingError(
            f"{len(asked)} bands were asked for and the model needs {len(wanted)} ({', '.join(wanted)})",
            fix=f"give --bands {len(wanted)} numbers, in that order",
        )
    outside = [index for index in asked if not 1 <= index <= count]
    if outside:
        raise SettingError(f"{scene} has no band {outside[0]}", fix=f"give --bands numbers from 1 to {count}")
    return Bands(asked, "asked for")
