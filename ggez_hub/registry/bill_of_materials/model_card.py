"""The model card of a bill: parameters, measurements and considerations of an adapter's card."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from typing import Any

from ggez_hub.cards import CardDocument, CurveRow
from ggez_hub.cards.provenance import DataFilter, DataSource
from ggez_hub.cards.schema import AdapterCard
from ggez_hub.cards.values import UNKNOWN
from ggez_hub.regions import find_region
from ggez_hub.registry.bill_of_materials.components import known, properties

# Two-sided 95 % of a normal distribution.
Z = 1.959964


def filter_of(card: AdapterCard) -> DataFilter | None:
    """The quality filter of a card, None where it is not known."""
    return None if card.data_filter == UNKNOWN else card.data_filter


def sources_of(card: AdapterCard) -> list[DataSource]:
    """The data sets that an adapter was trained on, as far as its card names them."""
    data = filter_of(card)
    return [] if data is None or data.sources == UNKNOWN else data.sources


def model_card(
    documents: Iterable[CardDocument], refs: Collection[str], betas: Collection[str] | None
) -> dict[str, Any]:
    """The model card of what `documents` describe; `refs` are its data sets.

    The measurements are those at `betas`, or all. Of several adapters no card measured the whole.
    """
    several = list(documents)
    (first, *rest) = several
    card = first.card
    disclosure = card.disclosure
    training = None if card.training == UNKNOWN else card.training
    rows = [] if rest else list(_metrics(card, betas))
    hyper = training.hyper_parameters if training else UNKNOWN
    parameters = known(
        approach={"type": "supervised"} if training else None,
        task=first.front_matter.get("pipeline_tag"),
        architectureFamily=card.family,
        modelArchitecture=f"{card.kind} for {card.base.repo}",
        datasets=[{"ref": ref} for ref in sorted(refs)],
    )
    considerations = known(
        useCases=disclosure.uses if disclosure.uses != UNKNOWN else [summary_of(card)],
        technicalLimitations=[line for each in several for line in _limitations(each.card)],
        ethicalConsiderations=[risk for each in several for risk in _risks(each.card)],
        environmentalConsiderations=_energy(card),
    )
    named = {
        "genai:aibom:modelcard:hyperparameter": UNKNOWN if hyper == UNKNOWN else json.dumps(hyper),
        "genai:aibom:modelcard:modelCardExplainability": disclosure.explanation,
    }
    return known(
        modelParameters=parameters,
        quantitativeAnalysis=known(performanceMetrics=rows),
        considerations=considerations,
        properties=properties(named),
    )


def scored_properties(document: CardDocument, supplier: str) -> list[dict[str, str]]:
    """What the AIBOM generator of OWASP reads from properties of the metadata."""
    card, data, disclosure = document.card, filter_of(document.card), document.card.disclosure
    training = None if card.training == UNKNOWN else card.training
    rules = [] if data is None or data.rules == UNKNOWN else data.rules
    rights = None if card.data_rights == UNKNOWN else card.data_rights
    floors = {row.metric: row.floor for row in card.rows}
    energy = disclosure.energy_kwh
    region = find_region(card.region).name
    return properties(
        {
            "primaryPurpose": document.front_matter.get("pipeline_tag"),
            "suppliedBy": supplier,
            "standardCompliance": _joined(disclosure.standards),
            "domain": f"regional adaptation: {region}",
            "autonomyType": disclosure.autonomy,
            "energyQuantity": energy,
            "energyUnit": UNKNOWN if energy == UNKNOWN else "kWh",
            "intendedUse": summary_of(card)
            if disclosure.uses == UNKNOWN
            else _joined(disclosure.uses),
            "informationAboutTraining": training.method if training else UNKNOWN,
            "informationAboutApplication": f"adapts {_joined(card.adapts)} for {region}"
            if card.adapts != UNKNOWN
            else UNKNOWN,
            "metric": ", ".join(sorted(floors)),
            "metricDecisionThreshold": "; ".join(
                f"{metric} above {floor:g}, the score of guessing"
                for metric, floor in sorted(floors.items())
            ),
            "modelDataPreprocessing": "; ".join(rules),
            "useSensitivePersonalInformation": f"recognisable people: {rights.recognisable_people}"
            if rights and rights.recognisable_people != UNKNOWN
            else UNKNOWN,
            "ggez:dataFilterDigest": data.spec_digest if data else UNKNOWN,
            "ggez:level": card.level,
        }
    )


def summary_of(card: AdapterCard) -> str:
    """The card's summary in English, or in its first language."""
    return card.summary.get("en") or next(iter(card.summary.values()))


def _joined(values: Iterable[str]) -> str:
    return values if isinstance(values, str) else ", ".join(values)


def _metrics(card: AdapterCard, betas: Collection[str] | None) -> Iterator[dict[str, Any]]:
    curve = {} if card.curve == UNKNOWN else card.curve
    for beta, tasks in curve.items():
        if betas is not None and beta not in betas:
            continue
        for task, row in tasks.items():
            languages = "" if card.languages == UNKNOWN else ",".join(card.languages)
            about = f"beta={beta}; task={task}; side={row.side}; measured_by={row.measured_by}"
            if row.side == "regional" and languages:
                about += f"; language={languages}"
            yield _metric(row, row.score, row.se, f"{about}; n={row.n}")
            for country, part in row.by_country.items():
                yield _metric(row, part.score, part.se, f"{about}; country={country}; n={part.n}")


def _metric(row: CurveRow, score: float, se: float, about: str) -> dict[str, Any]:
    low, high = max(score - Z * se, 0.0), min(score + Z * se, row.ceiling)
    return {
        "type": row.scale,
        "value": f"{score:.6g}",
        "slice": about,
        "confidenceInterval": {"lowerBound": f"{low:.6g}", "upperBound": f"{high:.6g}"},
    }


def _limitations(card: AdapterCard) -> Iterator[str]:
    """What the authors state, and what follows from the card itself."""
    if card.disclosure.limitations != UNKNOWN:
        yield from card.disclosure.limitations
    name = card.adapter.repo if card.adapter else "the adapter"
    if not card.rows:
        yield f"{name}: nothing was measured"
    elif all(row.measured_by == "self" for row in card.rows):
        yield f"{name}: all scores are claims of its authors"
    if not card.pinned:
        yield f"{name}: its bytes and those of its base are not pinned"


def _risks(card: AdapterCard) -> Iterator[dict[str, str]]:
    if card.disclosure.risks != UNKNOWN:
        yield from ({"name": risk} for risk in card.disclosure.risks)
    if card.data_rights == UNKNOWN:
        return
    rights = card.data_rights
    for what, said in (
        ("recognisable people in the pictures", rights.recognisable_people),
        ("restricted content in the pictures", rights.restricted_content),
    ):
        if said != UNKNOWN:
            yield known(name=f"{what}: {said}", mitigationStrategy=rights.takedown)


def _energy(card: AdapterCard) -> dict[str, Any]:
    value = card.disclosure.energy_kwh
    if value == UNKNOWN:
        return {}
    cost = {"value": value, "unit": "kWh"}
    provider = {
        "organization": {"name": card.published_by},
        "energySource": "unknown",
        "energyProvided": cost,
    }
    return {
        "energyConsumptions": [
            {"activity": "fine-tuning", "energyProviders": [provider], "activityEnergyCost": cost}
        ]
    }
