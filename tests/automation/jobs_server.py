"""HF Jobs as huggingface_hub 2.4 speaks to it; a job is run here, as a process with its own home.

The routes are those of `HfApi.run_job`, `inspect_job`, `list_jobs`, `list_jobs_hardware`, `cancel_job`
and `fetch_job_logs`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from threading import Thread

from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Mount, Route

import ggez_hub

PROJECT = Path(ggez_hub.__file__).parents[1]
MACHINE = {
    "name": "t4-small", "prettyName": "T4", "cpu": "4", "ram": "15 GB",
    "unitCostMicroUSD": 10_000, "unitCostUSD": 0.01, "unitLabel": "minute",
}  # fmt: skip
# A container has pip and a network; here everything is installed.
PYTHON = f'#!/bin/sh\ntest "$2" = pip || exec {sys.executable} "$@"\n'


@dataclass
class FakeJobs:
    """`started` are the specifications that were sent, `jobs` what is said of them."""

    folder: Path
    token: str | None = None
    env: dict[str, str] = field(default_factory=dict)
    started: list[dict] = field(default_factory=list)
    jobs: list[dict] = field(default_factory=list)
    logs: dict[str, list[str]] = field(default_factory=dict)
    numbers: count = field(default_factory=count)

    def around(self, app):
        """The hub's application with these routes before its own."""
        return Starlette(routes=[*self.routes(), Mount("/", app)])

    def routes(self):
        at = "/api/jobs/{namespace}"
        return [
            Route("/api/jobs/hardware", lambda request: JSONResponse([MACHINE])),
            Route(at, self.namespace, methods=["GET", "POST"]),
            Route(f"{at}/{{id}}", self.inspect),
            Route(f"{at}/{{id}}/cancel", self.cancel, methods=["POST"]),
            Route(f"{at}/{{id}}/logs", self.read_logs),
        ]

    async def namespace(self, request):
        if self.token and request.headers.get("authorization") != f"Bearer {self.token}":
            return JSONResponse({"error": "Unauthorized"}, status_code=401)
        if request.method == "GET":
            wanted = {tuple(label.split("=", 1)) for label in request.query_params.getlist("label")}
            return JSONResponse([j for j in self.jobs if wanted <= set(j["labels"].items())])
        spec = await request.json()
        job = self.add(spec["labels"], spec["flavor"], "RUNNING")
        self.started.append(spec)
        Thread(target=self._run, args=(job, spec), daemon=True).start()
        return JSONResponse(job)

    def add(self, labels, flavor="t4-small", stage="RUNNING", created="2026-11-25T00:00:00.000Z"):
        """A job that is said to be there."""
        job = {
            "id": f"job{next(self.numbers)}", "createdAt": created, "flavor": flavor,
            "labels": labels, "status": {"stage": stage, "message": None},
            "owner": {"id": "1", "name": "ggez-hub", "type": "org"},
            "durations": {"scheduling_secs": 1, "running_secs": 60, "total_secs": 61},
        }  # fmt: skip
        self.jobs.append(job)
        return job

    def _run(self, job, spec):
        home = self.folder / job["id"]
        (home / "bin").mkdir(parents=True)
        (home / "bin" / "python").write_text(PYTHON)
        (home / "bin" / "python").chmod(0o755)
        done = subprocess.run(
            spec["command"], cwd=home, capture_output=True, text=True, check=False,
            env={
                "PATH": f"{home / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}",
                "HOME": str(home),
                "PYTHONPATH": str(PROJECT),
                **self.env,
                **spec["environment"],
                **spec.get("secrets", {}),
            },
        )  # fmt: skip
        self.logs[job["id"]] = (done.stdout + done.stderr).splitlines()
        stage = "ERROR" if done.returncode else "COMPLETED"
        job["status"] = {"stage": stage, "message": f"exit code {done.returncode}"}

    def _job(self, request):
        return next(j for j in self.jobs if j["id"] == request.path_params["id"])

    def inspect(self, request):
        return JSONResponse(self._job(request))

    def cancel(self, request):
        self._job(request)["status"] = {"stage": "CANCELED", "message": None}
        return JSONResponse({})

    def read_logs(self, request):
        lines = self.logs.get(request.path_params["id"], [])
        events = [
            "data: " + json.dumps({"timestamp": "2026-11-25T00:00:00.000Z", "data": line})
            for line in lines
        ]
        return PlainTextResponse("\n\n".join(events) + "\n\n", media_type="text/event-stream")
