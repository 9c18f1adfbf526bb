"""Cards as README.md files: front matter, the `ggez:` block, and prose that is left as it is."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from ggez_hub import text_files
from ggez_hub.atomic_files import write_file
from ggez_hub.cards.hub_metadata import as_the_hub_reads, hub_key_problems
from ggez_hub.cards.readme import MAX_CARD_BYTES, license_of
from ggez_hub.cards.safety import secrets_in
from ggez_hub.cards.schema import SCHEMA_VERSION, AdapterCard
from ggez_hub.errors import GgezError
from ggez_hub.safe_yaml import load_mapping
from ggez_hub.validation_errors import MISSING, MOST, Problem, problems
from ggez_hub.yaml_text import Lines, path_at

# The Hub's own (huggingface_hub.repocard.REGEX_YAML_BLOCK), whose import would load its client.
FRONT_MATTER = re.compile(r"^(\s*---(?:\r\n|\r|\n))([\S\s]*?)((?:\r\n|\r|\n)---[ \t]*(\r\n|\n|$))")
# Letters of a card that is kept in memory once it was read.
MOST_REMEMBERED = 1_000_000
# From a version to the next: MIGRATIONS[1] turns a block of version 1 into one of version 2.
# A step takes the block of the YAML as it is, and may raise KeyError or TypeError for a block
# that does not follow its version. Version 1 is the first that was published; it has neither `policy`
# nor `parity`: beta is chosen by parity, and the errors of its curve are taken as independent.
MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {1: lambda block: block}


def migrated(block: dict[str, Any]) -> dict[str, Any]:
    """The block in this program's version; unchanged if it names no version that can be migrated.

    Raises ValueError for a newer version, and for a block that does not follow its version.
    """
    version = block.get("schema_version")
    if type(version) is not int:
        return block
    if version > SCHEMA_VERSION:
        raise ValueError(
            f"is {version}, this ggez-hub reads {SCHEMA_VERSION}: update ggez-hub "
            "(pip install --upgrade ggez-hub)"
        )
    while version < SCHEMA_VERSION and version in MIGRATIONS:
        try:
            block = MIGRATIONS[version](block)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise ValueError(f"is {version}, which the block does not follow: {error!r}") from error
        version += 1
        block = {**block, "schema_version": version}
    return block


BLOCK = "ggez"


class BadCard(GgezError):
    """A card cannot be read or does not follow the schema; the message names every key."""


@dataclass(frozen=True)
class CardDocument:
    """A card as a file has it: the Hub's keys, our block, and the prose."""

    card: AdapterCard
    front_matter: dict[str, Any]
    prose: str

    @property
    def license(self) -> str:
        """The Hub's licence id, the name of an `other` licence, or `unknown`."""
        return license_of(self.front_matter)

    def with_card(self, **changes: Any) -> CardDocument:
        return replace(self, card=self.card.model_copy(update=changes))


@dataclass(frozen=True)
class CardText:
    """A README.md as text; its front matter begins on line `first`."""

    where: str
    front_matter: str
    first: int
    prose: str

    @classmethod
    def of(cls, text: str, where: str) -> CardText:
        """Raises BadCard where there is no front matter."""
        match = FRONT_MATTER.match(text)
        if match is None:
            mark = " (it begins with a byte order mark)" if text.startswith("\ufeff") else ""
            raise BadCard(
                f"{where}: no front matter{mark}",
                "A card begins with a YAML block between two lines of '---'.",
            )
        first = match.group(1).count("\n") + 1
        return cls(where, match.group(2), first, text[match.end() :].lstrip("\n"))

    @property
    def padded(self) -> str:
        """The front matter behind as many empty lines that its lines have their numbers in the card."""
        return "\n" * (self.first - 1) + self.front_matter

    def error(self, found: Iterable[Problem]) -> BadCard:
        lines = Lines.of(self.front_matter, self.first)
        return BadCard(f"{self.where} is not a valid card:\n{lines.listed(found)}")


def parse_card(text: str, where: str = "card") -> CardDocument:
    """Read a card; one of an older schema version is migrated to this one.

    Raises BadCard if there is no front matter, the YAML is invalid, the `ggez:` block does not
    follow the schema, or the card holds a secret, or markup in a field that is shown; the message
    has line, key and reason of everything that is wrong.
    """
    if len(text.encode(errors="surrogatepass")) > MAX_CARD_BYTES:
        raise BadCard(f"{where}: larger than {MAX_CARD_BYTES:,} bytes")
    if len(text) > MOST_REMEMBERED:
        return _parsed(text, where)
    try:
        found = _remembered(text)
    except BadCard:
        # Once more, for a message that names the place.
        return _parsed(text, where)
    # Front matter can be changed; what is remembered must not change with it.
    return replace(found, front_matter=deepcopy(found.front_matter))


def _parsed(text: str, where: str) -> CardDocument:
    source = CardText.of(text, where)
    _refuse_secrets(text, source)
    try:
        loaded = load_mapping(source.padded, "the front matter")
        block = loaded.pop(BLOCK, None)
        front = as_the_hub_reads(loaded)
    except ValueError as error:
        raise BadCard(f"{where}: {error}") from error
    if not isinstance(block, dict):
        raise BadCard(f"{where}: no `{BLOCK}:` block", "It is the part that the registry reads.")
    try:
        card = AdapterCard.model_validate(migrated(block))
    except ValidationError as error:
        raise source.error(map(_of_block, problems(error, AdapterCard))) from error
    except ValueError as error:
        raise source.error([Problem((BLOCK, "schema_version"), str(error))]) from error
    if found := list(hub_key_problems(card, front)):
        raise source.error(found)
    return CardDocument(card, front, source.prose)


# A pull reads the same cards for the index, the choice and the result: parsing YAML is what takes long.
_remembered = lru_cache(maxsize=64)(partial(_parsed, where="card"))


def read_card(path: Path) -> CardDocument:
    """Read the card of a README.md; raises BadCard."""
    return parse_card(read_text(path), str(path))


def read_text(path: Path) -> str:
    """The text of a card's file; raises BadCard for one that is too large or not text."""
    try:
        return text_files.read_text(path, MAX_CARD_BYTES)
    except text_files.TooLong as error:
        raise BadCard(f"{path}: {error}") from error
    except UnicodeDecodeError as error:
        raise BadCard(f"{path}: is not UTF-8 text: {error}", "Save it again as UTF-8.") from error


def split_front_matter(text: str) -> tuple[dict[str, Any], str]:
    """The front matter of any README, without a `ggez:` block, and its prose.

    Without valid front matter all of it is prose.
    """
    try:
        source = CardText.of(text, "README.md")
        front = load_mapping(source.padded, "the front matter")
    except (BadCard, ValueError):
        return {}, text.strip("\n") and text
    front.pop(BLOCK, None)
    return front, source.prose


def has_block(text: str) -> bool:
    """Whether a README has a `ggez:` block, valid or not."""
    try:
        front_matter = CardText.of(text, "README.md").front_matter
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


def _refuse_secrets(text: str, source: CardText) -> None:
    """Before the YAML is read, so that no message repeats a secret."""
    found = []
    for secret in islice(secrets_in(text), MOST):
        line = text.count("\n", 0, secret.position) + 1
        key = path_at(source.front_matter, line - source.first + 1)
        found.append(f"  line {line}: {key or 'the prose'}: holds what looks like {secret.kind}")
    if found:
        raise BadCard(
            f"{source.where}: a secret in a card\n" + "\n".join(found),
            "Remove it, and revoke it where it was made: whoever read this file can use it.",
        )


def _of_block(problem: Problem) -> Problem:
    missing = problem.text == MISSING
    return Problem(
        (BLOCK, *problem.path),
        "is missing; write `unknown` if it is not known" if missing else problem.text,
    )
