"""The answer of the last pull into a folder, printed again with one request if nothing has changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ggez_hub.cli.output import Output
from ggez_hub.hub import Hub
from ggez_hub.output_lock import remove_leftovers
from ggez_hub.regions import alpha, find_region
from ggez_hub.registry.constants import INDEX_FILE, INDEX_REPO, policy_file
from ggez_hub.registry.pull.cache import PullAnswer, PullKey, record_answer, recorded_answer
from ggez_hub.registry.request import Request
from ggez_hub.registry.trust.memory import seen_index

# What `pull` prints of its folder when it made it, and when it found it.
WRITTEN = "written"
THERE = "is there already, with the same merge digest"


def answer_from_cache(request: Request, hub: Hub, target: Path, out: Output) -> bool:
    """Print the answer of the last pull; False if it may be another by now."""
    answer = recorded_answer(target, _key(request, hub, target))
    if answer is None or (answer.text is None and out.for_people):
        return False
    # Any change of a card changes the commit of the index.
    if hub.newest_commit(INDEX_REPO, INDEX_FILE, "dataset") != answer.index:
        return False
    # A hub may have been taken back to it, or left alone for too long.
    newest = seen_index(hub)
    if newest is not None and (newest.revision != answer.index or newest.is_expired):
        return False
    # The folder is complete; the run that was to clear up after it may have been killed.
    remove_leftovers()
    out.line(answer.text or "")
    out.document(answer.document)
    return True


def remember(
    request: Request, hub: Hub, target: Path, index: str, out: Output, document: dict[str, Any]
) -> None:
    """Keep what was printed of a pull, as it would be printed of the folder that is there now."""
    key = _key(request, hub, target)
    if request.live or request.base is not None:
        return  # decided by more than the index
    text = "\n".join(out.said).replace(f" {WRITTEN};", f" {THERE};") if out.for_people else None
    before = recorded_answer(target, key)
    if text is None and before is not None and before.index == index:
        text = before.text
    record_answer(target, key, PullAnswer(index, text, document | {"reused": True}))


def _key(request: Request, hub: Hub, target: Path) -> PullKey:
    factor = alpha(find_region(request.region)).value if request.alpha is None else request.alpha
    trust = f"{hub.signatures}, {hub.allow_stale}"
    if policy_file().is_file():
        trust += f", {policy_file().read_text(encoding='utf-8')}"
    return PullKey(request, hub.endpoint, str(target), factor, trust)
