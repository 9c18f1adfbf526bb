"""SEA-HELM's task files (`config.yaml`) as benchmarks, with its own prompts.

Multiple choice (CVQA, WorldCuisines, MaRVL) is asked with the prompt in the task's language, the options
in SEA-HELM's order, the answer after its tag; the score is balanced accuracy. XM3600's captions are
searched: SEA-HELM has captions written, and scored by a judge (RefCLIPScore).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from ggez_hub.errors import GgezError
from ggez_hub.evaluation.benchmarks.benchmark import ANY, Benchmark
from ggez_hub.evaluation.benchmarks.loaders.sea_helm import (
    MARVL_LABELS,
    TASKS,
    SeaHelmTask,
    language_tag,
)
from ggez_hub.evaluation.benchmarks.task import MAX_BYTES, parse
from ggez_hub.safe_yaml import load_mapping
from ggez_hub.text_files import read_text

CONFIG = "config.yaml"
PREFIX = "sea-helm"
# Lines such as `A: {option_a}`.
OPTION_LINES = re.compile(r"(?:^[A-Z][^{}\n]*\{option_[a-z]\}[^{}\n]*(?:\n|$))+", re.MULTILINE)
OPTION_LINE = re.compile(r"^[A-Z]([^{}\n]*)\{option_[a-z]\}([^{}\n]*)$", re.MULTILINE)
SEARCHES = {"to-image": "text_to_image_r1", "to-text": "image_to_text_r1"}


class Foreign(BaseModel):
    """A mapping of SEA-HELM, of which only some keys are read."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)


class PromptTemplate(Foreign):
    """The parts of a prompt; `{answer_tag}` in the preamble is the tag."""

    preamble: str
    task_template: str
    answer_tag: str = Field(min_length=1)


class LanguageEntry(Foreign):
    """A task in one language."""

    filepath: str
    max_tokens: int = Field(ge=1)
    prompt_template: PromptTemplate


class TaskEntry(Foreign):
    """A task."""

    languages: dict[str, LanguageEntry] = Field(min_length=1)


def read_task_files(folder: Path) -> list[Benchmark]:
    """The vision tasks in a folder of SEA-HELM, such as seahelm_tasks/vision or one task's own.

    A task that is about countries is there for the world and, with `-regional`, for a region. Tasks and
    languages that are not known here are left out. Raises GgezError for a file that is not SEA-HELM's.
    """
    return [
        benchmark
        for path in sorted(folder.rglob(CONFIG))
        for name, entry in _content(path).items()
        if name in TASKS
        for language, own in parse(TaskEntry, f"{path}: {name}", entry).languages.items()
        if _is_known(name, language)
        for benchmark in _benchmarks(name, language, own, f"{path}: {name}.languages.{language}")
    ]


def _content(path: Path) -> dict[str, Any]:
    try:
        return load_mapping(read_text(path, MAX_BYTES))
    except (OSError, ValueError) as error:
        raise GgezError(f"{path} cannot be read: {error}") from error


def _is_known(name: str, language: str) -> bool:
    return language in (MARVL_LABELS if name == "marvl" else TASKS[name].languages)


def _benchmarks(name: str, language: str, entry: LanguageEntry, where: str) -> Iterator[Benchmark]:
    task = TASKS[name]
    country = task.languages[language]
    content = {
        "kind": "benchmark",
        "id": f"{PREFIX}-{name.replace('_', '-')}-{language}",
        "title": f"SEA-HELM's {name} in {language}",
        "dataset": {"repo": entry.filepath, "revision": "main"},
        "cut": task.cut,
        "side": "global",
        "regions": [],
        "language": language_tag(language),
    }
    kinds = (
        _searches(content, task, language)
        if task.yields == "captions"
        else [content | _choice(name, language, entry, where)]
    )
    for kind in kinds:
        yield parse(Benchmark, where, kind)
        if country:
            own = {"id": f"{kind['id']}-regional", "side": "regional", "regions": [country]}
            yield parse(Benchmark, where, kind | own)


def _searches(
    content: dict[str, Any], task: SeaHelmTask, language: str
) -> Iterator[dict[str, Any]]:
    tag = task.tag(language)
    for suffix, metric in SEARCHES.items():
        yield content | {
            "id": f"{content['id']}-{suffix}",
            "files": {tag: task.files.format(language=tag)},
            "loader": "captions",
            "metric": metric,
        }


def _choice(name: str, language: str, entry: LanguageEntry, where: str) -> dict[str, Any]:
    template = entry.prompt_template
    shown = f"{template.preamble}\n\n{template.task_template}".strip()
    lines = OPTION_LINES.search(shown)
    found: dict[str, Any] = {}
    if lines is not None:
        line = OPTION_LINE.search(lines[0])
        assert line is not None  # noqa: S101 - it is a part of what was found
        end = "\n" if lines[0].endswith("\n") else ""
        shown = f"{shown[: lines.start()]}{{options}}{end}{shown[lines.end() :]}"
        found["option_line"] = f"{{letter}}{line[1]}{{option}}{line[2]}"
    shown = shown.replace("{answer_tag}", template.answer_tag).replace("{hypothesis}", "{question}")
    if rest := set(re.findall(r"\{\w+\}", shown)) - {"{question}", "{options}"}:
        raise GgezError(
            f"{where}: the prompt has {', '.join(sorted(rest))}, which is not known here",
            "Another version of SEA-HELM's task?",
        )
    return {
        "files": {"test": TASKS[name].files.format(language=TASKS[name].tag(language))},
        "loader": "sea-helm",
        "options": {"task": name, "language": language},
        "metric": "choice",
        "average": "answers",
        "shown": {ANY: shown},
        "order": "given",
        "answer_tag": template.answer_tag,
        "reply_tokens": entry.max_tokens,
        **found,
    }
