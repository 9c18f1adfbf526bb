"""The `ggez-hub` command: a table of commands, each imported only when it is called."""

from __future__ import annotations

import atexit
import gc
import importlib
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import click

from ggez_hub import __version__
from ggez_hub.extras import without_collections


class CommandEntry(NamedTuple):
    """Where a command is defined, and its line in `ggez-hub --help`."""

    module: str
    help: str


# The commands by task. The help lines stand here so that `--help` imports no command (a test
# compares them with the commands' own).
SECTIONS = {
    "Find and pull": {
        "start": CommandEntry(
            "start", "Pull a first model, by questions: region, kind of model, machine."
        ),
        "pull": CommandEntry(
            "pull", "Pull a base model adapted to a region, merged and ready to load."
        ),
        "search": CommandEntry("pull", "List the adapters on a hub, by region and family."),
        "resolve": CommandEntry("pull", "Show what a pull would take, and why."),
        "merge": CommandEntry("merge", "Merge local folders: a base and its adapters."),
        "demo": CommandEntry(
            "demo", "Pull Thai models from a hub on this machine and recompute their tables."
        ),
    },
    "Regions and parity": {
        "regions": CommandEntry("regions", "Show regions: members, languages, fallback chain."),
        "alpha": CommandEntry(
            "alpha", "Print the globalisation factor of a region, from the KOF index."
        ),
        "grp": CommandEntry("alpha", "Compute the Global-Regional Parity of two scores."),
        "kof": CommandEntry("alpha", "The KOF Globalisation Index: releases on this machine."),
    },
    "Contribute": {
        "contribute": CommandEntry(
            "contribute", "Register an adapter: from a file to a pull request."
        ),
        "card": CommandEntry("card", "Adapter cards: start them, check them, add scores."),
        "publish": CommandEntry(
            "contribute", "Publish an adapter's folder to a repository on the hub."
        ),
    },
    "Data and training": {
        "filter": CommandEntry("filter", "Make a regional training set from public corpora."),
        "reward": CommandEntry("filter", "Reward scorers: their agreement with people."),
        "train": CommandEntry(
            "train", "Fine-tune a base: train a regional adapter, with its card."
        ),
        "extract": CommandEntry(
            "extract", "Extract a LoRA or a task vector from a full fine-tune."
        ),
    },
    "Evaluate": {
        "eval": CommandEntry("eval", "Measure a model on real benchmarks, for a region."),
        "sweep": CommandEntry(
            "sweep",
            "Measure a model over the grid of beta and choose beta, without writing merged models.",
        ),
        "retune": CommandEntry(
            "retune", "Choose beta again for another alpha, without evaluation."
        ),
        "report": CommandEntry("report", "Write scores, parity and gates to one HTML page."),
        "verify": CommandEntry(
            "verify", "Check a pulled folder against its lock, or scores against predictions."
        ),
        "trust": CommandEntry("trust", "Who may sign for whom: keys, and identities of workflows."),
        "bom": CommandEntry(
            "bom", "Write a bill of materials as CycloneDX 1.6, from lock and card."
        ),
        "export": CommandEntry(
            "exchange", "Write results or a card's evidence in the format of another harness."
        ),
        "import": CommandEntry(
            "exchange",
            "Read runs of SEA-HELM into a results folder, for `card measure`, `verify` and `report`.",
        ),
        "humans": CommandEntry("humans", "Studies: people judge what models answer or draw."),
        "reproduce": CommandEntry("reproduce", "Recheck the arithmetic of the paper's tables."),
    },
    "Serve and maintain": {
        "serve": CommandEntry("serve", "Serve a folder as a small Hugging Face hub."),
        "hub": CommandEntry(
            "hub", "Maintain the hub of a folder: accounts, quotas, garbage, mirrors, backups."
        ),
        "site": CommandEntry(
            "site", "The explorer: a map of the accepted adapters, as static files."
        ),
        "doctor": CommandEntry("doctor", "Check the installation, and report how to fix it."),
        "index": CommandEntry("registry", "The index of accepted cards: build, publish, verify."),
        "registry": CommandEntry(
            "registry",
            "For maintainers: measure cards; list what is out of date, and what a yank affects.",
        ),
    },
    "Automation": {"ci": CommandEntry("ci", "The steps of the registry's workflows.")},
}
COMMANDS = {name: entry for section in SECTIONS.values() for name, entry in section.items()}


class CommandTable(click.Group):
    """A click group that imports a command's module when the command is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        with without_collections():
            module = importlib.import_module(f"ggez_hub.cli.{entry.module}")
        command: click.Command = getattr(module, f"{cmd_name}_command")
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args and not ctx.resilient_parsing:
            from ggez_hub.cli.questions import on_terminal

            # Who types the bare name on a terminal is asked; a script gets the help.
            args = ["start"] if on_terminal() else args
        # --help and --version print here.
        with _explained(ctx):
            return super().parse_args(ctx, args)

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
        width = max(map(len, COMMANDS))
        for title, entries in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(f"{name:<{width}}", e.help) for name, e in entries.items()])

    def invoke(self, ctx: click.Context) -> object:
        with _explained(ctx):
            return super().invoke(ctx)


@contextmanager
def _explained(ctx: click.Context) -> Iterator[None]:
    """Raise a message for people in place of any error."""
    try:
        yield
    # A closed pipe (`| head`) is not an error; click ends quietly.
    except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
        raise
    except Exception as error:
        from ggez_hub.cli.errors import explain

        if ctx.meta.get("ggez_hub.debug"):
            raise
        raise explain(error) from error


@click.group(cls=CommandTable, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="ggez-hub")
@click.option(
    "--no-plugins", is_flag=True, help="Ignore plug-ins of other distributions (GGEZ_NO_PLUGINS=1)."
)
def cli(no_plugins: bool) -> None:
    """Regional adapters for vision-language models, pulled from the Hugging Face Hub and merged.

    Start with: ggez-hub start, which asks, or: ggez-hub pull --region th
    """
    if no_plugins:
        # In the environment: processes that a command starts ignore them too.
        os.environ["GGEZ_NO_PLUGINS"] = "1"


def main() -> None:
    """The console script."""
    # Libraries make half a million objects that stay: to look through them for cycles after every
    # 700 new ones is a tenth of a pull.
    gc.set_threshold(50_000, 20, 20)
    # Where one is closed no file may take its number: libraries write to that.
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: PTH123, SIM115
    # Thai, Lao and Khmer names are printed on terminals of any locale.
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")
    try:
        cli(prog_name="ggez-hub")
    except SystemExit as ended:
        if (ended.code is None or isinstance(ended.code, int)) and _is_last():
            _end(ended.code or 0)
        raise


def _is_last() -> bool:
    """Whether nothing is left to do after `main`: a profiler, a debugger or a test goes on."""
    from traceback import walk_stack

    callers = [frame.f_code.co_name for frame, _ in walk_stack(sys._getframe(2))]
    # A script, and `python -m ggez_hub`.
    return callers in (["<module>"], ["<module>", "_run_code", "_run_module_as_main"])


def _end(status: int) -> None:
    """End the process as Python does, but leave its memory to the system.

    To take half a million objects apart one by one is a twentieth of a pull (mypy ends so, too).
    Returns where something could not be written, or Ctrl-C was pressed: the ordinary end says so.
    """
    try:
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    except (OSError, ValueError, KeyboardInterrupt):
        return
    os._exit(status)
