"""What the page of an adapter shows, from its card alone; what the card does not say is null."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterator, Mapping

from ggez_hub.cards.people import PeopleRow
from ggez_hub.cards.provenance import DataSource
from ggez_hub.cards.schema import AdapterCard
from ggez_hub.cards.values import UNKNOWN
from ggez_hub.families import get_family
from ggez_hub.parity.policy import Policy
from ggez_hub.regions import Region
from ggez_hub.registry.adapter_kinds import get_kind
from ggez_hub.registry.constants import INDEX_REPO
from ggez_hub.registry.licences import table
from ggez_hub.site.curves import controls, country_rows, curve_rows, gates
from ggez_hub.site.data_files import https, known, slug_of
from ggez_hub.site.measured_card import POLICIES, Json, MeasuredCard
from ggez_hub.site.source import CardSource

AFFECTED = "What was merged with it since is affected: ggez-hub registry affected {}"
FIGURES = ("q_global", "q_regional", "grp", "over_base", "over_unmerged")
PEOPLE = ("measured_by", "design", "measure", "worst", "best", "region", "alpha", "beta", "raters",
          "items", "judgements", "needed")  # fmt: skip


def adapter_page(measured: MeasuredCard, source: CardSource, lock: str | None = None) -> Json:
    """The data of an adapter's page; `lock` is the text of a lock file of its resolution."""
    entry, card = measured.entry, measured.card
    page = https(source.hub.page(entry.repo))
    return {
        "slug": slug_of(entry.card.path),
        "title": entry.repo.rpartition("/")[2],
        "repo": entry.repo,
        "commit": entry.revision,
        "page": page if source.hub_name == "hf" else None,
        "family": card.family,
        "kind": card.kind,
        "base": known(card.base.model_dump(include={"repo", "revision", "weights"})),
        "region": card.region,
        "regions": [card.region, *(m for m in measured.home.members if m != card.region)],
        "languages": known(card.languages) or [],
        "license": measured.document.license,
        "licences": list(_licences(measured)),
        "level": card.level,
        "status": card.status.state,
        "reason": entry.summary.status if card.status.state != "active" else None,
        "policy": card.policy,
        "alpha": card.alpha.value,
        "alpha_source": card.alpha.source,
        "summary": dict(card.summary),
        "runtimes": runtimes(measured),
        "bytes": nbytes(measured),
        "card_url": _card_url(measured, source),
        "gates": gates(measured),
        "curves": curve_rows(measured),
        "countries": country_rows(measured),
        # A card has scores by country alone.
        "languages_measured": [],
        "controls": list(controls(measured)),
        "people": [_people(row) for row in card.people],
        "samples": [],
        "provenance": _provenance(measured),
        "lock": lock,
        "pull": pull_lines(measured, measured.home, source, measured.by_policy(measured.home)),
        "affected": _affected(measured, source.listing.yanked),
    }


def pull_lines(
    measured: MeasuredCard, region: Region, source: CardSource, chosen: Collection[Policy]
) -> dict[str, str | None]:
    """By policy, the command that pulls an adapter for a region; None for one that is not active.

    chosen: the policies that give a beta; for others it names 1, the adapter as it is.
    """
    if measured.card.status.state != "active":
        return dict.fromkeys(map(str, POLICIES))
    words = ["ggez-hub", "pull", "--region", region.id, "--adapter", measured.entry.repo]
    hub = [] if source.hub_name == "hf" else ["--hub", source.hub_name]

    def line(policy: Policy) -> str:
        how = ["--policy", str(policy)] if policy in chosen else ["--beta", "1"]
        combined = get_kind(measured.card.kind).combined
        return shlex.join([*words, *(how if combined else []), *hub])

    return {str(policy): line(policy) for policy in POLICIES}


def nbytes(measured: MeasuredCard) -> int | None:
    """Bytes of the adapter's files; None where its card records none."""
    files = measured.card.files
    return None if files == UNKNOWN else sum(file.size for file in files.values())


def runtimes(measured: MeasuredCard) -> list[str]:
    """What loads it: the library that its card names, and the forms in which a pull can come."""
    library = measured.document.front_matter.get("library_name")
    own, forms = get_family(measured.card.family).adapter_form, get_kind(measured.card.kind).forms
    found = [library] if isinstance(library, str) else []
    found += [form for form in ("merged", own) if form in forms]
    # Of the forms that hold one file, kohya's is read by programs for pictures alone.
    found += ["kohya"] if own == "diffusers" and "kohya" in forms else []
    return list(dict.fromkeys(found))


def _licences(measured: MeasuredCard) -> Iterator[Json]:
    licences = table().licences
    aliases = table().aliases

    def term(role: str, what: str, name: str) -> Json:
        found = licences.get(aliases.get(name.lower(), name.lower()))
        link = https(found.link) if found else None
        return {"role": role, "what": what, "license": known(name), "link": link}

    card = measured.card
    yield term("adapter", measured.entry.repo, measured.document.license)
    # The base's own is read when it is pulled.
    yield term("base", card.base.repo, UNKNOWN)
    for data in _sources(card):
        yield term("data", data.repo, data.license)


def _sources(card: AdapterCard) -> list[DataSource]:
    filtered = card.data_filter
    return (
        [] if isinstance(filtered, str) or isinstance(filtered.sources, str) else filtered.sources
    )


def _card_url(measured: MeasuredCard, source: CardSource) -> str | None:
    if not source.is_hubs or source.hub_name != "hf":
        return None
    place = measured.entry.card
    return https(f"{source.hub.page(INDEX_REPO, 'dataset')}/blob/{place.revision}/{place.path}")


def _people(row: PeopleRow) -> Json:
    figures = {name: getattr(row, name) for name in FIGURES}
    return {
        **{name: getattr(row, name) for name in PEOPLE},
        **{name: found and found.model_dump() for name, found in figures.items()},
    }


def _provenance(measured: MeasuredCard) -> Json:
    card, entry = measured.card, measured.entry
    rows = card.rows
    return {
        "card": {"path": entry.card.path, "sha256": entry.card.sha256},
        "registered": entry.summary.registered,
        "published_by": known(card.published_by),
        "registered_by": known(card.registered_by),
        "files": {}
        if card.files == UNKNOWN
        else {path: file.model_dump() for path, file in card.files.items()},
        "evaluators": sorted({row.evaluator for row in rows}),
        "predictions": sorted({row.predictions for row in rows} - {UNKNOWN}),
        "data": [known(each.model_dump()) for each in _sources(card)],
        "filter": None if card.data_filter == UNKNOWN else known(card.data_filter.model_dump()),
        "training": None if card.training == UNKNOWN else known(card.training.model_dump()),
    }


def _affected(measured: MeasuredCard, yanked: Mapping[str, str]) -> str | None:
    """That it was yanked, or that what it was made of was."""
    card, repo = measured.card, measured.entry.repo
    if card.status.state == "yanked":
        return f"{measured.entry.summary.status}. {AFFECTED.format(repo)}"
    trained_on = [] if isinstance(card.trained_on, str) else [card.trained_on.repo]
    found = sorted(name for name in {card.base.repo, *trained_on} if name.lower() in yanked)
    return (
        f"{found[0]}, which it rests on, was yanked: {yanked[found[0].lower()]}" if found else None
    )
