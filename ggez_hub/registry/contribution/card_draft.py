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
from ggez_hub.errors import GgezError, UsageProblem
from ggez_hub.families import Family
from ggez_hub.merging.adapters.peft_folder import PREFIX
from ggez_hub.regions import alpha, find_region
from ggez_hub.registry.contribution.adapter_files import AdapterFiles, BaseModel
from ggez_hub.registry.contribution.training_metadata import REPO
from ggez_hub.validation_errors import listed

# In PEFT's own README before anybody has edited it, and the tags that it derives.
EMPTY_TEMPLATE = "[More Information Needed]"
DERIVED_TAG = "base_model:"


@dataclass(frozen=True)
class CardAnswers:
    """What a person answers about an adapter; None where they did not."""

    region: str
    license: str | None = None
    summary: str | None = None
    languages: tuple[str, ...] | None = None
    adapts: tuple[str, ...] | None = None
    kind: str | None = None


def draft_card(files: AdapterFiles, base: BaseModel, answers: CardAnswers) -> CardDocument:
    """The card of an adapter, from its files, its base and a person's answers; raises BadCard.

    The prose and the foreign keys of a README beside the adapter are kept.
    """
    _require_named_base(files, base)
    region = find_region(answers.region)
    factor = alpha_record(alpha(region))
    kind = answers.kind or files.kind
    if (kind in {"finetune", "merged"}) != (files.kind == "finetune"):
        raise UsageProblem(f"{files.name} is a {files.kind}, which cannot be a {kind}")
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
    front, prose = split_front_matter(files.readme)
    if not prose.strip() or EMPTY_TEMPLATE in prose:
        prose = _prose(files, card)
    document = CardDocument(card, _front(card, front, files, base, answers), prose)
    # What is written must be what is read.
    return parse_card(render_card(document), files.name)


def adapts_of(files: AdapterFiles, family: Family) -> tuple[str, ...] | None:
    """What the adapter changes, by the modules that it touches; None if they do not decide it.

    A LoRA on the text tower alone changes which prompts are understood; one on the other side alone
    what pictures show or what is recognised in them. Of other adapters only their authors know.
    """
    if family.text_modules is None or family.picture_modules is None or files.kind != "lora":
        return None
    keys = [key.removeprefix(PREFIX) for key in files.keys]
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
    front = files.at.front_matter if files.at else split_front_matter(files.readme)[0]
    declared = license_of(front)
    return (files.metadata.license or UNKNOWN).lower() if declared == UNKNOWN else declared


def _listed(values: tuple[str, ...] | None) -> list[str] | str:
    return list(values) if values else UNKNOWN


def _require_named_base(files: AdapterFiles, base: BaseModel) -> None:
    """PEFT's loaders follow the base that the configuration names: a folder leads nowhere."""
    if files.library == "peft" and files.metadata.checkpoint is not None:
        raise GgezError(
            f"adapter_config.json of {files.name} names the base {files.metadata.checkpoint!r}, which is "
            "not a repository",
            f'Write "base_model_name_or_path": "{base.at.repo}" there, and run this again.',
        )


def _trained_on(files: AdapterFiles, base: BaseModel) -> str | dict[str, Any]:
    named = files.metadata.base
    if named == base.at.repo:
        return "base"
    if named and REPO.match(named):
        return {"repo": named, "revision": UNKNOWN}
    return UNKNOWN


def _training(files: AdapterFiles) -> str | dict[str, Any]:
    found = files.metadata
    if found.method is None and not found.hyper_parameters:
        return UNKNOWN
    return {
        "method": found.method or UNKNOWN,
        "hyper_parameters": dict(found.hyper_parameters) or UNKNOWN,
        "seed": UNKNOWN if found.seed is None else found.seed,
        "versions": dict(found.versions) or UNKNOWN,
    }


def _front(
    card: AdapterCard,
    front: dict[str, Any],
    files: AdapterFiles,
    base: BaseModel,
    answers: CardAnswers,
) -> dict[str, Any]:
    answered = {"license": answers.license} if answers.license else {}
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
        return with_hub_keys(card, {**known, **front, **answered, "base_model": card.base.repo})
    except ValueError as error:
        raise BadCard(str(error)) from error


def _prose(files: AdapterFiles, card: AdapterCard) -> str:
    lines = [f"# {files.metadata.title or files.name}", "", card.summary["en"], ""]
    if files.metadata.checkpoint:
        lines += [f"Its files name the checkpoint `{files.metadata.checkpoint}`.", ""]
    lines += [
        "The `ggez:` block above is for [ggez-hub](https://arxiv.org/abs/2604.11490), a registry of "
        "regional adapters: what is not known is `unknown`."
    ]
    return "\n".join(lines) + "\n"
