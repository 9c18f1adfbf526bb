"""The card of a result: what it is made of, what it scores, how it is loaded."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from ggez_hub.cards import CurveRow
from ggez_hub.cards.hub_metadata import claimed_scores, model_index
from ggez_hub.cards.readme import readme_text
from ggez_hub.cards.values import UNKNOWN
from ggez_hub.errors import GgezError
from ggez_hub.families import get_family
from ggez_hub.hub import Hub, link_fetched
from ggez_hub.merging.forms.adapter_facts import AdapterFacts
from ggez_hub.merging.forms.runtimes import as_markdown, base_lines, loading_lines
from ggez_hub.regions import find_region
from ggez_hub.registry.adapter_kinds import form_of, get_kind
from ggez_hub.registry.licences import Obligations, licence_front
from ggez_hub.registry.pull.parity_table import ParityTable
from ggez_hub.registry.pull.plan import PullPlan
from ggez_hub.registry.pull.published_merge import merge_tag
from ggez_hub.registry.resolution import FITS_BY_SHAPE, Resolution
from ggez_hub.registry.resolver.composition import cosine_line

HERE = "PATH_OF_THIS_FOLDER"
BASE_NOTE = "  # or the folder of the base: ggez-hub pull --beta 0"
CONFIGURATION = frozenset({"config.json", "open_clip_config.json", "model_index.json"})


def result_card(planned: PullPlan, folder: Path, hub: Hub) -> str:
    """The README.md of the result in `folder`, with the keys that the Hub knows."""
    resolution, documents, table = planned.resolution, planned.documents, planned.table
    family, form, switch = get_family(resolution.family), form_of(resolution), planned.switch
    front: dict[str, Any] = {
        **form.front(resolution, folder),
        "pipeline_tag": documents[0].front_matter.get("pipeline_tag"),
        "language": sorted(
            {tag for d in documents if d.card.languages != UNKNOWN for tag in d.card.languages}
        ),
        **licence_front(planned.obligations.of_weights),
        "tags": [
            "ggez",
            f"ggez-region:{resolution.region}",
            f"ggez-family:{family.name}",
            *([merge_tag(resolution)] if resolution.form == "merged" else []),
        ],
        "model-index": _model_index(planned),
    }
    facts = form.facts(resolution, HERE, folder)
    lines = form.loading_lines(resolution, HERE, folder)
    if facts is not None:
        facts = with_base(facts, resolution, hub)
        lines = loading_lines(facts)
    name = find_region(resolution.region).name
    what = "model" if "adapter" not in form.parts else "switch" if form.is_switch else "adapter"
    title = family.title.capitalize().removesuffix(f" {what}")
    parts = [
        f"# {title} {what} for {name}",
        _made(resolution),
        "\n".join(provenance(resolution)),
        _composed(planned, hub),
        f"The switch is {switch.text}." if switch and form.is_switch else "",
        _scores(table) if table or len(documents) == 1 else "",
        "Load it:\n\n```python\n" + "\n".join(lines) + "\n```",
        as_markdown(facts) if facts else "",
        _licences(planned.obligations),
        "The lock file that comes with it pins every input by commit and sha256.",
    ]
    return readme_text(front, parts)


def with_base(
    facts: AdapterFacts, resolution: Resolution, hub: Hub, folder: str = "", note: str = BASE_NOTE
) -> AdapterFacts:
    """The facts about an adapter with the lines that load its base: from `folder`, or from its hub.

    Of the base its configuration is fetched. What cannot be read, as offline, adds nothing.
    """
    base, family = resolution.merged_into, get_family(resolution.family)
    if folder:
        facts = replace(facts, base=folder, revision="")
    files = [file for file in base.files if file.path.rpartition("/")[2] in CONFIGURATION]
    with tempfile.TemporaryDirectory() as work, suppress(GgezError, OSError):
        listed = [file.as_hub_file() for file in files]
        place = link_fetched(base.fetch(hub, files), listed, Path(work) / "base")
        # A layout is read off the names of the weights.
        for path in base.weights:
            (place / path).parent.mkdir(parents=True, exist_ok=True)
            (place / path).touch()
        lines = base_lines(family, family.layout(place), facts.base, facts.revision, note)
        return replace(facts, base_lines=lines)
    return facts


def claimed_rows(planned: PullPlan) -> dict[str, CurveRow]:
    """The test scores that hold for the result: those of its one adapter's card at its beta.

    None for a switch, which is neither of its two models, and for betas by part, which the card did
    not measure.
    """
    resolution = planned.resolution
    is_other = form_of(resolution).is_switch or resolution.by_part
    if planned.table is None or len(planned.documents) != 1 or is_other:
        return {}
    weight, curve = resolution.adapters[0].weight, planned.documents[0].card.curve
    return (
        {} if curve == UNKNOWN else claimed_scores(curve, f"{1.0 if weight is None else weight:g}")
    )


def _model_index(planned: PullPlan) -> list[dict[str, Any]]:
    rows = claimed_rows(planned)
    if not rows:
        return []
    from ggez_hub.evaluation.benchmarks.datasets import known_datasets

    resolution, front = planned.resolution, planned.documents[0].front_matter
    name = f"{resolution.region}-{resolution.family}-{resolution.form}"
    return model_index(name, rows, front.get("pipeline_tag"), known_datasets(rows))


def _made(resolution: Resolution) -> str:
    if resolution.base is None:
        source = resolution.adapters[0].source
        return f"Pulled by ggez-hub: {source.repo}, a merged model, as it is."
    if form_of(resolution).is_switch:
        source, named = resolution.adapters[0].source, ", ".join(resolution.languages)
        return (
            f"Made by ggez-hub: {source.repo} answers prompts in {named}, {resolution.base.repo} all "
            "others. `router.py` decides which is which."
        )
    if resolution.is_base:
        name = resolution.adapters[0].source.repo
        what = "This is" if resolution.form == "merged" else "This adapter leaves"
        return f"{what} {resolution.base.repo} unchanged: beta of {name} is 0."
    if resolution.form != "merged":
        (adapter,) = resolution.adapters
        parts = " (by part)" if adapter.parts else ""
        return (
            f"Made by ggez-hub: {adapter.source.repo} with its weight, beta {adapter.weight:g}{parts}, folded in; "
            f"an adapter for {resolution.base.repo}."
        )
    deltas = " + ".join(
        f"{a.weight:g}{' (by part)' if a.parts else ''} * Delta of {a.source.repo}"
        for a in resolution.adapters
    )
    return f"Made by ggez-hub: {resolution.base.repo} + {deltas}."


def provenance(resolution: Resolution) -> list[str]:
    """What the result is made of, in the lines of its card that `lock.unstated` compares."""
    lines = []
    if resolution.base is not None:
        base = resolution.base
        lines.append(f"- base: {base.repo} at {base.revision} ({base.license})")
    if resolution.fits_by == "shape":
        lines.append("- " + FITS_BY_SHAPE)
    for adapter in resolution.adapters:
        kind = get_kind(adapter.kind).noun
        lines.append(
            f"- adapter: {adapter.source.repo} at {adapter.source.revision} "
            f"({adapter.source.license}; {kind}, region {adapter.region})"
        )
        lines += [f"- {line}" for line in adapter.signatures]
    lines.append(f"- alpha {resolution.alpha.value:.5f}: {resolution.alpha.source}")
    lines += [
        f"- beta {adapter.beta.value:g}: {adapter.beta.reason}"
        for adapter in resolution.adapters
        if adapter.beta is not None
    ]
    lines += [
        f"- betas of {adapter.source.repo} by part: {text}"
        for adapter in resolution.adapters
        if adapter.parts is not None
        for text in adapter.parts.lines()
    ]
    if resolution.out_dtype:
        lines.append(f"- what is float8 in the base is {resolution.out_dtype}")
    return [*lines, f"- merge digest {resolution.merge_digest}"]


def _composed(planned: PullPlan, hub: Hub) -> str:
    if planned.composition is None:
        return ""
    lines = [f"- {cosine_line(pair, planned.resolution)}" for pair in planned.cosines(hub)]
    return "\n".join((f"This is {planned.composition.text}.\n", *lines))


def _licences(asked: Obligations) -> str:
    parts = [f"- {term.role} {term.what}: {term.licence}" for term in asked.terms]
    duties = []
    for duty in asked.asked:
        links = (f"[{name}]({link})" for name, link in zip(duty.by, duty.links, strict=True))
        duties.append(f"- {duty.text} ({', '.join(links)})")
    intro = "Whoever passes this on has to keep to all of this:" if duties else "Nothing is asked."
    return "\n\n".join(("## Licences", "\n".join(parts), intro, "\n".join(duties)))


def _scores(table: ParityTable | None) -> str:
    if table is None:
        return "The adapter's card has no test scores."
    rows = [table.header(), ["---"] * 5, *table.rows()]
    lines = "\n".join("| " + " | ".join(row) + " |" for row in rows)
    claim = "" if table.curve.measured_by == "registry" else " (claimed by its author)"
    return (
        f"Test scores on the adapter's card{claim}: {table.curve.scale}, 0-100, with 95 % "
        f"intervals; GRP of scores above chance:\n\n{lines}\n\n"
        + "\n".join(f"- {note}" for note in table.notes())
    )
