"""`reward`: how far a reward scorer can be trusted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ggez_hub.cli.output import Output, output_options
from ggez_hub.cli.parameters import FILE, FOLDER, NEW
from ggez_hub.errors import UsageProblem

if TYPE_CHECKING:
    from ggez_hub.data.scorers.agreement import Agreement
    from ggez_hub.data.scorers.spec import Scorer


@click.group("reward", short_help="Reward scorers: their agreement with people.")
def reward_command() -> None:
    """Reward scorers: their agreement with people."""


@reward_command.command("agreement")
@click.argument("pairs", type=FILE)
@click.option("--spec", required=True, type=FILE, help="A filter with the scorer under `reward`.")
@click.option(
    "--pictures",
    type=FOLDER,
    help="The folder that paths of pictures start from.",
)
@click.option("-o", "--out", "target", type=NEW, help="A file for `agreement`.")
@output_options
def agreement(
    pairs: Path, spec: Path, pictures: Path | None, target: Path | None, out: Output
) -> None:
    """How often a scorer orders a pair as people do.

    PAIRS is JSON lines or parquet with the columns preferred (a, b or tie), text or text_a and
    text_b, image or image_a and image_b, and language.
    """
    from ggez_hub.data.scorers.agreement import agreement as measure

    found = measure(_scorer(spec), pairs, pictures or pairs.parent)
    if target is not None:
        text = json.dumps(found.document(), ensure_ascii=False, indent=2)
        target.write_text(text + "\n", encoding="utf-8")
    _print(found, out)
    out.document(found.document())


def _scorer(spec: Path) -> Scorer:
    from ggez_hub.data.scorers.spec import open_scorer
    from ggez_hub.data.spec import FilterSpec
    from ggez_hub.recipe_file import read_recipe

    asked = read_recipe(spec, "filter", FilterSpec)
    if asked.reward == "none":
        raise UsageProblem(f"{spec} names no scorer", "Add one under `reward`.")
    return open_scorer(asked.reward.scorer, spec.parent, trained=asked.base)


def _print(found: Agreement, out: Output) -> None:
    if found.agreement is None:
        out.line(f"{found.scorer}: no pair has a preference and two scores")
    else:
        verdict = "not better than guessing" if found.at_chance else "not a guess"
        if found.high is not None and found.high < 50:
            verdict = "worse than guessing"
        out.line(
            f"{found.scorer}: agrees on {found.agreement:.1f} % of {found.n} pairs "
            f"[{found.low:.1f}, {found.high:.1f}], {found.ties} ties: {verdict}"
        )
        rows = [
            (
                language,
                f"{row['n']}",
                f"{row['agreement']:.1f}",
                f"{row['low']:.1f} - {row['high']:.1f}",
            )
            for language, row in found.by_language.items()
        ]
        out.table(("language", "pairs", "agreement", "95 %"), rows)
    out.line(
        f"left out: {found.undecided} that people did not decide, {found.unscored} without two scores"
    )
