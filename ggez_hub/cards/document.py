"""Cards as README.md files: front matter, the `ggez:` block, and prose that is left alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub.repocard import REGEX_YAML_BLOCK
from pydantic import ValidationError

from ggez_hub.cards.lines import line_of
from ggez_hub.cards.schema import AdapterCard
from ggez_hub.errors import GgezError

# A README is text for people; one of megabytes is a mistake or an attack on the parser.
MAX_CARD_BYTES = 4_000_000

HUB_TAGS = "ggez"


class BadCard(GgezError):
    """A card cannot be read or does not follow the schema; the message names every key."""


@dataclass(frozen=True)
class CardDocument:
    """A card as it stands in a file: the Hub's keys, our block, and the prose."""

    card: AdapterCard
    front_matter: dict[str, Any]
    prose: str

    @property
    def license(self) -> str:
        """The Hub's licence id, the name of an `other` licence, or `unknown`."""
        return license_of(self.front_matter)


def license_of(front_matter: Mapping[str, Any]) -> str:
    """The licence that front matter declares, by the Hub's id; `unknown` if it declares none.

    Of the licence `other` it is the `license_name`: https://huggingface.co/docs/hub/repositories-licenses
    """
    declared = front_matter.get("license")
    if declared == "other" and front_matter.get("license_name"):
        declared = front_matter["license_name"]
    if not isinstance(declared, str) or not declared.strip():
        return "unknown"
    return declared.strip().lower()


def hub_tags(card: AdapterCard) -> list[str]:
    """The tags by which the Hub finds an adapter."""
    return [HUB_TAGS, f"ggez-region:{card.region}", f"ggez-family:{card.family}"]


def parse_card(text: str, where: str = "card") -> CardDocument:
    """Read a card.

    Raises BadCard if there is no front matter, the YAML is broken, or the `ggez:` block does not
    follow the schema; the message names line, key and mend of everything that is off.
    """
    if len(text.encode()) > MAX_CARD_BYTES:
        raise BadCard(f"{where}: larger than {MAX_CARD_BYTES:,} bytes")
    match = REGEX_YAML_BLOCK.search(text)
    if match is None or match.start() != 0:
        raise BadCard(
            f"{where}: no front matter",
            "A card begins with a YAML block between two lines of '---'.",
        )
    front_matter = _load(match.group(2), where)
    block = front_matter.pop("ggez", None)
    if not isinstance(block, dict):
        raise BadCard(f"{where}: no `ggez:` block", "It is the part that the registry reads.")
    try:
        card = AdapterCard.model_validate(block)
    except ValidationError as error:
        first = match.group(1).count("\n") + 1
        raise BadCard(
            f"{where}: {len(error.errors())} keys are off\n"
            + "\n".join(_problems(error, match.group(2), first))
        ) from error
    return CardDocument(card, front_matter, text[match.end() :].lstrip("\n"))


def _load(front_matter: str, where: str) -> dict[str, Any]:
    try:
        if "*" in front_matter:
            _refuse_aliases(front_matter, where)
        # The C loader: a curve has hundreds of rows, and the index thousands of cards.
        loaded = yaml.load(front_matter, Loader=yaml.CSafeLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise BadCard(f"{where}: the front matter is not valid YAML: {error}") from error
    if not isinstance(loaded, dict):
        raise BadCard(f"{where}: the front matter is no mapping")
    return loaded


def _refuse_aliases(front_matter: str, where: str) -> None:
    """An alias repeats a part; a few lines of them stand for gigabytes."""
    for event in yaml.parse(front_matter, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.AliasEvent):
            raise BadCard(
                f"{where}: the front matter has a YAML alias (*{event.anchor})",
                "Write the part out where it is meant.",
            )


def read_card(path: Path) -> CardDocument:
    """Read the card of a README.md; raises BadCard."""
    return parse_card(path.read_text(encoding="utf-8"), str(path))


def render_card(document: CardDocument) -> str:
    """The README.md of a card; parsing it gives the same card, keys and prose."""
    data = dict(document.front_matter)
    data["ggez"] = document.card.model_dump(mode="json", exclude_defaults=True)
    front = yaml.dump(data, Dumper=yaml.CSafeDumper, sort_keys=False, allow_unicode=True, width=100)
    return f"---\n{front}---\n\n{document.prose}"


def _problems(error: ValidationError, front_matter: str, first: int) -> Iterator[str]:
    for problem in error.errors():
        path = ("ggez", *problem["loc"])
        line = line_of(front_matter, path, first)
        key = ".".join(str(part) for part in path)
        yield f"  line {line}: {key}: {_mend(problem['type'], problem['msg'])}"


def _mend(kind: str, message: str) -> str:
    if kind == "missing":
        return "is missing; write `unknown` if it is not known"
    if kind == "extra_forbidden":
        return "is no key of the schema; notes belong into the prose"
    return message[0].lower() + message[1:]
