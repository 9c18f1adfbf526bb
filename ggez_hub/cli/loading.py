"""How the end of a command tells what loads its result."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ggez_hub.cli.output import Output
    from ggez_hub.merging.forms.facts import Facts


def tell_runtimes(facts: Facts, out: Output) -> None:
    """Each program with yes, no or the flag that it needs, and the lines that load the adapter."""
    from ggez_hub.merging.forms.telling import answers, loading_lines, shown_status

    loading = loading_lines(facts)
    out.line("\n".join(("", *loading, "")))
    for name, answer in answers(facts).items():
        reason = f"  {answer.reason}" if answer.reason else ""
        out.line(f"{name:<20}{shown_status(answer):<13}{reason}".rstrip())
        for line in () if answer.lines == loading else answer.lines:
            out.line(f"    {line}")


def tell_adapter(facts: Facts, out: Output) -> None:
    """The end of `merge --as`: the adapter that was written, and what loads it."""
    from ggez_hub.merging.forms.telling import as_list

    out.line(f"{facts.folder}/{facts.file}: beta is folded into its scales")
    tell_runtimes(facts, out)
    out.document(
        {
            "out": facts.folder,
            "family": facts.family,
            "form": facts.form,
            "file": facts.file,
            "runtimes": as_list(facts),
        }
    )
