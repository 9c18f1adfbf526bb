"""Scores of people as text: parity by the raters' sides, differences, agreement, comparisons."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ggez_hub.cli.output import Output
from ggez_hub.digests import sha256_file
from ggez_hub.errors import GgezError
from ggez_hub.quantities import counted, interval_text

Json = dict[str, Any]


def print_study(folder: Path, out: Output) -> None:
    """Recompute and print the scores of a study; raises GgezError where one does not follow."""
    from ggez_hub.evaluation.people.scores import read_scores
    from ggez_hub.evaluation.results.verification import differences, leaves

    found = read_scores(folder)
    header = found.header.model_dump(mode="json")
    problems = [*found.problems, *differences(found.recorded, found.recomputed, of="the ratings")]
    pinned = folder / "study.json"
    if pinned.is_file() and sha256_file(pinned) != found.header.study:
        problems.append("study.json is another study than the scores are of")
    figures = sum(1 for _ in leaves(found.recomputed))
    out.document(
        {"place": str(folder), "ok": not problems, "problems": problems, "figures": figures, "header": header, **found.recomputed}
    )  # fmt: skip
    if problems:
        raise GgezError(
            f"{folder} does not follow from its ratings:\n  " + "\n  ".join(problems[:20]),
            "Somebody changed a score or a judgement: ask for the ratings of the study.",
        )
    out.line(
        f"{folder}: {counted(figures, 'figure follows', 'figures follow')} from "
        f"{counted(len(found.ratings), 'rating')}"
    )
    print_people(header, found.recomputed, out)


def print_people(header: Json, found: Json, out: Output) -> None:
    """Scores of people as tables; of ranks and preferences the differences alone."""
    raters, judgements = len(found["raters"]), found["judgements"]
    out.line(
        f"{header['name']}: {counted(judgements, 'judgement')} of {counted(raters, 'rater')}, judge: {found['judge']}, "
        f"design {header['design']}; alpha {header['alpha']['value']:.5f}"
    )
    if found["judge"] == "simulated":
        out.line("Scripts judged, not people: these scores never rank, gate or enter a card.")
    for measure, scores in found["measures"].items():
        _print_measure(header, measure, scores, out)
    _print_comparisons(found["comparisons"], out)
    for rater in found["raters"]:
        if rater["flags"]:
            out.line(f"look at rater {rater['rater']}: {'; '.join(rater['flags'])}")


def _print_measure(header: Json, measure: str, scores: Json, out: Output) -> None:
    out.line("")
    if not header["compares"]:
        out.table(
            ("model", "mean", "world's raters", "region's raters", "human GRP"),
            [
                (name, *(_text(own[key]) for key in ("mean", "q_global", "q_regional", "grp")))
                for name, own in scores["models"].items()
            ],
            title=f"{measure}: mean of {scores['ends'][0]:g} to {scores['ends'][1]:g}; parity on 0-100; "
            "95 % intervals over raters and items",
        )
        out.line("")
    out.table(
        ("difference", "world's raters", "region's raters", "human GRP", "", "judgements needed"),
        [
            (
                f"{own['model']} over {own['over']}",
                *(_text(own[key], "+") for key in ("q_global", "q_regional", "grp")),
                own["grp"]["verdict"],
                f"{own['grp']['needed']:,}" if own["grp"]["needed"] else "-",
            )
            for own in scores["differences"]
        ],
        title=f"{measure}: paired differences in points",
    )
    for reason in dict.fromkeys(
        own["grp"]["undetermined"] for own in scores["differences"] if own["grp"]["undetermined"]
    ):
        out.line(f"undetermined: {reason}")
    for language, own in scores["agreement"].items():
        out.line(
            f"agreement in {language}: alpha {_interval(own['alpha'], own['interval'])} "
            f"(Krippendorff, ordinal; {counted(own['units'], 'output')}, {counted(own['raters'], 'rater')})"
        )
    again = scores["consistency"]
    if again["pairs"]:
        out.line(
            f"judged twice: {counted(again['pairs'], 'output')}, {100 * again['same']:.0f} % the same, "
            f"{again['difference']:.1f} points apart in the mean"
        )


def _print_comparisons(found: Json | None, out: Output) -> None:
    if found is None:
        return
    out.line("")
    out.table(
        ("model", "wins", "ties", "losses", "% won, ties half"),
        [
            (f"{own['model']} over {own['other']}", *(f"{own[key]:,}" for key in ("wins", "ties", "losses")), _text(own["rate"]))
            for own in found["win_rates"]
        ],
        title="comparisons within a set",
    )  # fmt: skip
    davidson = found["davidson"]
    if davidson["undetermined"]:
        out.line(f"Bradley-Terry with ties (Davidson): undetermined: {davidson['undetermined']}")
        return
    out.line("")
    out.table(
        ("model", "strength"),
        [(name, _text(own, "+")) for name, own in davidson["strengths"].items()],
        title="Bradley-Terry with ties (Davidson): logits, mean 0",
    )


def _text(figure: Json, sign: str = "") -> str:
    shown = _interval(figure["value"], figure["interval"], sign)
    return shown if figure["undetermined"] is None else f"{shown} undetermined"


def _interval(value: float | None, interval: list[float | None], sign: str = "") -> str:
    low, high = interval
    if value is None or value != value:  # noqa: PLR0124 - NaN
        return "-"
    if low is None or high is None or low != low:  # noqa: PLR0124 - NaN
        return f"{value:{sign}.2f}"
    return interval_text(value, low, high, sign)
