"""Plug-ins: values that other distributions offer by entry points, looked up beside our own.

A distribution offers a value in one of the groups `ggez_hub.families`, `ggez_hub.loaders`,
`ggez_hub.scorers` and `ggez_hub.merge_methods`. Only what is installed already is used: a card or a
recipe may name a plug-in, and is refused where it is missing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from itertools import chain
from typing import Any, Literal, TypeVar, get_args

from ggez_hub.errors import GgezError, UsageProblem

NO_PLUGINS = "GGEZ_NO_PLUGINS"
Group = Literal["families", "loaders", "scorers", "merge_methods"]
T = TypeVar("T")


class BadPlugin(GgezError):
    """A plug-in takes a name that is taken, cannot be imported, or is not what its group holds."""


@dataclass(frozen=True)
class PluginRecord:
    """Where a value comes from that is not part of this package; it stands in locks and digests."""

    distribution: str
    version: str
    entry_point: str

    def __str__(self) -> str:
        return f"{self.entry_point} of {self.distribution} {self.version}"

    @property
    def document(self) -> dict[str, str]:
        """The same as JSON."""
        return asdict(self)


class Catalog(Mapping[str, T]):
    """The values of a group by name: our own, then those of plug-ins, imported when looked up.

    Raises BadPlugin, at any use, where a plug-in takes a name of ours or of another plug-in.
    """

    def __init__(
        self,
        group: Group,
        noun: str,
        own: Mapping[str, T],
        kind: Any = object,
        advice: str = "",
    ) -> None:
        """`noun` is what messages call a value, `advice` what they add for a name that is not there.

        A plug-in's value has to be an instance of `kind`, which may be a runtime-checkable protocol.
        """
        self._group, self._noun, self._own = group, noun, own
        self._kind, self._advice = kind, advice

    def __iter__(self) -> Iterator[str]:
        return chain(self._own, self._plugins())

    def __len__(self) -> int:
        return len(self._own) + len(self._plugins())

    def __contains__(self, name: object) -> bool:
        return name in self._own or name in self._plugins()

    def __getitem__(self, name: str) -> T:
        plugins = self._plugins()
        return self._own[name] if name in self._own else self._load(plugins[name])

    def find(self, name: str) -> T:
        """The value of that name; raises UsageProblem with the names that there are."""
        if name in self:
            return self[name]
        off = f" Plug-ins are turned off ({NO_PLUGINS})." if are_off() else ""
        raise UsageProblem(
            f"there is no {self._noun} {name!r}",
            f"{self._group.replace('_', ' ').capitalize()}: {', '.join(self)}.{self._advice}{off}",
        )

    def origin(self, name: str) -> PluginRecord | None:
        """Where the value of that name comes from; None for our own and for unknown names."""
        point = self._plugins().get(name)
        return None if point is None else _record(point)

    def _plugins(self) -> Mapping[str, EntryPoint]:
        return plugins(self._group, frozenset(self._own))

    def _load(self, point: EntryPoint) -> T:
        value: T = load_value(point, self._kind, self._noun)
        return value


def load_value(point: EntryPoint | str, kind: Any, noun: str) -> Any:
    """The value of an entry point, or of `module:NAME`; raises BadPlugin where it is not a `kind`."""
    if isinstance(point, str):
        point = EntryPoint("", point, "")
    where = _record(point) if point.dist else point.value
    try:
        value = point.load()
    # A module of somebody else may raise anything while it is imported.
    except Exception as error:
        raise BadPlugin(f"{where} cannot be imported: {error}") from error
    if not isinstance(value, kind):
        raise BadPlugin(f"{where} is not a {noun}, it is {value!r}")
    return value


def are_off() -> bool:
    """Whether plug-ins are turned off."""
    return os.environ.get(NO_PLUGINS, "") not in {"", "0"}


def plugins(group: Group, own: frozenset[str]) -> Mapping[str, EntryPoint]:
    """What plug-ins offer in a group by name, none of it imported; nothing if they are off.

    Raises BadPlugin for a name that is among our `own`, or that two of them offer.
    """
    found: dict[str, EntryPoint] = {}
    for point in () if are_off() else _offered()[group]:
        other = found.setdefault(point.name, point)
        if point.name in own or other is not point:
            taken = "part of ggez-hub" if point.name in own else f"offered by {_record(other)} too"
            raise BadPlugin(
                f"{_record(point)} offers {point.name!r} in ggez_hub.{group}, which is {taken}",
                f"Uninstall the plug-in, or turn plug-ins off: --no-plugins, or {NO_PLUGINS}=1.",
            )
    return found


@cache
def _offered() -> Mapping[Group, tuple[EntryPoint, ...]]:
    # Once for all groups: it reads a file of every distribution.
    found = entry_points()
    return {
        group: tuple(sorted(found.select(group=f"ggez_hub.{group}"), key=lambda point: point.name))
        for group in get_args(Group)
    }


def installed(group: Group) -> list[PluginRecord]:
    """Where the values of a group come from that are not part of this package; none if they are off."""
    return [] if are_off() else [_record(point) for point in _offered()[group]]


def clear() -> None:
    """Forget what was found: distributions were installed or removed in this process."""
    _offered.cache_clear()


def _record(point: EntryPoint) -> PluginRecord:
    made = point.dist
    return PluginRecord(made.name if made else "?", made.version if made else "?", point.value)
