"""Studies in other tools and back: the same judgements give the same scores, and no model is named."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from xml.etree import ElementTree

import mlcroissant
import pytest
import yaml
from click.testing import CliRunner
from huggingface_hub import DatasetCard

from ggez_hub.cli.main import cli
from ggez_hub.evaluation.people.ratings import COLUMNS
from ggez_hub.humans.store import Store

from .judged import judgements_of, raters_of
from .studies import DESIGNS, study_of

TOOLS = ("label-studio", "potato")
QUALITY = {"m0": (0.0, 0.0), "m1": (0.0, 1.0), "m2": (-0.6, 1.0)}
HOSTILE = '<script>alert(1)</script> ]]> & "quoted" \u202e ไทย'


def run(*arguments):
    return CliRunner().invoke(cli, list(map(str, arguments)))


def study_in(folder, design, judged=True, media="text", **fields):
    """A folder with a study of written outputs, and what its raters said."""
    fields = {
        "raters": {"regional": ("en",)},
        "items": 6,
        "gold": 4,
        "raters_per_item": 2,
        **fields,
    }
    study = study_of(design, media=media, **fields)
    (folder / "outputs").mkdir(parents=True)
    (folder / "study.json").write_bytes(study.canonical())
    for item in study.items:
        for output in item.outputs.values():
            (folder / output.file).write_bytes(f"{HOSTILE} {output.sha256[:6]}".encode())
    store = Store(folder)
    if judged:
        for _ in raters_of(study):
            store.invite("regional", "en")
        for rater in store.raters():
            store.agree(rater.id, "1", "TH", ("en",))
        for own in judgements_of(study, store.raters(), QUALITY):
            store.record(own.rater, own.shown, own.answers, own.seconds)
    return study


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("design", DESIGNS)
def test_what_is_judged_elsewhere_gives_the_same_scores(tmp_path, design, tool):
    here, elsewhere, project = tmp_path / "here", tmp_path / "elsewhere", tmp_path / "project"
    study_in(here, design)
    study_in(elsewhere, design, judged=False)
    made = run("humans", "export", here, "--format", tool, "--language", "en", "-o", project)
    assert made.exit_code == 0, made.output
    place = project / "tasks.json" if tool == "label-studio" else project
    options = ["--format", tool, "--side", "regional", "--language", "en", "--country", "TH"]
    brought = run("humans", "import", elsewhere, place, *options, "--json")
    assert brought.exit_code == 0, brought.output
    assert json.loads(brought.output)["left_out"] == {}
    again = json.loads(run("humans", "import", elsewhere, place, *options, "--json").output)
    assert again["judgements"] == 0
    found = [json.loads(run("humans", "score", at, "--json").output) for at in (here, elsewhere)]
    for one, other in zip(*(found[n]["measures"].values() for n in (0, 1)), strict=True):
        for name in one["models"]:
            mine, theirs = one["models"][name]["q_regional"], other["models"][name]["q_regional"]
            assert mine.pop("interval") == pytest.approx(theirs.pop("interval"))
            assert mine == pytest.approx(theirs)
    gold = [sorted((r["gold"], r["gold_right"]) for r in own["raters"]) for own in found]
    assert gold[0] == gold[1]
    assert sum(asked for asked, _ in gold[0]) > 0
    kinds = {rater.consent for rater in Store(elsewhere).raters()}
    assert kinds == {"given elsewhere"}
    assert run("verify", elsewhere).exit_code == 0


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("media", ["text", "picture"])
def test_a_project_names_no_model_and_holds_strangers_texts_as_data(tmp_path, tool, media):
    study = study_in(tmp_path / "study", "pairs", media=media)
    project = tmp_path / "project"
    made = run(
        "humans", "export", tmp_path / "study", "--format", tool, "--language", "en", "-o", project
    )
    assert made.exit_code == 0, made.output
    written = {path: path.read_bytes().decode() for path in project.rglob("*") if path.is_file()}
    names = [path.relative_to(project).as_posix() for path in written]
    for model in study.models:
        for text in (*names, *written.values()):
            assert model.digest not in text
            assert f'"{model.name}"' not in text
            assert f"+{model.name}" not in text
    if media == "picture":
        assert sum(name.endswith(".png") for name in names) > 6 * 3
    elif tool == "label-studio":
        tasks = json.loads((project / "tasks.json").read_text())
        assert all(task["data"]["output_1"].startswith(HOSTILE) for task in tasks)


def exported(tmp_path, tool):
    """The project of the study in tmp_path/study, for raters who work in English."""
    project = tmp_path / "project"
    run("humans", "export", tmp_path / "study", "--format", tool, "--language", "en", "-o", project)
    return project


def test_label_studios_interface_asks_what_the_study_asks(tmp_path):
    study_in(tmp_path / "study", "likert")
    project = exported(tmp_path, "label-studio")
    view = ElementTree.parse(project / "label_config.xml").getroot()  # noqa: S314 - written above
    names = {element.get("name") for element in view.iter() if element.get("name")}
    assert names == {"prompt", "output_1", "correctness_1", "naturalness_1"}
    ratings = list(view.iter("Rating"))
    assert [(r.get("toName"), r.get("maxRating")) for r in ratings] == [("output_1", "3")] * 2
    tasks = json.loads((project / "tasks.json").read_text())
    variables = {e.get("value")[1:] for e in view.iter() if (e.get("value") or "").startswith("$")}
    for task in tasks:
        assert variables <= task["data"].keys()
        for annotation in task["annotations"]:
            for part in annotation["result"]:
                assert part["from_name"] in names
                assert part["to_name"] in names
                assert part["value"]["rating"] in (1, 2, 3)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not an export"),
        ('{"a": 1}', "not an export"),
        ('[{"data": {"prompt": "x"}, "annotations": [{}]}]', "not an export"),
        ('[{"data": {"task": "x"}, "annotations": [{"completed_by": 1, "result": [1]}]}]', "not an export"),
        ("[" * 100_000, "not an export"),
    ],
)  # fmt: skip
def test_files_that_are_not_exports_are_refused(tmp_path, content, message):
    study_in(tmp_path / "study", "likert", judged=False)
    place = tmp_path / "tasks.json"
    place.write_text(content)
    options = ["--side", "regional", "--language", "en"]
    found = run("humans", "import", tmp_path / "study", place, "--format", "label-studio", *options)
    assert found.exit_code == 1
    assert message in found.output
    state = tmp_path / "project" / "annotation_output" / "someone" / "user_state.json"
    state.parent.mkdir(parents=True)
    state.write_text(content)
    found = run(
        "humans", "import", tmp_path / "study", tmp_path / "project", "--format", "potato", *options
    )
    assert found.exit_code == 1
    assert "not an annotator's state" in found.output
    assert (
        run(
            "humans",
            "import",
            tmp_path / "study",
            tmp_path / "study",
            "--format",
            "potato",
            *options,
        ).exit_code
        == 1
    )
    stranger = run(
        "humans",
        "import",
        tmp_path / "study",
        place,
        "--format",
        "label-studio",
        "--side",
        "global",
        "--language",
        "en",
    )
    assert "asks for no global raters in en" in stranger.output


def test_incomplete_cancelled_and_foreign_annotations_are_left_out_with_their_reason(tmp_path):
    study_in(tmp_path / "here", "likert")
    study_in(tmp_path / "there", "likert", judged=False)
    project = tmp_path / "project"
    run(
        "humans",
        "export",
        tmp_path / "here",
        "--format",
        "label-studio",
        "--language",
        "en",
        "-o",
        project,
    )
    tasks = json.loads((project / "tasks.json").read_text())
    total = sum(len(task["annotations"]) for task in tasks)
    own = [task for task in tasks if task["annotations"]]
    own[0]["annotations"][0]["result"].pop()
    own[1]["annotations"][0]["result"][0]["value"] = {"rating": 9}
    own[2]["annotations"][0]["was_cancelled"] = True
    foreign = len(own[3]["annotations"])
    own[3]["data"]["task"] = "of another study"
    # Who annotated, as a hosted Label Studio says it.
    own[4]["annotations"][0]["completed_by"] = {"id": 77, "email": "somebody@example.org"}
    (project / "tasks.json").write_text(json.dumps(tasks))
    options = ["--format", "label-studio", "--side", "regional", "--language", "en", "--json"]
    found = json.loads(
        run("humans", "import", tmp_path / "there", project / "tasks.json", *options).output
    )
    assert found["left_out"] == {"is incomplete": 2, "is of another study or language": foreign}
    assert found["judgements"] == total - 3 - foreign
    assert b"somebody" not in (tmp_path / "there" / "raters.db").read_bytes()


def test_a_data_set_describes_itself_to_the_hub_and_to_croissant(tmp_path):
    study = study_in(tmp_path / "study", "likert")
    options = ["--format", "hub", "-o", tmp_path / "set"]
    assert run("humans", "export", tmp_path / "study", *options).exit_code == 2
    early = run("humans", "export", tmp_path / "study", *options, "--license", "cc-by-4.0")
    assert early.exit_code == 1
    run("humans", "score", tmp_path / "study")
    made = run("humans", "export", tmp_path / "study", *options, "--license", "cc-by-4.0")
    assert made.exit_code == 0, made.output
    card = DatasetCard.load(tmp_path / "set" / "README.md")
    assert card.data.license == "cc-by-4.0"
    assert f"ggez-region:{study.region}" in card.data.tags
    assert run("verify", tmp_path / "set").exit_code == 0
    described = mlcroissant.Dataset(jsonld=str(tmp_path / "set" / "croissant.json"))
    assert described.metadata.issues.errors == set()
    rows = list(described.records("ratings"))
    assert set(rows[0]) == {f"ratings/{column}" for column in COLUMNS}
    assert len(rows) == json.loads(made_json(tmp_path))["ratings"]


def made_json(tmp_path):
    options = ["--format", "hub", "--license", "cc-by-4.0", "--json"]
    return run("humans", "export", tmp_path / "study", *options, "-o", tmp_path / "again").output


@pytest.mark.parametrize("design", DESIGNS)
def test_label_studios_own_library_accepts_the_project(tmp_path, design):
    label_studio_sdk = pytest.importorskip("label_studio_sdk.label_interface")
    study_in(tmp_path / "study", design)
    project = exported(tmp_path, "label-studio")
    interface = label_studio_sdk.LabelInterface((project / "label_config.xml").read_text())
    interface.validate()
    for task in json.loads((project / "tasks.json").read_text()):
        assert interface.validate_task({"data": task["data"]})
        assert all(interface.validate_annotation(own) for own in task["annotations"])


@pytest.mark.parametrize("design", DESIGNS)
def test_potatos_published_schema_accepts_the_project(tmp_path, design):
    potato, jsonschema = map(pytest.importorskip, ("potato", "jsonschema"))
    schema = json.loads(
        (Path(potato.__file__).parent / "schemas" / "potato-config.schema.json").read_text()
    )
    study_in(tmp_path / "study", design)
    project = exported(tmp_path, "potato")
    jsonschema.validate(yaml.safe_load((project / "config.yaml").read_text()), schema)


OPTIONS = ("--side", "regional", "--language", "en")


def place_of(project, tool):
    return project / "tasks.json" if tool == "label-studio" else project


def brought(folder, project, tool, *options):
    arguments = ("--format", tool, *OPTIONS, *options, "--json")
    found = run("humans", "import", folder, place_of(project, tool), *arguments)
    assert found.exit_code == 0, found.output
    return json.loads(found.stdout)


@pytest.mark.parametrize("tool", TOOLS)
def test_what_a_study_exported_itself_does_not_come_twice(tmp_path, tool):
    study_in(tmp_path / "study", "pairs")
    project = exported(tmp_path, tool)
    before = {rater.id for rater in Store(tmp_path / "study").raters()}
    found = brought(tmp_path / "study", project, tool)
    assert found["judgements"] == 0
    assert set(found["left_out"]) == {"is there already"}
    assert {rater.id for rater in Store(tmp_path / "study").raters()} == before


@pytest.mark.parametrize("tool", TOOLS)
def test_who_was_forgotten_does_not_return_with_the_next_import(tmp_path, tool):
    study_in(tmp_path / "study", "likert")
    study_in(tmp_path / "other", "likert", judged=False)
    project = exported(tmp_path, tool)
    brought(tmp_path / "other", project, tool)
    gone, *left = [rater.id for rater in Store(tmp_path / "other").raters()]
    assert run("humans", "forget", tmp_path / "other", gone).exit_code == 0
    again = brought(tmp_path / "other", project, tool)
    assert again["left_out"]["is of a rater who was forgotten"] > 0
    assert [rater.id for rater in Store(tmp_path / "other").raters()] == left


def test_a_pseudonym_cannot_be_told_by_who_guesses_the_name(tmp_path):
    """The digest of a study is published, and names of annotators are often addresses."""
    stores = []
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        stores.append(Store(tmp_path / name))
    ours, theirs = (store.pseudonym("study|potato|alice@example.org") for store in stores)
    assert ours != theirs
    assert ours == Store(tmp_path / "one").pseudonym("study|potato|alice@example.org")


def test_an_import_that_was_cut_off_is_taken_up(tmp_path):
    study_in(tmp_path / "study", "likert")
    study_in(tmp_path / "other", "likert", judged=False)
    project, store = exported(tmp_path, "potato"), Store(tmp_path / "other")
    brought(tmp_path / "other", project, "potato")
    first = store.raters()[0]
    # Invited, and no further.
    with closing(store._connect()) as connection:
        connection.execute("UPDATE raters SET consent = NULL, country = NULL, languages = NULL")
    brought(tmp_path / "other", project, "potato", "--country", "th")
    now = store.raters()[0]
    assert (now.id, now.consent, now.country) == (first.id, "given elsewhere", "TH")


def test_a_country_is_one_and_a_time_is_one(tmp_path):
    study_in(tmp_path / "study", "likert")
    study_in(tmp_path / "other", "likert", judged=False)
    project = exported(tmp_path, "label-studio")
    for country, said in (("southeast-asia", "not a country"), ("Nowhereland", "Nowhereland")):
        arguments = ("--format", "label-studio", *OPTIONS, "--country", country)
        found = run("humans", "import", tmp_path / "other", project / "tasks.json", *arguments)
        assert (found.exit_code, said in found.output) == (2, True)
    tasks = json.loads((project / "tasks.json").read_text())
    given = [annotation for task in tasks for annotation in task["annotations"]]
    given[0]["created_at"] = "2024-05-01T12:00:00+07:00"
    (project / "tasks.json").write_text(json.dumps(tasks))
    brought(tmp_path / "other", project, "label-studio", "--country", "Thailand")
    times = {own.time for own in Store(tmp_path / "other").judgements()}
    assert "2024-05-01T05:00:00.000000+00:00" in times
    given[0]["created_at"] = "yesterday \u202e"
    (project / "tasks.json").write_text(json.dumps(tasks))
    arguments = ("--format", "label-studio", *OPTIONS)
    found = run("humans", "import", tmp_path / "other", project / "tasks.json", *arguments)
    assert "not an export" in found.output
