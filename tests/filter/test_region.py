"""Evidence, and how it is combined."""

from __future__ import annotations

import pytest

from ggez_hub.data.examples import Example
from ggez_hub.data.region_rules import combination
from ggez_hub.data.spec import RegionFilter
from ggez_hub.errors import UsageProblem

SAYS = {
    "th": "ผู้หญิงกำลังทำส้มตำที่ตลาดน้ำ",
    "lo": "ແມ່ຍິງກຳລັງເຮັດຕຳໝາກຫຸ່ງ",
    "km": "ស្ត្រីកំពុងធ្វើម្ហូបនៅផ្សារ",
    "my": "အမျိုးသမီးတစ်ဦးသည် စျေးတွင် ဟင်းချက်နေသည်",
    "vi": "Một người phụ nữ đang bán phở ở chợ nổi",
    "ta": "ஒரு பெண் சந்தையில் சமைக்கிறார்",
    "zh": "一个女人正在水上市场上做饭给游客吃",
    "id": "Seorang wanita sedang memasak nasi goreng di pasar pagi",
    "en": "A woman is cooking for tourists at the floating market",
}


def example(text="", **fields):
    return Example("i", "s", "caption", [{"role": "assistant", "content": text}], **fields)


def rules(*written, keep="any", region="southeast-asia", folder=None):
    spec = RegionFilter.model_validate({"keep": keep, "rules": list(written)})
    return combination(spec, region, folder)


@pytest.mark.parametrize("language", [tag for tag in SAYS if tag != "en"])
def test_the_languages_of_the_region_are_told(language):
    rule = rules({"evidence": "language", "languages": [language]})
    assert rule(example(SAYS[language]))[0] is True
    assert rule(example(SAYS["en"]))[:2] == (False, "language: another language")


def test_an_example_without_a_language_gets_the_one_that_was_identified():
    rule = rules({"evidence": "language", "languages": ["th"]})
    found, told = example(SAYS["th"]), example(SAYS["th"], language="lo")
    rule(found), rule(told)
    assert (found.language, told.language) == ("th", "lo")


def test_malay_indonesian_and_filipino_are_one_group():
    rule = rules({"evidence": "language", "languages": ["ms"]})
    assert rule(example(SAYS["id"]))[0] is True
    assert rule(example("Ang babae ay nagluluto ng adobo sa palengke"))[0] is True
    assert rule(example(SAYS["vi"]))[0] is False


def test_noise_is_of_low_confidence():
    rule = rules({"evidence": "language", "languages": ["id"]})
    assert rule(example("12345 !!"))[:2] == (False, "language: low confidence")


def test_a_language_that_cannot_be_identified_is_refused():
    with pytest.raises(UsageProblem, match="does not identify 'shn'"):
        rules({"evidence": "language", "languages": ["shn"]})


@pytest.mark.parametrize(
    ("text", "scripts", "holds"),
    [
        (SAYS["th"], ["Thai"], True),
        ("ส้มตำ som tam", ["Thai"], False),
        ("ส้มตำไทยรสเด็ด som tam", ["Thai"], True),
        ("123 !?", ["Latn", "Thai"], False),
        ("水上市場", ["Hans"], True),
        (SAYS["en"], ["Latn"], True),
    ],
)
def test_scripts(text, scripts, holds):
    verdict = rules({"evidence": "script", "scripts": scripts})(example(text))
    assert verdict[0] is holds


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"country": "th"}, ""),
        ({"location": "Luang Prabang, Laos"}, ""),
        ({"path": "images/Viet_Nam/3.jpg"}, ""),
        ({"country": "fr", "path": "images/Laos/3.jpg"}, "metadata: another country"),
        ({"location": "somewhere"}, "metadata: no country is given"),
    ],
)
def test_metadata(fields, reason):
    assert rules({"evidence": "metadata"})(example(**fields))[1] == reason


@pytest.mark.parametrize(
    ("text", "names_in", "holds"),
    [
        ("A boat in THAILAND.", ["en"], True),
        ("A boat in Thailandia", ["en"], False),
        ("ร้านอาหารในประเทศลาวแห่งหนึ่ง", ["th"], True),
        ("ร้านอาหารในประเทศลาวแห่งหนึ่ง", ["en"], False),
        ("Ẩm thực Thái Lan", ["vi"], True),
        ("Made in Timor-Leste", ["en"], True),
    ],
)
def test_the_gazetteer_has_the_names_of_the_countries(text, names_in, holds):
    rule = rules({"evidence": "gazetteer", "names_in": names_in})
    assert rule(example(text))[0] is holds


def test_the_gazetteer_takes_names_of_languages_and_a_list(tmp_path):
    (tmp_path / "places.txt").write_text("# towns\nHội An  # in Vietnam\nเชียงใหม่\n", "utf-8")
    rule = rules(
        {"evidence": "gazetteer", "languages": ["km"], "places": "places.txt"}, folder=tmp_path
    )
    for text in ("A Khmer dance", "Lanterns of HỘI AN", "เที่ยวเชียงใหม่กัน"):
        assert rule(example(text))[0] is True
    assert rule(example("towns"))[0] is False
    with pytest.raises(UsageProblem, match="places cannot be read"):
        rules({"evidence": "gazetteer", "places": "absent.txt"}, folder=tmp_path)


METADATA, SCRIPT = {"evidence": "metadata"}, {"evidence": "script", "scripts": ["Thai"]}
PLACES = {"evidence": "gazetteer"}


@pytest.mark.parametrize(
    ("keep", "answers"),
    [("any", [True, True, False]), ("all", [True, False, False]), (2, [True, True, False])],
)
def test_rules_are_combined(keep, answers):
    rule = rules(METADATA, SCRIPT, PLACES, keep=keep)
    three = example("ส้มตำ ส้มตำ Laos", country="th")
    two = example("A market in Laos", country="la")
    none = example("A market")
    assert [rule(e)[0] for e in (three, two, none)] == answers


def test_rules_on_pictures_stay_open_until_they_can_change_the_answer():
    picture = {"evidence": "picture", "model": "m", "library": "open_clip"}
    at_home, unknown = example(country="th"), example()
    assert rules(METADATA, picture, keep="any")(at_home)[0] is True
    assert rules(METADATA, picture, keep="any")(unknown)[0] is None
    assert rules(METADATA, picture, keep="all")(unknown)[0] is False
    assert rules(METADATA, picture, keep="all")(at_home) == (None, "", 1)


def test_evidence_is_counted():
    rule = rules(METADATA, PLACES)
    rule(example(country="th")), rule(example("Laos")), rule(example("nowhere", country="fr"))
    assert dict(rule.seen) == {
        ("metadata", "holds"): 1, ("metadata", "no country is given"): 1,
        ("metadata", "another country"): 1, ("gazetteer", "holds"): 1,
        ("gazetteer", "no place is named"): 1,
    }  # fmt: skip
