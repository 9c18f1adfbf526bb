"""The cards of the demo world: what was trained, measured on what was held out, and its caveats."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from demo_world.card_text import CardContext, FamilyText, adapter_prose, text_of_family
from demo_world.seeds import read_seeds, seed_runs
from demo_world.training_records import METADATA, record_of
from ggez_hub.cards import AdapterCard, CardDocument, hub_tags, parse_card, read_card, render_card
from ggez_hub.cards.curve import MeasuredCurve, Rows
from ggez_hub.cards.hub_metadata import DEMO_TAG
from ggez_hub.demo.hub import ASSETS, commit_base, commit_models
from ggez_hub.demo.questions import DemoAnswers
from ggez_hub.demo.world import CARD, DEMO_FAMILIES, EVIDENCE, FamilyFolders, find_in
from ggez_hub.embedded import HubStore
from ggez_hub.errors import GgezError
from ggez_hub.evaluation.answers.predictions import write_predictions
from ggez_hub.evaluation.models.model_under_test import StoredModel
from ggez_hub.evaluation.results.baselines import card_baselines
from ggez_hub.evaluation.results.evidence import open_evidence
from ggez_hub.evaluation.results.measured_curve import parity_of
from ggez_hub.evaluation.sweep.run import Progress
from ggez_hub.families import get_family
from ggez_hub.parity.beta_choice import select_beta
from ggez_hub.regions import find_region

# Training pictures are partly OpenMoji's, whose licence asks the same of what is made from them.
LICENSE = "cc-by-sa-4.0"


def write_cards(assets: Path, family: str, progress: Progress | None = None) -> None:
    """Measure a family's adapters over the grid and write all its cards and their evidence."""
    # Before anything is measured: the checkout may move on while the scores are computed.
    evaluator = code_commit()
    place = FamilyFolders(assets, DEMO_FAMILIES[family])
    words = text_of_family(place.part)
    (place.base / CARD).write_text(base_card(place, words), encoding="utf-8")
    revision = base_revision(place)
    for name in place.adapters:
        document = _adapter_card(place, name, words, revision, evaluator, progress)
        (place.adapter(name) / CARD).write_text(render_card(document), encoding="utf-8")


def rewrite_cards(assets: Path, family: str) -> None:
    """Write a family's adapter cards anew from the answers beside them.

    Nothing is measured but the controls: rows of the curve stay as they are, and what follows from the
    answers is computed again.
    """
    place = FamilyFolders(assets, DEMO_FAMILIES[family])
    words = text_of_family(place.part)
    for name in place.adapters:
        folder = place.adapter(name)
        document = read_card(folder / CARD)
        evidence = open_evidence(folder)
        rows = {key: dict(found) for key, found in _rows_of(document.card).items()}
        measured = MeasuredCurve(rows, parity_of(evidence, rows), document.card.region)
        beta = select_beta(measured, document.card.alpha.value, name).beta
        card = document.card.model_copy(
            update={
                "parity": measured.parity,
                "seeds": seed_runs(place, name),
                "baselines": card_baselines(evidence, beta, "registry"),
            }
        )
        answered = DemoAnswers({}, evidence.outcomes, evidence.header.tasks, evidence.header.models)
        seeds = {record_of(folder)["seed"]: measured, **read_seeds(place, name)}
        context = CardContext(place, card, record_of(folder), answered, seeds)
        prose = adapter_prose(words, context)
        written = CardDocument(card, document.front_matter, prose)
        (folder / CARD).write_text(render_card(written), encoding="utf-8")


def _rows_of(card: AdapterCard) -> Rows:
    if card.curve == "unknown":
        raise GgezError("the card has no curve", "Measure it: python -m demo_world cards.")
    return card.curve


def base_revision(place: FamilyFolders) -> str:
    """The commit that the base will have in every hub: its author, date and files are fixed."""
    with tempfile.TemporaryDirectory() as folder, HubStore.open(Path(folder)) as store:
        return commit_base(store, place)


def base_card(place: FamilyFolders, words: FamilyText) -> str:
    """The base's README.md."""
    import yaml

    record, metadata = record_of(place.base), METADATA[place.part.family]
    front = {
        "library_name": metadata.library,
        "pipeline_tag": metadata.pipeline_tag,
        "license": LICENSE,
        "language": sorted(record.get("share_per_language", {"en": 1.0})),
        "tags": [DEMO_TAG, *metadata.tags],
    }
    block = yaml.safe_dump(front, sort_keys=False, allow_unicode=True)
    return f"---\n{block}---\n\n{words.base(record)}"


def _adapter_card(
    place: FamilyFolders,
    name: str,
    words: FamilyText,
    revision: str,
    evaluator: str,
    progress: Progress | None,
) -> CardDocument:
    folder, part, region = place.adapter(name), place.part, find_region(name)
    metadata = METADATA[part.family]
    model = StoredModel(place.base, (folder,), get_family(part.family))
    questions = words.questions
    answered = questions.ask(
        model, find_in(place.assets), region, questions.betas, progress=progress
    )
    evidence = write_predictions(folder / EVIDENCE, answered.outcomes)
    written = words.card(place, name)
    measured = answered.measured(evaluator, evidence, region.id, written.alpha)
    card = written.model_copy(
        update={
            "level": "measured",
            "base": written.base.model_copy(update={"revision": revision}),
            "curve": measured.rows,
            "parity": measured.parity,
            "seeds": seed_runs(place, name),
        }
    )
    front = {
        "base_model": part.repo,
        "base_model_relation": "adapter",
        "library_name": metadata.adapter_library,
        "pipeline_tag": metadata.pipeline_tag,
        "language": list(card.languages),
        "license": LICENSE,
        "tags": [*hub_tags(card), DEMO_TAG],
    }
    record = record_of(folder)
    seeds = {record["seed"]: measured, **read_seeds(place, name)}
    context = CardContext(place, card, record, answered, seeds)
    return CardDocument(card, front, adapter_prose(words, context))


def code_commit() -> str:
    """The commit of the code that measures; `unknown` where it is not that of any commit."""

    def git(*arguments: str) -> str | None:
        found = subprocess.run(
            ["git", *arguments],  # noqa: S607 - whichever git the builder uses
            capture_output=True,
            text=True,
            check=False,
            cwd=Path(__file__).parents[1],
        )
        return found.stdout.strip() if found.returncode == 0 else None

    changed = git("status", "--porcelain", "--", "ggez_hub/*.py", "demo_world/*.py", "recipes")
    return (git("rev-parse", "HEAD") or "unknown") if changed == "" else "unknown"


MARK = """\
> Of the demo world: its repositories are on the embedded hub (`--hub embedded`), not on huggingface.co.

"""


def acceptable_cards(assets: Path = ASSETS) -> dict[str, str]:
    """The text of each card, by its path below cards/; their scores are claims until measured there.

    An adapter of a group of countries is left to the embedded hub.
    """
    with tempfile.TemporaryDirectory() as folder, HubStore.open(Path(folder)) as store:
        index = commit_models(store, assets)
    return {
        path: _with_claims(content.decode())
        for path, content in index.items()
        if isinstance(content, bytes) and len(Path(path).parts[1]) == len("th")
    }


def _with_claims(text: str) -> str:
    document = parse_card(text.replace("measured_by: registry", "measured_by: self"))
    title, _, prose = document.prose.partition("\n\n")
    return render_card(
        CardDocument(document.card, document.front_matter, f"{title}\n\n{MARK}{prose}")
    )
