"""Numbered tasks, on processes of this machine or on a cluster of Ray or Slurm.

A run is tasks 0 to n - 1. What a task writes follows from its number and its inputs alone, into a
folder that every machine sees, so that it does not matter where a task runs, or how often. A task that
is done leaves a marker there: what was killed goes on where it was. Nothing here knows what tasks do.
"""

from ggez_hub.execution.engine import THIS_PROCESS, Engine, SharedFolder
from ggez_hub.execution.tasks import EngineFailed, Executor, Task, WorkerLost, run_tasks

__all__ = [
    "THIS_PROCESS",
    "Engine",
    "EngineFailed",
    "Executor",
    "SharedFolder",
    "Task",
    "WorkerLost",
    "run_tasks",
]
