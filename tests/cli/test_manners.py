"""The command line's manners: fast to start, clear when it fails, quiet when told."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from ggez_hub.cli.main import COMMANDS, cli

HEAVY = ("torch", "transformers", "mergekit", "peft", "diffusers", "open_clip", "datasets")


def modules_after(arguments):
    """The modules that a command has imported when it ends."""
    code = (
        "import atexit, json, sys\n"
        "atexit.register(lambda: print(json.dumps(sorted(sys.modules)), file=sys.stderr))\n"
        "from ggez_hub.cli.main import main\n"
        f"sys.argv = ['ggez-hub', *{arguments!r}]\n"
        "main()\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    return set(json.loads(result.stderr.splitlines()[-1])), result


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        *([name, "--help"] for name in COMMANDS),
        ["regions", "th"],
        ["alpha", "southeast-asia"],
        ["grp", "--global", "64.4", "--regional", "63.8", "--alpha", "0.43"],
        ["pull", "--region", "fr", "--hub", "nonsense"],
        ["doctor", "--offline"],
    ],
    ids=" ".join,
)
def test_commands_without_tensors_import_no_tensor_library(arguments):
    modules, _ = modules_after(arguments)
    assert not modules.intersection(HEAVY)


@pytest.mark.parametrize(
    ("arguments", "status"), [(["regions", "th"], 0), (["regions", "--nope"], 2)]
)
def test_threads_and_exit_handlers_end_before_the_process(tmp_path, arguments, status):
    code = (
        "import atexit, pathlib, sys, threading, time\n"
        "atexit.register(lambda: print('handled'))\n"
        f"note = pathlib.Path({str(tmp_path / 'note')!r})\n"
        "from ggez_hub.cli.main import main\n"
        "threading.Thread(target=lambda: (time.sleep(1), note.write_text('done'))).start()\n"
        f"sys.argv = ['ggez-hub', *{arguments!r}]\n"
        "main()\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert result.returncode == status, result.stderr
    assert result.stdout.splitlines()[-1] == "handled"
    assert (tmp_path / "note").read_text() == "done"


def test_who_calls_the_command_goes_on_after_it(tmp_path):
    profile = tmp_path / "profile"
    command = [sys.executable, "-m", "cProfile", "-o", profile, "-m", "ggez_hub", "--version"]
    subprocess.run(command, capture_output=True, check=True)
    assert profile.stat().st_size


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-"])
def test_a_stream_that_is_closed_is_done_without(closed):
    command = f"{shlex.quote(sys.executable)} -m ggez_hub regions th {closed}"
    result = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)  # noqa: S602
    assert (result.returncode, result.stderr) == (0, "")
    assert ("Thailand" in result.stdout) == (closed != ">&-")


def test_help_imports_nothing_but_click():
    modules, result = modules_after(["--help"])
    assert result.returncode == 0
    assert not modules.intersection(
        {"rich", "numpy", "huggingface_hub", "pydantic", "yaml", "babel"}
    )


def test_importing_the_package_is_cheap():
    code = "import sys, ggez_hub; print(sorted(sys.modules))"
    names = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "torch" not in names.stdout
    assert "pydantic" not in names.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_the_table_of_commands_is_what_the_commands_say(name):
    command = cli.get_command(None, name)
    assert command.name == name
    assert command.get_short_help_str(limit=200) == COMMANDS[name].help


def test_an_unknown_command_offers_near_ones():
    result = CliRunner().invoke(cli, ["pul"])
    assert result.exit_code == 2
    assert "Did you mean pull" in result.stderr


def test_an_unexpected_error_is_one_message(monkeypatch):
    from ggez_hub.cli import regions

    def broken(*_, **__):
        raise ZeroDivisionError("of all things")

    monkeypatch.setattr(regions.regions_command, "callback", broken)
    result = CliRunner().invoke(cli, ["regions"])
    assert result.exit_code == 1
    assert "ZeroDivisionError: of all things" in result.stderr
    assert "--debug" in result.stderr
    assert "Traceback" not in result.stderr


def test_debug_shows_the_traceback(tmp_path):
    arguments = ["verify", str(tmp_path), "--debug"]
    result = CliRunner().invoke(cli, arguments)
    assert isinstance(result.exception, Exception)
    assert "holds neither ggez.lock nor" in str(result.exception)
    assert CliRunner().invoke(cli, arguments[:-1]).stderr.startswith(f"error: {tmp_path} holds nei")


FULL = Path("/dev/full")


@pytest.mark.skipif(not FULL.exists(), reason="Linux has it")
@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["pull", "--help"], ["regions"]])
def test_a_full_disk_is_one_message(arguments):
    with FULL.open("w") as full:
        result = subprocess.run(
            [sys.executable, "-m", "ggez_hub", *arguments],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert result.returncode == 1
    assert result.stderr.splitlines()[0] == "error: no room to write: the disk is full"
