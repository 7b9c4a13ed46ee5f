"""Validated settings: strict pydantic models, YAML in, one-line messages out.

Unknown fields are errors. A message names the field, what was given and what is allowed.
"""

from __future__ import annotations

import copy
import difflib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from swath.errors import MissingFileError, SettingError


class _Loader(yaml.SafeLoader):
    """Plain YAML: a field given twice is an error, and so are aliases, which can unfold without end."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(problem="aliases are not allowed", problem_mark=mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if str(key.value) in seen:
                raise yaml.MarkedYAMLError(problem=f"'{key.value}' is given twice", problem_mark=key.start_mark)
            seen.add(str(key.value))
        return super().construct_mapping(node, deep=deep)


MAX_NAME = 200  # letters


def printable(name: str) -> str:
    """A name as it is, if it can be shown on one line of a terminal, a page and a table.

    Control and escape characters would move the cursor, end a line or break XML, wherever the name is shown.

    Raises
    ------
    ValueError
        If it is empty or blank, longer than :data:`MAX_NAME`, or holds a character that cannot be printed.
    """
    if not name.strip():
        raise ValueError("a name cannot be empty")
    if len(name) > MAX_NAME:
        raise ValueError(f"a name has {MAX_NAME} letters at most, and '{name[:20]}...' has {len(name):,}")
    if not name.isprintable():
        raise ValueError(f"a name cannot hold control characters: {name!a:.60}")
    return name


class Settings(BaseModel):
    """Base of every settings model: frozen, finite, and closed to unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def changed(settings: Settings, *fields: str) -> bool:
    """Whether any of these fields has another value than its default."""
    kinds = type(settings).model_fields
    return any(getattr(settings, name) != kinds[name].get_default() for name in fields)


S = TypeVar("S", bound=BaseModel)


def validate(kind: type[S], values: Mapping[str, Any], *, where: str) -> S:
    """Build a settings model from plain values.

    Parameters
    ----------
    kind : type
        A pydantic model.
    values : mapping
        Plain values, as read from YAML or JSON.
    where : str
        Name of the source for messages, such as ``"recipe fast"``.

    Raises
    ------
    SettingError
        With one sentence for the first mistake found.
    """
    try:
        return kind.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "(top level)"
        if first["type"] == "extra_forbidden":
            names = _fields_at(kind, first["loc"][:-1])
            near = difflib.get_close_matches(str(first["loc"][-1]), names, n=1)
            known = f"known fields: {', '.join(names)}" if names else None
            hint = f"did you mean '{near[0]}'?" if near else known
            raise SettingError(f"{where}: unknown field '{field}'", fix=hint) from None
        at = f"{where}: field '{field}'" if first["loc"] else where
        if first["type"] == "value_error" and isinstance(first["input"], Mapping):  # of fields that do not go together
            raise SettingError(f"{at}: {first['ctx']['error']}") from None
        raise SettingError(f"{at}: {first['msg']} (given: {first['input']!r})") from None


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file holding one mapping.

    Raises
    ------
    SettingError
        If the file is missing, is not YAML, or holds something other than a mapping.
    """
    try:
        values = _load(path.read_text(encoding="utf-8"))
    except OSError as error:
        kind = MissingFileError if isinstance(error, FileNotFoundError) else SettingError
        raise kind(f"cannot read {path} ({error.strerror})") from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise SettingError(f"{path} is not valid YAML ({_reason(error)})") from error
    if not isinstance(values, dict):
        raise SettingError(f"{path} should hold fields and values, one 'name: value' a line")
    return values


def override(
    values: Mapping[str, Any], assignments: Sequence[str] = (), fields: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Set fields of nested plain values, by ``a.b=value`` assignments (values are YAML) and then by name.

    A mapping among `fields` changes the fields it names; one that is empty, or gives the group another ``name``,
    replaces the group, for the fields of one network or optimizer seldom suit another.

    Raises
    ------
    SettingError
        If an assignment is not of the form ``name=value`` or goes through a plain value.

    Examples
    --------
    >>> override({"optimizer": {"lr": 0.1, "momentum": 0.6}}, ["epochs=3"], {"optimizer": {"lr": 0.05}})
    {'optimizer': {'lr': 0.05, 'momentum': 0.6}, 'epochs': 3}
    """
    result: dict[str, Any] = copy.deepcopy(dict(values))
    for path, value in (*map(_parsed, assignments), *_leaves(fields or {}, result)):
        node = result
        *parents, last = path
        for parent in parents:
            child = node.setdefault(parent, {})
            if not isinstance(child, dict):
                raise SettingError(f"'{'.'.join(path)}': '{parent}' holds a value, not a group of fields")
            node = child
        node[last] = value
    return result


def _parsed(assignment: str) -> tuple[tuple[str, ...], Any]:
    """The field's path and the value of ``a.b=value``."""
    name, separator, text = assignment.partition("=")
    if not separator or not name.strip():
        raise SettingError(f"'{assignment}' is not of the form name=value", fix="for example --set optimizer.lr=0.1")
    try:
        return tuple(name.strip().split(".")), _load(text)
    except (yaml.YAMLError, RecursionError) as error:
        raise SettingError(f"the value in '{assignment}' is not valid YAML ({_reason(error)})") from None


def _leaves(
    fields: Mapping[str, Any], held: Mapping[str, Any], path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Paths and values of nested fields; a mapping that replaces a whole group is one value."""
    for name, value in fields.items():
        inner = held.get(name)
        merges = isinstance(value, Mapping) and value and isinstance(inner, Mapping)
        if merges and inner is not None and value.get("name", inner.get("name")) == inner.get("name"):
            yield from _leaves(value, inner, (*path, name))
        else:
            yield (*path, name), str(value) if isinstance(value, Path) else value


def _load(text: str) -> Any:
    return yaml.load(text, Loader=_Loader)  # noqa: S506  (a safe loader, only stricter)


def _reason(error: Exception) -> str:
    """What is wrong and in which line, in a few words."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem:
        return error.problem + (f", line {error.problem_mark.line + 1}" if error.problem_mark else "")
    return str(error).splitlines()[0]


def _fields_at(kind: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    """Names of the fields of the (possibly nested) model at `path`."""
    for part in path:
        field = kind.model_fields.get(str(part))
        inner = field.annotation if field else None
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return []
        kind = inner
    return list(kind.model_fields)
