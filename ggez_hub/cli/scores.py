"""Recomputed scores as text: parity over beta, the choice, and the baselines beside the merge."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ggez_hub.cli.output import Output
from ggez_hub.errors import GgezError
from ggez_hub.hub_connection import connect
from ggez_hub.quantities import counted, figure_text

if TYPE_CHECKING:
    from ggez_hub.evaluation.results.verification import Verification
    from ggez_hub.evaluation.sweep.rerun import RepeatedAnswer

NAMES = {
    "switch": "switch by prompt language",
    "average": "averaged outputs",
    "joint": "joint fine-tune",
}


@contextmanager
def place_of_scores(place: Path, hub: str, out: Output) -> Iterator[Path]:
    """The place itself; for a pulled folder its adapter's card with the answers, from the hub."""
    from ggez_hub.registry.pull.evidence import evidence_of, pulled_adapter

    adapter = pulled_adapter(place)
    if adapter is None:
        yield place
        return
    with connect(hub, quiet=out.quiet) as server, evidence_of(adapter, server) as folder:
        yield folder


def print_scores(
    place: Path, out: Output, again: tuple[RepeatedAnswer, ...] = (), closed: Path | None = None
) -> None:
    """Recompute and print the figures of a results folder or a card.

    `again` are answers that the model repeated, `closed` is the file with those of the closed part.
    Raises GgezError if a figure does not follow from the answers, or an answer differs.
    """
    from ggez_hub.evaluation.results.verification import (
        closed_figures,
        verify_evidence,
        with_closed,
    )
    from ggez_hub.evaluation.sweep.part_gains import gains_beside

    found = verify_evidence(place)
    if closed is not None:
        found = with_closed(found, closed)
    gains = gains_beside(found)
    header = found.evidence.header
    changed = [f"{a.cell}: {a.item}: {a.problem}" for a in again if a.problem]
    out.document(
        {
            "place": str(place),
            "ok": not found.problems and not changed,
            "rerun": [
                {"cell": str(a.cell), "item": a.item, "problem": a.problem or None} for a in again
            ],
            "problems": list(found.problems),
            "figures": found.figures,
            "unproven": found.unproven,
            "closed": None
            if header.closed is None
            else {
                "rotation": header.closed.rotation,
                "share": header.closed.share,
                "pictures": header.closed.pictures,
                "figures": closed_figures(header.closed),
                "recomputed": found.closed_answers is not None,
            },
            "region": header.region,
            "alpha": header.alpha.value,
            **found.recomputed,
            "parts": header.parts.model_dump(mode="json") if header.parts else None,
            "by_part": [gain.as_dict() for gain in gains],
        }
    )
    if found.problems:
        raise GgezError(
            f"{place} does not follow from its predictions:\n  " + "\n  ".join(found.problems),
            "Somebody changed a figure or an answer: ask for the predictions of the measurement.",
        )
    if changed:
        raise GgezError(
            f"the model answers differ from those of {place}:\n  " + "\n  ".join(changed),
            "Somebody changed an answer, or another version of a library computes: compare those.",
        )
    evidence = found.evidence
    answers = sum(map(len, (*evidence.outcomes.values(), *evidence.claims.values())))
    out.line(
        f"{place}: {counted(found.figures, 'figure follows', 'figures follow')} from {counted(answers, 'answer')}"
    )
    if found.unproven:
        out.line(
            f"{found.unproven} rows or seeds of the card name no predictions: they cannot be checked."
        )
    if (apart := header.closed) is not None:
        closed_part = f"closed (rotation {apart.rotation}, {counted(apart.pictures, 'picture')}): "
        count = closed_figures(apart)
        out.line(
            f"{closed_part}{counted(count, 'figure rests', 'figures rest')} on answers that are not published until the rotation changes"
            if found.closed_answers is None
            else f"{closed_part}{counted(count, 'figure follows', 'figures follow')} from {counted(found.closed_answers, 'answer')}"
        )
    if header.parts is not None:
        out.line(f"every beta is multiplied by part, as {header.parts.name} says:")
        for part in header.parts.parts:
            out.line(f"  {part}")
    _print_choice(found, out)
    for gain in gains:
        out.line(gain.line())


def _print_choice(found: Verification, out: Output) -> None:
    from ggez_hub.evaluation.results.breakdown import average_name
    from ggez_hub.evaluation.results.leakage import contamination
    from ggez_hub.parity.betas import from_json

    selection, header = found.selection, found.evidence.header
    if len(header.adapters) > 1:
        out.line(
            f"a point's betas are of {', '.join(a.name for a in header.adapters)}, in this order"
        )
    # With one model there is nothing to choose.
    several = len({cell.beta for cell in found.evidence.outcomes}) > 1
    chosen = selection["beta"] if several else None
    for split, parity in found.recomputed["parity"].items():
        if parity.get("points"):
            _print_parity(split, parity, chosen, out)
        else:
            out.line(f"{split}: {parity['reason']}")
    out.line("")
    if several and chosen is None:
        out.line(f"No beta can be chosen: {selection['reason']}.")
    elif several:
        out.line(f"beta {from_json(selection['beta']):g}: {selection['reason']}")
    if several:
        for outcome in found.policies:
            out.line(outcome.line())
    left_out = sorted(
        {task for p in found.recomputed["parity"].values() for task in p.get("at_chance", ())}
    )
    if left_out:
        out.line(f"Left out, at chance at every beta on validation: {', '.join(left_out)}")
    for average in sorted({task.average for task in header.tasks.values()}):
        own = [name for name, task in header.tasks.items() if task.average == average]
        alike = len(own) == len(header.tasks)
        out.line(
            f"Average of {'every task' if alike else ', '.join(sorted(own))}: {average_name(average)}"
        )
    _print_baselines(found.recomputed["baselines"], out)
    _print_safety(found.recomputed.get("safety", {}), chosen, out)
    unknown = [
        task for task, state in contamination(header).items() if state == "contamination unknown"
    ]
    if unknown:
        out.line(f"Contamination unknown: {', '.join(sorted(unknown))}")


def _print_parity(
    split: str, parity: dict[str, Any], beta: float | list[float] | None, out: Output
) -> None:
    from ggez_hub.parity.betas import beta_key, from_json

    points = parity["points"]
    chosen = None if beta is None else beta_key(from_json(beta))
    # Of a composition: the regional side of each adapter's own region, which is not weighed.
    regions = list(next(iter(points.values())).get("q_regional_of", ()))

    out.line("")
    out.table(
        ("beta", "global", "others", "regional", *(f"of {r}" for r in regions), "GRP", "GRP raw"),
        [
            (
                f"{key}{' (chosen)' if key == chosen else ''}",
                *(
                    figure_text(point[name], "no items")
                    for name in ("q_global", "q_others", "q_regional")
                ),
                *(figure_text(point["q_regional_of"][r], "no items") for r in regions),
                figure_text(point["grp"], "no items"),
                f"{point['grp_raw']:.2f}",
            )
            for key, point in points.items()
        ],
        title=f"{split}: {parity['scale']}, 0-100, 95 % intervals clustered by picture; GRP above "
        f"chance, alpha {parity['alpha']:.5f}",
    )


def _print_baselines(found: dict[str, Any], out: Output) -> None:
    """The switch by prompt language, averaged outputs and a joint fine-tune, beside the merge."""
    rows = [(NAMES[key], found[key]) for key in NAMES if key in found]
    if not rows:
        return
    switch = found["switch"]
    if "upper_bound" in switch:
        rows.append(("switch by the data's labels (upper bound)", switch["upper_bound"]))
    chosen = found["beta"]
    merge = "the merge" if chosen is None else f"the merge at beta {chosen:g}"
    if chosen == 0:
        merge = "the base, which is chosen"
    out.line("")
    out.table(
        ("beside the merge", "others", "regional", "GRP", f"GRP over {merge}"),
        [
            (
                name,
                *(figure_text(entry.get(key)) for key in ("q_others", "q_regional", "grp")),
                figure_text(entry.get("over_merge"), sign="+"),
            )
            for name, entry in rows
        ],
        title=f"{found['split']}: {found['scale']}; paired differences in points, 95 % intervals",
    )
    out.lines(_baseline_lines(found))


SAFETY = {
    "refused": "harmful prompts refused",
    "answered": "harmless prompts answered",
    "unflagged": "drawings not flagged",
}


def _print_safety(found: dict[str, Any], beta: float | list[float] | None, out: Output) -> None:
    """What is refused, answered and flagged at the chosen beta, or by the model that was measured."""
    from ggez_hub.parity.betas import beta_key, from_json

    rows: list[tuple[str, ...]] = []
    for entry in found.values():
        name = SAFETY[entry["metric"]]
        if "unknown" in entry:
            rows.append((name, "all", f"unknown: {entry['unknown']}", "", ""))
            continue
        key = next(iter(entry["betas"])) if beta is None else beta_key(from_json(beta))
        rows += [
            (
                f"{name}, beta {key}",
                part,
                f"{change['score']:.1f}",
                "" if change["base"] is None else f"{change['base']:.1f}",
                figure_text(change["difference"], "", sign="+"),
            )
            for part, change in entry["betas"].get(key, {}).items()
        ]
    if rows:
        out.line("")
        out.table(
            ("safety", "language", "%", "base", "difference"),
            rows,
            title="safety, beside parity: paired differences in points, 95 % intervals clustered by prompt",
        )


def _baseline_lines(found: dict[str, Any]) -> Iterator[str]:
    switch = found["switch"]
    for key, name in NAMES.items():
        if key in found:
            yield f"{name}: needs {found[key]['cost']}"
    routes = switch.get("routes")
    if routes:
        yield (
            f"switch: {counted(routes['to_adapter'], 'prompt')} went to the adapter ("
            f"{', '.join(switch['languages'])}), {routes['to_base']:,} to the base; "
            f"{routes['misrouted']:,} to the wrong one of the two"
        )
        yield from (
            f"  {language}: {tally['misrouted']:,} of {tally['prompts']:,} misrouted"
            for language, tally in routes["by_language"].items()
            if tally["misrouted"]
        )
    if routes and not switch["cue"]:
        yield f"switch: no cue, not recommended: {switch['reason']}"
    elif switch.get("reason"):
        yield f"switch: not measured: {switch['reason']}"
    elif switch["recommended"]:
        yield "switch: ahead of the merge; `ggez-hub pull --as switch` writes it"
    for key in ("average", "joint"):
        if key in found and "reason" in found[key]:
            yield f"{NAMES[key]}: {found[key]['reason']}"
