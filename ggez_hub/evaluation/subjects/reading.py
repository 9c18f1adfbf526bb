"""Reading the option that a reply names, in whatever language it is written.

A reply is read by the first of these that says something:

    1  it is a letter:                     B    (B)    **b.**    Ｂ
    2  it begins with one as in a list:    B. Satay    (B) ...    B: ...
    3  it says which is the answer:        The answer is B    คำตอบคือ ข้อ B    Đáp án: B
    4  it is the text of an option, or contains that of one option alone
    5  one capital letter stands by itself in it

What contradicts itself (two letters, a letter before the text of another option) and what none of
them reads is not read at all: it is counted as unparsed, and is wrong.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence

from ggez_hub.evaluation.benchmark import LETTERS

# What models of reasoning write before their answer.
THOUGHT = re.compile(r".*</think(?:ing)?>", re.DOTALL | re.IGNORECASE)
UNFINISHED = re.compile(r"<think(?:ing)?>", re.IGNORECASE)
# Capitals of other scripts that look like Latin ones, which a keyboard of those scripts gives.
ALIKE = str.maketrans("АВСЕНΑΒΕΗ", "ABCEHABEH")
DECORATION = " \t\r\n*_`\"'“”‘’«»「」『』《》<>#\\$"
CLOSING = ".,;:!?。、，．：)]}」』）】။۔।"
OPENING = "([{（【"
# How the languages of the benchmarks say that the answer follows.
ANSWER_WORDS = (
    # English; Spanish, Portuguese, French, Romanian; Norwegian, German, Dutch; Irish, Breton
    "answer", "option", "choice", "respuesta", "opción", "resposta", "opção", "réponse", "răspunsul",
    "svaret", "svar", "antwort", "antwoord", "freagra", "respont",
    # Indonesian, Javanese, Sundanese, Minangkabau; Malay; Filipino; Vietnamese
    "jawabannya", "jawaban", "jawabane", "jawabanna", "jawabanyo", "pilihan", "jawapannya",
    "jawapan", "kasagutan", "sagot", "đáp án", "câu trả lời", "chọn", "phương án",
    # Thai, Lao, Khmer, Burmese
    "คำตอบ", "ตอบ", "ข้อ", "ตัวเลือก", "ຄຳຕອບ", "ຕອບ", "ຂໍ້", "ចម្លើយ", "ជម្រើស", "အဖြေ",
    # Chinese, Japanese, Korean, Mongolian, Russian, Bulgarian
    "答案", "选项", "選項", "选", "選", "正解", "答え", "選択肢", "정답", "답", "хариулт", "ответ",
    "отговор",
    # Hindi and Marathi, Bengali, Tamil, Telugu, Sinhala, Urdu, Arabic
    "उत्तर", "विकल्प", "উত্তর", "பதில்", "விடை", "సమాధానం", "පිළිතුර", "جواب", "الإجابة", "الجواب",
    # Swahili, Igbo, Oromo, Kinyarwanda, Amharic
    "jibu", "azịza", "deebii", "deebiin", "igisubizo", "መልስ",
)  # fmt: skip
# Letters that may stand beside a word of scripts that are written without spaces.
LATIN = r"[0-9A-Za-z\u00C0-\u024F\u1E00-\u1EFF'’]"
SPACELESS = re.compile(
    r"[\u0E00-\u0EFF\u1000-\u109F\u1780-\u17FF\u3040-\u30FF\u3400-\u9FFF\uF900-\uFAFF]"
)
# Shorter texts of such scripts stand within other words.
LEAST_SPACELESS = 4


def read_choice(reply: str, options: Sequence[str]) -> int | None:
    """The number of the option that a reply names, from 0; None if it cannot be read."""
    text = (after_thought(reply) or "").translate(ALIKE).strip(DECORATION)
    if not text:
        return None
    for read in READERS:
        found = read(text, options)
        if found:
            return found.pop() if len(found) == 1 else None
    return None


def after_thought(reply: str) -> str | None:
    """What follows a model's thoughts (NFKC); None if it was cut off before it answered."""
    text = THOUGHT.sub("", unicodedata.normalize("NFKC", reply))
    return None if UNFINISHED.search(text) else text


def _letters(found: Iterable[str], options: Sequence[str]) -> set[int]:
    """The numbers of letters, of those that were shown."""
    numbers = {LETTERS.index(letter.upper()) for letter in found}
    return {number for number in numbers if number < len(options)}


def _whole(text: str, options: Sequence[str]) -> set[int]:
    bare = text.strip(DECORATION + CLOSING + OPENING)
    return _letters([bare], options) if re.fullmatch(r"[A-Za-z]", bare) else set()


HEAD = re.compile(
    rf"[{re.escape(OPENING)}]?([A-Z])(?:[\s*_]*[.):\]}}）】：。、](?!\w\.)|[*_]+|\s*[-–—\n])\s*(.*)",
    re.DOTALL,
)


def _head(text: str, options: Sequence[str]) -> set[int]:
    found = HEAD.fullmatch(text)
    if found is None:
        return set()
    numbers = _letters(found[1], options)
    # "B. Satay", where Satay is A, says nothing.
    return numbers | _text(found[2], options) if numbers else set()


_WORDS = "|".join(
    # The longest first; a Latin word is no part of another one.
    rf"(?<!{LATIN}){re.escape(word)}" if re.match(LATIN, word) else re.escape(word)
    for word in sorted(ANSWER_WORDS, key=len, reverse=True)
)
# After the word at most a few short ones, as in "answer is option (B)".
STATED = re.compile(
    rf"(?:{_WORDS})[^\n.!?。]{{0,24}}?(?<!{LATIN})([A-Z])(?!{LATIN})(?!\s+[a-z])", re.IGNORECASE
)


def _stated(text: str, options: Sequence[str]) -> set[int]:
    # Only the words are read in any case: a small "a" is an article.
    return _letters((m[1] for m in STATED.finditer(text) if m[1].isupper()), options)


def _text(text: str, options: Sequence[str]) -> set[int]:
    wanted = [plain(option) for option in options]
    said = plain(text)
    if equal := {number for number, option in enumerate(wanted) if option == said}:
        # Options with the same text are one answer.
        return {min(equal)}
    places = {number: _places(option, said) for number, option in enumerate(wanted) if option}
    found = {
        number
        for number, own in places.items()
        # Within that of another option, a text is a part of it.
        if any(
            not any(
                start <= own_start and own_end <= end and end - start > own_end - own_start
                for other in places.values()
                for start, end in other
            )
            for own_start, own_end in own
        )
    }
    same = {wanted[number]: number for number in sorted(found, reverse=True)}
    return set(same.values())


def _places(option: str, text: str) -> list[tuple[int, int]]:
    """Where a text stands within another one, as words of its own."""
    spaceless = bool(SPACELESS.search(option))
    if spaceless and len(option) < LEAST_SPACELESS:
        return []
    edge = "" if spaceless else r"(?<!\w)", "" if spaceless else r"(?!\w)"
    pattern = f"{edge[0]}{re.escape(option)}{edge[1]}"
    return [match.span() for match in re.finditer(pattern, text)]


def plain(text: str) -> str:
    """The text for comparison: one case, one space, nothing around it."""
    folded = unicodedata.normalize("NFKC", text).translate(ALIKE).casefold()
    return " ".join(folded.split()).strip(DECORATION + CLOSING + OPENING)


ALONE = re.compile(rf"(?<!{LATIN})([A-Z])(?!{LATIN})(?!\.\w)(\s+[a-zA-Z])?")


def _alone(text: str, options: Sequence[str]) -> set[int]:
    found = list(ALONE.finditer(text))
    numbers = _letters((match[1] for match in found), options)
    # "A dish" is no answer, but "A or B" names two.
    return numbers if len(numbers) > 1 or not all(match[2] for match in found) else set()


READERS: tuple[Callable[[str, Sequence[str]], set[int]], ...] = (
    _whole,
    _head,
    _stated,
    _text,
    _alone,
)
