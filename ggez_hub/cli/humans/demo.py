"""`humans demo`: a study of the demo world's models, made and served at once."""

from __future__ import annotations

from pathlib import Path

import click

from ggez_hub.cli.output import Output, output_options
from ggez_hub.cli.parameters import NEW_FOLDER, out_option
from ggez_hub.cli.questions import on_terminal
from ggez_hub.errors import UsageProblem
from ggez_hub.hub import Hub
from ggez_hub.humans.store import Store
from ggez_hub.humans.study import STUDY_FILE, read_study


@click.command("demo")
@out_option("The folder of the study.  [default: ./ggez-demo-humans]", NEW_FOLDER, required=False)
@click.option(
    "--port", default=0, type=click.IntRange(0, 65535), help="By default one that is free."
)
@click.option("--language", default="en", show_default=True, metavar="TAG", help="Yours: th, ...")
@output_options
def demo_command(target: Path | None, port: int, language: str, out: Output) -> None:
    """Rate drawings of emoji by the demo world's three models, in the browser.

    Base, merge and unmerged adapter draw prompts in English and Thai; the page does not say which
    drew what. Ctrl-C ends it; humans score prints the scores then.
    """
    from ggez_hub.demo.emoji_study import make_emoji_study
    from ggez_hub.humans.server import serve

    folder = target or Path("ggez-demo-humans")
    if not (folder / STUDY_FILE).exists():
        out.note("Three models draw 24 emoji each; this takes a minute.")
        make_emoji_study(folder, Hub.of_environment(offline=True))
    study, store = read_study(folder), Store(folder)
    if language not in study.languages:
        raise UsageProblem(
            f"nobody rates the demo in {language}", f"Languages: {', '.join(study.languages)}."
        )

    def announce(url: str) -> None:
        links = {s: f"{url}/r/{store.invite(s, language)}" for s in study.rater_sides}
        out.document({"study": str(folder.absolute()), "links": links})
        out.line(f"As a rater of the region:         {links['regional']}")
        out.line(f"As one of the rest of the world:  {links['global']}")
        out.line(f"Ctrl-C ends it; then: ggez-hub humans score {folder}")
        if on_terminal():
            click.launch(links["regional"])

    serve(folder, port=port, announce=announce)
