"""Legends of groups: which classes of a map and of a reference are the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from swath.config import read_yaml
from swath.data.names import class_name
from swath.errors import SettingError


def read_legend(path: str | Path) -> dict[str, str]:
    """Read groups of classes from a YAML file: ``group: [name or value, ...]``, a group a line.

    Names and values of the map and of the reference stand in one list: ``trees: [Forest, 10]`` says that the map's
    Forest and the reference's value 10 are both trees.

    Returns
    -------
    dict of str to str
        The group of every name and value.

    Raises
    ------
    SettingError
        If it is no such file, or a name is in two groups.
    """
    path = Path(path)
    groups: dict[str, str] = {}
    for group, members in read_yaml(path).items():
        if not isinstance(members, list) or not members or not all(isinstance(member, str) for member in members):
            raise SettingError(
                f"the group '{group}' of {path.name} is no list of classes", fix=f"write it as {group}: [Forest, 10]"
            )
        for member in map(class_name, members):
            if groups.setdefault(member, str(group)) != str(group):
                raise SettingError(
                    f"'{member}' is in the groups '{groups[member]}' and '{group}' of {path.name}",
                    fix="leave it in one of them",
                )
    if not groups:
        raise SettingError(f"{path.name} holds no group", fix="write one a line: trees: [Forest, 10]")
    return groups


def grouped(name: str, groups: Mapping[str, str] | None) -> str | None:
    """The group of a class, or its own name where there are no groups; None if it is in none of them."""
    return name if groups is None else groups.get(name)


def group_order(groups: Mapping[str, str] | None, names: Iterable[str]) -> list[str]:
    """The groups in the order of the legend, or the names as they are, each once."""
    return list(dict.fromkeys(names if groups is None else groups.values()))
