"""A first card of an adapter, level declared: what is known, and `unknown` for the rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from ggez_hub.cards import AdapterCard, BadCard, CardDocument, alpha_record
from ggez_hub.cards.document import parse_card, render_card, split_front_matter
from ggez_hub.cards.hub_metadata import with_hub_keys
from ggez_hub.cards.readme import license_of
from ggez_hub.cards.schema import SCHEMA_VERSION
from ggez_hub.cards.values import UNKNOWN
from ggez_hub.errors import UsageProblem
from ggez_hub.families import Family
from ggez_hub.regions import alpha, find_region
from ggez_hub.registry.contribution.adapter_files import AdapterFiles, NoAdapterHere
from ggez_hub.registry.contribution.base_model import BaseModel
from ggez_hub.registry.contribution.training_metadata import REPO
from ggez_hub.validation_errors import listed

PEFT_PREFIX = "base_model.model."
# What PEFT's own README says before anybody has written one, and the tags that it derives.
EMPTY_TEMPLATE = "[More Information Needed]"
DERIVED_TAG = "base_model:"


@dataclass(frozen=True)
class CardAnswers:
    """What a person says of an adapter; None where they said nothing."""

    region: str
    license: str | None = None
    summary: str | None = None
    languages: tuple[str, ...] | None = None
    adapts: tuple[str, ...] | None = None
    kind: str | None = None


def draft_card(files: AdapterFiles, base: BaseModel, answers: CardAnswers) -> CardDocument:
    """The card of an adapter, as far as its files, its base and a person tell; raises BadCard.

    What a README beside the adapter says in prose and in keys that are not ours is kept.
    """
    _require_named_base(files, base)
    region = find_region(answers.region)
    factor = alpha_record(alpha(region))
    kind = answers.kind or files.kind
    if (kind in {"finetune", "merged"}) != (files.kind == "finetune"):
        raise UsageProblem(f"{files.name} is a {files.kind}, which can be no {kind}")
    block: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "level": "declared",
        "family": base.family.name,
        "kind": kind,
        "region": region.id,
        "languages": _listed(answers.languages),
        "adapts": _listed(answers.adapts or adapts_of(files, base.family)),
        "base": {
            "repo": base.at.repo,
            "revision": base.at.revision,
            "weights": base.weights,
            "shapes": base.shapes,
        },
        "trained_on": _trained_on(files, base),
        "data_filter": UNKNOWN,
        "data_rights": UNKNOWN,
        "alpha": factor.model_dump(),
        "training": _training(files),
        "curve": UNKNOWN,
        "files": {path: record.model_dump() for path, record in sorted(files.files.items())},
        "status": {"state": "active"},
        "published_by": files.at.repo.partition("/")[0] if files.at else UNKNOWN,
        "registered_by": UNKNOWN,
        "summary": {"en": answers.summary or summary_of(files, base, region.name)},
    }
    try:
        card = AdapterCard.model_validate(block)
    except ValidationError as error:
        raise BadCard(f"no card can be made of {files.name}:\n{listed(error)}") from error
    front, prose = split_front_matter(files.readme or "")
    if not prose.strip() or EMPTY_TEMPLATE in prose:
        prose = _prose(files, card)
    document = CardDocument(card, _front(card, front, files, base, answers), prose)
    # What is written must be what is read.
    return parse_card(render_card(document), files.name)


def adapts_of(files: AdapterFiles, family: Family) -> tuple[str, ...] | None:
    """What the adapter changes, by the modules that it touches; None if that is not known.

    A LoRA on the text tower alone changes which prompts are understood; one on the other side alone
    what pictures show or what is recognised in them. Of other adapters only their authors know.
    """
    if family.text_modules is None or family.picture_modules is None or files.kind != "lora":
        return None
    keys = [key.removeprefix(PEFT_PREFIX) for key in files.keys]
    text = any(family.text_modules.search(key) for key in keys)
    pictures = any(family.picture_modules.search(key) for key in keys)
    if text == pictures:
        return None
    return ("prompt_language",) if text else ("content",)


def summary_of(files: AdapterFiles, base: BaseModel, region: str) -> str:
    """One sentence that is true of any such adapter."""
    what = {"lora": "A LoRA", "task_vector": "A task vector", "merged": "A merged model"}
    return f"{what.get(files.kind, 'A fine-tune')} for {base.at.repo}, adapted to {region}."


def declared_licence(files: AdapterFiles) -> str:
    """The licence that the adapter's own repository, README or metadata declares, or `unknown`."""
    front = files.at.front_matter if files.at else split_front_matter(files.readme or "")[0]
    declared = license_of(front)
    return (files.told.license or UNKNOWN).lower() if declared == UNKNOWN else declared


def _listed(values: tuple[str, ...] | None) -> list[str] | str:
    return list(values) if values else UNKNOWN


def _require_named_base(files: AdapterFiles, base: BaseModel) -> None:
    """PEFT's loaders follow the base that the configuration names: a folder leads nowhere."""
    if files.library == "peft" and files.told.checkpoint is not None:
        raise NoAdapterHere(
            f"adapter_config.json of {files.name} names the base {files.told.checkpoint!r}, which is "
            "no repository",
            f'Write "base_model_name_or_path": "{base.at.repo}" there, and run this again.',
        )


def _trained_on(files: AdapterFiles, base: BaseModel) -> str | dict[str, Any]:
    named = files.told.base
    if named == base.at.repo:
        return "base"
    if named and REPO.match(named):
        return {"repo": named, "revision": UNKNOWN}
    return UNKNOWN


def _training(files: AdapterFiles) -> str | dict[str, Any]:
    told = files.told
    if told.method is None and not told.hyper_parameters:
        return UNKNOWN
    return {
        "method": told.method or UNKNOWN,
        "hyper_parameters": dict(told.hyper_parameters) or UNKNOWN,
        "seed": UNKNOWN if told.seed is None else told.seed,
        "versions": dict(told.versions) or UNKNOWN,
    }


def _front(
    card: AdapterCard,
    front: dict[str, Any],
    files: AdapterFiles,
    base: BaseModel,
    answers: CardAnswers,
) -> dict[str, Any]:
    """The Hub's keys: those of the README, what a person said, and what follows from the files."""
    said = {"license": answers.license} if answers.license else {}
    license_id = declared_licence(files)
    derived = {
        "library_name": files.library or base.library,
        "pipeline_tag": base.at.front_matter.get("pipeline_tag"),
        "license": license_id if license_id != UNKNOWN else None,
    }
    known = {key: value for key, value in derived.items() if value}
    # PEFT writes the base there as its trainer named it, be it a folder on somebody's disk.
    tags = front.get("tags")
    if isinstance(tags, list):
        front = {**front, "tags": [t for t in tags if not str(t).startswith(DERIVED_TAG)]}
    try:
        return with_hub_keys(card, {**known, **front, **said, "base_model": card.base.repo})
    except ValueError as error:
        raise BadCard(str(error)) from error


def _prose(files: AdapterFiles, card: AdapterCard) -> str:
    lines = [f"# {files.told.title or files.name}", "", card.summary["en"], ""]
    if files.told.checkpoint:
        lines += [f"Its files name the checkpoint `{files.told.checkpoint}`.", ""]
    lines += [
        "The `ggez:` block above is for [ggez-hub](https://arxiv.org/abs/2604.11490), a registry of "
        "regional adapters: what it does not know stands there as `unknown`.",
    ]
    return "\n".join(lines) + "\n"
