"""The folder of a filter that is running: what is done stays done when it is killed.

    <digest>/screened/000007.arrow, .json   a part behind the stages that need no order
    <digest>/kept/000007.arrow, .json       what stays of it
    <digest>/held.sqlite, seen.sqlite       what is held out, and what was seen
    <digest>/scores.sqlite                  what was scored
    translations.sqlite                     what was translated

A file has its name only when it is complete. Another spec, or other inputs, have another digest.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pyarrow as pa

from ggez_hub.atomic_files import atomic_file, write_file
from ggez_hub.data.rows import Row, write_rows
from ggez_hub.data.tally import Tally

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

    def index(self, name: Literal["held", "seen", "scores"]) -> Path:
        return self.folder / f"{name}.sqlite"

    @property
    def translations(self) -> Path:
        """The file of translations; it outlives a change of the spec, but not the output."""
        return self.folder.parent / "translations.sqlite"

    def table(self, stage: Stage, part: int) -> Path:
        return self.folder / stage / f"{part:06d}.arrow"

    def is_done(self, stage: Stage, part: int) -> bool:
        """Whether a part is complete: its table is the last to get its name."""
        return self.table(stage, part).exists()

    def write(
        self, stage: Stage, part: int, schema: pa.Schema, rows: Iterable[Row], tally: Tally
    ) -> None:
        """Write the table of a part, and the tally that its rows are counted in."""
        table = self.table(stage, part)
        with atomic_file(table, durable=False) as partial:
            write_rows(partial, schema, rows)
            text = json.dumps(tally.document(), ensure_ascii=False)
            write_file(table.with_suffix(".json"), text, durable=False)

    def keep_all(self, part: int) -> None:
        screened, kept = (self.table(stage, part) for stage in ("screened", "kept"))
        # A copy: killed between the two, the screened part is still complete.
        shutil.copyfile(screened.with_suffix(".json"), kept.with_suffix(".json"))
        screened.replace(kept)

    def tally(self, stage: Stage, part: int) -> Tally:
        text = self.table(stage, part).with_suffix(".json").read_text(encoding="utf-8")
        return Tally.of_document(json.loads(text))


def container(out: Path) -> Path:
    """The folder beside `out` for its work."""
    return out.with_name(f".{out.name}.work")
