"""Command lines in messages: what is proposed, with the options that the user gave."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import click


def command_line(name: str, options: Mapping[str, Any]) -> str:
    """`ggez-hub NAME` with what the user gave to the running command, changed by `options`.

    Keys are spelled as on the command line (`--region`, `-o`); a value is True for a flag, a list for
    an option that is repeated, and None leaves the option out. Of another running command those
    options are kept that `name` has as well, but for its output. Without a command, as in the Python
    API, `options` are all there is.
    """
    line = dict(_given(name))
    for option, value in options.items():
        line[option] = value
    words = [word for option, value in line.items() for word in _words(option, value)]
    return " ".join(("ggez-hub", *name.split(), *words))


def _given(name: str) -> Iterator[tuple[str, Any]]:
    import click
    from click.core import ParameterSource

    running = click.get_current_context(silent=True)
    root = running and running.find_root().command
    if running is None or not isinstance(root, click.Group):
        return
    proposed = root.get_command(running, name)
    spelled = _spelled(proposed) if proposed else {}
    unknown = {ParameterSource.DEFAULT, ParameterSource.DEFAULT_MAP}
    if running.info_name != name:
        spelled.pop("target", None)
    for parameter, value in running.params.items():
        if parameter in spelled and running.get_parameter_source(parameter) not in unknown:
            yield spelled[parameter], value


def _spelled(command: click.Command) -> dict[str, str]:
    """The options of a command by the names of their parameters."""
    return {p.name: p.opts[0] for p in command.params if p.name and p.param_type_name == "option"}


def _words(option: str, value: Any) -> Iterator[str]:
    if value is None or value is False:
        return
    if value is True:
        yield option
        return
    for one in value if isinstance(value, (list, tuple)) else (value,):
        text = f"{one:g}" if isinstance(one, float) else str(one)
        yield f"{option} {shlex.quote(text)}"
