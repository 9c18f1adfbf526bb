"""What a listing tells of one commit of a repo."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

from ggez_hub.embedded import cards
from ggez_hub.embedded.history import record
from ggez_hub.embedded.names import RepoType
from ggez_hub.embedded.objects import Objects
from ggez_hub.embedded.snapshot import Snapshot

CARD_FILE = "README.md"


@dataclass(frozen=True, slots=True)
class Summary:
    """The card, the tags and the file names at a commit."""

    sha: str
    last_modified: int
    tags: list[str]
    card: dict[str, Any]
    files: list[str]
    library_name: str | None = None
    pipeline_tag: str | None = None
    config: dict[str, Any] | None = None

    def dump(self) -> tuple[str, str]:
        """As JSON to be stored: all but the files, and the files, which lists rarely want."""
        fields = asdict(self)
        files = fields.pop("files")
        return json.dumps(fields), json.dumps(files)

    @classmethod
    def load(cls, content: str, files: str) -> Summary | None:
        """The reverse of `dump`; None for the `null` that stands for no commit."""
        return _load(content, files)


# Lists read the same rows again and again, and most of their time would go into parsing them.
@lru_cache(maxsize=4096)
def _load(content: str, files: str) -> Summary | None:
    fields = json.loads(content)
    return None if fields is None else Summary(**fields, files=json.loads(files))


def summarise(kind: RepoType, objects: Objects, commit: str) -> Summary:
    """The summary of a commit; a card that cannot be read counts as empty."""
    snapshot = Snapshot(objects, commit)
    files = snapshot.files()
    readme = snapshot.text(CARD_FILE) or b""
    try:
        card = cards.front_matter(readme)
    except cards.CardError:
        card = {}
    pipeline = card.get("pipeline_tag")
    return Summary(
        sha=commit,
        last_modified=record(objects.commit(commit)).date,
        tags=cards.tags(kind, card, readme, files),
        card=card,
        files=files,
        library_name=cards.library_name(card, files) if kind == "model" else None,
        pipeline_tag=pipeline if isinstance(pipeline, str) else None,
        config=_config(snapshot) if kind == "model" else None,
    )


def _config(snapshot: Snapshot) -> dict[str, Any] | None:
    """The part of a model's `config.json` that the Hub shows."""
    content = snapshot.text("config.json")
    if content is None or len(content) > cards.MAX_CARD_BYTES:
        return None
    try:
        config = json.loads(content)
    except (ValueError, RecursionError):
        return None
    if not isinstance(config, Mapping):
        return None
    return {key: config[key] for key in ("architectures", "model_type") if key in config}
