"""What is typed amiss: one clear error with the way out, whatever it is."""

from __future__ import annotations

import os
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

from ggez_hub.cli.errors import explain
from ggez_hub.cli.main import COMMANDS, cli
from ggez_hub.cli.parameters import Number, Place
from ggez_hub.demo.hub import ASSETS

ADAPTER = str(ASSETS / "embedding" / "th")
BASE = str(ASSETS / "embedding" / "base")


def refused(*arguments, code=2):
    result = CliRunner().invoke(cli, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    assert isinstance(result.exception, SystemExit)
    assert "clearer message" not in result.stderr
    return result.stderr


def parameters(command, path=()):
    if isinstance(command, click.Group):
        for name in command.list_commands(None):
            yield from parameters(command.get_command(None, name), (*path, name))
    for parameter in command.params:
        yield path, parameter


# Those of the workflows are typed by nobody.
TYPED = [(path, p) for path, p in parameters(cli) if path and path[0] != "ci"]


def test_every_path_and_number_is_of_these_types():
    assert {path[0] for path, _ in TYPED} >= {"merge", "pull", "report"} <= {*COMMANDS}
    for path, parameter in TYPED:
        kind = parameter.type
        where = f"{' '.join(path)}: {parameter.name}"
        assert not isinstance(kind, click.Path) or isinstance(kind, Place), where
        assert not isinstance(kind, click.FloatRange) or isinstance(kind, Number), where
        assert not isinstance(kind, click.types.FloatParamType) or isinstance(kind, Number), where


@pytest.mark.parametrize("value", ["nan", "inf", "1e400"])
def test_a_number_that_is_none(value, tmp_path):
    said = refused(
        "merge", "--base", BASE, "--adapter", ADAPTER, "--beta", value, "-o", tmp_path / "out"
    )
    assert f"{value} is not a finite number" in said


@pytest.mark.parametrize("option", ["--beta", "--alpha"])
def test_a_number_of_an_evaluation_that_is_none(option, tmp_path):
    more = ["--suite", "cvqa", "--region", "th", "-o", tmp_path / "out"]
    said = refused("eval", BASE, "--adapter", ADAPTER, option, "nan", *more)
    assert f"Invalid value for '{option}': nan is not a finite number" in said
    assert not (tmp_path / "out").exists()


def test_a_variable_that_is_not_set(tmp_path):
    for arguments in (["report", ADAPTER, "-o", ""], ["merge", "--recipe", ""], ["verify", ""]):
        assert "the path is empty" in refused(*arguments)


def test_a_file_without_end(tmp_path):
    assert "larger than" in refused("card", "validate", "/dev/zero", code=1)
    assert "larger than" in refused("train", "/dev/zero", "--plan")
    locked = ("pull", "--region", "th", "--locked", "--lock", "/dev/zero", "-o", tmp_path / "out")
    assert "larger than" in refused(*locked, code=1)
    for name in ("ggez.lock", "results.json", "scores.json"):
        (folder := tmp_path / name.partition(".")[2]).mkdir(exist_ok=True)
        (folder / name).touch()
        os.truncate(folder / name, 300_000_000)
        assert "larger than" in refused("verify", folder, code=1)
        (folder / name).unlink()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["index", "build", "{}/cards", "--allow-empty", "-o", "/proc/index.sqlite"],
            "Check that its folder is there",
        ),
        (["report", ADAPTER, "-o", "{}/" + "x" * 300], "Choose a shorter name."),
        (["report", ADAPTER, "-o", "{}/file/r.html"], "Name a folder, not a file."),
    ],
)
def test_a_place_that_cannot_be_written(arguments, said, tmp_path):
    (tmp_path / "cards").mkdir()
    (tmp_path / "file").write_text("")
    assert said in refused(*(part.format(tmp_path) for part in arguments), code=1)


def test_bytes_that_are_no_text():
    assert "bytes that are not UTF-8" in refused("alpha", os.fsdecode(b"\xff\xfe"), code=1)


def test_a_name_that_is_no_repository():
    with pytest.raises(HFValidationError) as caught:
        validate_repo_id("of one part only!")
    said = explain(caught.value)
    assert (said.exit_code, said.hint) == (2, "A repository is named org/name.")


@pytest.mark.parametrize(
    "address", ["http://", "http://[::1", "http://host:port", "ftp://host", "http://a b"]
)
def test_an_address_that_is_none(address):
    assert "Use --hub hf, --hub embedded, or an http address." in refused(
        "search", "--hub", address
    )


@pytest.mark.parametrize("address", ["http://[::1", "http://[::1#m", "http://host:port/v1#m"])
@pytest.mark.parametrize("place", ["model", "judge"])
def test_a_model_at_an_address_that_is_none(address, place, tmp_path):
    named = [address] if place == "model" else [BASE, "--judge", address]
    said = refused("eval", *named, "--suite", "cvqa", "--region", "th", "-o", tmp_path / "out")
    assert "Write http://HOST:PORT/v1#MODEL" in said


@pytest.mark.parametrize("endpoint", ["http://[::1", "http://host:port", "hub.example.com"])
def test_an_endpoint_of_the_environment_that_is_none(endpoint):
    # A process of its own: huggingface_hub reads the variable when it is imported.
    ended = subprocess.run(
        [sys.executable, "-m", "ggez_hub", "search"],
        env=os.environ | {"HF_ENDPOINT": endpoint},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert f"HF_ENDPOINT is {endpoint!r}, which is not an http address" in ended.stderr


def test_a_family_that_is_none():
    assert "Families: embedding, diffusion, vlm." in refused("search", "--family", "vision")


def test_two_commands_have_a_budget_of_their_own():
    # A filter's is in dollars, of HF Jobs.
    assert "name a card, or give --stale" in refused(
        "registry", "eval", "--budget", "2h", "-o", "out"
    )
    said = refused("filter", "x.yaml", "-o", "out", "--on", "jobs:cpu-basic", "--budget", "2h")
    assert "'2h' is not a valid" in said
