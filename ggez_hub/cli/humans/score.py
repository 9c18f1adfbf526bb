"""`humans score`: what people said, as scores with intervals."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from ggez_hub.cards.schema import alpha_record
from ggez_hub.cli.output import Output, output_options
from ggez_hub.cli.parameters import ANYTHING, FOLDER, SHARE
from ggez_hub.cli.people import print_people
from ggez_hub.humans.study import read_study
from ggez_hub.quantities import counted
from ggez_hub.regions import Alpha, find_region


@click.command("score")
@click.argument("folder", metavar="DIR", type=FOLDER)
@click.option("--alpha", "given", type=SHARE, help="Your own.  [default: the region's]")
@click.option(
    "--without", "without", multiple=True, metavar="RATER", help="Leave a rater out; recorded."
)
@click.option(
    "--card", type=ANYTHING, help="Write the scores to this card, with the ratings beside it."
)
@click.option(
    "--measured-by",
    type=click.Choice(["self", "registry"]),
    default="self",
    show_default=True,
    help="Of --card: who ran the study. Only the registry's rows gate.",
)
@output_options
def score_command(
    folder: Path,
    given: float | None,
    without: tuple[str, ...],
    card: Path | None,
    measured_by: Literal["self", "registry"],
    out: Output,
) -> None:  # fmt: skip
    """Compute the scores of a study: ratings.parquet and scores.json, with intervals.

    Human Global-Regional Parity weighs raters of the rest of the world and of the region. Ranks and
    preferences are shown as differences within the study. `verify DIR` recomputes all of it.
    """
    from ggez_hub.evaluation.people.card_rows import note_scores
    from ggez_hub.evaluation.people.scores import read_scores
    from ggez_hub.humans.ratings import collect, score

    study = read_study(folder)
    own = None if given is None else alpha_record(Alpha.from_user(given, find_region(study.region)))
    header, found = score(folder, study, collect(folder, study), factor=own, without=without)
    print_people(header.model_dump(mode="json"), found, out)
    noted = None
    if card is not None:
        noted = note_scores(read_scores(folder), card, measured_by)
        out.line(f"{noted.card}: {counted(noted.rows, 'row')} of people; ratings: {noted.ratings}")
    out.document(
        {
            "folder": str(folder),
            "header": header.model_dump(mode="json"),
            **found,
            "card": None if noted is None else str(noted.card),
        }
    )
