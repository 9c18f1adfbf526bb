"""`start`: a first pull, by questions."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ggez_hub.cli.output import Output, hub_option, output_options
from ggez_hub.cli.parameters import Number
from ggez_hub.cli.questions import ask_region, on_terminal
from ggez_hub.errors import GgezError, UsageProblem
from ggez_hub.families import FAMILIES, get_family
from ggez_hub.hardware import device_bytes, free_disk_bytes, memory_bytes, size_text
from ggez_hub.hub_connection import connect
from ggez_hub.regions import Region, find_region, spelled_out

if TYPE_CHECKING:
    from ggez_hub.registry.pull.choices import ModelChoice

# What a family is for, by what its models make of their input.
PURPOSES = {
    "embeddings": "search pictures by words, and words by pictures",
    "text": "answer questions about pictures, describe them",
    "pictures": "draw pictures from words",
}


@click.command("start")
@hub_option
@output_options
def start_command(hub: str, out: Output) -> None:
    """Pull a first model, by questions: region, kind of model, machine.

    At the end the model is pulled, or the command for another machine is printed. Nothing is
    fetched before you agree.
    """
    if not (on_terminal() and out.for_people):
        raise UsageProblem(
            "`start` asks questions, which needs a terminal",
            "Without one: ggez-hub pull --region REGION; ggez-hub search lists what there is.",
        )
    asked = ask_region()
    region = find_region(asked)
    out.line(spelled_out(region, asked))
    # Closed before the pull, which connects by itself.
    with connect(hub) as server:
        from ggez_hub.registry.pull.choices import model_choices
        from ggez_hub.registry.request import Request
        from ggez_hub.registry.resolver.resolver import NoAdapter

        try:
            found = model_choices(Request(region.id), server, Path(f"ggez-{region.id}"))
        except NoAdapter as problem:
            raise GgezError(problem.message, _next_steps(region, hub, problem.hint)) from problem
    if not found:
        raise GgezError(
            f"no model for {region.id} can be pulled now",
            _next_steps(region, hub, f"Why: ggez-hub resolve --region {region.id}"),
        )
    served = _family(found, out)
    gpu = _other_machine(out)
    choice = _choice([c for c in found if c.resolved.resolution.family == served], gpu, out)
    command = choice.command + (
        "" if " --hub " in choice.command or hub == "hf" else f" --hub {hub}"
    )
    if gpu is not None:
        out.line("On that machine, where Python 3.11 or newer is:")
        out.line("  pip install 'ggez-hub[merge]'")
        out.line(f"  {command}")
        return
    if not choice.costs.fits:
        out.line(f"{_sizes(choice)}. It does not fit this machine. Pull it on a larger one:")
        out.line(f"  {command}")
        if choice.resolved.resolution.base is not None:
            out.line("Or the adapter alone with beta folded in, for a base that you have:")
            out.line(f"  {command} --as {get_family(served).adapter_form}")
        return
    out.line(f"This is the same as: {command}")
    if click.confirm("Pull it?", default=True, err=True):
        from ggez_hub.cli.pull import pull_command

        arguments = shlex.split(command)[2:]
        pull_command.main(arguments, prog_name="ggez-hub pull", standalone_mode=False)


def _next_steps(region: Region, hub: str, why: str) -> str:
    steps = [
        why,
        "Next, one of these:",
        f"  ggez-hub contribute FILE --region {region.id}   registers an adapter that you have",
        "  ggez-hub train RECIPE -o FOLDER          makes one (docs/tutorial.md)",
    ]
    if hub != "embedded":
        steps.append(
            "  ggez-hub start --hub embedded            shows it with small models, offline"
        )
    return "\n  ".join(steps)


def _family(found: Sequence[ModelChoice], out: Output) -> str:
    """The family of models that is wanted, of those that there are."""
    there = list(dict.fromkeys(choice.resolved.resolution.family for choice in found))
    for number, name in enumerate(there, start=1):
        family = get_family(name)
        out.line(f"  {number}  {name}: {PURPOSES[family.generates]}")
    if missing := [name for name in FAMILIES if name not in there]:
        out.line(f"  (nothing yet: {', '.join(missing)})")
    if len(there) == 1:
        return there[0]
    return there[_number("Which kind of model?", len(there)) - 1]


def _other_machine(out: Output) -> float | None:
    """The GB of the GPU of another machine; None if the model is for this one."""
    memory, device = memory_bytes(), device_bytes()
    parts = [
        f"{memory / 1e9:.1f} GB of memory" if memory else "memory unknown",
        f"a GPU with {device / 1e9:.1f} GB" if device else "no NVIDIA GPU",
        f"{free_disk_bytes(Path.cwd()) / 1e9:.1f} GB of disk free",
    ]
    out.line(f"  1  this machine: {', '.join(parts)}")
    out.line("  2  another one")
    if _number("Where will it run?", 2) == 1:
        return None
    return float(
        click.prompt("How many GB has its GPU? (0 without one)", type=Number(min=0), err=True)
    )


def _choice(found: Sequence[ModelChoice], gpu: float | None, out: Output) -> ModelChoice:
    """The model, of one family; of several the likely one is the first that fits."""
    fits = [c.costs.fits if gpu is None else c.costs.vram_bytes < gpu * 1e9 for c in found]
    for number, (choice, enough) in enumerate(zip(found, fits, strict=True), start=1):
        base = choice.resolved.resolution.base
        name = f"{base.repo} + {choice.repo}" if base else choice.repo
        notes = [
            "recommended" if choice.recommended else "",
            "measured by the registry" if choice.measured else "not measured",
            # A GPU of 0 GB is a CPU, whose memory is not known.
            "" if gpu == 0 else "fits" if enough else "does not fit",
        ]
        out.line(f"  {number}  {name}: {_sizes(choice)}; {', '.join(filter(None, notes))}")
    if len(found) == 1:
        return found[0]
    likely = fits.index(True) + 1 if True in fits else 1
    return found[_number("Which model?", len(found), likely) - 1]


def _sizes(choice: ModelChoice) -> str:
    costs = choice.costs
    return (
        f"{size_text(costs.fetch_bytes)} to fetch, {size_text(costs.disk_bytes)} of disk, "
        f"{size_text(costs.vram_bytes)} on a GPU for the weights alone"
    )


def _number(question: str, most: int, likely: int = 1) -> int:
    return int(click.prompt(question, type=click.IntRange(1, most), default=likely, err=True))
