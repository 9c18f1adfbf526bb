"""The card of a merge of folders: what it is made of, and how it is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ggez_hub.cards.document import split_front_matter
from ggez_hub.families import Family
from ggez_hub.registry.local.inputs import Source
from ggez_hub.registry.local.lock import Merge, MergedAdapter, MergedInput

UNKNOWN = "unknown"


def merge_card(merge: Merge, base: Source, family: Family, folder: Path) -> str:
    """The README.md of the merged model in `folder`, with the keys that the Hub knows.

    Of the base's own card, which is not carried over, it keeps the pipeline tag. What nobody says
    (the repository of a folder, a licence) is left out of the keys.
    """
    from huggingface_hub import ModelCardData

    layout = family.layout(folder)
    inputs = (merge.base, *merge.adapters)
    repos = [source.repo for source in inputs]
    front = ModelCardData(
        base_model=repos if all(repos) else merge.base.repo,
        # A list of bases means a merge on the Hub.
        base_model_relation="merge" if all(repos) else None,
        library_name=layout.library,
        pipeline_tag=split_front_matter(base.readme)[0].get("pipeline_tag"),
        tags=["ggez", "merge", f"ggez-family:{family.name}"],
        **_licence(inputs),
    )
    formula = " + ".join(
        f"{a.beta:g}{' (by part)' if a.parts else ''} * Delta of {a.name}" for a in merge.adapters
    )
    lines = "\n".join(family.loading_lines(layout, "PATH_OF_THIS_FOLDER"))
    parts = [
        f"# {merge.base.name}, adapted",
        f"Made by ggez-hub: {merge.base.name} + {formula}.",
        "\n".join(provenance(merge)),
        f"Load it:\n\n```python\n{lines}\n```",
        "`ggez.lock` beside this file has the sha256 of every input and output; "
        "`ggez-hub verify .` compares them.",
    ]
    return f"---\n{front.to_yaml()}\n---\n\n" + "\n\n".join(parts) + "\n"


def provenance(merge: Merge) -> list[str]:
    """The lines that say what the result is made of; `unstated` finds a lock that says otherwise."""
    return [
        f"- base: {_named(merge.base)}",
        *(line for adapter in merge.adapters for line in _weighted(adapter)),
        f"- method {merge.method}, engine {merge.engine}",
        f"- merge digest {merge.digest}",
    ]


def unstated(merge: Merge, card: str) -> list[str]:
    """What a lock says and the card beside it does not: one of the two was changed."""
    stated = set(card.splitlines())
    return [
        f"the lock says '{line.removeprefix('- ')}', the card of the result does not"
        for line in provenance(merge)
        if line not in stated
    ]


def _weighted(adapter: MergedAdapter) -> list[str]:
    """An adapter with its beta, and a line for each part that has one of its own."""
    line = f"- adapter: {_named(adapter)}, {adapter.form}, beta {adapter.beta:g}"
    parts = adapter.parts.lines() if adapter.parts else ()
    return [line, *(f"- betas of {adapter.name} by part: {text}" for text in parts)]


def _named(source: MergedInput) -> str:
    at = f" at {source.revision}" if source.revision else ", a local folder or file"
    return f"{source.name}{at} (licence: {source.license})"


def _licence(inputs: Sequence[MergedInput]) -> dict[str, str]:
    """The Hub's licence keys; none where one of the licences is not known."""
    licences = sorted({source.license for source in inputs})
    if UNKNOWN in licences:
        return {}
    if len(licences) == 1:
        return {"license": licences[0]}
    return {
        "license": "other",
        "license_name": " and ".join(licences),
        "license_link": "README.md",
    }
