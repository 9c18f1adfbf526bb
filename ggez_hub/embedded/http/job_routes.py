"""Starting, listing, reading and stopping jobs, where the hub offers them."""

from __future__ import annotations

import asyncio
import datetime
import json
import os
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from ggez_hub.embedded.access_control import Principal, require_write
from ggez_hub.embedded.errors import HubError, PermissionDeniedError
from ggez_hub.embedded.http import access
from ggez_hub.embedded.http.body import Body, takes
from ggez_hub.embedded.jobs import SECONDS, Job, JobOrder, JobRunner

# Seconds between two looks at a log, and between two signs of life to who reads it.
LOOK, KEEP_ALIVE = 0.2, 15.0


class _Spec(Body):
    docker_image: str = Field(alias="dockerImage", min_length=1)
    command: list[str] = Field(min_length=1)
    arguments: list[str] = Field(default_factory=list)
    environment: dict[str, str] = Field(default_factory=dict)
    secrets: dict[str, str] = Field(default_factory=dict)
    flavor: str = "cpu-basic"
    labels: dict[str, str] = Field(default_factory=dict)
    timeout_seconds: int | None = Field(None, alias="timeoutSeconds", ge=1, lt=1 << 31)
    # What these ask for is refused: a job that went without it would do something else.
    volumes: list[Any] = Field(default_factory=list, max_length=0)
    expose: dict[str, Any] = Field(default_factory=dict, max_length=0)
    ssh: dict[str, Any] = Field(default_factory=dict, max_length=0)
    network: dict[str, Any] = Field(default_factory=dict, max_length=0)


def _runner(request: Request) -> JobRunner:
    found: JobRunner | None = request.app.state.jobs
    if found is None:
        raise HubError("This hub does not offer jobs", 501)
    return found


def _starter(request: Request) -> Principal:
    _runner(request)
    principal = access.known_caller(request)
    require_write(principal, request.path_params["namespace"])
    return principal


def _seen(request: Request) -> tuple[JobRunner, str]:
    """The jobs, and the namespace whose the caller may see."""
    runner, principal = _runner(request), access.known_caller(request)
    namespace = request.path_params["namespace"]
    if not principal.belongs_to(namespace):
        raise PermissionDeniedError(f"You may not see the jobs of {namespace!r}")
    return runner, namespace


def _job(request: Request) -> Job:
    runner, namespace = _seen(request)
    return runner.find(namespace, request.path_params["id"])


@takes(_Spec, _starter)
def run(request: Request, principal: Principal, spec: _Spec) -> Response:
    """POST /api/jobs/{namespace}: start a job."""
    namespace = request.path_params["namespace"]
    order = JobOrder(
        owner=namespace,
        is_org=namespace.lower() != principal.name.lower(),
        by=principal.name,
        image=spec.docker_image,
        command=(*spec.command, *spec.arguments),
        machine=spec.flavor,
        environment=spec.environment,
        secrets=spec.secrets,
        labels=spec.labels,
        seconds=spec.timeout_seconds or SECONDS,
    )
    return JSONResponse(document(_runner(request).start(order, str(request.base_url).rstrip("/"))))


def list_jobs(request: Request) -> Response:
    """GET /api/jobs/{namespace}: its jobs, newest first; of some labels and stages."""
    runner, namespace = _seen(request)
    labels = {tuple(each.partition("=")[::2]) for each in request.query_params.getlist("label")}
    stages = set(request.query_params.getlist("stage"))
    labelled = [j for j in runner.jobs(namespace) if labels <= set(j.order.labels.items())]
    found = [
        shown
        for shown in map(document, labelled)
        if not stages or shown["status"]["stage"] in stages
    ]
    return JSONResponse(found)


def inspect(request: Request) -> Response:
    """GET /api/jobs/{namespace}/{id}."""
    return JSONResponse(document(_job(request)))


def cancel(request: Request) -> Response:
    """POST /api/jobs/{namespace}/{id}/cancel."""
    _starter(request)
    job = _job(request)
    _runner(request).cancel(job)
    return JSONResponse(document(job))


def read_log(request: Request) -> Response:
    """GET /api/jobs/{namespace}/{id}/logs: its lines as events, until it has ended."""
    job = _job(request)
    tail = request.query_params.get("tail", "")
    first = max(0, len(job.log) - int(tail)) if tail.isdecimal() and len(tail) < 10 else 0
    return StreamingResponse(_events(job, first), media_type="text/event-stream")


async def _events(job: Job, sent: int) -> AsyncIterator[str]:
    silent = 0.0
    while True:
        # Asked before the log, which is complete then.
        ended = job.state.is_finished
        lines = job.log[sent:]
        sent += len(lines)
        for came, line in lines:
            yield f"data: {json.dumps({'timestamp': _time(came), 'data': line})}\n\n"
        if ended:
            return
        silent = 0.0 if lines else silent + LOOK
        if silent >= KEEP_ALIVE:
            silent = 0.0
            yield ": keep-alive\n\n"
        await asyncio.sleep(LOOK)


def hardware(request: Request) -> Response:
    """GET /api/jobs/hardware: the machines, which are all this one."""
    machines = [
        {
            "name": machine.name,
            "prettyName": "This machine",
            "cpu": f"{os.cpu_count()} vCPU",
            "ram": "shared",
            "accelerator": None,
            "unitCostMicroUSD": round(1_000_000 * machine.usd_a_minute),
            "unitCostUSD": machine.usd_a_minute,
            "unitLabel": "minute",
        }
        for machine in _runner(request).machines
    ]
    return JSONResponse(machines)


def document(job: Job) -> Mapping[str, Any]:
    """A job in the words of the Hub; of its secrets the names alone."""
    order, state = job.order, job.state
    end, started = state.finished or datetime.datetime.now(datetime.UTC), state.started
    return {
        "type": "job",
        "id": job.id,
        "createdAt": _time(job.created),
        "startedAt": None if started is None else _time(started),
        "finishedAt": None if state.finished is None else _time(state.finished),
        "dockerImage": order.image,
        "command": list(order.command),
        "arguments": [],
        "environment": dict(order.environment),
        "secrets": sorted(order.secrets),
        "flavor": order.machine,
        "labels": dict(order.labels),
        "timeoutSeconds": order.seconds,
        "status": {"stage": state.stage, "message": state.message, "failureCount": 0},
        "durations": {
            "schedulingSecs": int(((started or end) - job.created).total_seconds()),
            "runningSecs": None if started is None else int((end - started).total_seconds()),
            "totalSecs": int((end - job.created).total_seconds()),
        },
        "owner": {
            "id": order.owner,
            "name": order.owner,
            "type": "org" if order.is_org else "user",
        },
        "initiator": {"type": "user", "id": order.by, "name": order.by},
    }


def _time(moment: datetime.datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


_AT: Final = "/api/jobs/{namespace:hub_segment}"
routes: Final = [
    Route("/api/jobs/hardware", hardware, methods=["GET"]),
    Route(_AT, run, methods=["POST"]),
    Route(_AT, list_jobs, methods=["GET"]),
    Route(f"{_AT}/{{id:hub_segment}}", inspect, methods=["GET"]),
    Route(f"{_AT}/{{id:hub_segment}}/cancel", cancel, methods=["POST"]),
    Route(f"{_AT}/{{id:hub_segment}}/logs", read_log, methods=["GET"]),
]
