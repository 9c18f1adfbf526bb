"""The data of SEA-HELM's vision tasks, prepared as SEA-HELM prepares it.

Read in aisingapore/SEA-HELM, seahelm_tasks/vision, at 3780e96: each task has a loader of its own there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from pydantic import field_validator

from ggez_hub.evaluation.benchmarks.loaders import cvqa
from ggez_hub.evaluation.benchmarks.loaders.base import Choice, Loader, Options, Source, embedded
from ggez_hub.quantities import counted

# WorldCuisines' own tags, where they are others than SEA-HELM's.
WORLD_CUISINES_TAGS = {"id": "id_formal", "zh": "zh_cn", "jv": "jv_krama", "su": "su_loma"}
WORLD_CUISINES_SEED = 3722236
WORLD_CUISINES_OPTIONS = 5
WORLD_CUISINES_COLUMNS = {
    "qa_id": "text",
    "lang": "text",
    "food_id": "text",
    "prompt_type": "text or whole",
    "question": "text",
    "options": "texts",
    "mcq_answer_index": "whole",
    "image_path": "text",
}
# The types of prompts that each of its tasks asks, in this order.
WORLD_CUISINES_PROMPTS = {"world_cuisine_task1": (1, 3, 4), "world_cuisine_task2": (2,)}
# What is true and what is false.
MARVL_LABELS = {"id": ("Benar", "Salah"), "ta": ("உண்மை", "பொய்")}
MARVL_COLUMNS = {
    "id": "text or whole",
    "hypothesis": "text",
    "label": "truth",
    "horizontally_stacked_img": "image",
    "concept": "text",
    "chapter": "text",
}


@dataclass(frozen=True)
class SeaHelmTask:
    """A vision task of SEA-HELM.

    cut        that of the other tasks on these pictures
    files      pattern of its files, of which `{language}` is a part
    languages  as SEA-HELM writes them -> the country that its items are about; "" if about none
    picture    from a row that SEA-HELM wrote to what identifies the picture
    yields     "choices" or "captions"
    """

    cut: str
    files: str
    languages: Mapping[str, str]
    picture: Callable[[str, Mapping[str, Any]], str]
    yields: str = "choices"
    tags: Mapping[str, str] = field(default_factory=dict)

    def tag(self, language: str) -> str:
        """A language of SEA-HELM as the data set writes it."""
        return self.tags.get(language, language)


WORLD_CUISINES = {
    f"world_cuisine_task{number}": SeaHelmTask(
        "worldcuisines",
        f"*task{number}*test_large*.parquet",
        dict.fromkeys(("en", "id", "th", "tl", "zh", "jv", "su"), ""),
        lambda item, metadata: str(metadata.get("food_id", item)),
        tags=WORLD_CUISINES_TAGS,
    )
    for number in (1, 2)
}
TASKS: Mapping[str, SeaHelmTask] = {
    "cvqa": SeaHelmTask(
        "cvqa",
        "*test*.parquet",
        {"id": "id", "jv": "id", "ms": "my", "su": "id", "ta": "in", "tl": "ph", "zh": "sg"},
        # An id is that of the picture and the number of the question.
        lambda item, _: item.rpartition("_")[0] or item,
        tags={"tl": "fil"},
    ),
    **WORLD_CUISINES,
    "marvl": SeaHelmTask(
        "marvl",
        "*{language}-*.parquet",
        # SEA-HELM turns the Chinese hypotheses into simplified characters first, with OpenCC.
        {"id": "id", "ta": "in", "zh": "cn"},
        # Pictures of a concept are asked about together, in many pairs.
        lambda item, metadata: str(metadata.get("concept", item)),
    ),
    "xm3600": SeaHelmTask(
        "xm3600",
        "*{language}-*.parquet",
        {"en": "", "id": "id", "th": "th", "tl": "ph", "vi": "vn", "zh": ""},
        lambda item, _: item,
        yields="captions",
        tags={"tl": "fil"},
    ),
}


def language_tag(language: str) -> str:
    """A language of SEA-HELM as BCP 47."""
    return {"tl": "fil"}.get(language, language)


class SeaHelmOptions(Options):
    """A task of multiple choice, and one of its languages as SEA-HELM writes it."""

    task: str
    language: str

    @field_validator("task")
    @classmethod
    def _known(cls, task: str) -> str:
        if task not in READERS:
            raise ValueError(f"must be one of {', '.join(READERS)}")
        return task


def _read(source: Source, options: SeaHelmOptions) -> Iterator[Choice]:
    return READERS[options.task](source, options)


def _read_cvqa(source: Source, options: SeaHelmOptions) -> Iterator[Choice]:
    task = TASKS["cvqa"]
    wanted = task.tag(options.language), task.languages[options.language]
    for item in cvqa.LOADER.read(source, cvqa.CvqaOptions(text="local")):
        if isinstance(item, Choice) and (item.language, item.country) == wanted:
            yield item


def _read_world_cuisines(source: Source, options: SeaHelmOptions) -> Iterator[Choice]:
    """The right option goes to a place that is drawn for all questions of a type at once."""
    random = np.random.default_rng(WORLD_CUISINES_SEED)
    tag = TASKS[options.task].tag(options.language)
    rows = [row for row in source.all_rows(WORLD_CUISINES_COLUMNS) if row["lang"] == tag]
    for prompt_type in WORLD_CUISINES_PROMPTS[options.task]:
        own = [row for row in rows if int(row["prompt_type"]) == prompt_type]
        places = [*range(WORLD_CUISINES_OPTIONS)] * (len(own) // WORLD_CUISINES_OPTIONS)
        random.shuffle(places)
        if len(places) != len(own):
            raise own[-1].off(
                "prompt_type",
                f"is {prompt_type} in {counted(len(own), 'row')} of {tag}, which is not a multiple of "
                f"{WORLD_CUISINES_OPTIONS}, as SEA-HELM needs,",
            )
        for row, place in zip(own, places, strict=True):
            others = list(row["options"])
            right = others.pop(row.option("mcq_answer_index", len(others)))
            others.insert(place, right)
            yield Choice(
                id=f"{row['qa_id']}/{prompt_type}",
                image=row["food_id"],
                picture=source.picture(row["image_path"]),
                language=language_tag(options.language),
                category=f"prompt type {prompt_type}",
                question=row["question"],
                options=tuple(others),
                gold=place,
            )


def _read_marvl(source: Source, options: SeaHelmOptions) -> Iterator[Choice]:
    """Both pictures are one here, side by side, as the data set has them too."""
    for row in source.all_rows(MARVL_COLUMNS):
        image, picture = embedded(row["horizontally_stacked_img"], source)
        yield Choice(
            id=str(row["id"]),
            image=row["concept"] or image,
            picture=picture,
            country=TASKS["marvl"].languages[options.language],
            language=options.language,
            category=row["chapter"],
            question=row["hypothesis"],
            options=MARVL_LABELS[options.language],
            gold=0 if row["label"] else 1,
        )


READERS: Mapping[str, Callable[[Source, SeaHelmOptions], Iterator[Choice]]] = {
    "cvqa": _read_cvqa,
    "world_cuisine_task1": _read_world_cuisines,
    "world_cuisine_task2": _read_world_cuisines,
    "marvl": _read_marvl,
}
LOADER = Loader("choices", SeaHelmOptions, _read)
