"""The parts of a filter, and what identifies its result."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from ggez_hub.data.model_folders import model_identity
from ggez_hub.data.scorers.spec import SCORERS, LocalModel
from ggez_hub.data.sources import Extent, Reader, open_source
from ggez_hub.data.spec import FilterSpec, SourceSpec
from ggez_hub.digests import digest_json, sha256_file

# A part of every digest: raise it when the same spec and inputs come to give another result.
RULES_VERSION = 5


class PartId(NamedTuple):
    """A part: its number in the output, its source, and where that is."""

    number: int
    source: int
    extent: Extent
    held_out: bool


@dataclass(frozen=True)
class FilterPlan:
    """A spec with the folder that its relative paths start from."""

    spec: FilterSpec
    folder: Path

    @cached_property
    def sources(self) -> tuple[SourceSpec, ...]:
        """The held-out sources, then those that are filtered."""
        held = self.spec.held_out.sources if self.spec.held_out else []
        return (*held, *self.spec.sources)

    @property
    def held_out(self) -> int:
        return len(self.sources) - len(self.spec.sources)

    @property
    def held_out_parts(self) -> int:
        return sum(part.held_out for part in self.parts)

    @cached_property
    def readers(self) -> tuple[Reader, ...]:
        """The open sources; raises BadSource."""
        return tuple(open_source(source, self.folder) for source in self.sources)

    @cached_property
    def revisions(self) -> dict[str, str]:
        pairs = zip(self.sources, self.readers, strict=True)
        return {source.name: reader.revision() for source, reader in pairs}

    @cached_property
    def digest(self) -> str:
        """The sha256 of what decides the result: the spec, its sources, models and files.

        Pictures that a source names by their paths are not part of it. Raises GgezError for a model
        that is not there.
        """
        spec = self.spec
        parts: list[Any] = list(spec.keep_region.rules)
        parts += [spec.reward.scorer] if spec.reward != "none" else []
        parts += [spec.translation.translator] if spec.translation != "none" else []
        # What an endpoint serves is unknown.
        models = {(p.model, p.revision) for p in parts if isinstance(p, LocalModel)}
        named = [name for part in parts if (name := getattr(part, "places", None))]
        if spec.reward != "none" and spec.reward.agreement:
            named.append(spec.reward.agreement)
        files = {
            name: sha256_file(self.folder / name) if (self.folder / name).is_file() else "absent"
            for name in named
        }
        plugin = SCORERS.origin(spec.reward.scorer.kind) if spec.reward != "none" else None
        return digest_json(
            {
                **({"plugin": plugin.document} if plugin else {}),
                "rules": RULES_VERSION,
                "spec": spec.decisive(),
                "revisions": self.revisions,
                "models": {
                    f"{model}@{revision}": model_identity(model, revision, self.folder)
                    for model, revision in sorted(models)
                },
                "files": files,
            }
        )

    @cached_property
    def needs_stages(self) -> bool:
        """Whether anything is left to do behind the stages that look at one example alone."""
        spec = self.spec
        return spec.duplicates != "keep" or spec.held_out is not None or bool(self.spec.models)

    @property
    def device(self) -> str:
        """Where the models run, as torch calls it; empty where none runs here."""
        devices = [model.device for model in self.spec.models if isinstance(model, LocalModel)]
        return next((name for name in devices if name != "cpu"), "cpu" if devices else "")

    @property
    def compares_translations(self) -> bool:
        spec = self.spec
        return (
            spec.translation != "none"
            and spec.duplicates != "keep"
            and spec.duplicates.by != "picture"
        )

    @cached_property
    def parts(self) -> list[PartId]:
        """All parts, those of held-out sources first."""
        found = [
            (number, extent)
            for number, reader in enumerate(self.readers)
            for extent in reader.extents()
        ]
        return [
            PartId(part, source, extent, source < self.held_out)
            for part, (source, extent) in enumerate(found)
        ]

    def stages(self, shards: int | None) -> list[tuple[str, int]]:
        """The stages and their tasks, as far as they are known before anything is read.

        How many tasks links, matches and writing have follows from what is found.
        """
        held, count = self.held_out_parts, len(self.parts) - self.held_out_parts
        parts, spec = min(shards or count, count), self.spec
        found = [("opening", 1)] if self.spec.models else []
        if spec.held_out is not None:
            found += [("holding out", min(shards or held, held)), ("entering", 1)]
        found.append(("screening", parts))
        if self.needs_stages:
            found += [("deciding", parts)] if spec.picture_rules else []
            if spec.duplicates != "keep":
                found += [("keys of duplicates", parts), ("groups of duplicates", 1)]
            found.append(("keeping", parts))
        if self.compares_translations:
            found += [("keys of translations", parts), ("groups of translations", 1)]
            found.append(("finishing", parts))
        return found
