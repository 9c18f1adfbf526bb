"""What stands beside the merge, as a table: the switch, averaged outputs, a joint fine-tune."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ggez_hub.cli.output import Output

Json = dict[str, Any]

NAMES = {
    "switch": "switch by prompt language",
    "average": "averaged outputs",
    "joint": "joint fine-tune",
}


def show_baselines(found: Json, out: Output) -> None:
    """Print the `baselines` of results, nothing where there are none."""
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
            (name, *(_shown(entry.get(key)) for key in ("q_others", "q_regional", "grp")),
             _shown(entry.get("over_merge"), "+"))
            for name, entry in rows
        ],
        title=f"{found['split']}: {found['scale']}; paired differences in points, 95 % intervals",
    )  # fmt: skip
    for line in _lines(found):
        out.line(line)


def _lines(found: Json) -> Iterator[str]:
    switch = found["switch"]
    for key, name in NAMES.items():
        if key in found:
            yield f"{name}: needs {found[key]['cost']}"
    routes = switch.get("routes")
    if routes:
        yield (
            f"switch: {routes['to_adapter']:,} prompts went to the adapter ("
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


def _shown(value: Json | None, sign: str = "") -> str:
    if value is None:
        return "-"
    low, high = value["interval"]
    return f"{value['value']:{sign}.2f} [{low:{sign}.2f}, {high:{sign}.2f}]"
