"""The secrets that workflows name, what each is for, and the least rights of its token."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ggez_hub.safe_yaml import load_mapping
from ggez_hub.text_files import read_text

FOLDER = Path(".github") / "workflows"
MAX_BYTES = 1_000_000
NAMED = re.compile(r"\bsecrets\.([A-Z_][A-Z0-9_]*)")


@dataclass(frozen=True)
class TokenPurpose:
    """What a secret is for.

    environment  of GitHub that holds it; empty for the repository
    use          what is done with it
    without      what does not work without it; empty where the registry does not work
    permissions  of a fine-grained token of the Hub, on `owner`, as whoami lists them
    gated        whether the token reads gated repositories
    """

    environment: str
    use: str
    without: str = ""
    permissions: frozenset[str] = frozenset()
    gated: bool = False
    on_hub: bool = True


PURPOSES: Mapping[str, TokenPurpose] = {
    "HF_TOKEN": TokenPurpose(
        "hub",
        "makes repositories of the organisation, and writes those without a Trusted Publisher",
        permissions=frozenset({"repo.write"}),
    ),
    "HF_READ_TOKEN": TokenPurpose(
        "", "reads gated bases on a runner", "adapters of gated bases are not measured", gated=True
    ),
    "HF_JOBS_TOKEN": TokenPurpose(
        "jobs",
        "reads prices and jobs, starts jobs",
        "what is too large for a runner is not measured",
        frozenset({"job.write"}),
    ),
    "HF_RESULTS_TOKEN": TokenPurpose(
        "jobs",
        "given to the job: reads gated bases, writes the data set of results",
        "what is too large for a runner is not measured",
        frozenset({"repo.write"}),
        gated=True,
    ),
    "PULLS_TOKEN": TokenPurpose(
        "",
        "opens pull requests for which workflows start by themselves",
        "a person presses `Approve workflows to run` for each pull request of the registry's own",
        on_hub=False,
    ),
}


@dataclass(frozen=True)
class NamedSecret:
    """A secret that jobs name; all of them run in `environment`, empty for none."""

    name: str
    environment: str
    jobs: tuple[str, ...]


def workflows(repository: Path) -> dict[str, dict[str, Any] | None]:
    """The workflows of a checkout by file name; None for one that is not YAML."""
    found: dict[str, dict[str, Any] | None] = {}
    for path in sorted((repository / FOLDER).glob("*.y*ml")):
        try:
            found[path.name] = load_mapping(read_text(path, MAX_BYTES))
        except (ValueError, OSError):
            found[path.name] = None
    return found


def named_secrets(loaded: Mapping[str, dict[str, Any] | None]) -> tuple[NamedSecret, ...]:
    """The secrets that jobs name, each with the environment in which it is looked for."""
    found: dict[tuple[str, str], list[str]] = {}
    for file, job_name, job in _jobs(loaded):
        for name in sorted(set(NAMED.findall(json.dumps(job)))):
            if name != "GITHUB_TOKEN":
                place = (name, environment_of(job))
                found.setdefault(place, []).append(f"{file}: {job_name}")
    return tuple(NamedSecret(*place, tuple(jobs)) for place, jobs in sorted(found.items()))


def environments(loaded: Mapping[str, dict[str, Any] | None]) -> tuple[str, ...]:
    """The environments in which jobs run."""
    return tuple(sorted({environment_of(job) for _, _, job in _jobs(loaded)} - {""}))


def environment_of(job: Mapping[str, Any]) -> str:
    """The environment of a job, which is a name or a mapping with one; empty for none."""
    found = job.get("environment")
    return str(found.get("name", "")) if isinstance(found, dict) else str(found or "")


def _jobs(loaded: Mapping[str, dict[str, Any] | None]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (file, str(name), job)
        for file, workflow in loaded.items()
        if workflow is not None and isinstance(workflow.get("jobs"), dict)
        for name, job in workflow["jobs"].items()
        if isinstance(job, dict)
    ]
