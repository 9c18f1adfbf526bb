"""What a task does, as JSON: for executors whose workers are started by somebody else's scheduler.

A description names functions and classes by module and name, and holds their arguments: people can read
it, and whoever restores it imports what it names, and makes dataclasses, models and exceptions, nothing else. Described are numbers, text, None, paths, lists,
tuples, dicts, dataclasses, pydantic models, functions, methods, `partial`s and exceptions.
"""

from __future__ import annotations

import copyreg
import importlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass
from functools import partial
from pathlib import Path
from types import FunctionType, MethodType
from typing import Any

# The key of an object that is described; a plain dict is described too, so that it cannot be taken for one.
KIND = "kind"


class NotDescribable(TypeError):
    """A value that cannot be written as a description."""


def describe(value: Any) -> Any:
    """`value` as what JSON holds; raises NotDescribable."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list):
        return [describe(each) for each in value]
    for kind, (is_of, take_apart) in _KINDS.items():
        if is_of(value):
            return {KIND: kind, "of": take_apart(value)}
    raise NotDescribable(f"{type(value).__name__} cannot be described to another machine")


def restore(described: Any) -> Any:
    """What `describe` was given; raises ValueError, ImportError, AttributeError."""
    if isinstance(described, list):
        return [restore(each) for each in described]
    if not isinstance(described, dict):
        return described
    kind, of = described.get(KIND), described.get("of")
    if kind not in _RESTORED:
        raise ValueError(f"{kind!r} is not a kind of description")
    return _RESTORED[kind](of)


def moved(described: Any, moves: Mapping[str, str]) -> Any:
    """A description whose paths are elsewhere, also those in text: `moves` are old and new places.

    The first that fits is taken.
    """
    if isinstance(described, str):
        for old, new in moves.items():
            if f"{described}/".startswith(f"{old}/"):
                return new + described.removeprefix(old)
        return described
    if isinstance(described, list):
        return [moved(each, moves) for each in described]
    if isinstance(described, dict):
        return {key: moved(each, moves) for key, each in described.items()}
    return described


def _name(value: Any) -> str:
    name = f"{value.__module__}:{value.__qualname__}"
    try:
        if value.__module__ != "__main__" and _named(name) is value:
            return name
    except AttributeError:
        pass
    raise NotDescribable(f"{name} cannot be imported by that name on another machine")


def _named(name: str) -> Any:
    module, _, path = name.partition(":")
    found: Any = importlib.import_module(module)
    for part in path.split("."):
        found = getattr(found, part)
    return found


def _describe_fields(value: Any) -> list[Any]:
    given = {each.name: getattr(value, each.name) for each in fields(value) if each.init}
    return [_name(type(value)), _describe_values(given)]


def _describe_values(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: describe(each) for key, each in values.items()}


def _restore_values(described: Mapping[str, Any]) -> dict[str, Any]:
    return {key: restore(each) for key, each in described.items()}


def _restore_error(of: Iterable[Any]) -> BaseException:
    make, arguments, state = map(restore, of)
    kind = arguments[0] if make is copyreg.__newobj__ and arguments else make  # type: ignore[attr-defined]
    # Before it is called: another machine wrote it, and a report is read here.
    if not (isinstance(kind, type) and issubclass(kind, BaseException)):
        raise ValueError(f"{make!r} does not make an exception")
    error = make(*arguments)
    if state:
        error.__setstate__(state)
    return error


def _restore_dataclass(of: Any) -> Any:
    make = _named(of[0])
    if not (isinstance(make, type) and is_dataclass(make)):
        raise ValueError(f"{make!r} is not a dataclass")
    return make(**_restore_values(of[1]))


# How to see that a value is of a kind, and to take it apart. The first that fits is taken.
_KINDS: dict[str, tuple[Callable[[Any], bool], Callable[[Any], Any]]] = {
    "tuple": (lambda v: type(v) is tuple, lambda v: [describe(each) for each in v]),
    "dict": (lambda v: type(v) is dict, lambda v: [[describe(k), describe(v[k])] for k in v]),
    "path": (lambda v: isinstance(v, Path), str),
    "name": (lambda v: isinstance(v, FunctionType | type), _name),
    "method": (
        lambda v: isinstance(v, MethodType),
        lambda v: [describe(v.__self__), v.__name__],
    ),
    "partial": (
        lambda v: isinstance(v, partial),
        lambda v: [describe(v.func), describe(v.args), _describe_values(v.keywords)],
    ),
    "dataclass": (is_dataclass, _describe_fields),
    "model": (
        lambda v: hasattr(v, "model_dump_json"),
        lambda v: [_name(type(v)), json.loads(v.model_dump_json())],
    ),
    "error": (
        lambda v: isinstance(v, BaseException),
        lambda v: [describe(each) for each in (*v.__reduce__(), None)[:3]],
    ),
}
_RESTORED: dict[Any, Callable[[Any], Any]] = {
    "tuple": lambda of: tuple(map(restore, of)),
    "dict": lambda of: {restore(key): restore(each) for key, each in of},
    "path": Path,
    "name": _named,
    "method": lambda of: getattr(restore(of[0]), of[1]),
    "partial": lambda of: partial(restore(of[0]), *restore(of[1]), **_restore_values(of[2])),
    "dataclass": _restore_dataclass,
    "model": lambda of: _named(of[0]).model_validate_json(json.dumps(of[1])),
    "error": _restore_error,
}
