"""What a card of a stranger may not hold: markup in fields that are shown, lookalike letters, secrets.

The functions raise ValueError with how to fix it, so that the schema's validators can use them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

# An opening or closing tag, a comment or a declaration: what a browser takes for markup.
MARKUP = re.compile(r"<[A-Za-z/!?]")
TEMPLATE = re.compile(r"\{\{|\{%|\{#|\$\{|<%")
SCRIPT = re.compile(
    r"\b(?:java|vb)script\s*:|\bdata\s*:\s*text/html|[\"']\s*on[a-z]+\s*=", re.IGNORECASE
)
HARMLESS = re.compile(r"[A-Za-z0-9 _.,/+-]*")
# Control, format (bidirectional overrides, zero width) and surrogate characters. Joiners are
# letters' business in Khmer, Persian and Indic scripts.
INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co"})
ALLOWED_INVISIBLE = frozenset("\n\t\u200c\u200d\u200b")


class Shape(NamedTuple):
    """The shape of a credential: text without any of `marks` holds none."""

    marks: tuple[str, ...]
    pattern: re.Pattern[str]


# Digests and commit ids have none of these shapes. Every repetition has an end: the text is a
# stranger's.
SECRETS: dict[str, Shape] = {
    "a Hugging Face token": Shape(
        ("hf_", "api_org_"), re.compile(r"(?<![A-Za-z0-9])(?:hf|api_org)_[A-Za-z0-9]{16,200}")
    ),
    "a GitHub token": Shape(
        ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"),
        re.compile(r"(?<![A-Za-z0-9])(?:gh[pousr]_[A-Za-z0-9]{30,255}|github_pat_\w{22,255})"),
    ),
    "a key of a model provider": Shape(
        ("sk-",), re.compile(r"(?<![A-Za-z0-9])sk-(?:[a-z]{2,10}-)?[A-Za-z0-9_-]{20,255}")
    ),
    "an AWS key": Shape(
        ("AKIA", "ASIA"), re.compile(r"(?<![A-Za-z0-9])(?:AKIA|ASIA)[0-9A-Z]{16}(?![A-Za-z0-9])")
    ),
    "a Google key": Shape(("AIza",), re.compile(r"(?<![A-Za-z0-9])AIza[0-9A-Za-z_-]{35}")),
    "a Slack token": Shape(
        ("xox",), re.compile(r"(?<![A-Za-z0-9])xox[abeoprs]-[A-Za-z0-9-]{10,255}")
    ),
    "a private key": Shape(
        ("PRIVATE KEY",), re.compile(r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----")
    ),
    "a signed token (JWT)": Shape(
        ("eyJ",), re.compile(r"\beyJ[\w-]{10,2000}\.eyJ[\w-]{10,2000}\.[\w-]{10,2000}")
    ),
    "an address with a password": Shape(
        # It begins with a constant, which is found ten times faster than a scheme.
        ("://",),
        re.compile(r"://(?<=[a-z0-9+.-]://)[^\s/@:]{1,80}:[^\s/@]{1,200}@"),
    ),
}


@dataclass(frozen=True)
class Secret:
    """Something that looks like a credential: what it is, and where it starts in the text."""

    kind: str
    position: int


def plain_text(value: str) -> str:
    """The text itself if it can be shown anywhere as it is; raises ValueError with how to fix it."""
    # Nearly all: a curve has thousands of digests and names.
    if HARMLESS.fullmatch(value):
        return value
    for pattern, what in ((MARKUP, "HTML"), (TEMPLATE, "template code"), (SCRIPT, "a script")):
        if match := pattern.search(value):
            raise ValueError(
                f"holds {what} ({match.group()!r}): write plain words; a '<' that means less than "
                "takes a space behind it"
            )
    for character in value:
        if unicodedata.category(character) in INVISIBLE and character not in ALLOWED_INVISIBLE:
            raise ValueError(
                f"holds the invisible character {_named(character)}: remove it, it can make a text "
                "read as another one"
            )
    return value


def plain_letters(value: object) -> object:
    """A name made of ASCII alone; raises ValueError that names a letter that only looks like it."""
    if isinstance(value, str):
        for character in value:
            if not character.isascii():
                raise ValueError(
                    f"holds {_named(character)}, which can pass for another letter: names of "
                    "repositories are a-z, A-Z, 0-9, '-', '_' and '.'"
                )
    return value


def secrets_in(text: str) -> Iterator[Secret]:
    """Everything in a text that looks like a credential."""
    for kind, shape in SECRETS.items():
        if any(mark in text for mark in shape.marks):
            for match in shape.pattern.finditer(text):
                yield Secret(kind, match.start())


def _named(character: str) -> str:
    name = unicodedata.name(character, "a character without a name")
    return f"U+{ord(character):04X} ({name})"
