"""Label Studio: a labelling configuration, and tasks with annotations in its JSON.

https://labelstud.io/guide/task_format and the tags Choices, Rating, Image and Text of
https://labelstud.io/tags. Pictures are asked for as local files (`/data/local-files/?d=outputs/...`,
https://labelstud.io/guide/storage#Local-storage), whose root is the exported folder.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from ggez_hub.atomic_files import write_file
from ggez_hub.errors import GgezError
from ggez_hub.humans.exchange.tasks import Annotation, BlindTask, RatingQuestion, utc
from ggez_hub.humans.study import Output, Study

CONFIG, TASKS = "label_config.xml", "tasks.json"
LOCAL = "/data/local-files/?d="
MOST_BYTES = 500_000_000
Json = dict[str, Any]


def write_project(
    target: Path,
    folder: Path,
    study: Study,
    tasks: Sequence[BlindTask],
    questions: Sequence[RatingQuestion],
    annotations: Iterable[Annotation],
    language: str,
) -> None:
    """Write configuration, tasks and the pictures that they show."""
    pictures = {
        output.file
        for task in tasks
        for output in (*task.outputs, *filter(None, [task.item.picture]))
        if output.media == "picture"
    }
    for name in sorted(pictures):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / name, target / name)
    by_task: dict[str, list[Annotation]] = {}
    for own in annotations:
        by_task.setdefault(own.task, []).append(own)
    annotators = sorted({own.annotator for given in by_task.values() for own in given})
    # Label Studio's users are numbers.
    numbers = {name: number for number, name in enumerate(annotators, 1)}
    document = []
    for number, task in enumerate(tasks, 1):
        given = by_task.get(task.id, [])
        document.append(
            {
                "id": number,
                "data": {
                    "task": task.id,
                    "prompt": task.item.prompt_in(language),
                    **({"picture": _value(folder, task.item.picture)} if task.item.picture else {}),
                    **{
                        f"output_{place}": _value(folder, output)
                        for place, output in enumerate(task.outputs, 1)
                    },
                },
                "annotations": [_annotation(own, questions, numbers) for own in given],
                "predictions": [],
            }
        )
    write_file(target / CONFIG, label_config(study, tasks, questions, language))
    text = json.dumps(document, ensure_ascii=False, indent=1, allow_nan=False)
    write_file(target / TASKS, f"{text}\n")


def label_config(
    study: Study, tasks: Sequence[BlindTask], questions: Sequence[RatingQuestion], language: str
) -> str:
    """The labelling interface as XML."""
    view = ElementTree.Element("View")
    text = study.instructions.get(language, study.instructions["en"])
    ElementTree.SubElement(view, "Header", value=text)
    ElementTree.SubElement(view, "Text", name="prompt", value="$prompt")
    if any(task.item.picture for task in tasks):
        ElementTree.SubElement(view, "Image", name="picture", value="$picture")
    for place, output in enumerate(tasks[0].outputs, 1):
        kind = "Image" if output.media == "picture" else "Text"
        name = f"output_{place}"
        ElementTree.SubElement(view, kind, name=name, value=f"${name}")
        _ask(view, questions, place)
    _ask(view, questions, 0)
    return ElementTree.tostring(view, encoding="unicode") + "\n"


def _ask(view: ElementTree.Element, questions: Sequence[RatingQuestion], place: int) -> None:
    for question in questions:
        if question.place != place:
            continue
        ends = f" (1: {question.ends[0]}, {question.choices[-1]}: {question.ends[1]})" if question.ends else ""  # fmt: skip
        ElementTree.SubElement(view, "Header", value=f"{question.text}{ends}")
        about = {"name": question.name, "toName": _about(question), "required": "true"}
        if _is_rating(question):
            about["maxRating"] = question.choices[-1]
            ElementTree.SubElement(view, "Rating", about)
            continue
        control = ElementTree.SubElement(view, "Choices", {**about, "choice": "single"})
        for choice in question.choices:
            ElementTree.SubElement(control, "Choice", value=choice)


def _is_rating(question: RatingQuestion) -> bool:
    """Stars are for more is better: not for ranks, of which 1 is the best."""
    return question.place > 0 and question.measure != "rank"


def _about(question: RatingQuestion) -> str:
    return f"output_{question.place or 1}"


def _value(folder: Path, output: Output) -> str:
    if output.media == "picture":
        return f"{LOCAL}{output.file}"
    return (folder / output.file).read_text(encoding="utf-8")


def _annotation(
    own: Annotation, questions: Sequence[RatingQuestion], numbers: Mapping[str, int]
) -> Json:
    result = []
    for question in questions:
        chosen = own.choices[question.name]
        value: Json = {"rating": int(chosen)} if _is_rating(question) else {"choices": [chosen]}
        result.append(
            {
                # Label Studio keeps it: what comes back is known by it.
                "id": f"{own.annotator}-{own.task[:6]}-{question.name}",
                "from_name": question.name,
                "to_name": _about(question),
                "type": next(iter(value)),
                "value": value,
            }
        )
    return {
        "completed_by": numbers[own.annotator],
        "created_at": own.time,
        "lead_time": own.seconds,
        "was_cancelled": False,
        "ground_truth": False,
        "result": result,
    }


def read_annotations(path: Path) -> Iterator[Annotation]:
    """The annotations of an export in Label Studio's JSON; cancelled ones are not there.

    Raises GgezError for a file that is not one.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise GgezError(f"{path} has more than {MOST_BYTES:,} bytes", "Export it in parts.")
        document = json.loads(path.read_text(encoding="utf-8"))
        found = [
            _read(task["data"]["task"], own)
            for task in document
            for own in task["annotations"]
            if not own.get("was_cancelled")
        ]
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        RecursionError,
        OverflowError,
    ) as error:
        raise GgezError(
            f"{path} is not an export of this study from Label Studio: {error!r}",
            "Export the project as JSON (not JSON-MIN) from tasks that `humans export` wrote.",
        ) from error
    yield from found


def _read(task: object, own: Json) -> Annotation:
    by = own["completed_by"]
    choices = {}
    for part in own["result"]:
        value = part["value"]
        if "rating" in value:
            choices[str(part["from_name"])] = str(value["rating"])
        elif len(value.get("choices", ())) == 1:
            choices[str(part["from_name"])] = str(value["choices"][0])
    seconds = float(own.get("lead_time") or 0)
    time = own.get("created_at")
    return Annotation(
        # Of a person's entry the number alone: no name, no address.
        str(by["id"] if isinstance(by, dict) else by),
        str(task),
        choices,
        seconds if math.isfinite(seconds) and seconds > 0 else 0.0,
        utc(time) if time else None,
        next((str(part.get("id")).partition("-")[0] for part in own["result"]), None),
    )
