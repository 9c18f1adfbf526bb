"""Runs the `run:` steps of a workflow as a runner would: in order, until one fails.

Its shell reads each command. `ggez-hub` itself is then run in this process, which has imported what is
heavy already; with `apart` it is a process of its own, as on a runner.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from unittest.mock import patch

import yaml
from click.testing import CliRunner
from huggingface_hub import constants

import ggez_hub
from ggez_hub.cli.main import cli

PROJECT = Path(ggez_hub.__file__).parents[1]
WORKFLOWS = PROJECT / ".github" / "workflows"
# What the shell finds as `ggez-hub`: it hands on the words that the shell has made of the command.
HANDED_ON = """\
#!/bin/sh
printf '%s\\0' "$@" > "$GGEZ_TEST_WORDS"
"""
# Of a file on a hub, as huggingface_hub makes its address.
PLACE = "/{repo_id}/resolve/{revision}/{filename}"
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
    apart: bool = False

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
            known = {
                f"needs.{job}.outputs.{key}": value
                for job, outputs in (needs or {}).items()
                for key, value in outputs.items()
            }
            ran.append(self._step(command, step.get("env", {}), payload, known))
            if ran[-1].code:
                break
        return ran

    def run_action(self, inputs: dict[str, str]) -> list[Ran]:
        """The steps of the action at the root, as a job of another repository uses it."""
        action = yaml.safe_load((PROJECT / "action.yml").read_text())
        assert action["runs"]["using"] == "composite"
        assert set(inputs) <= set(action["inputs"])
        known = {f"inputs.{name}": value for name, value in inputs.items()}
        ran = []
        for step in action["runs"]["steps"]:
            command = step.get("run")
            if command is None or "pip install" in command:
                continue
            assert step["shell"] == "bash"
            ran.append(self._step(command, step["env"], self.clone.parent / "event.json", known))
            if ran[-1].code:
                break
        return ran

    def outputs(self) -> dict[str, str]:
        """What the steps so far gave to later ones."""
        path = self.clone.parent / "output.txt"
        return dict(line.split("=", 1) for line in path.read_text().splitlines())

    def _step(self, command: str, env: dict, payload: Path, given_before: dict) -> Ran:
        known = {"github.token": "token-of-the-run", **given_before}
        known |= {f"secrets.{name}": value for name, value in self.secrets.items()}
        given = {
            k: EXPRESSION.sub(lambda m: self._value(m[1], known), str(v)) for k, v in env.items()
        }
        folder = self.clone.parent
        environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("GITHUB_")},
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(PROJECT),
            "HF_ENDPOINT": self.hub,
            "HOME": str(folder),
            "XDG_CACHE_HOME": str(folder / "cache"),
            "XDG_DATA_HOME": str(folder / "data"),
            "HF_HOME": str(folder / "hf"),
            "HF_HUB_CACHE": str(folder / "hf" / "hub"),
            "GITHUB_EVENT_PATH": str(payload),
            "GITHUB_REPOSITORY": "ggez-hub/ggez-hub",
            "GITHUB_API_URL": self.github.url,
            "GITHUB_STEP_SUMMARY": str(folder / "summary.md"),
            "GITHUB_OUTPUT": str(folder / "output.txt"),
            "RUNNER_TEMP": str(folder),
            **self.env,
            **given,
        }
        if self.apart:
            return Ran(command, *self._shell(command, environment))
        words = folder / "words"
        words.unlink(missing_ok=True)
        (shim := folder / "bin" / "ggez-hub").parent.mkdir(exist_ok=True)
        shim.write_text(HANDED_ON)
        shim.chmod(0o755)
        handed = {"PATH": f"{shim.parent}:{environment['PATH']}", "GGEZ_TEST_WORDS": str(words)}
        done = self._shell(command, environment | handed)
        if not words.exists():
            return Ran(command, *done)
        arguments = words.read_text().split("\0")[:-1]
        with self._taking_place(environment):
            result = CliRunner().invoke(cli, arguments, prog_name="ggez-hub")
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Ran(command, result.exit_code, result.stdout, result.stderr)

    def _shell(self, command: str, environment: dict[str, str]) -> tuple[int, str, str]:
        done = subprocess.run(
            ["bash", "-eo", "pipefail", "-c", command],
            cwd=self.clone, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout, done.stderr

    @contextmanager
    def _taking_place(self, environment: dict[str, str]) -> Iterator[None]:
        """This process with the folder and the environment of a step."""
        before = dict(os.environ)
        try:
            os.environ.clear()
            os.environ.update(environment)
            # huggingface_hub has read its environment already.
            with (
                chdir(self.clone),
                patch.multiple(
                    constants,
                    ENDPOINT=self.hub,
                    HUGGINGFACE_CO_URL_TEMPLATE=self.hub + PLACE,
                    HF_HUB_CACHE=environment["HF_HUB_CACHE"],
                    HF_TOKEN_PATH=f"{environment['HF_HOME']}/token",
                ),
            ):
                yield
        finally:
            os.environ.clear()
            os.environ.update(before)

    @staticmethod
    def _value(expression: str, known: dict[str, str]) -> str:
        for name in map(str.strip, expression.split("||")):
            # What nobody has set is empty.
            empty = name.split(".")[0] in {"inputs", "secrets"}
            if value := known.get(name, "") if empty else known[name]:
                return value
        return ""
