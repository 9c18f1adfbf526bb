"""How often adapters of one repository, and of one author, were measured on the same test side.

Authors who see test scores repeatedly select by them, and the gates do not correct for that: so the
count stands with every result. Different models are counted; the same model again adds nothing.

The record is the second line of the bot's comment on an evaluation: only the bot's comments are read,
and only that line, so that nobody else can write it. It holds names and digests only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, TypeAdapter, ValidationError

from ggez_hub.automation.card_sources import location_of
from ggez_hub.cards.values import RepoId, Sha256
from ggez_hub.digests import digest_json
from ggez_hub.errors import GgezError
from ggez_hub.frozen_model import FrozenModel

if TYPE_CHECKING:
    from ggez_hub.automation.evaluation import Evaluated

FILE = "measured.json"
BEFORE, AFTER = "<!-- ggez-hub measured: ", " -->"
# Of one pull request; where more were made, the count is "at least".
MOST = 100
MAX_BYTES = 50_000


class BadSubmissions(GgezError):
    """A file or comment is not a record of measurements."""


class Submission(FrozenModel):
    """One measurement: whose adapter, on which test side, and which model that was."""

    line: RepoId
    side: Sha256
    model: Sha256

    @property
    def author(self) -> str:
        return self.line.partition("/")[0]

    def is_of(self, other: Submission) -> bool:
        """Whether both are of one line; the Hub ignores the case of names."""
        return self.line.casefold() == other.line.casefold()

    def is_by_author_of(self, other: Submission) -> bool:
        """Whether both are by one author."""
        return self.author.casefold() == other.author.casefold()


_LIST = TypeAdapter(Annotated[tuple[Submission, ...], Field(max_length=MOST)])


def submission_of(found: Evaluated) -> Submission:
    """The measurement that an evaluation was."""
    header, location = found.evidence.header, location_of(found.document.card)
    tests = {name: task.digests.get("test") for name, task in header.tasks.items()}
    return Submission(
        line=location.repo, side=digest_json(tests), model=digest_json(dict(header.models))
    )


def write_submissions(path: Path, submissions: Sequence[Submission]) -> None:
    """Write the measurements, for the step that comments."""
    path.write_bytes(_LIST.dump_json(tuple(submissions)))


def read_submissions(path: Path) -> tuple[Submission, ...]:
    """The measurements in a file, none if there is no file; raises BadSubmissions."""
    if not path.is_file():
        return ()
    if path.stat().st_size > MAX_BYTES:
        raise BadSubmissions(f"{path} is larger than {MAX_BYTES:,} bytes", "Evaluate again.")
    return _parse(path.read_bytes(), str(path))


def record(submissions: Sequence[Submission]) -> str:
    """The line of a comment that records measurements."""
    return f"{BEFORE}{_LIST.dump_json(tuple(submissions[:MOST])).decode()}{AFTER}"


def recorded(comment: str) -> tuple[Submission, ...]:
    """The measurements that a comment of the bot records."""
    line = comment.split("\n", 2)[1] if "\n" in comment else ""
    if not (line.startswith(BEFORE) and line.endswith(AFTER)):
        return ()
    return _parse(line[len(BEFORE) : -len(AFTER)].encode(), "a comment")


def joined(before: Sequence[Submission], new: Iterable[Submission]) -> tuple[Submission, ...]:
    """Both, each once, in the order in which they were measured."""
    return tuple(dict.fromkeys([*before, *new]))


def counts(new: Sequence[Submission], everything: Mapping[int, Sequence[Submission]]) -> list[str]:
    """A sentence for each of the new ones; `everything` is by pull request, the new ones included."""
    known = {submission for own in everything.values() for submission in own}
    full = any(len(own) >= MOST for own in everything.values())
    least = "at least " if full else ""
    found = []
    for one in new:
        there = [s for s in known if s.side == one.side]
        line = len({s.model for s in there if s.is_of(one)})
        author = len({s.model for s in there if s.is_by_author_of(one)})
        found.append(
            f"Measured on this test side so far, this one included: {least}{line} "
            f"version{'s' if line != 1 else ''} of `{one.line}`, {least}{author} of all adapters by "
            f"`{one.author}`. The gates do not correct for repeated measurements."
        )
    return found


def _parse(content: bytes, where: str) -> tuple[Submission, ...]:
    try:
        return _LIST.validate_json(content)
    except ValidationError as error:
        raise BadSubmissions(
            f"{where} is not a record of measurements", "Evaluate again."
        ) from error
