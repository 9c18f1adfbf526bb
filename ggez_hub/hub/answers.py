"""What hubs answered about repositories, kept in the user's cache for work without a network.

The files of repositories are in the cache of huggingface_hub; which files a repository has, and which
commit a branch names, is not. What is read here is checked like any other answer.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ggez_hub.atomic_files import write_file
from ggez_hub.errors import GgezError

# Answers of all hubs; each is some kilobytes.
MOST_KEPT = 2_000


class NotInCache(GgezError):
    """Work without a network needs something that was never fetched."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"offline: {what} is not in the cache",
            "Run it once with a network, without --offline and HF_HUB_OFFLINE: what is fetched then "
            "serves offline. Without one work `--hub embedded` and `search --index shipped`.",
        )


@dataclass(frozen=True)
class Answers:
    """The last answer to each question that was put to the hub at `endpoint`."""

    endpoint: str

    def keep(self, question: Sequence[str], answer: Any) -> None:
        """Keep an answer; a cache that cannot be written is not a failure."""
        text = json.dumps({"question": question, "answer": answer}, default=str)
        place = self._place(question)
        with suppress(OSError):
            if not place.exists() or place.read_text(encoding="utf-8") != text:
                write_file(place, text, durable=False)
                _forget_oldest(place.parent)

    def recall(self, question: Sequence[str], what: str) -> Any:
        """The last answer; raises NotInCache, which names `what`, if there is none."""
        try:
            kept = json.loads(self._place(question).read_bytes())
            if kept["question"] == list(question):
                return kept["answer"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            pass
        raise NotInCache(what)

    def _place(self, question: Sequence[str]) -> Path:
        import platformdirs

        name = hashlib.sha256(json.dumps([self.endpoint, *question]).encode()).hexdigest()[:32]
        return platformdirs.user_cache_path("ggez-hub") / "answers" / f"{name}.json"


def _forget_oldest(folder: Path) -> None:
    """Remove the older half of the answers where there are more than MOST_KEPT."""
    kept = list(folder.glob("*.json"))
    if len(kept) > MOST_KEPT:
        for path in sorted(kept, key=lambda path: path.stat().st_mtime)[: len(kept) // 2]:
            path.unlink(missing_ok=True)
