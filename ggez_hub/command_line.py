"""Command lines in messages: what is proposed, with the options that the user gave."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import click


def command_line(name: str, options: Mapping[str, Any]) -> str:
    """`ggez-hub NAME` with what the user gave to the running command, changed by `options`.

    Keys are spelled as on the command line (`--region`, `-o`), that of an argument is empty; a value is True for a flag, a list for
    an option that is repeated, and None leaves the option out. Of another running command those
    options are kept that `name` has as well, but for its output. Without a command, as in the Python
    API, `options` are all there is.
    """
    import click

    running = click.get_current_context(silent=True)
    given = dict(_given(running, name)) if running else {}
    is_same = running is not None and running.info_name == name
    line = {**given, **options} if is_same else {**options, **given, **options}
    # An argument stands first.
    line = {**{name: value for name, value in line.items() if not name}, **line}
    words = [word for option, value in line.items() for word in _words(option, value)]
    return " ".join(("ggez-hub", *name.split(), *words))


def _given(running: click.Context, name: str) -> Iterator[tuple[str, Any]]:
    import click
    from click.core import ParameterSource

    proposed: click.Command | None = running.find_root().command
    for word in name.split():
        if not isinstance(proposed, click.Group):
            return
        proposed = proposed.get_command(running, word)
    shared = _options(running.command) & (_options(proposed) if proposed else frozenset())
    kept = {parameter: options[0] for parameter, options in shared}
    if running.info_name != name:
        kept.pop("target", None)
    unknown = {None, ParameterSource.DEFAULT, ParameterSource.DEFAULT_MAP}
    for parameter, value in running.params.items():
        if parameter in kept and running.get_parameter_source(parameter) not in unknown:
            yield kept[parameter], value


def _options(command: click.Command) -> frozenset[tuple[str, tuple[str, ...]]]:
    """The options of a command: the names of their parameters, and how they are spelled."""
    found = (p for p in command.params if p.param_type_name == "option")
    return frozenset((p.name or "", tuple(p.opts)) for p in found)


def _words(option: str, value: Any) -> Iterator[str]:
    if value is None or value is False:
        return
    if value is True:
        yield option
        return
    for one in value if isinstance(value, (list, tuple)) else (value,):
        text = f"{one:.12g}" if isinstance(one, float) else str(one)
        yield f"{option} {shlex.quote(text)}".strip()
