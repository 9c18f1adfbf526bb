"""Loaders on files of exactly the shape of the real data sets, traps included."""

from __future__ import annotations

import re
import subprocess
import sys

import datasets
import pytest
import yaml

from ggez_hub.errors import GgezError
from ggez_hub.evaluation.benchmarks.benchmark import BUILT_IN, Benchmark, find_benchmarks
from ggez_hub.evaluation.benchmarks.task import read_tasks
from tests.evaluation import benchmarks as made


def refused(match, name, folder, **places):
    with pytest.raises(GgezError, match=match):
        made.items_of(name, folder, **places)


def test_sea_vqa_counts_addresses_that_lead_nowhere(tmp_path):
    folder = made.write_sea_vqa(tmp_path / "sea", fetched=tmp_path / "pictures")
    items = made.items_of("sea-vqa", folder, fetched=tmp_path / "pictures")
    assert len(items) == 8 * 6
    assert {item.country for item in items} == {"kh", "id", "la", "my", "ph", "sg", "th", "vn"}
    gone = [item for item in items if item.picture is None]
    assert len(gone) == 8 * 2
    assert {item.image[-5] for item in gone} == {"2"}
    thai = [item for item in items if item.country == "th"]
    assert [item.gold for item in thai] == [0, 1, 2, 3, 0, 1]
    assert thai[1].options[1] == "b 1 thailand"
    assert all(item.picture is None for item in made.items_of("sea-vqa", folder))
    # What a server gave in place of a picture that is gone, and half of one.
    for broken in (b"<html>404</html>", made.png(1)[:-30]):
        for path in (tmp_path / "pictures").iterdir():
            path.write_bytes(broken)
        found = made.items_of("sea-vqa", folder, fetched=tmp_path / "pictures")
        assert all(item.picture is None for item in found)


def test_a_picture_of_several_tasks_is_in_memory_once(tmp_path):
    folders = made.Folders(made.write_cvqa(tmp_path))
    english, local = (
        made.read_contents(made.benchmark(f"cvqa-{text}"), folders).items
        for text in ("english", "local")
    )
    assert all(a.picture is b.picture for a, b in zip(english, local, strict=True))
    assert english[0].picture is english[1].picture


@pytest.mark.parametrize("answer", ["e", "ab", "", "1"])
def test_sea_vqa_answers_are_a_to_d(tmp_path, answer):
    folder = made.write_sea_vqa(tmp_path, correct_answer=answer)
    refused(rf"cambodia.*'correct_answer' is '{answer}', it should be one of a, b, c, d in row 0",
            "sea-vqa", folder)  # fmt: skip


def test_sea_vqa_as_json_lines_is_the_same(tmp_path):
    folder = made.write_sea_vqa(tmp_path)
    before = made.items_of("sea-vqa", folder)
    for path in sorted(folder.rglob("*.parquet")):
        made.as_jsonl(path)
    assert made.items_of("sea-vqa", folder) == before


def test_cvqa_has_both_languages(tmp_path):
    folder = made.write_cvqa(tmp_path)
    english, local = (made.items_of(f"cvqa-{text}", folder) for text in ("english", "local"))
    assert [item.country for item in local[::2]] == ["ph", "lk", "kr", "ph", "lk"]
    assert [item.language for item in local[::2]] == ["fil", "si", "ko", "fil", "si"]
    assert {item.language for item in english} == {"en"}
    assert (english[3].question, local[3].question) == ("What is this, 3?", "Ano ito, 3?")
    assert (english[3].options[3], local[3].options[3]) == ("answer 3 3", "sagot 3 3")
    # Two questions about one picture: the picture tells, not the row.
    assert english[2].image == english[3].image != english[4].image


def test_cvqa_without_answers_is_refused(tmp_path):
    refused(r"'Label' is -1: this revision withholds the answers", "cvqa-local",
            made.write_cvqa(tmp_path, Label=-1))  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"Label": 4}, "'Label' is 4, it should be 0 to 3 in row 0"),
        ({"Subset": "Filipino"}, "'Subset' is 'Filipino', it should be like"),
        ({"Subset": "__import__('os').abort()"}, "'Subset' is \"__import__"),
        ({"Subset": "('Filipino', 'Atlantis')"}, "names the unknown country 'Atlantis'"),
        ({"Subset": "('Atlantean', 'Philippines')"}, "names the unknown language"),
        ({"Question": " "}, "'Question' holds ' ' \\(str\\), it should be text that is not blank"),
    ],
)
def test_cvqa_names_the_column_that_is_off(tmp_path, changes, problem):
    refused(problem, "cvqa-local", made.write_cvqa(tmp_path, **changes))


def test_a_column_that_is_missing_or_of_another_type_is_named(tmp_path):
    rows, path = made.cvqa_rows(), tmp_path / "test-0.parquet"
    for row in rows:
        del row["Label"]
    features = {name: kind for name, kind in made.CVQA.items() if name != "Label"}
    made.write(path, features, rows)
    refused("has no column 'Label'", "cvqa-local", tmp_path)
    rows = made.cvqa_rows(Label="0")
    made.write(path, {**made.CVQA, "Label": made.TEXT}, rows)
    refused(
        r"'Label' holds '0' \(str\), it should be a whole number in row 0", "cvqa-local", tmp_path
    )


def test_worldcuisines_counts_from_1(tmp_path):
    folder = made.write_worldcuisines(tmp_path)
    items = made.items_of("worldcuisines-dish", folder / "vqa", pictures=folder / "food-kb")
    assert [item.options[item.gold] for item in items] == [f"dish {r} {1 + r}" for r in range(4)]
    assert items[0].question == "What is dish 0 called?"
    # Min Nan is a language, not a number.
    assert [item.language for item in items] == ["en", "nan", "id", "zh"]
    assert items[1].id == "qa1/nan"
    assert [item.picture for item in items] == [made.png(row) for row in range(4)]
    others = made.items_of(
        "worldcuisines-dish-location", folder / "vqa", pictures=folder / "food-kb"
    )
    assert [item.picture is None for item in others] == [False, False, False, True]
    assert {item.category for item in others} == {"prompt type 2"}
    origin = made.items_of("worldcuisines-origin", folder / "vqa", pictures=folder / "food-kb")
    assert len(origin) == 8


def test_worldcuisines_in_csv_keeps_nan(tmp_path):
    folder = made.write_worldcuisines(tmp_path)
    path = folder / "vqa" / "task1" / "test_large-00000-of-00001.parquet"
    datasets.Dataset.from_parquet(str(path)).to_csv(folder / "csv" / "task1-test_large.csv")
    mine = made.benchmark("worldcuisines-dish").model_copy(update={"files": {"t": "*.csv"}})
    read = made.read_contents(mine, made.Folders(folder / "csv")).items
    assert [item.language for item in read] == ["en", "nan", "id", "zh"]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"multi_choice_answer": 0}, "'multi_choice_answer' is 0, it should be 1 to 5"),
        ({"multi_choice_answer": 6}, "'multi_choice_answer' is 6"),
        ({"multi_choice_prompt": "What?\n1. a\n2. b"}, "has 2 numbered options"),
        ({"lang": None}, "'lang' holds null, it should be text"),
    ],
)
def test_worldcuisines_names_the_column_that_is_off(tmp_path, changes, problem):
    folder = made.write_worldcuisines(tmp_path, **changes)
    refused(problem, "worldcuisines-dish", folder / "vqa", pictures=folder / "food-kb")


def test_version_1_1_counts_from_0(tmp_path):
    rows = [
        {"question": "What?", "options": list("vwxyz"), "mcq_answer_index": n, "image_path": f"i/{n}.png"}
        for n in range(5)
    ]  # fmt: skip
    path = made.write(tmp_path / "test-0.parquet", made.V1_1, rows)
    (tmp_path / "i").mkdir()
    (tmp_path / "i" / "0.png").write_bytes(made.png(0))
    items = made.items_of("worldcuisines-v1-1", tmp_path)
    assert [item.gold for item in items] == [0, 1, 2, 3, 4]
    assert [item.picture is None for item in items] == [False, True, True, True, True]
    made.write(path, made.V1_1, [{**rows[0], "mcq_answer_index": 5}])
    refused(
        "'mcq_answer_index' is 5, it should be 0 to 4",
        "worldcuisines-v1-1",
        tmp_path,
    )


def test_a_path_out_of_the_data_set_is_not_read(tmp_path):
    (tmp_path / "secret.png").write_bytes(made.png(0))
    rows = [{"question": "What?", "options": ["a", "b"], "mcq_answer_index": 0, "image_path": "../secret.png"}]  # fmt: skip
    made.write(tmp_path / "data" / "test-0.parquet", made.V1_1, rows)
    assert made.items_of("worldcuisines-v1-1", tmp_path / "data")[0].picture is None


def test_captions_of_xm3600(tmp_path):
    folder = made.write_xm3600(tmp_path)
    items = made.items_of("xm3600-th-to-image", folder)
    assert {item.language for item in items} == {"th"}
    assert items[1].captions == ("th caption 1 0", "th caption 1 1")


def test_flickr30k_is_asked_of_its_test_rows(tmp_path):
    rows = [
        {"image": made.image(n), "caption": [f"{n} {c}" for c in range(5)], "split": split}
        for n, split in enumerate(["train", "test", "val", "test"])
    ]
    features = {"image": datasets.Image(), "caption": made.TEXTS, "split": made.TEXT}
    made.write(tmp_path / "data" / "TEST-0.test.parquet", features, rows)
    items = made.items_of("flickr30k-to-text", tmp_path)
    assert [item.captions[0] for item in items] == ["1 0", "3 0"]


def test_an_id_that_stands_twice_is_refused(tmp_path):
    refused("9 items have the id 'x'", "cvqa-local", made.write_cvqa(tmp_path, ID="x"))


def test_files_that_are_not_there_are_named(tmp_path):
    refused(re.escape("holds no file like '*cambodia*' of wit543/sea-vqa"), "sea-vqa", tmp_path)


def test_a_third_of_the_pictures_selects(tmp_path):
    cvqa = made.benchmark("cvqa-english")
    sides = [cvqa.split_of(f"picture {number}") for number in range(3000)]
    assert 900 < sides.count("validation") < 1100
    # Written down once: a released score rests on it.
    assert sides[:4] == [made.benchmark("cvqa-local").split_of(f"picture {n}") for n in range(4)]


def test_a_sample_takes_other_pictures_before_other_questions_about_one(tmp_path):
    """The first question about each picture in the order of a hash, then the second ones."""
    made.write_cvqa(tmp_path, 60)
    items = made.items_of("cvqa-english", tmp_path)
    asked = made.benchmark("cvqa-english").model_copy(update={"sample": 20})
    pictures = {item.image for item in items}
    assert len(pictures) == 30
    test, select = asked.sampled(items, "test"), asked.sampled(items, "validation")
    assert (len(test), len({item.image for item in test})) == (20, 20)
    # Half as many of the select side, and of the very same order.
    assert len(select) == 10
    assert {item.id for item in select} < {item.id for item in test}
    more = asked.model_copy(update={"sample": 40}).sampled(items, "test")
    assert {item.image for item in more} == pictures
    assert {item.id for item in test} < {item.id for item in more}
    # A task on the same pictures takes the same ones.
    local = made.benchmark("cvqa-local").model_copy(update={"sample": 20})
    others = made.items_of("cvqa-local", tmp_path)
    assert [item.id for item in local.sampled(others, "test")] == [item.id for item in test]
    assert asked.sampled(items[:7], "test") == list(items[:7])
    # Another sample is another task, and none is what it always was.
    plain = made.benchmark("cvqa-english")
    assert len({plain.digest, asked.digest, plain.model_copy(update={"sample": 21}).digest}) == 3


@pytest.mark.parametrize(
    ("part", "changes", "words"),
    [
        ("qrels", {"corpus-id": "d-none"}, "is 'd-00000', which no row of qrels names"),
        ("qrels", {"query-id": "q-none"}, "is 'q-none', which has no text"),
        ("queries", {"text": " "}, "column 'text' holds ' '"),
    ],
)
def test_a_retrieval_set_of_mteb_has_a_text_for_each_picture(part, changes, words, tmp_path):
    folder = made.write_sea_vl(tmp_path, 5) / "SEA-VL-Crawling-T2I"
    name = "sea-vl-crawling-to-image"
    items = made.items_of(name, folder)
    assert [item.captions for item in items] == [(f"a dish of place {n}",) for n in range(5)]
    path = folder / part / "test-00000-of-00001.parquet"
    rows = [row | changes for row in datasets.Dataset.from_parquet(str(path)).to_list()]
    shape = dict.fromkeys(rows[0], made.TEXT) | ({"score": made.WHOLE} if part == "qrels" else {})
    made.write(path, shape, rows)
    refused(re.escape(words), name, folder)


def test_every_benchmark_of_the_package_pins_a_revision_and_a_side():
    found = [b for path in sorted(BUILT_IN.glob("*.yaml")) for b in read_tasks(path, Benchmark)]
    assert len({b.id for b in found}) == len(found) == 30
    assert len({b.digest for b in found}) == len(found)
    assert all(b.dataset.revision and b.side for b in found)


def test_tasks_of_ones_own(tmp_path):
    content = {
        "kind": "benchmark", "id": "mine", "title": "Mine",
        "dataset": {"repo": "me/mine", "revision": "0" * 40}, "files": {"test": "rows.jsonl"},
        "loader": "choices", "cut": "mine", "metric": "choice", "side": "global", "language": "en",
        "options": {"id": "n", "question": "q", "options": ["x", "y"], "gold": "a",
                    "answer": "letter", "country": "where"},
    }  # fmt: skip
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(content))
    (task,) = find_benchmarks("mine", [tmp_path])
    rows = [{"image": {"path": "p.png"}, "n": 7, "q": "?", "x": "1", "y": "2", "a": "B", "where": "Laos"}]  # fmt: skip
    made.write(tmp_path / "rows.jsonl", {**dict.fromkeys("qxya", made.TEXT), "where": made.TEXT,
               "n": made.WHOLE, "image": {"path": made.TEXT}}, rows)  # fmt: skip
    (item,) = made.read_contents(task, made.Folders(tmp_path)).items
    assert (item.id, item.gold, item.country, item.picture) == ("7", 1, "la", None)
    for changes, line in (
        ({"loader": "none"}, "there is no loader 'none'"),
        ({"metric": "text_to_image_r1"}, "another metric"),
        ({"options": {"text": "x"}}, "options"),
        ({"prompts": {"th": "{option}"}}, "must have 'any'"),
    ):
        path.write_text(yaml.safe_dump(content | changes))
        with pytest.raises(GgezError, match=line):
            find_benchmarks("mine", [tmp_path])
    with pytest.raises(GgezError, match="there is no suite 'others'"):
        find_benchmarks("others", [tmp_path])


def test_finding_benchmarks_loads_no_torch_and_no_pyarrow():
    code = (
        "import sys\nfrom ggez_hub.evaluation.benchmarks.benchmark import find_benchmarks\n"
        "find_benchmarks('cvqa')\nprint(sorted({'torch', 'pyarrow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
