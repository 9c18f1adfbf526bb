"""The bill of materials of an adapter, of a pulled result, of a merge of folders: CycloneDX 1.6.

Everything is read from the lock and the cards; equal inputs give equal bytes, also of the serial
number: https://cyclonedx.org/docs/1.6/json/.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ggez_hub import __version__
from ggez_hub.cards import CardDocument
from ggez_hub.cards.values import UNKNOWN
from ggez_hub.digests import digest_json
from ggez_hub.registry.bill_of_materials.components import (
    HUGGING_FACE,
    data_components,
    file_components,
    folder_component,
    is_here,
    known,
    licences,
    model_component,
    properties,
    purl,
)
from ggez_hub.registry.bill_of_materials.model_card import (
    model_card,
    scored_properties,
    sources_of,
    summary_of,
)
from ggez_hub.registry.lock import Lock, MergeLock

BILL_FILE = "bom.cdx.json"
PAPER = "https://arxiv.org/abs/2604.11490"
Component = dict[str, Any]


@dataclass(frozen=True)
class _Subject:
    """What a bill is about: its place on a hub, if it has one, or a name and what it is made of."""

    name: str
    version: str
    licences: Sequence[str]
    files: Mapping[str, str]
    ancestors: Sequence[Component]
    documents: Sequence[CardDocument] = ()
    repo: str = ""
    revision: str = ""
    endpoint: str = HUGGING_FACE
    betas: frozenset[str] | None = None

    @property
    def supplier(self) -> str:
        """The account that publishes it."""
        by = self.documents[0].card.published_by if self.documents else UNKNOWN
        owner = self.repo.partition("/")[0]
        return owner if by == UNKNOWN else by

    @property
    def purl(self) -> str:
        if self.repo:
            return purl(self.repo, self.revision, self.endpoint)
        return f"pkg:generic/{self.name}@{self.version}"

    def references(self) -> Iterator[dict[str, str]]:
        """Where it is, and what explains the choice of its beta."""
        if self.repo and not is_here(self.endpoint):
            at = f"{self.endpoint}/{self.repo}"
            yield {"type": "website", "url": at}
            yield {"type": "vcs", "url": at}
            yield {"type": "distribution", "url": f"{at}/tree/{self.revision or 'main'}"}
        if any(document.card.rows for document in self.documents):
            yield {"type": "documentation", "url": PAPER, "comment": "how beta is chosen"}


def card_bill(
    document: CardDocument, repo: str = "", endpoint: str = HUGGING_FACE
) -> dict[str, Any]:
    """The bill of an adapter by its card; `repo` is where it goes, if the card has no place."""
    card = document.card
    place = card.adapter
    repo, revision = (place.repo, place.revision) if place else (repo, "")
    files = {} if card.files == UNKNOWN else {p: f.sha256 for p, f in card.files.items()}
    weights = {} if card.base.weights == UNKNOWN else card.base.weights
    base = model_component(card.base.repo, card.base.revision, UNKNOWN, weights, "base", endpoint)
    return _bill(
        _Subject(
            repo or f"ggez-{card.region}-{card.family}-adapter",
            revision or digest_json(files),
            [document.license],
            files,
            [base],
            [document],
            repo,
            revision,
            endpoint,
        )
    )


def lock_bill(
    lock: Lock, documents: Sequence[CardDocument], repo: str = "", endpoint: str = HUGGING_FACE
) -> dict[str, Any]:
    """The bill of a pulled result by its lock and its adapters' cards; `repo` is where it goes."""
    resolution = lock.resolution
    parts = [] if resolution.base is None else [(resolution.base, "base")]
    parts += [(adapter.source, "adapter") for adapter in resolution.adapters]
    weights = [adapter.weight for adapter in resolution.adapters]
    return _bill(
        _Subject(
            repo or f"ggez-{resolution.region}-{resolution.family}-{resolution.form}",
            resolution.merge_digest,
            [part.license for part, _ in parts],
            {path: record.sha256 for path, record in lock.outputs.items()},
            [
                model_component(
                    part.repo, part.revision, part.license, part.weights, role, endpoint
                )
                for part, role in parts
            ],
            documents,
            repo,
            endpoint=endpoint,
            betas=frozenset({"0", *(f"{1.0 if w is None else w:g}" for w in weights)}),
        )
    )


def merge_bill(lock: MergeLock, endpoint: str = HUGGING_FACE) -> dict[str, Any]:
    """The bill of a merge of local folders, whose inputs may be of no hub."""
    merge = lock.merge
    inputs = [(merge.base, "base"), *((adapter, "adapter") for adapter in merge.adapters)]
    return _bill(
        _Subject(
            f"ggez-merge-{merge.family}",
            merge.digest,
            [part.license for part, _ in inputs],
            {path: record.sha256 for path, record in lock.outputs.items()},
            [
                model_component(part.repo, part.revision, part.license, part.files, role, endpoint)
                if part.repo and part.revision
                else folder_component(part.name, part.license, part.files, role, number)
                for number, (part, role) in enumerate(inputs)
            ],
        )
    )


def bill_text(bill: Mapping[str, Any]) -> str:
    """The JSON of a bill."""
    return json.dumps(bill, indent=1, ensure_ascii=False) + "\n"


def _bill(subject: _Subject) -> dict[str, Any]:
    documents = subject.documents
    data = data_components(source for each in documents for source in sources_of(each.card))
    refs = [part["bom-ref"] for part in data]
    references = list(subject.references())
    model = known(
        type="machine-learning-model",
        **{"bom-ref": "model"},
        supplier=known(name=subject.supplier),
        name=subject.name,
        version=subject.version,
        description=summary_of(documents[0].card) if documents else "",
        licenses=licences(subject.licences),
        purl=subject.purl,
        pedigree={"ancestors": list(subject.ancestors)},
        externalReferences=references,
        components=file_components(subject.files, "model"),
        modelCard=model_card(documents, refs, subject.betas) if documents else None,
        # The name under which OWASP's generator looks for `externalReferences`.
        properties=properties({"external_references": len(references) or None}),
    )
    program = {"type": "application", "name": "ggez-hub", "version": __version__}
    made = [ancestor["bom-ref"] for ancestor in subject.ancestors]
    content = {
        "metadata": known(
            tools={"components": [program]},
            component={
                "type": "machine-learning-model",
                "bom-ref": "subject",
                "name": subject.name,
                "version": subject.version,
            },
            properties=scored_properties(documents[0], subject.supplier) if documents else None,
        ),
        "components": [model, *data],
        "dependencies": [
            {"ref": "subject", "dependsOn": ["model"]},
            {"ref": "model", "dependsOn": [*made, *refs]},
        ],
    }
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, digest_json(content))}",
        "version": 1,
        **content,
    }
