"""The folder of a filter that is running: what is done stays done when it is killed.

    <digest>/done/16/screening/000007       a marker of one of 16 tasks
    <digest>/screened/000007.arrow, .json   a part behind the stages that look at one example alone
    <digest>/decided/000007.npy, .json      which of its rows the rules on pictures let through
    <digest>/kept/000007.arrow, .json       what stays of it, with translations
    <digest>/finished/000007.arrow, .json   the same without translations that repeat something
    <digest>/held.sqlite, models.json       what is held out; names of the models
    <digest>/duplicates, translations/      the searches for duplicates
    <digest>/scores/000007.sqlite           what was scored
    translations/000007.sqlite              what was translated

A file has its name only when it is complete. Another spec, or other inputs, have another digest.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pyarrow as pa

from ggez_hub.atomic_files import atomic_file, write_file
from ggez_hub.data.rows import Row, write_rows
from ggez_hub.data.tally import Tally

# Tables of a part: a later one takes the place of the one before.
Stage = Literal["screened", "kept", "finished"]
STAGES: tuple[Stage, ...] = ("screened", "kept", "finished")


@dataclass(frozen=True)
class WorkFolder:
    """The folder beside the output that holds what was done so far."""

    folder: Path

    @classmethod
    def beside(cls, out: Path, digest: str) -> WorkFolder:
        """The folder of this output and digest; it is made if it is not there."""
        work = cls(container(out) / digest[:16])
        work.folder.mkdir(parents=True, exist_ok=True)
        return work

    @property
    def held_out(self) -> Path:
        return self.folder / "held.sqlite"

    @property
    def models(self) -> Path:
        return self.folder / "models.json"

    def markers(self, name: str, tasks: int) -> Path:
        """The folder for markers of tasks; another number of tasks divides the work otherwise."""
        return self.folder / "done" / str(tasks) / name

    def scores(self, part: int) -> Path:
        return self.folder / "scores" / f"{part:06d}.sqlite"

    def translations(self, part: int) -> Path:
        """The file of translations; it outlives a change of the spec, but not the output."""
        return self.folder.parent / "translations" / f"{part:06d}.sqlite"

    def table(self, stage: Stage, part: int) -> Path:
        return self.folder / stage / f"{part:06d}.arrow"

    def decided(self, part: int) -> Path:
        return self.folder / "decided" / f"{part:06d}.npy"

    def is_done(self, stage: Stage, part: int) -> bool:
        """Whether a part is that far: a table is the last file to get its name."""
        return any(self.table(later, part).exists() for later in STAGES[STAGES.index(stage) :])

    def write(
        self, stage: Stage, part: int, schema: pa.Schema, rows: Iterable[Row], tally: Tally
    ) -> None:
        """Write the table of a part in place of the one before, and the tally of its rows."""
        table = self.table(stage, part)
        with atomic_file(table, durable=False) as partial:
            write_rows(partial, schema, rows)
            write_tally(table, tally)
        for before in STAGES[: STAGES.index(stage)]:
            self.table(before, part).unlink(missing_ok=True)

    def tally(self, stage: Stage, part: int) -> Tally:
        """What was counted in a part until a stage."""
        return read_tally(self.table(stage, part))


def write_tally(beside: Path, tally: Tally) -> None:
    """Write the tally of a file as JSON beside it."""
    text = json.dumps(tally.document(), ensure_ascii=False)
    write_file(beside.with_suffix(".json"), text, durable=False)


def read_tally(beside: Path) -> Tally:
    """The tally of a file."""
    return Tally.of_document(json.loads(beside.with_suffix(".json").read_text(encoding="utf-8")))


def container(out: Path) -> Path:
    """The folder beside `out` for its work."""
    return out.with_name(f".{out.name}.work")
