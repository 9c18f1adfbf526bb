"""What the Hub reads from a card's front matter: its data, and the tags it derives from them.

Front matter and keys: https://huggingface.co/docs/hub/model-cards
"""

from __future__ import annotations

import datetime
import itertools
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from ggez_hub.embedded.names import RepoType
from ggez_hub.safe_yaml import BadYaml, load_as_hub

MAX_CARD_BYTES: Final = 1 << 20
MAX_NODES: Final = 20_000

_FRONT_MATTER: Final = re.compile(
    r"\A\ufeff?\s*---[ \t]*\r?\n(.*?)^---[ \t]*\r?$", re.DOTALL | re.MULTILINE
)
_ARXIV: Final = re.compile(r"arxiv\.org/(?:abs|pdf)/(\d{4}\.\d{4,5})", re.IGNORECASE)
_DATASET_KEYS: Final = (
    "task_categories", "task_ids", "language", "license", "size_categories", "multilinguality",
    "annotations_creators", "language_creators", "source_datasets",
)  # fmt: skip
_FORMATS: Final = {".safetensors": "safetensors", ".gguf": "gguf", ".onnx": "onnx"}
_LIBRARIES: Final = {
    "adapter_config.json": "peft",
    "model_index.json": "diffusers",
    "open_clip_config.json": "open_clip",
    "config_sentence_transformers.json": "sentence-transformers",
}
# What a class of transformers is for, by the end of its name.
_TASKS: Final = {
    "ForCausalLM": "text-generation",
    "ForMaskedLM": "fill-mask",
    "ForSequenceClassification": "text-classification",
    "ForTokenClassification": "token-classification",
    "ForQuestionAnswering": "question-answering",
    "ForImageClassification": "image-classification",
    "ForObjectDetection": "object-detection",
    "ForAudioClassification": "audio-classification",
    "ForSpeechSeq2Seq": "automatic-speech-recognition",
    "ForCTC": "automatic-speech-recognition",
}


class CardError(ValueError):
    """The front matter cannot be read."""


def front_matter(readme: bytes) -> dict[str, Any]:
    """The metadata of a card as plain JSON values; empty where there is none.

    Raises CardError if it is not a YAML mapping, or is too large to be a card's.
    """
    if len(readme) > MAX_CARD_BYTES:
        raise CardError(f"the card is larger than {MAX_CARD_BYTES} bytes")
    match = _FRONT_MATTER.match(readme.decode(errors="replace"))
    try:
        data = load_as_hub(match[1], "the metadata") if match else None
    except BadYaml as error:
        raise CardError(str(error)) from error
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise CardError("the metadata are not a mapping of keys to values")
    plain: dict[str, Any] = _plain(data, itertools.count())
    return plain


def _plain(value: Any, nodes: Iterator[int], depth: int = 0) -> Any:
    """A value of YAML as JSON; counts the nodes, because aliases can nest without end."""
    if next(nodes) >= MAX_NODES or depth > 64:
        raise CardError("the metadata are too large, or refer to themselves")
    match value:
        case dict():
            return {str(key): _plain(item, nodes, depth + 1) for key, item in value.items()}
        case list() | tuple() | set():
            return [_plain(item, nodes, depth + 1) for item in value]
        case None | bool() | int() | str():
            return value
        case float() if math.isfinite(value):
            return value
        case datetime.date():
            return value.isoformat()
        case _:
            return str(value)


def problems(card: dict[str, Any]) -> list[str]:
    """What the Hub would refuse in the metadata of a card."""
    found = [
        f'"{key}" must be a string'
        for key in ("library_name", "pipeline_tag")
        if not isinstance(card.get(key, ""), str)
    ]
    for key in ("license", "language", "datasets", "tags", "base_model"):
        value = card.get(key)
        values = value if isinstance(value, list) else [value]
        if value is not None and not all(isinstance(item, str) for item in values):
            found.append(f'"{key}" must be a string or a list of strings')
    if not isinstance(card.get("model-index", []), list):
        found.append('"model-index" must be a list')
    return found


def tags(kind: RepoType, card: dict[str, Any], readme: bytes, files: Sequence[str]) -> list[str]:
    """The tags that the Hub lists for a repo, without duplicates."""
    derive = {"model": _model_tags, "dataset": _dataset_tags}.get(kind, _space_tags)
    arxiv = _ARXIV.findall(readme.decode(errors="replace"))
    found = [*derive(card, files), *_strings(card, "tags"), *(f"arxiv:{paper}" for paper in arxiv)]
    return list(dict.fromkeys(found))


def library_name(card: dict[str, Any], files: Sequence[str]) -> str | None:
    """The library a model is for: as the card declares, otherwise as its files show."""
    declared = card.get("library_name")
    if isinstance(declared, str):
        return declared
    return next((library for name, library in _LIBRARIES.items() if name in files), None)


def with_inferred(
    card: dict[str, Any], files: Sequence[str], config: dict[str, Any]
) -> dict[str, Any]:
    """A model's card with the library and the task that follow from `config.json` where it names none."""
    library = library_name(card, files) or ("transformers" if "model_type" in config else None)
    found = {"library_name": library} if library else {}
    if library == "transformers":
        names = list(_strings(config, "architectures"))
        tasks = (task for end, task in _TASKS.items() for name in names if name.endswith(end))
        if task := next(tasks, None):
            found["pipeline_tag"] = task
    return found | card


def base_model_relation(card: dict[str, Any], files: Sequence[str]) -> str:
    """How a model descends from its base: as the card declares, otherwise by the rules of the Hub."""
    declared = card.get("base_model_relation")
    if isinstance(declared, str):
        return declared
    if len(_strings(card, "base_model")) > 1:
        return "merge"
    if library_name(card, files) in {"peft", "adapter-transformers"}:
        return "adapter"
    if any(path.endswith(".gguf") for path in files):
        return "quantized"
    return "finetune"


def _model_tags(card: dict[str, Any], files: Sequence[str]) -> Iterator[str]:
    library = library_name(card, files)
    if library:
        yield library
    for suffix, tag in _FORMATS.items():
        if any(path.endswith(suffix) for path in files):
            yield tag
    yield from _strings(card, "pipeline_tag")
    yield from _strings(card, "language")
    yield from _strings(card, "datasets", "dataset:")
    yield from _strings(card, "base_model", "base_model:")
    yield from _strings(card, "base_model", f"base_model:{base_model_relation(card, files)}:")
    yield from _strings(card, "license", "license:")


def _dataset_tags(card: dict[str, Any], files: Sequence[str]) -> Iterator[str]:
    for key in _DATASET_KEYS:
        yield from _strings(card, key, f"{key}:")


def _space_tags(card: dict[str, Any], files: Sequence[str]) -> Iterator[str]:
    yield from _strings(card, "sdk")
    yield from _strings(card, "license", "license:")


def _strings(card: dict[str, Any], key: str, prefix: str = "") -> list[str]:
    """The strings that a key has, alone or in a list, behind a prefix."""
    value = card.get(key)
    values: Iterable[object] = value if isinstance(value, list) else [value]
    return [prefix + item for item in values if isinstance(item, str) and item]
