"""Which option a reply names, in the languages of the benchmarks, and what is not read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ggez_hub.evaluation.benchmarks.replies import after_thought, plain, read_choice
from ggez_hub.evaluation.benchmarks.replies.lexicon import FIRST, LAST, lexicon, readable
from tests.evaluation.labelled_replies import PARTS, labelled_replies, measure

DISHES = ("Satay", "Nasi lemak", "Laksa", "Mango sticky rice")
THAI = ("ส้มตำ", "ต้มยำกุ้ง", "ต้มยำ", "ข้าวเหนียวมะม่วง")
YEARS = ("1945", "1957", "19", "2002")


@pytest.mark.parametrize(
    ("reply", "number"),
    [
        # A letter.
        ("B", 1), (" b ", 1), ("(B)", 1), ("**B**", 1), ("B.", 1), ("[C]", 2), ("Ｂ", 1), ("'A'", 0),
        ("A", 0), ("a", 0), ("В", 1), ("$\\boxed{C}$", 2),
        # As in a list.
        ("B. Nasi lemak", 1), ("B) Nasi lemak", 1), ("(C) Laksa is a noodle soup", 2),
        ("**A.** Satay", 0), ("D: Mango sticky rice", 3), ("B - it is rice", 1), ("B\n\nBecause.", 1),
        ("A. Satay, not Satay bee hoon", 0),
        # Stated, in many languages.
        ("The answer is B", 1), ("The correct answer is: (C) Laksa", 2), ("Answer: D", 3),
        ("the right option is (A).", 0), ("คำตอบคือ ข้อ B", 1), ("ตอบBครับ", 1),
        ("ຄຳຕອບແມ່ນ C", 2), ("ចម្លើយគឺ B", 1), ("အဖြေမှာ C ဖြစ်သည်", 2),
        ("Jawaban yang benar adalah B.", 1), ("Jawapannya ialah A.", 0), ("Ang sagot ay D.", 3),
        ("Đáp án đúng là C.", 2), ("答案是B。", 1), ("正解はCです。", 2), ("정답은 D입니다", 3),
        ("Правильный ответ: B", 1), ("Правильный ответ: В", 1), ("उत्तर: C", 2), ("பதில்: B", 1),
        ("La respuesta correcta es la D.", 3), ("الإجابة هي B", 1), ("Jibu ni C", 2),
        # The text of an option.
        ("Satay", 0), ("satay!", 0), ("It is nasi  lemak, a rice dish.", 1), ("“Laksa”", 2),
        ("This is mango sticky rice.", 3),
        # After thoughts.
        ("<think>A or B? Perhaps A.</think>\n\nC", 2),
        # Taken back.
        ("The answer is A. No, the answer is B.", 1),
        # A capital by itself.
        ("It must be (B)", 1), ("I would go with B, as the rice is white.", 1), ("เลือก B", 1),
    ],
)  # fmt: skip
def test_what_a_reply_names(reply, number):
    assert read_choice(reply, DISHES) == number


@pytest.mark.parametrize(
    "reply",
    [
        "", "   ", "...", "I cannot tell.", "E", "Z.", "A or B", "A, B", "A dish of rice",
        "A man eats it.", "The answer is a noodle soup", "Satay or laksa", "B. Satay",
        "The answer is A. The answer is B.", "I like D.C. and the U.S.A.", "Sataylike", "5",
        "Vitamin rich food", "<think>The answer is A", "กขค", "AB", "It's",
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_not_guessed(reply):
    assert read_choice(reply, DISHES) is None


@pytest.mark.parametrize(
    ("reply", "options", "number"),
    [
        ("ต้มยำกุ้ง", THAI, 1),
        ("ในภาพคือต้มยำกุ้งครับ", THAI, 1),
        ("ต้มยำ", THAI, 2),
        ("อาหารจานนี้คือข้าวเหนียวมะม่วง", THAI, 3),
        ("In 1957.", YEARS, 1),
        ("19", YEARS, 2),
        ("1", YEARS, None),
        ("Yes, it is.", ("yes", "no"), 0),
        ("No", ("yes", "no"), 1),
        ("rice", ("rice", "Rice", "noodles"), 0),
    ],
)
def test_options_of_any_script(reply, options, number):
    assert read_choice(reply, options) == number


@given(st.text(), st.integers(0, 3))
def test_nothing_breaks_it_and_a_letter_is_a_letter(reply, number):
    assert read_choice(reply, DISHES) in {None, 0, 1, 2, 3}
    assert read_choice("ABCD"[number], DISHES) == number
    assert read_choice(f"{'ABCD'[number]}. {DISHES[number]}", DISHES) == number
    assert read_choice(DISHES[number], DISHES) == number


@pytest.mark.parametrize("part", PARTS)
def test_labelled_replies_are_read_right(part):
    found = measure(read_choice, labelled_replies(part))
    shown = [(reply.reply, choice) for reply, choice in found.wrong if choice is not None]
    assert found.precision >= 0.99, shown
    assert found.recall >= 0.90, [reply.reply for reply, _ in found.wrong]


def test_the_set_is_as_large_and_as_mixed_as_it_should_be():
    replies = [reply for part in PARTS for reply in labelled_replies(part)]
    assert len({(r.reply, r.options) for r in replies}) >= 1200
    denied = [r for r in replies if r.shows in {"negation", "hedge"} and r.expected is None]
    assert len(denied) >= 200
    own = {r.language for r in replies if r.shows in {"native-letter", "native-digit"}}
    assert {"th", "lo", "km", "my", "ta", "zh", "hi", "ar"} <= own


@pytest.mark.parametrize(
    "row", ["กขคง", "ກຂຄງ", "កខគឃ", "ကခဂဃ", "அஆஇஈ", "甲乙丙丁", "가나다라", "アイウエ", "कखगघ", "١٢٣٤",
            "๑๒๓๔", "໑໒໓໔", "១២៣៤", "၁၂၃၄", "௧௨௩௪", "①②③④", "ＡＢＣＤ"],
)  # fmt: skip
def test_letters_and_digits_of_a_language_name_options(row):
    for number, label in enumerate(row):
        for reply in (label, f"{label}.", f"({label})", f"**{label}**", f"Answer: {label}"):
            assert read_choice(reply, DISHES) == number, reply
        assert read_choice(f"{label}. {DISHES[number]}", DISHES) == number
        assert read_choice(f"{label}. {DISHES[(number + 1) % 4]}", DISHES) is None


HOSTILE = (
    "A ", "A or B, ", "(", "\\boxed{", '{"a":', "<think>", "</think>", "<answer>", "[[", "not ",
    "the answer is ", "ไม่ใช่ข้อ ก ", "A.\n", "\ufdfa", "_", "Satay ", ".", "no. ", "A wrong ", "first ",
    "A. Actually, ", " ", "A: yes. ", "'", "\u0e48", "\ud83d\ude00",
)  # fmt: skip


@pytest.mark.parametrize(
    "piece",
    [pytest.param(p, marks=[] if n % 4 == 0 else pytest.mark.slow) for n, p in enumerate(HOSTILE)],
)
def test_of_a_megabyte_as_much_is_read_as_of_a_page(piece):
    reply = piece * (1_000_000 // len(piece))
    assert len(readable(reply)) <= FIRST + LAST + 1
    assert read_choice(reply, DISHES) in {None, 0, 1, 2, 3}
    assert plain(after_thought(reply) or "") is not None


def test_a_long_reply_is_read_at_its_beginning_and_end():
    thoughts = "The broth has coconut and noodles in it, which is typical of the region. " * 20_000
    assert read_choice(f"{thoughts}\n\nThe answer is C.", DISHES) == 2
    assert read_choice(f"<think>A or B? {thoughts}</think>C", DISHES) == 2
    assert read_choice(f"C\n\n{thoughts}", DISHES) == 2


def test_no_phrase_of_a_language_is_lost_in_that_of_another():
    """Whatever a reply is read with is found where it stands alone."""
    known = lexicon()
    for phrase, kinds in known.kinds.items():
        bare = phrase.removeprefix("^")
        match = known.words.match(bare)
        assert match is not None, (phrase, kinds)
        assert match[0] == bare, (phrase, kinds)
