"""The text of a reply as it is read: after the model's thoughts, of bounded length, in one form."""

from __future__ import annotations

import re
import unicodedata

# What models of reasoning write before their answer.
THOUGHT_END = re.compile(r"</think(?:ing)?>", re.IGNORECASE)
THOUGHT = re.compile(r"<think(?:ing)?>", re.IGNORECASE)
# Of longer replies the beginning and the end are read.
FIRST, LAST = 1_000, 3_000
# Capitals of other scripts that look like Latin ones, which a keyboard of those scripts gives.
ALIKE = str.maketrans("АВСЕНΑΒΕΗ", "ABCEHABEH")
ALONE = re.compile(r"(?<!\w)[АВСЕНΑΒΕΗ](?!\w)")
CIRCLED = {number: f"({number - 0x245F})" for number in range(0x2460, 0x2474)}
QUOTES = str.maketrans(
    {
        **dict.fromkeys('"“”„«»「」『』《》*`$', ""),
        **dict.fromkeys("‘’ʼ", "'"),
        **dict.fromkeys("\u200b\u200d\ufe0f", ""),
    }
)
MARKUP = re.compile(
    r"</?(?:[a-z]\w{1,11}|[bi])>|\\(?:text|mathrm|mathbf|textbf)\b|[{}\\]|^[#>]+|(?<!\w)'|'(?!\w)|(?<!\w)_{1,2}|_{1,2}(?!\w)",
    re.MULTILINE,
)
AROUND = " \t\r\n*_`\"'“”‘’«»「」『』《》<>#\\$.,;:!?。、，．：()[]{}（）【】။۔।"


def after_thought(reply: str) -> str | None:
    """What follows a model's thoughts; None if it was cut off before it answered."""
    end = 0
    for end_of_thought in THOUGHT_END.finditer(reply):
        end = end_of_thought.end()
    text = reply[end:]
    return None if THOUGHT.search(text) else text


def bounded(text: str) -> str:
    """A text, without its middle if it is long."""
    return text if len(text) <= FIRST + LAST else f"{text[:FIRST]}\n{text[-LAST:]}"


def readable(text: str) -> str:
    """A bounded text in one form: NFKC, straight quotes, single spaces, without markup."""
    shown = bounded(unicodedata.normalize("NFKC", bounded(text).translate(CIRCLED)))
    shown = ALONE.sub(lambda letter: letter[0].translate(ALIKE), shown)
    shown = MARKUP.sub(" ", shown.translate(QUOTES))
    return "\n".join(line for line in (" ".join(own.split()) for own in shown.splitlines()) if line)


def plain(text: str) -> str:
    """A text for comparison: one case, single spaces, nothing around it."""
    folded = unicodedata.normalize("NFKC", text).translate(ALIKE).casefold()
    return " ".join(folded.split()).strip(AROUND)
