"""Where tasks run, as `--on` writes it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Self

from ggez_hub.execution.processes import Processes, ThisProcess
from ggez_hub.execution.ray_cluster import RayCluster
from ggez_hub.execution.slurm import Slurm
from ggez_hub.execution.tasks import Executor

FORMS = "local:N, ray, ray://HOST:PORT, slurm, slurm:PARTITION or jobs:MACHINE"


# Where huggingface_hub and git keep their own things, which no data set takes.
LEFT_OUT = frozenset({".cache", ".git"})


@dataclass(frozen=True)
class SharedFolder:
    """A folder of tasks, or these parts of it alone: files, and folders with all that is below them."""

    folder: Path
    parts: tuple[str, ...] = ("",)

    @classmethod
    def holding(cls, place: Path) -> Self:
        """A folder or a file by its name, and nothing else of where it is."""
        return cls(place.parent, (place.name,))

    def has(self, path: str) -> bool:
        """Whether a path below the folder is in one of its parts."""
        return any(not part or f"{path}/".startswith(f"{part}/") for part in self.parts)

    def files(self) -> Iterator[Path]:
        """The files that are there now."""
        for top in map(self.folder.joinpath, self.parts):
            if top.is_file():
                yield top
            for place, folders, names in os.walk(top, followlinks=True):
                folders[:] = sorted({*folders} - LEFT_OUT)
                yield from (Path(place, name) for name in sorted(names))


@dataclass(frozen=True)
class Engine:
    """Processes of this machine, or a cluster of Ray or Slurm.

    `workers` is how many tasks run at once; 0 is as many as a cluster has room for. `address` is
    that of Ray's client server, None the cluster of this machine; of Slurm the partition, None the default;
    of jobs the kind of machine: `open_jobs` opens what runs them, given what tasks share and only read.
    """

    kind: Literal["local", "ray", "slurm", "jobs"] = "local"
    workers: int = 1
    address: str | None = None
    open_jobs: Callable[[Sequence[SharedFolder], Sequence[Path]], Executor] | None = field(
        default=None, compare=False
    )

    @classmethod
    def parse(cls, written: str, workers: int | None = None) -> Self:
        """An engine as FORMS; `workers` is the number that it does not say. Raises ValueError."""
        kind, _, rest = written.partition(":")
        if kind == "local":
            if rest and (not rest.isdecimal() or int(rest) < 1):
                raise ValueError(f"{written!r} is not local:N with a number of processes")
            return cls("local", int(rest or workers or 1))
        if written == "ray" or (kind == "ray" and len(rest) > 2 and rest.startswith("//")):
            return cls("ray", workers or 0, written if rest else None)
        if written == "slurm" or (kind == "slurm" and re.fullmatch(r"[\w.,-]+", rest)):
            return cls("slurm", workers or 0, rest or None)
        if kind == "jobs" and re.fullmatch(r"[\w-]+", rest):
            return cls("jobs", workers or 1, rest)
        raise ValueError(f"{written!r} is not an engine: {FORMS}")

    @contextmanager
    def open(
        self, shared: Sequence[SharedFolder] = (), inputs: Sequence[Path] = ()
    ) -> Iterator[Executor]:
        """The engine, ready for any number of runs.

        `shared` is what tasks read and write; `inputs` are folders and files that they only read.
        """
        executor: Executor
        if self.kind == "ray":
            executor = RayCluster(self.address, self.workers)
        elif self.open_jobs is not None:
            executor = self.open_jobs(shared, inputs)
        elif self.kind == "slurm":
            executor = Slurm(self.address or "", self.workers)
        else:
            executor = ThisProcess() if self.workers == 1 else Processes(self.workers)
        try:
            yield executor
        finally:
            executor.close()


THIS_PROCESS = Engine()
