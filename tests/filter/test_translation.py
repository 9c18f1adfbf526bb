"""Translation augmentation: a model that knows three texts, an endpoint, and the checks."""

from __future__ import annotations

import shutil

import pytest

from ggez_hub.data.plan import FilterPlan
from ggez_hub.data.spec import Seq2Seq, TranslationSpec
from ggez_hub.data.translation import Augmenter, Seq2SeqTranslator, nllb_code, problem, units_of
from ggez_hub.errors import UsageProblem
from ggez_hub.evaluation.answers.cache import AnswerCache

from .corpora import captions, cvqa, jsonl, spec
from .endpoint import serving
from .tiny import write_translator

PAIRS = {"a red boat": "เรือสีแดง", "a dog": "หมา", "noodle soup": "ก๋วยเตี๋ยว"}
ENGLISH = {"format": "caption", "answer": "text", "language": {"value": "en"}}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_translator(tmp_path_factory.mktemp("models") / "nllb", PAIRS)


def block(translator=None, **keys):
    translator = translator or {"kind": "seq2seq", "model": "nllb"}
    return {"translator": translator, "license": "cc-by-nc-4.0", "targets": ["th"]} | keys


def english(folder, texts):
    source = captions(folder, [(f"r{n}", text, "th", n) for n, text in enumerate(texts)])
    source["columns"] = source["columns"] | {"examples": [ENGLISH]}
    return source


@pytest.mark.parametrize(
    ("tag", "code"),
    [("th", "tha_Thai"), ("ms", "zsm_Latn"), ("fil", "tgl_Latn"), ("km", "khm_Khmr"),
     ("my", "mya_Mymr"), ("lo", "lao_Laoo"), ("zh", "zho_Hans"), ("zh-Hant", "zho_Hant"),
     ("id", "ind_Latn"), ("ta", "tam_Taml"), ("vi", "vie_Latn"), ("en", "eng_Latn")],
)  # fmt: skip
def test_codes(tag, code):
    assert nllb_code(tag) == code


def test_a_filter_adds_translations(tmp_path, model, filtered):
    shutil.copytree(model, tmp_path / "nllb")
    source = english(tmp_path, PAIRS)
    report, rows = filtered([source], translation=block())
    added = [row for row in rows if row["translated_from"]]
    assert [row["text"] for row in added] == list(PAIRS.values())
    assert {(row["language"], row["translated_from"], row["country"]) for row in added} == {
        ("th", "en", "th")
    }
    assert added[0]["id"] == "captions/r0/caption/th"
    assert added[0]["image"] == rows[0]["image"]
    counts = report.document["counts"]
    assert (counts["seen"], counts["kept"], counts["translated"]) == (3, 3, 3)
    assert report.document["by"]["language"]["th"] == {"seen": 0, "kept": 0, "translated": 3}
    assert report.document["translation"] == {"th: taken": 3}
    assert report.card_block().translator.endswith("(cc-by-nc-4.0)")


def test_a_language_that_the_model_does_not_have(tmp_path, model, filtered):
    shutil.copytree(model, tmp_path / "nllb")
    with pytest.raises(UsageProblem, match="no language 'chr_Cher' for chr"):
        filtered([english(tmp_path, PAIRS)], translation=block(targets=["chr"]))


SPEC = TranslationSpec.model_validate(block())
LONG = "A woman sells noodle soup beside the river"


@pytest.mark.parametrize(
    ("originals", "translated", "reason"),
    [
        ([LONG], ["ผู้หญิงขายก๋วยเตี๋ยวข้างแม่น้ำ"], None),
        ([LONG], ["  "], "empty"),
        ([LONG], [LONG.upper()], "untranslated"),
        ([LONG], ["ผู้หญิง"], "length"),
        (["a dog"], ["หมา" * 40], "length"),
        ([LONG], ["Een vrouw verkoopt noedelsoep bij de rivier"], "script"),
        (["What is this dish here?", "Bakso"], ["จานนี้คืออะไร", "Bakso"], None),
        (["What is this dish here?", "Bakso"], ["What is this dish here?", "บักโซ"], "untranslated"),
        (["How many boats?", "5"], ["มีเรือกี่ลำ", "5"], None),
    ],
)
def test_checks(originals, translated, reason):
    assert problem(originals, translated, "th", SPEC) == reason


def test_an_option_and_its_answer_have_one_translation(tmp_path, filtered):
    cvqa(tmp_path / "a.parquet", labels=(2, 0, 1))
    source = {"name": "s", "parquet": "a.parquet", "mapping": "cvqa", "license": "x"}
    words = {"jeepney": "รถจี๊ปนีย์", "dog": "หมา", "cat": "แมว", "house": "บ้าน",
             "What is in the picture?": "ในภาพคืออะไร"}  # fmt: skip

    def answer(content):
        text = content.partition("\n\n")[2]
        return words.get(text, "ก" * len(text))

    with serving(answer) as (url, seen):
        translator = {"kind": "endpoint", "url": url, "model": "m"}
        _, rows = filtered([source], translation=block(translator))
    (row,) = [row for row in rows if row["id"] == "s/q1/en/th"]
    asked, said = (message["content"] for message in row["messages"])
    assert asked == "ในภาพคืออะไร\nA. หมา\nB. แมว\nC. รถจี๊ปนีย์\nD. บ้าน"
    assert said == "C. รถจี๊ปนีย์"
    texts = [body["messages"][0]["content"] for _, body in seen]
    assert len(texts) == len(set(texts))
    assert all("from English (en) into Thai (th)" in text for text in texts)


def test_what_fails_the_checks_is_counted(tmp_path, filtered):
    with serving(lambda content: content.partition("\n\n")[2]) as (url, _):
        translator = {"kind": "endpoint", "url": url, "model": "m"}
        report, rows = filtered([english(tmp_path, PAIRS)], translation=block(translator))
    assert len(rows) == 3
    assert report.document["translation"] == {"th: untranslated": 3}


def test_a_translation_that_was_cut_is_not_taken(tmp_path, model, filtered):
    """The model may write seven tokens: the shortest text alone is whole by then."""
    shutil.copytree(model, tmp_path / "nllb")
    cut = {"kind": "seq2seq", "model": "nllb", "new_tokens": 7}
    report, rows = filtered([english(tmp_path, PAIRS)], translation=block(cut))
    assert report.document["translation"] == {"th: cut": 2, "th: taken": 1}
    assert [row["text"] for row in rows if row["translated_from"]] == ["หมา"]


def test_a_text_that_is_longer_than_the_model_reads_is_not_taken(tmp_path, model):
    translator = Seq2SeqTranslator.of(
        Seq2Seq(kind="seq2seq", model=model.name), ["en", "th"], model.parent
    )
    assert translator.longest == 64
    assert translator.translate(["a dog", "a dog " * 30], "en", "th") == ["หมา", None]


def test_an_answer_that_was_cut_is_not_taken(tmp_path, filtered):
    def answer(content):
        cut = "soup" in content
        reason = {"finish_reason": "length" if cut else "stop"}
        return {"message": {"role": "assistant", "content": "ก" * 10}} | reason

    with serving(answer) as (url, _):
        translator = {"kind": "endpoint", "url": url, "model": "m"}
        report, _ = filtered([english(tmp_path, PAIRS)], translation=block(translator))
    assert report.document["translation"]["th: cut"] == 1


def test_a_translation_is_held_to_what_is_held_out_and_seen(tmp_path, filtered):
    """A benchmark has the translation of one text, the corpus that of another."""
    thai = {
        "a red boat": "เรือสีแดงลำหนึ่งในแม่น้ำ",
        "a dog": "หมาตัวหนึ่งที่ตลาดน้ำ",
        "noodle soup": "ก๋วยเตี๋ยวเรือหนึ่งชาม",
    }
    jsonl(tmp_path / "vqa.jsonl", [{"text": thai["a red boat"], "url": "https://e.org/1.jpg"}])
    held = {"name": "vqa", "jsonl": "vqa.jsonl", "license": "x",
            "columns": {"picture": "url", "examples": [{"format": "caption", "answer": "text"}]}}  # fmt: skip
    source = captions(tmp_path, [(f"r{n}", text, "th", n) for n, text in enumerate(thai)])
    native = captions(tmp_path, [("n", thai["a dog"], "th", 9)], name="native")
    source["columns"] = source["columns"] | {"examples": [ENGLISH]}
    with serving(lambda content: thai[content.partition("\n\n")[2]]) as (url, _):
        translator = {"kind": "endpoint", "url": url, "model": "m"}
        report, rows = filtered(
            [native, source],
            translation=block(translator, length_ratio=[0.1, 9.0]),
            held_out={"sources": [held]},
            duplicates={"by": "text"},
        )
    assert report.document["translation"] == {
        "th: duplicate": 1, "th: held out": 1, "th: taken": 1,
    }  # fmt: skip
    assert [row["text"] for row in rows if row["translated_from"]] == [thai["noodle soup"]]
    counts = report.document["counts"]
    assert (counts["seen"], counts["kept"], counts["translated"]) == (4, 4, 1)


def test_another_model_of_the_same_name_is_another_result(tmp_path, model):
    shutil.copytree(model, tmp_path / "nllb")
    asked = spec([english(tmp_path, PAIRS)], translation=block())
    before = FilterPlan(asked, tmp_path).digest
    assert FilterPlan(asked, tmp_path).digest == before
    config = tmp_path / "nllb" / "config.json"
    config.write_text(config.read_text() + "\n")
    assert FilterPlan(asked, tmp_path).digest != before


def test_how_many_answers_are_asked_for_at_once_decides_nothing(tmp_path):
    digests = set()
    source = english(tmp_path, PAIRS)
    for parallel, tokens in ((1, 256), (4, 256), (4, 64)):
        translator = {"kind": "endpoint", "url": "http://127.0.0.1:9/v1", "model": "m",
                      "parallel": parallel, "new_tokens": tokens}  # fmt: skip
        digests.add(FilterPlan(spec([source], translation=block(translator)), tmp_path).digest)
    assert len(digests) == 2


class Counting:
    """A translator that says how often it was asked."""

    name = "counting"

    def __init__(self):
        self.asked = []

    def translate(self, texts, source, target):
        self.asked += texts
        return [f"{text} in {target}" for text in texts]


def test_nothing_is_translated_twice(tmp_path):
    translator = Counting()
    for _ in range(2):
        cache = AnswerCache(tmp_path / "cache.sqlite")
        augmenter = Augmenter(SPEC, translator, "counting", cache)
        found = augmenter.translations(["a", "b", "a"], "th")
        assert found == {"a": "a in th", "b": "b in th"}
    augmenter.translations(["a"], "lo")
    assert translator.asked == ["a", "b", "a"]
    Augmenter(SPEC, translator, "otherwise", cache).translations(["b"], "th")
    assert translator.asked == ["a", "b", "a", "b"]


def test_units():
    content = "Which one?\nA. boat\nB. 5"
    assert [(u.prefix, u.text, u.has_letters) for u in units_of(content, "multiple_choice")] == [
        ("", "Which one?", True), ("A. ", "boat", True), ("B. ", "5", False),
    ]  # fmt: skip
    assert [u.text for u in units_of(content, "caption")] == [content]


def test_an_augmenter_needs_no_model_for_an_endpoint(tmp_path):
    spec = TranslationSpec.model_validate(
        block({"kind": "endpoint", "url": "http://127.0.0.1:9/v1", "model": "m"})
    )
    assert Augmenter.of(spec, tmp_path).name == "m (endpoint)"
