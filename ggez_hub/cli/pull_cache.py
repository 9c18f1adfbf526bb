"""The same pull again: said from its note, with one request, if nothing has changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ggez_hub.cli.output import Output
from ggez_hub.hub import Hub
from ggez_hub.registry.constants import INDEX_FILE, INDEX_REPO
from ggez_hub.registry.pull.cache import PullAnswer, PullKey, record_answer, recorded_answer
from ggez_hub.registry.request import Request

# What `pull` says of its folder when it made it, and when it found it.
WRITTEN = "written"
THERE = "is there already, with the same merge digest"


def say_again(request: Request, hub: Hub, target: Path, out: Output) -> bool:
    """Answer from the note of the last pull; False if it does not hold any more."""
    answer = recorded_answer(target, _question(request, hub, target))
    if answer is None or not _can_say(answer, out):
        return False
    # Whatever the registry says of an adapter changes the commit of its index.
    if hub.newest_commit(INDEX_REPO, INDEX_FILE, "dataset") != answer.index:
        return False
    out.line(answer.text or "")
    out.document(answer.document)
    return True


def remember(
    request: Request, hub: Hub, target: Path, index: str, out: Output, document: dict[str, Any]
) -> None:
    """Note what was said of a pull, as it would be said of the folder that is there now."""
    question = _question(request, hub, target)
    if request.live or request.base is not None:
        return  # decided by more than the index
    text = "\n".join(out.said).replace(f" {WRITTEN};", f" {THERE};") if out.for_people else None
    before = recorded_answer(target, question)
    if text is None and before is not None and before.index == index:
        text = before.text
    record_answer(target, question, PullAnswer(index, text, document | {"reused": True}))


def _can_say(answer: PullAnswer, out: Output) -> bool:
    return answer.text is not None or not out.for_people


def _question(request: Request, hub: Hub, target: Path) -> PullKey:
    from ggez_hub.regions import alpha, find_region

    factor = alpha(find_region(request.region)).value if request.alpha is None else request.alpha
    return PullKey(request, hub.endpoint, str(target), factor)
