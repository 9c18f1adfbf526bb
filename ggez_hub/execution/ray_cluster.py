"""Tasks on a Ray cluster, whose machines see the same folder."""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence
from typing import Any

from ggez_hub.execution.tasks import InFlight, Task, WorkerLost

# How often Ray runs a task again whose worker or node is lost.
RETRIES = 2


class RayCluster:
    """The cluster at `address`; without one that of this machine, which is started if there is none.

    `workers` is how many tasks run at once; 0 is one for each processor of the cluster.
    """

    def __init__(self, address: str | None, workers: int) -> None:
        # Ray reports how it is used unless it is told not to.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        import ray

        self._was_up = ray.is_initialized()
        if not self._was_up:
            ray.init(address=address, log_to_driver=False, logging_level="ERROR")
        self.workers = workers or max(1, int(ray.cluster_resources().get("CPU", 1)))

    def run(self, task: Task, numbers: Sequence[int], device: str = "") -> Generator[int]:
        import ray

        left: InFlight[Any] = InFlight(numbers, self.workers)
        shared = ray.put(task)
        # A task that may use a GPU does without one where there is none.
        has_gpus = ray.cluster_resources().get("GPU", 0) >= 1
        gpus = int(device.startswith("cuda") and has_gpus)
        call = ray.remote(max_retries=RETRIES, num_gpus=gpus)(_call)
        while True:
            left.start(lambda number: call.remote(shared, number))
            if not left.running:
                break
            for reference in ray.wait(list(left.running))[0]:
                number = left.running.pop(reference)
                try:
                    ray.get(reference)
                except ray.exceptions.RayTaskError as error:
                    left.failed[number] = error.cause
                except ray.exceptions.RayError:
                    left.failed[number] = WorkerLost(number)
                else:
                    yield number
        left.raise_first()

    def close(self) -> None:
        import ray

        if not self._was_up:
            ray.shutdown()


def _call(task: Task, number: int) -> None:
    task(number)
