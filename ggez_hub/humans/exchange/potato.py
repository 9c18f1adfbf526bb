"""potato (https://github.com/davidjurgens/potato): a project, and the answers of its annotators.

config.yaml                               checked against the JSON Schema that potato publishes
data/tasks.jsonl, outputs/                what is shown
annotation_output/<name>/user_state.json  what an annotator chose, as potato writes and reads it
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from ggez_hub.atomic_files import write_file
from ggez_hub.errors import GgezError
from ggez_hub.humans.exchange.tasks import Annotation, BlindTask, RatingQuestion
from ggez_hub.humans.study import Output, Study

CONFIG, DATA, ANSWERS, STATE = "config.yaml", "data/tasks.jsonl", "annotation_output", "user_state.json"  # fmt: skip
CHOICES = "instance_id_to_label_to_value"
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
    """Write a project that `potato start config.yaml` serves."""
    shown: dict[str, Output] = {}
    lines = []
    for task in tasks:
        fields: dict[str, Output | None] = {"picture": task.item.picture}
        fields |= {f"output_{place}": own for place, own in enumerate(task.outputs, 1)}
        row: Json = {"id": task.id, "text": task.item.prompt_in(language)}
        for name, output in fields.items():
            if output is None:
                continue
            shown.setdefault(name, output)
            if output.media == "picture":
                (target / output.file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(folder / output.file, target / output.file)
                row[name] = f"/media/{output.file}"
            else:
                row[name] = (folder / output.file).read_text(encoding="utf-8")
        lines.append(json.dumps(row, ensure_ascii=False))
    (target / DATA).parent.mkdir(parents=True, exist_ok=True)
    write_file(target / DATA, "\n".join(lines) + "\n")
    config = _config(study, shown, questions, language)
    write_file(target / CONFIG, yaml.safe_dump(config, allow_unicode=True, sort_keys=False))
    by: dict[str, list[Annotation]] = {}
    for own in annotations:
        by.setdefault(own.annotator, []).append(own)
    for annotator, given in by.items():
        place = target / ANSWERS / annotator / STATE
        place.parent.mkdir(parents=True, exist_ok=True)
        write_file(place, json.dumps(_state(annotator, given), ensure_ascii=False, indent=1) + "\n")


def _config(
    study: Study, shown: dict[str, Output], questions: Sequence[RatingQuestion], language: str
) -> Json:
    fields = [{"key": "text", "type": "text", "label": "prompt"}]
    fields += [
        {"key": name, "type": "image" if own.media == "picture" else "text", "label": name.replace("_", " ")}
        for name, own in shown.items()
    ]  # fmt: skip
    return {
        "annotation_task_name": study.title.get(language, study.title["en"]),
        "annotation_instructions": study.instructions.get(language, study.instructions["en"]),
        "task_dir": ".",
        "media_directory": ".",
        "output_annotation_dir": ANSWERS,
        "data_files": [DATA],
        "item_properties": {"id_key": "id", "text_key": "text"},
        "instance_display": {"fields": fields},
        "num_annotators_per_item": study.raters_per_item,
        "assignment_strategy": "random",
        "random_seed": study.seed % 2**31,
        "annotation_schemes": [_scheme(question) for question in questions],
    }


def _scheme(question: RatingQuestion) -> Json:
    about = {
        "name": question.name,
        "description": question.text,
        "label_requirement": {"required": True},
    }
    if question.ends is None:
        return {"annotation_type": "radio", **about, "labels": list(question.choices)}
    low, high = question.ends
    return {
        "annotation_type": "likert",
        **about,
        "size": len(question.choices),
        "min_label": low,
        "max_label": high,
    }


def _state(annotator: str, given: Sequence[Annotation]) -> Json:
    return {
        "user_id": annotator,
        "instance_id_ordering": [own.task for own in given],
        "current_instance_index": len(given) - 1,
        "instance_id_to_behavioral_data": {
            own.task: {
                "instance_id": own.task,
                "session_end": datetime.fromisoformat(own.time).timestamp() if own.time else None,
                "total_time_ms": round(1000 * own.seconds),
            }
            for own in given
        },
        CHOICES: {
            own.task: [
                [{"schema": question, "name": chosen}, chosen]
                for question, chosen in own.choices.items()
            ]
            for own in given
        },
        "instance_id_to_span_to_value": {},
    }


def read_annotations(place: Path) -> Iterator[Annotation]:
    """What annotators of a project chose; `place` is the project, or its folder of answers.

    Raises GgezError where there are no answers, or they are not potato's.
    """
    folder = place / ANSWERS if (place / ANSWERS).is_dir() else place
    files = sorted(folder.glob(f"*/{STATE}"))
    if not files:
        raise GgezError(f"{place} holds no */{STATE}", f"Give potato's project, or its {ANSWERS}.")
    for path in files:
        try:
            if path.stat().st_size > MOST_BYTES:
                raise GgezError(f"{path} has more than {MOST_BYTES:,} bytes")
            state = json.loads(path.read_text(encoding="utf-8"))
            timed = state.get("instance_id_to_behavioral_data", {})
            found = [
                _read(str(state["user_id"]), task, given, timed.get(task) or {})
                for task, given in state[CHOICES].items()
            ]
        except (
            OSError,
            ValueError,
            KeyError,
            TypeError,
            AttributeError,
            OverflowError,
            RecursionError,
        ) as error:
            raise GgezError(f"{path} is not an annotator's state of potato: {error!r}") from error  # fmt: skip
        yield from found


def _read(annotator: str, task: str, given: Any, timed: Json) -> Annotation:
    # A choice that was taken back stays there with an empty value.
    chosen = {str(label["schema"]): str(label["name"]) for label, value in given if value}
    seconds, end = float(timed.get("total_time_ms") or 0) / 1000, timed.get("session_end")
    return Annotation(
        annotator,
        str(task),
        chosen,
        seconds if math.isfinite(seconds) and seconds > 0 else 0.0,
        datetime.fromtimestamp(float(end), UTC).isoformat(timespec="microseconds") if end else None,
        annotator,
    )
