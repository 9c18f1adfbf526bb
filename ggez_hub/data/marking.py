"""What is noted of an example so that it can be compared with others: as much as the spec needs."""

from __future__ import annotations

from typing import Any

from ggez_hub.data.signatures import digest, minhash
from ggez_hub.data.spec import Duplicates


def marks(rule: Duplicates, sha256: bytes | None, phash: int | None, text: str) -> dict[str, Any]:
    """`key`, `phash` and `minhash` of a picture's bytes (None without one) and a text.

    See ggez_hub.data.duplicates.Item. The text is compared where it decides, and where there is no
    picture to compare; texts that have to be equal are found by their digest.
    """
    by = rule.by
    equal = by == "text" and rule.similarity == 1.0
    wanted = not equal and (by != "picture" or phash is None)
    return {
        "key": digest(None if by == "text" else sha256, "" if by == "picture" and sha256 else text),
        "phash": phash,
        "minhash": minhash(text) if wanted else None,
    }
