"""The types of the values in a card, and what each may hold. What is not known is `unknown`."""

from __future__ import annotations

import datetime
import re
from typing import Annotated, Final, Literal, TypeAlias, TypeVar

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag

from ggez_hub.cards.safety import plain_letters, plain_text
from ggez_hub.http_address import NAME
from ggez_hub.plugins import plugins
from ggez_hub.validation_errors import BRANCHES, written_as

T = TypeVar("T")
W = TypeVar("W")
Unknown: TypeAlias = Literal["unknown"]
UNKNOWN: Final = "unknown"


def _branch(value: object) -> str:
    """The branch by the value alone, so that an error is about that branch alone."""
    return BRANCHES[isinstance(value, str)]


# A value, or one of some words in its place.
OrWord: TypeAlias = Annotated[
    Annotated[T, Tag(BRANCHES[0])] | Annotated[W, Tag(BRANCHES[1])], Discriminator(_branch)
]
OrUnknown: TypeAlias = OrWord[T, Unknown]
OrNone: TypeAlias = OrWord[T, Literal["none", "unknown"]]
OrBase: TypeAlias = OrWord[T, Literal["base", "unknown"]]

Sha256: TypeAlias = Annotated[str, written_as(r"^[0-9a-f]{64}$", "a sha256: 64 hexadecimal digits")]
RepoId: TypeAlias = Annotated[
    str, written_as(rf"^{NAME}/{NAME}$", "a repository: org/name"), BeforeValidator(plain_letters)
]
# The name of an account or an organisation on the Hub, or `unknown`.
Account: TypeAlias = Annotated[
    str,
    written_as(rf"^{NAME}$", "the name of an account: letters, digits, . _ and -"),
    BeforeValidator(plain_letters),
]
# Shown to people as it is: in tables, result cards and web pages.
Text: TypeAlias = Annotated[str, AfterValidator(plain_text)]
Revision: TypeAlias = Annotated[
    str, written_as(r"^([0-9a-f]{40}|main)$", "a commit (40 hexadecimal digits) or main")
]
RegionId: TypeAlias = Annotated[
    str,
    written_as(r"^([a-z]{2}|m49-[0-9]{3}|[a-z-]{3,40})$", "a region: th, southeast-asia, m49-035"),
]
LanguageTag: TypeAlias = Annotated[
    str, written_as(r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$", "a language tag: th, zh-Hant")
]
# What an adapter changes: what pictures show or what is recognised in them; the language that is
# understood; the language of the answers.
Adapts: TypeAlias = Literal["content", "prompt_language", "answer_language"]
Score: TypeAlias = Annotated[float, Field(ge=0, le=100)]


def _safe_path(value: str) -> str:
    parts = value.split("/")
    if any(p in {"", ".", ".."} for p in parts) or re.search(r"[\\\x00-\x1f:]", value):
        raise ValueError("must be a relative path with forward slashes and no '..'")
    return plain_text(value)


FilePath: TypeAlias = Annotated[str, AfterValidator(_safe_path)]


def _beta_key(value: str) -> str:
    if not re.fullmatch(r"\d+(\.\d+)?", value) or f"{float(value):g}" != value:
        raise ValueError('must be a beta in its shortest form, in quotes: "0", "0.25", "1"')
    return value


BetaKey: TypeAlias = Annotated[str, AfterValidator(_beta_key)]
# Of a composition: a beta for each adapter, "0.25+0.5".
PointKey: TypeAlias = Annotated[
    str, AfterValidator(lambda value: "+".join(map(_beta_key, value.split("+"))))
]

Level: TypeAlias = Literal["declared", "measured", "reproducible"]
# They are declared in ggez_hub.families, which knows models and is not imported here.
FAMILIES = ("embedding", "diffusion", "vlm")
FamilyName: TypeAlias = Annotated[
    str, written_as(r"^[a-z][a-z0-9_-]{0,39}$", "a name: lower-case letters, digits, _ and -")
]


def _known_family(name: str) -> str:
    known = (*FAMILIES, *plugins("families", frozenset(FAMILIES)))
    if name not in known:
        raise ValueError(f"must be one of {', '.join(known)}")
    return name


Family: TypeAlias = Annotated[FamilyName, AfterValidator(_known_family)]
Kind: TypeAlias = Literal["lora", "task_vector", "finetune", "merged"]
State: TypeAlias = Literal["active", "deprecated", "yanked"]
# How beta is chosen: the highest GRP, or of the betas that keep a share of Q_others.
PolicyName: TypeAlias = Annotated[
    str, written_as(r"^(parity|keep(=0\.[0-9]{1,4})?)$", "parity, keep or keep=0.98")
]


def _date(value: object) -> object:
    # YAML reads a date without quotes as one.
    text = value.isoformat() if isinstance(value, datetime.date) else value
    if isinstance(text, str) and len(text) == len("2026-01-31"):
        datetime.date.fromisoformat(text)
    return text


Date: TypeAlias = Annotated[
    str, BeforeValidator(_date), written_as(r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$", "a date: 2026-01-31")
]
