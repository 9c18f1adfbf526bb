"""The card of what was trained: everything that a run knows of itself."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ggez_hub import __version__
from ggez_hub.cards import AdapterCard, CardDocument, alpha_record
from ggez_hub.cards.document import parse_card, render_card, split_front_matter
from ggez_hub.cards.hub_metadata import with_hub_keys
from ggez_hub.cards.schema import SCHEMA_VERSION, DataFilter
from ggez_hub.families import get_family
from ggez_hub.regions import alpha, find_region
from ggez_hub.registry.contribution.adapter_files import files_on_disk
from ggez_hub.registry.contribution.card_draft import adapts_of
from ggez_hub.registry.local_merge.inputs import ModelSource
from ggez_hub.training.checkpoint import Progress
from ggez_hub.training.recipe import DESCRIPTIVE_KEYS, TrainRecipe

UNKNOWN_ORIGIN, NONE = "unknown", "none"


@dataclass(frozen=True)
class EarlierStage:
    """A stage that came before the last one: its data, and what it took of them."""

    name: str
    origin: DataFilter
    examples: int
    steps: int

    @property
    def figures(self) -> dict[str, Any]:
        """Under flat names, as hyper-parameters are."""
        return {
            f"{self.name}.examples": self.examples,
            f"{self.name}.steps": self.steps,
            **selection(self.name, self.origin),
        }


def selection(name: str, origin: DataFilter) -> dict[str, Any]:
    """Which data those of `name` are, in a few flat figures."""
    found: dict[str, Any] = {f"{name}.spec_digest": origin.spec_digest}
    if not isinstance(origin.sources, str):
        found[f"{name}.sources"] = [f"{source.repo}@{source.revision}" for source in origin.sources]
    if not isinstance(origin.counts, str):
        found[f"{name}.rows"] = origin.counts.kept
    return found


def together(last: DataFilter, before: Sequence[EarlierStage]) -> DataFilter:
    """The data of the last stage with the sources, rules and translators of those before it.

    Counts, reward and digest are those of the last stage.
    """
    found = last
    for stage in before:
        own = stage.origin
        found = found.model_copy(
            update={
                "sources": _both(found.sources, own.sources),
                "rules": _both(
                    found.rules,
                    own.rules
                    if own.rules == UNKNOWN_ORIGIN
                    else [f"{stage.name}: {r}" for r in own.rules],
                ),
                "translator": _translator(found.translator, own.translator),
            }
        )
    return found


def _both(one: Any, other: Any) -> Any:
    if UNKNOWN_ORIGIN in (one, other):
        return UNKNOWN_ORIGIN
    return [*one, *(value for value in other if value not in one)]


def _translator(one: str, other: str) -> str:
    if other in (one, NONE):
        return one
    return other if one == NONE else UNKNOWN_ORIGIN


UNKNOWN = "unknown"
LIBRARIES = ("torch", "transformers", "diffusers", "open_clip_torch", "peft", "accelerate")
# What of a recipe is no hyper-parameter: it stands elsewhere on the card, or says nothing of a run.
ELSEWHERE = DESCRIPTIVE_KEYS | {
    "kind", "family", "region", "base", "data", "validation", "method", "seed", "workers",
    "trackio",
}  # fmt: skip


@dataclass(frozen=True)
class FinishedRun:
    """A finished run: its recipe and base, the data's origin, and how it went.

    base     with repository and commit
    weights  the sha256s of the base's weight files
    held_out examples that were validated on
    unused   rows of the data that are no examples for the family, by reason
    trained  how many numbers were trained
    before   the stages before the last one
    validation  the origin of a validation set of its own
    follows  settings that follow from the base, where the recipe says nothing
    """

    recipe: TrainRecipe
    base: ModelSource
    weights: Mapping[str, str]
    origin: DataFilter
    languages: Sequence[str]
    examples: int
    held_out: int
    unused: Mapping[str, int]
    trained: int
    steps: int
    progress: Progress
    before: Sequence[EarlierStage] = ()
    validation: DataFilter | None = None
    follows: Mapping[str, Any] = field(default_factory=dict)


def write_card(made: FinishedRun, folder: Path) -> None:
    """Write README.md beside the weights in `folder`; raises BadCard."""
    (folder / "README.md").write_text(render_card(card_of(made, folder)), encoding="utf-8")


def card_of(made: FinishedRun, folder: Path) -> CardDocument:
    """The card of the weights in `folder`, of level reproducible if the base's commit is known."""
    recipe, files = made.recipe, files_on_disk(folder)
    region = find_region(recipe.region)
    revision = made.base.revision or "main"
    card = AdapterCard.model_validate(
        {
            "schema_version": SCHEMA_VERSION,
            "level": "declared" if revision == "main" else "reproducible",
            "family": recipe.family,
            "kind": "lora" if recipe.method == "lora" else "finetune",
            "region": region.id,
            "languages": list(recipe.languages or made.languages) or UNKNOWN,
            "adapts": list(recipe.adapts or adapts_of(files, get_family(recipe.family)) or ())
            or UNKNOWN,
            "base": {"repo": made.base.repo, "revision": revision, "weights": dict(made.weights)},
            "trained_on": "base",
            "data_filter": together(made.origin, made.before).model_dump(),
            "data_rights": recipe.data_rights.model_dump() if recipe.data_rights else UNKNOWN,
            "alpha": alpha_record(alpha(region)).model_dump(),
            "training": {
                "method": method_of(recipe),
                "hyper_parameters": hyper_parameters(made),
                "seed": recipe.seed,
                "versions": versions(),
            },
            "curve": UNKNOWN,
            "files": {path: record.model_dump() for path, record in sorted(files.files.items())},
            "status": {"state": "active"},
            "published_by": UNKNOWN,
            "registered_by": UNKNOWN,
            "summary": dict(recipe.summary or {"en": _summary(made, region.name)}),
        }
    )
    base_front = split_front_matter(made.base.readme)[0]
    layout_library = get_family(recipe.family).layout(made.base.path).library
    front = {
        "base_model": made.base.repo,
        "library_name": files.library or layout_library,
        "pipeline_tag": base_front.get("pipeline_tag"),
        "license": recipe.license,
    }
    known = {key: value for key, value in front.items() if value}
    document = CardDocument(card, with_hub_keys(card, known), _prose(made, card))
    # What is written must be what is read.
    return parse_card(render_card(document), str(folder))


def method_of(recipe: TrainRecipe) -> str:
    """How the weights were trained, in a line."""
    what = "LoRA by PEFT" if recipe.method == "lora" else "all weights"
    return f"{what}, AdamW with linear decay, by ggez-hub train"


def hyper_parameters(made: FinishedRun) -> dict[str, Any]:
    """The recipe's figures under flat names, and what came of them."""
    plain = made.recipe.model_dump(mode="json", exclude=ELSEWHERE, exclude_none=True)
    for stage in made.before:
        # Its data are said by what they are, not by where they lay.
        plain.get(stage.name, {}).pop("data", None)
    if made.recipe.method == "lora":
        plain["lora"] = made.recipe.adapter.model_dump(mode="json", exclude_none=True)
    flat = dict(_flat(plain))
    return {
        **flat,
        **made.follows,
        **{name: value for stage in made.before for name, value in stage.figures.items()},
        **(selection("validation", made.validation) if made.validation else {}),
        "examples": made.examples,
        "held_out": made.held_out,
        **{f"unused.{reason}": count for reason, count in made.unused.items()},
        "steps": made.progress.step,
        "steps_planned": made.steps,
        "trained_parameters": made.trained,
    }


def versions() -> dict[str, str]:
    """The versions of what computes."""
    found = {"ggez-hub": __version__, "python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            found += _flat(value, f"{name}.")
        else:
            found.append((name, [str(v) for v in value] if isinstance(value, list) else value))
    return found


def _summary(made: FinishedRun, region: str) -> str:
    what = "A LoRA" if made.recipe.method == "lora" else "A fine-tune"
    return f"{what} for {made.base.repo}, adapted to {region}."


def _prose(made: FinishedRun, card: AdapterCard) -> str:
    recipe, progress = made.recipe, made.progress
    lines = [
        f"# {recipe.title or card.summary.get('en', 'An adapter')}",
        "",
        card.summary.get("en", ""),
        "",
        f"Trained by ggez-hub on {made.examples:,} examples: {progress.step:,} steps of "
        f"{recipe.batch_size}, {made.trained:,} parameters.",
    ]
    for stage in made.before:
        lines += [
            "",
            f"Before that ({stage.name}): {stage.steps:,} steps on {stage.examples:,} examples.",
        ]
    if made.unused:
        said = ", ".join(f"{count:,} ({reason})" for reason, count in made.unused.items())
        lines += ["", f"Rows of the training set that were not used: {said}."]
    if progress.losses:
        lines += ["", f"Training loss {progress.losses[-1][1]:.4g} at the end."]
    if progress.best is not None:
        lines += ["", f"Validation loss {progress.best:.4g}, lowest at step {progress.best_step}."]
    lines += ["", "Its scores are not measured yet: `ggez-hub sweep` and `ggez-hub eval` do that."]
    return "\n".join(lines) + "\n"
