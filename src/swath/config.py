"""Validated settings: strict pydantic models, YAML in, one-line messages out.

Unknown fields are errors. A message names the field, what was given and what is allowed. What a value in YAML is, a
number or a name, is decided by the field that takes it: ``02``, ``12:30``, ``1e3``, ``no`` and ``2021-01-01`` are names
where a name is wanted, and a number is a number where one is.
"""

from __future__ import annotations

import copy
import difflib
import errno
import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import NoneType
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic.fields import FieldInfo

from swath.errors import MissingFileError, SettingError

MAX_YAML_BYTES = 2**20
_SHOWN = 80


class _Loader(yaml.SafeLoader):
    """Plain YAML whose values are text, ``null`` alone excepted; fields make numbers of them.

    A field given twice is an error, and so are tags, and aliases, which can unfold without end.
    """

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  (PyYAML's own place for them)

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        problem = "aliases are not allowed" if isinstance(event, yaml.AliasEvent) else None
        if getattr(event, "tag", None) is not None:
            problem = f"tags such as {event.tag.replace('tag:yaml.org,2002:', '!!')} are not allowed"
        if problem is not None:
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)
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


class _FileLoader(_Loader):
    """As :class:`_Loader`; ``null`` and nothing are no value, as files write what is not set."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012


for _loader, _pattern, _first in ((_Loader, "", [""]), (_FileLoader, "null|~|", ["n", "~", ""])):
    _loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(f"^(?:{_pattern})$"), _first)


class Settings(BaseModel):
    """Base of every settings model: frozen, finite, and closed to unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _read_numbers(cls, values: Any) -> Any:
        """Text that stands for no value or a whole number, as in ``null`` and ``1e2``, where no text is meant."""
        if not isinstance(values, dict):
            return values
        return {name: _plain(value, cls.model_fields.get(name)) for name, value in values.items()}


def _plain(value: Any, field: FieldInfo | None) -> Any:
    if field is None or not isinstance(value, str):
        return value
    kinds = {field.annotation, *get_args(field.annotation)}
    if value in ("null", "~") and NoneType in kinds and str not in kinds:
        return None
    if kinds & {int} and re.fullmatch(r"[+-]?\d+(\.\d*)?[eE]\+?\d{1,2}", value) and float(value).is_integer():
        return int(float(value))
    return value


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
        given = repr(first["input"])
        given = given if len(given) <= _SHOWN else f"{given[:_SHOWN]}..."
        raise SettingError(f"{at}: {first['msg']} (given: {given})") from None


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file holding one mapping.

    Raises
    ------
    SettingError
        If the file is missing, no regular file or above 1 MiB, is not YAML, or holds something other than a mapping.
    """
    try:
        status = path.stat()
        if stat.S_ISREG(status.st_mode) and status.st_size <= MAX_YAML_BYTES:
            values = _load(path.read_text(encoding="utf-8"), _FileLoader)
        elif stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        else:
            raise SettingError(f"{path} is no file of at most {MAX_YAML_BYTES >> 20} MiB", fix="give a recipe file")
    except OSError as error:
        kind = MissingFileError if isinstance(error, FileNotFoundError) else SettingError
        raise kind(f"cannot read {path} ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise SettingError(f"{path} is not UTF-8 text (byte {error.start})", fix="save it as UTF-8") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise SettingError(f"{path} is not valid YAML ({_reason(error)})") from error
    if not isinstance(values, dict):
        raise SettingError(f"{path} should hold fields and values, one 'name: value' a line")
    return values


def override(
    values: Mapping[str, Any], assignments: Sequence[str] = (), fields: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Set fields of nested plain values, by ``a.b=value`` assignments and then by name.

    Values are YAML; the field that takes one makes a number of its text, see :func:`validate`.

    A mapping among `fields` changes the fields it names; one that is empty, or gives the group another ``name``,
    replaces the group, for the fields of one network or optimizer seldom suit another.

    Raises
    ------
    SettingError
        If an assignment is not of the form ``name=value`` or goes through a plain value.

    Examples
    --------
    >>> override({"optimizer": {"lr": 0.1, "momentum": 0.6}}, ["epochs=3"], {"optimizer": {"lr": 0.05}})
    {'optimizer': {'lr': 0.05, 'momentum': 0.6}, 'epochs': '3'}
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
        return tuple(name.strip().split(".")), _load(text, _Loader)
    except (yaml.YAMLError, RecursionError) as error:
        shown = assignment if len(assignment) <= _SHOWN else f"{assignment[:_SHOWN]}..."
        raise SettingError(f"the value in '{shown}' is not valid YAML ({_reason(error)})") from None


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


def _load(text: str, loader: type[_Loader]) -> Any:
    return yaml.load(text, Loader=loader)  # noqa: S506  (a safe loader, only stricter)


def _reason(error: Exception) -> str:
    """What is wrong and in which line, in a few words."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem:
        return error.problem + (f", line {error.problem_mark.line + 1}" if error.problem_mark else "")
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return (str(error).splitlines() or [type(error).__name__])[0]


def _fields_at(kind: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    """Names of the fields of the (possibly nested) model at `path`."""
    for part in path:
        field = kind.model_fields.get(str(part))
        inner = field.annotation if field else None
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return []
        kind = inner
    return list(kind.model_fields)
