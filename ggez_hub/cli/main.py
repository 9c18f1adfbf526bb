"""The `ggez-hub` command: a table of commands, each imported only when it is called."""

from __future__ import annotations

import importlib
import os
import sys
from typing import NamedTuple

import click

from ggez_hub import __version__


class Entry(NamedTuple):
    """Where a command lives, and its line in `ggez-hub --help`."""

    module: str
    help: str


# The help lines stand here so that `--help` imports no command (a test compares them with the
# commands' own).
COMMANDS = {
    "alpha": Entry("regions", "The globalisation factor of a region, from the KOF index."),
    "card": Entry("card", "Adapter cards: init, validate, measure, joint, schema."),
    "ci": Entry("ci", "The steps of the registry's workflows."),
    "contribute": Entry("contribute", "Register an adapter: from a file to a pull request."),
    "demo": Entry(
        "demo", "Pull Thai models from a hub on this machine and recompute their tables."
    ),
    "doctor": Entry("doctor", "Check the installation, and say what mends it."),
    "eval": Entry("eval", "Measure a model on real benchmarks, for a region."),
    "extract": Entry("extract", "A LoRA or a task vector from a full fine-tune."),
    "filter": Entry("filter", "A training set of a region from public corpora."),
    "grp": Entry("regions", "Global-Regional Parity of two scores."),
    "index": Entry("index", "The index of accepted cards: build, publish, verify."),
    "kof": Entry("regions", "The KOF Globalisation Index: releases on this machine."),
    "merge": Entry("merge", "Merge local folders: a base and its adapters."),
    "publish": Entry("publish", "An adapter's folder to a repository on the hub."),
    "pull": Entry("pull", "A base model adapted to a region, merged and ready to load."),
    "registry": Entry("registry", "For maintainers: measure a card, stale adapters."),
    "reproduce": Entry("reproduce", "Recheck the arithmetic of the paper's tables."),
    "report": Entry("report", "Scores, parity and gates as one HTML page."),
    "regions": Entry("regions", "Regions: members, languages, fallback chain."),
    "resolve": Entry("resolve", "What a pull would take, and why."),
    "retune": Entry("retune", "Choose beta again for another alpha, without evaluation."),
    "reward": Entry("reward", "Reward scorers: their agreement with people."),
    "search": Entry("resolve", "Adapters that a hub holds, by region and family."),
    "serve": Entry("serve", "Serve a folder as a small Hugging Face hub."),
    "sweep": Entry(
        "sweep",
        "Measure a model over the grid of beta and choose beta, without writing merged models.",
    ),
    "train": Entry("train", "Fine-tune a base to an adapter of a region, with its card."),
    "verify": Entry(
        "verify", "Check a pulled folder against its lock, or scores against predictions."
    ),
}


class CommandTable(click.Group):
    """A click group that imports a command's module when the command is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        module = importlib.import_module(f"ggez_hub.cli.{entry.module}")
        command: click.Command = getattr(module, f"{cmd_name}_command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            import difflib

            near = difflib.get_close_matches(args[0], COMMANDS, n=3)
            hint = f" Did you mean {', '.join(near)}?" if near else ""
            raise click.UsageError(f"There is no command {args[0]!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name].help) for name in sorted(COMMANDS)])

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        # A reader that went away (`| head`) is no error; click ends quietly.
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except Exception as error:
            from ggez_hub.cli.errors import explained, wants_traceback

            if wants_traceback(ctx):
                raise
            raise explained(error) from error


@click.group(cls=CommandTable, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="ggez-hub")
@click.option(
    "--no-plugins", is_flag=True, help="Ignore plug-ins of other distributions (GGEZ_NO_PLUGINS=1)."
)
def cli(no_plugins: bool) -> None:
    """Regional adapters for vision-language models, pulled from the Hugging Face Hub and merged.

    Start with: ggez-hub pull --region th
    """
    if no_plugins:
        # In the environment: processes that a command starts ignore them too.
        os.environ["GGEZ_NO_PLUGINS"] = "1"


def main() -> None:
    """The console script."""
    # Thai, Lao and Khmer names are printed on terminals of any locale.
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")
    cli(prog_name="ggez-hub")
