"""Whatever a stranger's ratings, scores or exports hold, they are read, or refused with a reason.

`make soak` runs many more examples.
"""

from __future__ import annotations

import json
import math
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ggez_hub.cli.output import Output
from ggez_hub.cli.people import print_people
from ggez_hub.errors import GgezError
from ggez_hub.evaluation.people.ratings import COLUMNS, TEXTS, write_ratings
from ggez_hub.evaluation.people.scores import read_scores
from ggez_hub.evaluation.results.verification import differences
from ggez_hub.humans.exchange import label_studio, potato
from ggez_hub.humans.exchange.tasks import import_annotations, tasks_of
from ggez_hub.humans.ratings import score

from ..fuzzing import examples
from .judged import ratings_in, rows_of
from .studies import study_of

FUZZ = settings(
    max_examples=examples(40), deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)  # fmt: skip
NUMBERS = st.integers(-2, 4) | st.floats() | st.sampled_from([10**400, 1e308, True, "3", None])
JSON = st.recursive(
    NUMBERS | st.text(max_size=8) | st.sampled_from(["rating", "choices", "correctness_1"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """A small study with its ratings and scores."""
    folder = tmp_path_factory.mktemp("scored")
    study = study_of("likert", items=4, raters={"regional": ("en",)}, gold=2)
    rows = rows_of(study)
    _, digest = ratings_in(folder, rows)
    score(folder, study, digest)
    return folder, study, rows


@FUZZ
@given(data=st.data())
def test_scores_with_anything_in_a_place(scored, data):
    folder, _, _ = scored
    document = json.loads((folder / "scores.json").read_text())
    header = document["header"]
    part = data.draw(st.sampled_from([document, header, header["models"][0], header["measures"]]))
    part[data.draw(st.sampled_from(sorted(part)))] = data.draw(JSON)
    other = folder / "other"
    other.mkdir(exist_ok=True)
    (other / "ratings.parquet").write_bytes((folder / "ratings.parquet").read_bytes())
    (other / "scores.json").write_text(json.dumps(document))
    with suppress(GgezError):
        found = read_scores(other)
        assert isinstance(differences(found.recorded, found.recomputed), list)
        print_people(found.header.model_dump(mode="json"), found.recomputed, Output())


@FUZZ
@given(
    place=st.integers(0, 7),
    column=st.sampled_from(COLUMNS),
    value=st.text(max_size=5) | st.floats() | st.integers(-128, 127) | st.booleans(),
)
@example(place=0, column="judgement", value="")
@example(place=0, column="judgement", value="/||")
@example(place=0, column="value", value=math.nan)
@example(place=0, column="seconds", value=-1.0)
@example(place=0, column="rater", value="s")
def test_ratings_with_anything_in_a_cell(scored, tmp_path, place, column, value):
    _, study, rows = scored
    changed = {**rows[place], column: [value] if column == "rater_languages" else value}
    fits = isinstance(value, str) == (column in TEXTS or column == "rater_languages")
    try:
        digest = write_ratings(
            tmp_path / "ratings.parquet", [*rows[:place], changed, *rows[place + 1 :]]
        )
    except (TypeError, ValueError, OverflowError):  # pyarrow's are of these
        assert not fits or not isinstance(value, str)
        return
    with suppress(GgezError):
        score(tmp_path, study, digest)


@FUZZ
@given(data=st.data())
def test_exports_with_anything_in_them(scored, tmp_path, data):
    _, study, _ = scored
    task = tasks_of(study, "en")[0].id
    choices = {"correctness_1": "2", "naturalness_1": "3"}
    result = [{"from_name": name, "value": {"rating": int(v)}} for name, v in choices.items()]
    made = {"completed_by": 1, "result": result, "created_at": None, "lead_time": 1.5}
    exported = [{"data": {"task": task}, "annotations": [made]}]
    state = {
        "user_id": "a",
        potato.CHOICES: {task: [[{"schema": q, "name": v}, v] for q, v in choices.items()]},
        "instance_id_to_behavioral_data": {task: {"total_time_ms": 5, "session_end": 1.0}},
    }
    parts = [exported[0], exported[0]["data"], made, result[0], result[0]["value"], state,
             state[potato.CHOICES], state["instance_id_to_behavioral_data"][task]]  # fmt: skip
    part = data.draw(st.sampled_from(parts))
    part[data.draw(st.sampled_from(sorted(part)))] = data.draw(JSON)
    (tmp_path / "tasks.json").write_text(json.dumps(exported))
    place = tmp_path / "annotation_output" / "a" / "user_state.json"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(json.dumps(state))
    for tool, read in (
        ("label-studio", lambda: label_studio.read_annotations(tmp_path / "tasks.json")),
        ("potato", lambda: potato.read_annotations(tmp_path)),
    ):
        with suppress(GgezError):
            import_annotations(study, tmp_path, read(), tool, "regional", "en")
