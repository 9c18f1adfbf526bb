"""The command reference as Markdown, from the commands themselves; docs/commands.md includes it by cog."""

from __future__ import annotations

import click

from ggez_hub.cli.main import cli

# Every command has these; the page says so once.
COMMON = {"help", "json", "as_json", "quiet", "debug"}


def reference() -> str:
    """Every command with its usage, its help and its options."""
    return "\n".join(_of(cli, "ggez-hub"))


def _of(group: click.Group, path: str) -> list[str]:
    lines: list[str] = []
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        assert command is not None, name  # noqa: S101 - the group has just listed it
        where = f"{path} {name}"
        context = click.Context(command, info_name=where)
        lines += [f"## `{where.removeprefix('ggez-hub ')}`", "", _prose(command.help), ""]
        if isinstance(command, click.Group):
            lines += _of(command, where)
        else:
            usage = " ".join(command.collect_usage_pieces(context))
            lines += ["```text", f"{where} {usage}", "```", "", *_options(command, context), ""]
    return lines


def _options(command: click.Command, context: click.Context) -> list[str]:
    records = [
        record
        for parameter in command.get_params(context)
        if isinstance(parameter, click.Option) and parameter.name not in COMMON
        if (record := parameter.get_help_record(context))
    ]
    if not records:
        return []
    rows = [f"| `{_cell(names)}` | {_cell(text)} |" for names, text in records]
    return ["| option | meaning |", "|---|---|", *rows]


def _prose(text: str | None) -> str:
    """The help as paragraphs; what click keeps as it is (after \\b) stays a block."""
    paragraphs = []
    for paragraph in (text or "").replace("\r", "").split("\n\n"):
        if paragraph.startswith("\b"):
            paragraphs.append("```text\n" + paragraph.removeprefix("\b").strip("\n") + "\n```")
        else:
            paragraphs.append(" ".join(paragraph.split()))
    return "\n\n".join(filter(None, paragraphs))


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
