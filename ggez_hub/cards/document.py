"""Cards as README.md files: front matter, the `ggez:` block, and prose that is left alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import yaml
from huggingface_hub.repocard import REGEX_YAML_BLOCK
from pydantic import ValidationError

from ggez_hub import yaml_text
from ggez_hub.atomic_files import write_file
from ggez_hub.cards.hub_metadata import as_the_hub_reads, hub_key_problems
from ggez_hub.cards.migration import BrokenBlock, NewerVersion, migrated
from ggez_hub.cards.readme import MAX_CARD_BYTES, license_of
from ggez_hub.cards.safety import secrets_in
from ggez_hub.cards.schema import AdapterCard
from ggez_hub.cards.values import ALTERNATIVES
from ggez_hub.errors import GgezError
from ggez_hub.safe_yaml import load_mapping
from ggez_hub.yaml_text import Lines, path_at

# What a person can read in one go.
MOST_PROBLEMS = 40

BLOCK = "ggez"

Problem: TypeAlias = tuple[tuple[str | int, ...], str]
"""The path of a key, and what is off with how it is mended."""


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


@dataclass(frozen=True)
class CardText:
    """The text of a card, to say where in it something stands."""

    where: str
    front_matter: str
    first: int

    def bad(self, hub_key_problems: Iterable[Problem]) -> BadCard | None:
        """The error that lists problems with their lines, or None for none."""
        found = list(hub_key_problems)
        if not found:
            return None
        lines = Lines.of(self.front_matter, self.first)
        told = [
            f"  line {lines.of_key(path)}: {'.'.join(str(part) for part in path)}: {mend}"
            for path, mend in found[:MOST_PROBLEMS]
        ]
        if len(found) > len(told):
            told.append(f"  and {len(found) - len(told)} more")
        count = "1 key is" if len(found) == 1 else f"{len(found)} keys are"
        return BadCard(f"{self.where}: {count} off\n" + "\n".join(told))


def parse_card(text: str, where: str = "card") -> CardDocument:
    """Read a card; one of an older schema version is brought to this one.

    Raises BadCard if there is no front matter, the YAML is broken, the `ggez:` block does not
    follow the schema, or the card holds a secret, or markup in a field that is shown; the message
    names line, key and mend of everything that is off.
    """
    if len(text.encode(errors="surrogatepass")) > MAX_CARD_BYTES:
        raise BadCard(f"{where}: larger than {MAX_CARD_BYTES:,} bytes")
    source, prose = _split(text, where)
    _refuse_secrets(text, source)
    try:
        loaded = load_mapping(source.front_matter, "the front matter")
        block = loaded.pop(BLOCK, None)
        front = as_the_hub_reads(loaded)
    except ValueError as error:
        raise BadCard(f"{where}: {error}") from error
    if not isinstance(block, dict):
        raise BadCard(f"{where}: no `{BLOCK}:` block", "It is the part that the registry reads.")
    try:
        card = AdapterCard.model_validate(migrated(block))
    except (NewerVersion, BrokenBlock) as error:
        bad = source.bad([((BLOCK, "schema_version"), str(error))])
        raise bad or BadCard(str(error)) from error
    except ValidationError as error:
        bad = source.bad(_schema_problems(error))
        raise bad or BadCard(str(error)) from error
    if bad := source.bad(((key,), mend) for key, mend in hub_key_problems(card, front)):
        raise bad
    return CardDocument(card, front, prose)


def read_card(path: Path) -> CardDocument:
    """Read the card of a README.md; raises BadCard."""
    return parse_card(read_text(path), str(path))


def read_text(path: Path) -> str:
    """The text of a card's file; raises BadCard for one that is too large or is no text."""
    try:
        return yaml_text.read_text(path, MAX_CARD_BYTES)
    except yaml_text.TooLong as error:
        raise BadCard(f"{path}: {error}") from error
    except UnicodeDecodeError as error:
        raise BadCard(f"{path}: is no UTF-8 text: {error}", "Save it again as UTF-8.") from error


def source_of(text: str, where: str) -> CardText:
    """Where the keys of a card that was parsed stand; raises BadCard without front matter."""
    return _split(text, where)[0]


def split_front_matter(text: str) -> tuple[dict[str, Any], str]:
    """The front matter of any README, without a `ggez:` block, and its prose.

    Nothing is asked of it: without front matter, or with one that is broken, it is all prose.
    """
    try:
        source, prose = _split(text, "README.md")
        front = load_mapping(source.front_matter, "the front matter")
    except (BadCard, ValueError):
        return {}, text.strip("\n") and text
    front.pop(BLOCK, None)
    return front, prose


def has_block(text: str) -> bool:
    """Whether a README has a `ggez:` block, good or not."""
    try:
        front_matter = _split(text, "README.md")[0].front_matter
    except BadCard:
        return False
    return any(line.startswith(f"{BLOCK}:") for line in front_matter.splitlines())


def render_card(document: CardDocument) -> str:
    """The README.md of a card; parsing it gives the same card, keys and prose.

    Raises BadCard if the Hub's card class refuses the front matter.
    """
    try:
        data = as_the_hub_reads(document.front_matter)
    except ValueError as error:
        raise BadCard(str(error)) from error
    data[BLOCK] = document.card.model_dump(mode="json", exclude_defaults=True)
    front = yaml.dump(data, Dumper=yaml.CSafeDumper, sort_keys=False, allow_unicode=True, width=100)
    return f"---\n{front}---\n\n{document.prose}"


def write_card(path: Path, document: CardDocument) -> None:
    """Write a card; on error one that exists is unchanged. Raises as `render_card`."""
    write_file(path, render_card(document))


def _split(text: str, where: str) -> tuple[CardText, str]:
    match = REGEX_YAML_BLOCK.search(text)
    if match is None or match.start() != 0:
        raise BadCard(
            f"{where}: no front matter",
            "A card begins with a YAML block between two lines of '---'.",
        )
    first = match.group(1).count("\n") + 1
    return CardText(where, match.group(2), first), text[match.end() :].lstrip("\n")


def _refuse_secrets(text: str, source: CardText) -> None:
    """Before the YAML is read, so that no message repeats a secret."""
    found = []
    for secret in islice(secrets_in(text), MOST_PROBLEMS):
        line = text.count("\n", 0, secret.position) + 1
        key = path_at(source.front_matter, line - source.first + 1)
        found.append(f"  line {line}: {key or 'the prose'}: holds what looks like {secret.kind}")
    if found:
        raise BadCard(
            f"{source.where}: a secret in a card\n" + "\n".join(found),
            "Remove it, and revoke it where it was made: whoever read this file can use it.",
        )


def _schema_problems(error: ValidationError) -> Iterator[Problem]:
    for problem in error.errors(include_url=False):
        keys = [part for part in problem["loc"] if part not in ALTERNATIVES]
        yield (BLOCK, *keys), _mend(problem["type"], problem["msg"], problem["input"])


def _mend(kind: str, message: str, value: object) -> str:
    if kind == "missing":
        return "is missing; write `unknown` if it is not known"
    if kind == "extra_forbidden":
        return "is no key of the schema; notes belong into the prose"
    if kind == "string_type" and value is not None and not isinstance(value, (dict, list)):
        return "must be text: put it in quotes (YAML reads no, yes, dates and numbers as such)"
    message = message.removeprefix("Value error, ")
    return message[0].lower() + message[1:]
