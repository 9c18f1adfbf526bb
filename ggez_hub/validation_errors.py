"""What is wrong with data that do not follow their schema, key by key, and how to fix it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any, NamedTuple, get_args

from pydantic import BaseModel, StringConstraints, ValidationError

# What a person can read in one go.
MOST = 40
MOST_LETTERS = 300
# Tags of the branches of a union, which are not keys of the data.
BRANCH = "()"
BRANCHES = (BRANCH, "(word)")
MISSING = "is missing; add it"
# What pydantic calls kinds of values, where several are allowed: the second only at the end.
KIND = re.compile(r"constrained-[a-z]+|(literal|list|tuple|dict|function-[a-z]+)\[.*\]")
PLAIN = ("str", "int", "float", "bool")


class Problem(NamedTuple):
    """The path of a key, and what is wrong with it."""

    path: tuple[int | str, ...]
    text: str

    def __str__(self) -> str:
        return f"{'.'.join(map(str, self.path))}: {self.text}" if self.path else self.text


def problems(error: ValidationError, schema: type[BaseModel] | None = None) -> Iterator[Problem]:
    """The problems of an error in the order of the data, one for each key.

    Where a key takes values of several kinds, the text has the problem with each of them. `schema`
    is what the data should follow: its keys are what misspelt ones may mean.
    """
    texts: dict[tuple[int | str, ...], list[str]] = {}
    errors = error.errors(include_url=False)
    missing = [_keys(found["loc"]) for found in errors if found["type"] == "missing"]
    for found in errors:
        # A key that the schema does not know may have any name.
        foreign = found["type"] == "extra_forbidden"
        path = tuple(part for part in found["loc"] if part not in BRANCHES)
        path_texts = texts.setdefault(path if foreign else _keys(path), [])
        near = _meant(path, missing, schema) if foreign and len(texts) <= MOST else None
        path_texts.append(
            f"is not a known key; did you mean {near}?"
            if near
            else _text(found["type"], found["msg"], found.get("ctx", {}))
        )
    for path, path_texts in texts.items():
        yield Problem(path, ", or ".join(dict.fromkeys(path_texts))[:MOST_LETTERS])


def _meant(
    path: tuple[int | str, ...],
    missing: Iterable[tuple[int | str, ...]],
    schema: type[BaseModel] | None,
) -> str | None:
    """The key of the same block that an unknown one is spelled like: a missing one, or any."""
    block = _keys(path[:-1])
    for beside in (
        [str(keys[-1]) for keys in missing if keys[:-1] == block],
        _field_names(schema, block) if schema else [],
    ):
        if near := get_close_matches(str(path[-1]), beside, 1):
            return near[0]
    return None


def _field_names(schema: type[BaseModel], block: Iterable[int | str]) -> list[str]:
    """The keys that a block of the data may have, by the models that may stand there."""
    models = {schema}
    for part in block:
        fields = [model.model_fields[part] for model in models if part in model.model_fields]
        # A place in a list, or a key of a mapping: its models were found with the field.
        if fields:
            models = {model for field in fields for model in _models(field.annotation)}
    return [name for model in models for name in model.model_fields]


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models in a type, such as those of list[A | B]."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)


def _keys(path: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """The path without the kinds of values, which pydantic puts among the keys."""
    kept = [part for part in path if not (isinstance(part, str) and KIND.fullmatch(part))]
    while kept and kept[-1] in PLAIN:
        kept.pop()
    return tuple(kept)


def listed(error: ValidationError) -> str:
    """The problems, one a line."""
    return shortened(problems(error), "  {}".format)


def shortened(found: Iterable[Problem], line: Callable[[Problem], str]) -> str:
    """The lines of the first problems, and how many more there are: there may be thousands."""
    kept = list(found)
    more = [f"  and {len(kept) - MOST} more"] if len(kept) > MOST else []
    return "\n".join([*map(line, kept[:MOST]), *more])


# What should be there, for each kind of pydantic's errors whose own words are about Python.
EXPECTED = {
    "missing": MISSING,
    "extra_forbidden": "is not a known key; remove it",
    # YAML reads a bare no, on or 12 as something else than text: the tag of Norwegian, say.
    "string_type": "should be text; put it in quotes",
    "bool_type": "should be true or false",
    "bool_parsing": "should be true or false",
    "int_type": "should be a whole number",
    "int_parsing": "should be a whole number",
    "int_from_float": "should be a whole number",
    "float_type": "should be a number",
    "float_parsing": "should be a number",
    "list_type": "should be a list",
    "tuple_type": "should be a list",
    "dict_type": "should be a block of keys",
    "mapping_type": "should be a block of keys",
    "model_type": "should be a block of keys",
    "model_attributes_type": "should be a block of keys",
}

# What a text should be, by the pattern that it has to follow.
FORMS: dict[str, str] = {}


def written_as(pattern: str, what: str) -> StringConstraints:
    """The constraint that a text follows `pattern`; errors say that it should be `what`."""
    FORMS[pattern] = what
    return StringConstraints(pattern=pattern)


def _text(kind: str, message: str, context: Mapping[str, Any]) -> str:
    if kind in EXPECTED:
        return EXPECTED[kind]
    if kind == "literal_error":
        return f"should be {context['expected'].replace(chr(39), '')}"
    if kind == "union_tag_invalid":
        # A block without a key that names its kind is tagged by us, and not called anything.
        words = context["expected_tags"].replace("'", "").split(", ")
        if BRANCH in words:
            named = " or ".join(word for word in words if word not in BRANCHES)
            return f"should be a block of keys, or the word {named}"
        key = context["discriminator"].replace("'", "")
        return f"{key} {context['tag']} is not known; it should be one of {', '.join(words)}"
    if kind == "union_tag_not_found":
        return f"needs the key {context['discriminator']}, which says of what kind it is"
    if kind == "string_pattern_mismatch":
        return f"should be {FORMS.get(context['pattern'], 'written as ' + context['pattern'])}"
    message = message.removeprefix("Value error, ").replace(" after validation", "")
    # "Input should be greater than 0": what is there is no input to whoever wrote the file.
    message = re.sub(r"^(Input|String|List|Tuple|Dictionary|Value) should ", "should ", message)
    return message[:1].lower() + message[1:]
