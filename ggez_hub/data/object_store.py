"""A filter's output as objects of S3: made in a local folder, sent when it is complete.

Stages map Arrow files into memory, ask SQLite and rename: they need a file system. So inputs, markers
and intermediate files are local; only what is finished goes through fsspec.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ggez_hub.data.pipeline import Progress, run_filter
from ggez_hub.data.plan import FilterPlan
from ggez_hub.data.report import FilterReport
from ggez_hub.data.spec import FilterSpec
from ggez_hub.errors import UsageProblem
from ggez_hub.extras import require

SCHEME = "s3://"
# It is sent last, and says by its presence that the others are there.
REPORT = "report.json"
OTHERWISE = "Give another place with -o, or remove what is there."


@dataclass(frozen=True)
class ObjectFolder:
    """`s3://BUCKET/PATH`. Credentials and endpoint are those of AWS's own variables and files."""

    url: str

    def __post_init__(self) -> None:
        bucket, _, path = self.url.removeprefix(SCHEME).strip("/").partition("/")
        if not self.url.startswith(SCHEME) or not bucket or not path.strip("/"):
            raise UsageProblem(f"{self.url} is not s3://BUCKET/PATH", "Give a path in a bucket.")

    def __str__(self) -> str:
        return self.url

    @property
    def name(self) -> str:
        return self.url.rstrip("/").rpartition("/")[2]

    def staging(self, work: Path) -> Path:
        """The local folder in `work` where it is made before it is sent."""
        return work.absolute() / f".{self.name}.upload"

    def report(self, digest: str) -> FilterReport | None:
        """The report of the filter with this digest, if its result is there.

        Raises UsageProblem if another one is, and what s3fs raises.
        """
        if REPORT not in self._found():
            return None
        report = FilterReport(json.loads(self._files.cat_file(f"{self._root}/{REPORT}")))
        if report.document.get("spec_digest") == digest:
            return report
        raise UsageProblem(f"{self} holds another result", OTHERWISE)

    def send(self, folder: Path, did: Progress) -> None:
        """Send a finished output, and remove the folder; a send that was killed is repeated.

        Raises UsageProblem if files of something else are there, and what s3fs raises.
        """
        names = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
        if others := sorted(self._found() - names):
            raise UsageProblem(f"{self} holds other files, as {others[0]}", OTHERWISE)
        for number, name in enumerate(sorted(names, key=lambda n: (n == REPORT, n)), 1):
            self._files.put_file(str(folder / name), f"{self._root}/{name}")
            did(number, len(names), "sending")
        shutil.rmtree(folder)

    def _found(self) -> set[str]:
        """The names of the objects below it."""
        self._files.ls(self._root.partition("/")[0], refresh=True)
        return {path.removeprefix(f"{self._root}/") for path in self._files.find(self._root)}

    @property
    def _root(self) -> str:
        return self.url.removeprefix(SCHEME).strip("/")

    @cached_property
    def _files(self) -> Any:
        require("scale", "s3fs")
        import s3fs

        return s3fs.S3FileSystem(use_listings_cache=False)


def filter_into(
    target: ObjectFolder,
    spec: FilterSpec,
    folder: Path,
    work: Path,
    *,
    did: Progress,
    **options: Any,
) -> FilterReport:
    """`run_filter` into `target`, by way of a folder in `work`; nothing is done if the result is there.

    `options` are those of `run_filter`; raises as it does, and as `ObjectFolder` does.
    """
    report = target.report(FilterPlan(spec, folder).digest)
    if report is None:
        staging = target.staging(work)
        report = run_filter(spec, folder, staging, did=did, **options)
        target.send(staging, did)
    return report
