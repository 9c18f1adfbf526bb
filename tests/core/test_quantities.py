"""Messages count as people do."""

import ast
import re
from pathlib import Path

from ggez_hub import quantities
from ggez_hub.quantities import counted


def test_one_and_many():
    assert counted(1, "card") == "1 card"
    assert counted(0, "card") == "0 cards"
    assert counted(2000, "entry", "entries") == "2,000 entries"
    assert counted(1, "card is", "cards are") == "1 card is"


def test_nothing_is_counted_by_len_in_a_message_without_it():
    """`{len(found)} cards` prints "1 cards"."""
    things = re.compile(
        r" (cards|keys|files|tensors|modules|examples|errors|problems|rows|pictures|adapters)\b"
    )
    found = [
        f"{path}:{text.lineno}"
        for path in sorted(Path(quantities.__file__).parent.rglob("*.py"))
        for text in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(text, ast.JoinedStr)
        for value, after in zip(text.values, text.values[1:], strict=False)
        if isinstance(value, ast.FormattedValue)
        and isinstance(value.value, ast.Call)
        and getattr(value.value.func, "id", "") == "len"
        and isinstance(after, ast.Constant)
        and things.match(str(after.value))
    ]
    assert found == []
