"""The folder of a filter that is running: what is done stays done when it is killed.

    <digest>/screened/000007.arrow, .json   a part behind the stages that need no order
    <digest>/kept/000007.arrow, .json       what stays of it
    translations.sqlite                     what was translated
    <digest>/held.sqlite, seen.sqlite       what is held out, and what was seen
    <digest>/scores.sqlite                  what was scored

A file has its name only when it is whole. Another spec, or other inputs, have another digest.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ggez_hub.atomic_files import write_file
from ggez_hub.data.scorers.base import Scored, Scorer
from ggez_hub.data.tally import Tally
from ggez_hub.output_lock import lock_work_folder

Stage = Literal["screened", "kept"]


@dataclass(frozen=True)
class WorkFolder:
    """The folder beside the output that holds what was done so far."""

    folder: Path

    @classmethod
    def beside(cls, out: Path, digest: str) -> WorkFolder:
        """The folder of this output and digest; it is made if it is not there."""
        work = cls(container(out) / digest[:16])
        for stage in ("screened", "kept"):
            (work.folder / stage).mkdir(parents=True, exist_ok=True)
        return work

    def index(self, name: Literal["held", "seen"]) -> Path:
        """The file of what is held out, or of what was seen."""
        return self.folder / f"{name}.sqlite"

    @property
    def scores(self) -> Path:
        """The file of scores."""
        return self.folder / "scores.sqlite"

    @property
    def translations(self) -> Path:
        """The file of translations; it outlives a change of the spec, but not the output."""
        return self.folder.parent / "translations.sqlite"

    def table(self, stage: Stage, part: int) -> Path:
        """The Arrow file of a part."""
        return self.folder / stage / f"{part:06d}.arrow"

    def done(self, stage: Stage, part: int) -> bool:
        """Whether a part is whole: its table is the last to get its name."""
        return self.table(stage, part).exists()

    def partial(self, stage: Stage, part: int) -> Path:
        """A name of this process for a table that is being written."""
        return self.table(stage, part).with_suffix(f".{os.getpid()}.partial")

    def finish(self, stage: Stage, part: int, tally: Tally) -> None:
        """Give the partial table of a part its name, after its tally."""
        text = json.dumps(tally.document(), ensure_ascii=False)
        write_file(self.table(stage, part).with_suffix(".json"), text, durable=False)
        self.partial(stage, part).replace(self.table(stage, part))

    def keep_all(self, part: int) -> None:
        """Make the screened table of a part its kept one."""
        screened, kept = (self.table(stage, part) for stage in ("screened", "kept"))
        # A copy: killed between the two, the screened part is still whole.
        shutil.copyfile(screened.with_suffix(".json"), kept.with_suffix(".json"))
        screened.replace(kept)

    def tally(self, stage: Stage, part: int) -> Tally:
        """The tally of a part that is done."""
        text = self.table(stage, part).with_suffix(".json").read_text(encoding="utf-8")
        return Tally.of_document(json.loads(text))

    def drop(self, stage: Stage, part: int) -> None:
        """Free the disk of a table that is not needed any more; its tally stays."""
        self.table(stage, part).unlink(missing_ok=True)


def container(out: Path) -> Path:
    """The folder beside `out` in which its work lies."""
    return out.with_name(f".{out.name}.partial")


def alone(out: Path) -> AbstractContextManager[None]:
    """Hold `out` for this process until it ends, however it ends; raises OutputInUse."""
    return lock_work_folder(container(out), out)


def clear(out: Path) -> None:
    """Remove all work beside `out`."""
    shutil.rmtree(container(out), ignore_errors=True)


class Scores:
    """The scores of each chunk of each part.

    A chunk, not a row: a model may score a row otherwise in another batch, and the chunks of a part
    are the same whenever it is judged.
    """

    def __init__(self, path: Path) -> None:
        self._base = sqlite3.connect(path)
        self._base.execute(
            "CREATE TABLE IF NOT EXISTS scores (part INTEGER, chunk INTEGER, scores TEXT,"
            " PRIMARY KEY (part, chunk)) WITHOUT ROWID"
        )

    def through(
        self, scorer: Scorer, part: int, chunk: int, rows: Sequence[Scored]
    ) -> list[float | None]:
        """The scores of a chunk's rows; the scorer is asked if they are not there."""
        found = self._base.execute(
            "SELECT scores FROM scores WHERE part = ? AND chunk = ?", (part, chunk)
        ).fetchone()
        if found is not None:
            known: list[float | None] = json.loads(found[0])
            return known
        scores = scorer.score(rows)
        self._base.execute("INSERT INTO scores VALUES (?, ?, ?)", (part, chunk, json.dumps(scores)))
        self._base.commit()
        return scores

    def close(self) -> None:
        """Close the file."""
        self._base.close()
