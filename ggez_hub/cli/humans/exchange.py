"""`humans export` and `humans import`: other annotation tools, and a data set for the Hub."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from ggez_hub.cli.humans.study import KINDS, SIDES
from ggez_hub.cli.output import Output, output_options
from ggez_hub.cli.parameters import ANYTHING, FOLDER, NEW_FOLDER, out_option
from ggez_hub.errors import UsageProblem
from ggez_hub.humans.store import Store
from ggez_hub.humans.study import read_study
from ggez_hub.quantities import counted
from ggez_hub.regions import find_region

TOOLS = ["label-studio", "potato"]


@click.command("export")
@click.argument("folder", metavar="DIR", type=FOLDER)
@click.option(
    "--format",
    "form",
    required=True,
    type=click.Choice([*TOOLS, "hub"]),
    help="A project of another tool, or a data set for the Hub.",
)
@out_option("The folder into which it is written.", NEW_FOLDER)
@click.option("--language", help="Of a project: the language in which its raters work.")
@click.option("--license", "license_id", help="Of a data set: as the Hub writes it, cc-by-4.0.")
@output_options
def export_command(
    folder: Path,
    form: str,
    target: Path,
    language: str | None,
    license_id: str | None,
    out: Output,
) -> None:
    """Write a study for Label Studio or potato, or its ratings as a data set for the Hub.

    A project names no model; judgements made so far are included. `humans import` reads what is
    judged in it. A data set needs scores: `humans score DIR` comes first.
    """
    from ggez_hub.humans.exchange import label_studio, potato
    from ggez_hub.humans.exchange.data_set import write_data_set
    from ggez_hub.humans.exchange.tasks import annotations_of, questions_of, tasks_of

    study = read_study(folder)
    if form == "hub":
        if license_id is None:
            raise UsageProblem("a data set needs a licence", "Name it: --license cc-by-4.0")
        scores = write_data_set(target, folder, study, license_id)
        out.line(f"{target}: {counted(len(scores.ratings), 'rating')}, {license_id}")
        out.line(f"Publish it: hf upload ORG/NAME {target} --repo-type dataset")
        out.document({"format": form, "folder": str(target), "ratings": len(scores.ratings)})
        return
    if language is None:
        raise UsageProblem(
            "a project is of one language", f"Name it: --language {study.languages[0]}"
        )
    tool = label_studio if form == "label-studio" else potato
    tasks, questions = tasks_of(study, language), questions_of(study, language)
    given = list(annotations_of(study, Store(folder), language))
    tool.write_project(target, folder, study, tasks, questions, given, language)
    out.line(f"{target}: {counted(len(tasks), 'task')}, {counted(len(given), 'judgement')}")
    out.document(
        {"format": form, "folder": str(target), "tasks": len(tasks), "judgements": len(given)}
    )


@click.command("import")
@click.argument("folder", metavar="DIR", type=FOLDER)
@click.argument("place", metavar="FILE_OR_FOLDER", type=ANYTHING)
@click.option("--format", "form", required=True, type=click.Choice(TOOLS), help="Whose it is.")
@click.option("--side", required=True, type=SIDES, help="Where its raters are from.")
@click.option("--language", required=True, help="The language in which they worked.")
@click.option("--country", default="", help="Their country, if it is one: th, Thailand.")
@click.option(
    "--kind", type=KINDS, default="person", show_default=True, help="simulated: scripts judged."
)
@output_options
def import_command(
    folder: Path,
    place: Path,
    form: Literal["label-studio", "potato"],
    side: Literal["global", "regional"],
    language: str,
    country: str,
    kind: Literal["person", "simulated"],
    out: Output,
) -> None:
    """Read ratings made in Label Studio or potato, in a project that `humans export` wrote.

    FILE_OR_FOLDER is a JSON file of Label Studio, or a project of potato. Annotators become
    pseudonyms; importing again adds what is new. `humans score DIR` then scores them with the rest.
    """
    from ggez_hub.humans.exchange import label_studio, potato
    from ggez_hub.humans.exchange.tasks import import_annotations

    tool = label_studio if form == "label-studio" else potato
    study = read_study(folder)
    if country:
        declared = find_region(country)
        if not declared.is_country:
            raise UsageProblem(f"{declared.name} is not a country", "Leave --country out.")
        country = declared.id.upper()
    found = import_annotations(
        study, folder, tool.read_annotations(place), form, side, language, country=country, kind=kind
    )  # fmt: skip
    out.line(
        f"{folder}: {counted(found.judgements, 'judgement')} of {counted(found.raters, 'rater')}"
    )
    for why, count in found.left_out.items():
        out.line(f"left out: {counted(count, 'judgement')} that {why}")
    out.document(
        {"raters": found.raters, "judgements": found.judgements, "left_out": dict(found.left_out)}
    )
