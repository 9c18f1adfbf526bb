"""Runs the `run:` steps of a workflow as a runner would: in order, until one fails."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import yaml

import ggez_hub

PROJECT = Path(ggez_hub.__file__).parents[1]
WORKFLOWS = PROJECT / ".github" / "workflows"
EXPRESSION = re.compile(r"\$\{\{\s*([\w.]+(?:\s*\|\|\s*[\w.]+)*)\s*\}\}")


@dataclass(frozen=True)
class Ran:
    """A step that ran: its exit code and what it printed."""

    command: str
    code: int
    stdout: str
    stderr: str


@dataclass
class Runner:
    """A runner for one clone of the registry, one hub and one GitHub."""

    clone: Path
    hub: str
    github: object
    secrets: dict[str, str] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)

    def run(self, workflow: str, job: str, event: dict, needs: dict | None = None) -> list[Ran]:
        """The steps of a job; installing is left out, what would be installed is running this.

        needs: job -> outputs of the jobs before it.
        """
        steps = yaml.safe_load((WORKFLOWS / workflow).read_text())["jobs"][job]["steps"]
        payload = self.clone.parent / "event.json"
        payload.write_text(json.dumps(event))
        ran = []
        for step in steps:
            command = step.get("run")
            if command is None or command.startswith("python -m pip install"):
                continue
            ran.append(self._step(command, step.get("env", {}), payload, needs or {}))
            if ran[-1].code:
                break
        return ran

    def outputs(self) -> dict[str, str]:
        """What the steps so far gave to later ones."""
        path = self.clone.parent / "output.txt"
        return dict(line.split("=", 1) for line in path.read_text().splitlines())

    def _step(self, command: str, env: dict, payload: Path, needs: dict) -> Ran:
        known = {"github.token": "token-of-the-run"}
        known |= {f"secrets.{name}": value for name, value in self.secrets.items()}
        known |= {
            f"needs.{job}.outputs.{key}": value
            for job, outputs in needs.items()
            for key, value in outputs.items()
        }
        given = {
            k: EXPRESSION.sub(lambda m: self._value(m[1], known), str(v)) for k, v in env.items()
        }
        summary = self.clone.parent / "summary.md"
        done = subprocess.run(
            ["bash", "-eo", "pipefail", "-c", command],
            cwd=self.clone, capture_output=True, text=True, check=False,
            env={
                **{k: v for k, v in os.environ.items() if not k.startswith("GITHUB_")},
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                "PYTHONPATH": str(PROJECT),
                "HF_ENDPOINT": self.hub,
                "XDG_DATA_HOME": str(self.clone.parent / "data"),
                "GITHUB_EVENT_PATH": str(payload),
                "GITHUB_REPOSITORY": "ggez-hub/ggez-hub",
                "GITHUB_API_URL": self.github.url,
                "GITHUB_STEP_SUMMARY": str(summary),
                "GITHUB_OUTPUT": str(self.clone.parent / "output.txt"),
                **self.env,
                **given,
            },
        )  # fmt: skip
        return Ran(command, done.returncode, done.stdout, done.stderr)

    @staticmethod
    def _value(expression: str, known: dict[str, str]) -> str:
        for name in map(str.strip, expression.split("||")):
            # What nobody has set is empty.
            empty = name.split(".")[0] in {"inputs", "secrets"}
            if value := known.get(name, "") if empty else known[name]:
                return value
        return ""
