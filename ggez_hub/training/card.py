"""The record and the card of a finished run."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ggez_hub.cards import AdapterCard, CardDocument, alpha_record
from ggez_hub.cards.document import parse_card, render_card, split_front_matter
from ggez_hub.cards.hub_metadata import with_hub_keys
from ggez_hub.cards.provenance import DataFilter
from ggez_hub.cards.schema import SCHEMA_VERSION
from ggez_hub.cards.values import UNKNOWN
from ggez_hub.evaluation.models.backend import ENGINE, library_versions
from ggez_hub.families import FAMILIES
from ggez_hub.quantities import counted
from ggez_hub.regions import alpha, find_region
from ggez_hub.registry.contribution.adapter_files import files_on_disk
from ggez_hub.registry.contribution.card_draft import adapts_of
from ggez_hub.training.checkpoint import Progress
from ggez_hub.training.job import Job
from ggez_hub.training.recipe import DESCRIPTIVE_KEYS

NONE = "none"
LIBRARIES = (*ENGINE, "peft", "accelerate")
# Keys that are not hyper-parameters: they stand elsewhere on the card, or do not describe the run.
ELSEWHERE = DESCRIPTIVE_KEYS | {
    "kind",
    "family",
    "region",
    "base",
    "data",
    "validation",
    "method",
    "seed",
    "workers",
    "trackio",
}
# Paths on this machine: the record may be published.
PATHS = {"base", "data", "validation", "cpt"}


@dataclass(frozen=True)
class FinishedStage:
    """A stage of a run: its data, the number of its examples and of its steps."""

    name: str
    origin: DataFilter
    examples: int
    steps: int


@dataclass(frozen=True)
class FinishedRun:
    """A finished run.

    held_out  examples that were validated on
    unused    rows of the last stage that are not examples for the family, by reason
    trained   the number of parameters that were trained
    planned   steps of the last stage
    progress  of the last stage
    derived   settings that the base decided, where the recipe did not
    """

    job: Job
    stages: Sequence[FinishedStage]
    held_out: int
    unused: Mapping[str, int]
    trained: int
    planned: int
    progress: Progress
    derived: Mapping[str, Any]

    @property
    def examples(self) -> int:
        """The number of examples of the last stage."""
        return self.stages[-1].examples

    @property
    def base(self) -> str:
        """The repository of the base and its commit."""
        return f"{self.job.base.repo}@{self.job.base.revision or 'main'}"

    def record(self) -> dict[str, Any]:
        """The content of training.json."""
        return {
            "kind": "training",
            "digest": self.job.digest,
            "base": self.base,
            "recipe": self.job.recipe.model_dump(mode="json", exclude_none=True, exclude=PATHS),
            "examples": self.examples,
            "unused": dict(self.unused),
            "held_out": self.held_out,
            "trained_parameters": self.trained,
            "steps": self.progress.step,
            "losses": self.progress.losses,
            "validations": self.progress.validations,
        }


def write_card(run: FinishedRun, folder: Path) -> None:
    """Write README.md beside the weights in `folder`; raises BadCard.

    The card's level is reproducible if the base's commit is known.
    """
    job, recipe, files = run.job, run.job.recipe, files_on_disk(folder)
    region = find_region(recipe.region)
    counts = job.examples(recipe.stages[-1]).counts.most_common()
    languages = recipe.languages or [t for t, _ in counts if t.isalpha() and len(t) < 4]
    repo, _, revision = run.base.partition("@")
    lora = recipe.method == "lora"
    plugin = FAMILIES.origin(recipe.family)
    names = (*LIBRARIES, plugin.distribution) if plugin else LIBRARIES
    what = "A LoRA" if lora else "A fine-tune"
    card = AdapterCard.model_validate(
        {
            "schema_version": SCHEMA_VERSION,
            "level": "declared" if revision == "main" else "reproducible",
            "family": recipe.family,
            "kind": "lora" if lora else "finetune",
            "region": region.id,
            "languages": list(languages) or UNKNOWN,
            "adapts": list(recipe.adapts or adapts_of(files, job.family) or ()) or UNKNOWN,
            "base": {"repo": repo, "revision": revision, "weights": dict(job.weights)},
            "trained_on": "base",
            "data_filter": combined_origin(run.stages).model_dump(),
            "data_rights": recipe.data_rights.model_dump() if recipe.data_rights else UNKNOWN,
            "alpha": alpha_record(alpha(region)).model_dump(),
            "training": {
                "method": f"{'LoRA by PEFT' if lora else 'all weights'}, AdamW with linear decay, by "
                "ggez-hub train",
                "hyper_parameters": _hyper_parameters(run),
                "seed": recipe.seed,
                "versions": {"python": platform.python_version(), **library_versions(names)},
            },
            "curve": UNKNOWN,
            "files": {path: record.model_dump() for path, record in sorted(files.files.items())},
            "status": {"state": "active"},
            "published_by": UNKNOWN,
            "registered_by": UNKNOWN,
            "summary": dict(
                recipe.summary or {"en": f"{what} for {repo}, adapted to {region.name}."}
            ),
        }
    )
    front = {
        "base_model": repo,
        "library_name": files.library or job.layout.library,
        "pipeline_tag": split_front_matter(job.base.readme)[0].get("pipeline_tag"),
        "license": recipe.license,
    }
    known = {key: value for key, value in front.items() if value}
    text = render_card(CardDocument(card, with_hub_keys(card, known), _prose(run, card)))
    parse_card(text, str(folder))
    (folder / "README.md").write_text(text, encoding="utf-8")


def combined_origin(stages: Sequence[FinishedStage]) -> DataFilter:
    """The data of the last stage with the sources, rules and translators of those before it.

    Licences and leakage depend on all of them. Counts, reward and digest are the last stage's.
    """
    *earlier, last = stages
    found = last.origin
    for stage in earlier:
        own, rules = stage.origin, stage.origin.rules
        if not isinstance(rules, str):
            rules = [f"{stage.name}: {rule}" for rule in rules]
        translators = {found.translator, own.translator} - {NONE} or {NONE}
        found = found.model_copy(
            update={
                "sources": _union(found.sources, own.sources),
                "rules": _union(found.rules, rules),
                "translator": translators.pop() if len(translators) == 1 else UNKNOWN,
            }
        )
    return found


def _union(one: Any, other: Any) -> Any:
    if UNKNOWN in (one, other):
        return UNKNOWN
    return [*one, *(value for value in other if value not in one)]


def _hyper_parameters(run: FinishedRun) -> dict[str, Any]:
    """The recipe's figures under flat names, and what came of them."""
    recipe, validation = run.job.recipe, run.job.validation
    plain = recipe.model_dump(mode="json", exclude=ELSEWHERE, exclude_none=True)
    for stage in run.stages[:-1]:
        # Its data stand there by their origin, not by their path.
        plain.get(stage.name, {}).pop("data", None)
        plain |= {f"{stage.name}.examples": stage.examples, f"{stage.name}.steps": stage.steps}
        plain |= _origin(stage.name, stage.origin)
    if recipe.method == "lora":
        plain["lora"] = recipe.adapter.model_dump(mode="json", exclude_none=True)
    return {
        **_flat(plain),
        **run.derived,
        **(_origin("validation", validation.origin) if validation else {}),
        "examples": run.examples,
        "held_out": run.held_out,
        **{f"unused.{reason}": count for reason, count in run.unused.items()},
        "steps": run.progress.step,
        "steps_planned": run.planned,
        "trained_parameters": run.trained,
    }


def _origin(name: str, origin: DataFilter) -> dict[str, Any]:
    """Which data those of `name` are, in a few flat figures."""
    found: dict[str, Any] = {f"{name}.spec_digest": origin.spec_digest}
    if not isinstance(origin.sources, str):
        found[f"{name}.sources"] = [f"{source.repo}@{source.revision}" for source in origin.sources]
    if not isinstance(origin.counts, str):
        found[f"{name}.rows"] = origin.counts.kept
    return found


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = [str(v) for v in value] if isinstance(value, list) else value
    return found


def _prose(run: FinishedRun, card: AdapterCard) -> str:
    recipe, progress = run.job.recipe, run.progress
    summary = card.summary.get("en")
    paragraphs = [
        f"# {recipe.title or summary or 'An adapter'}",
        summary or "",
        f"Trained by ggez-hub on {counted(run.examples, 'example')}: {counted(progress.step, 'step')} of "
        f"{recipe.batch_size}, {counted(run.trained, 'parameter')}.",
    ]
    paragraphs += [
        f"Before that ({stage.name}): {counted(stage.steps, 'step')} on {counted(stage.examples, 'example')}."
        for stage in run.stages[:-1]
    ]
    if run.unused:
        reasons = ", ".join(f"{count:,} ({reason})" for reason, count in run.unused.items())
        paragraphs.append(f"Rows of the training set that were not used: {reasons}.")
    if progress.losses:
        paragraphs.append(f"Training loss {progress.losses[-1][1]:.4g} at the end.")
    if progress.best is not None:
        paragraphs.append(
            f"Validation loss {progress.best:.4g}, lowest at step {progress.best_step}."
        )
    paragraphs.append("Its scores are not measured yet: use `ggez-hub sweep` and `ggez-hub eval`.")
    return "\n\n".join(paragraphs) + "\n"
