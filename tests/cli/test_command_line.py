"""Commands in messages: what is proposed, with the options that the user gave."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from ggez_hub.cli.main import cli
from ggez_hub.command_line import command_line


@pytest.fixture
def proposed(monkeypatch):
    """A function: what a command proposes that was typed as these words and stops at its folder."""

    def run(words, name, options):
        def stop(_):
            raise click.ClickException(command_line(name, options))

        monkeypatch.setattr("ggez_hub.cli.pull.require_pullable", stop)
        return CliRunner().invoke(cli, words).stderr.removeprefix("Error: ").strip()

    return run


def test_what_was_given_is_kept_and_what_is_changed_takes_its_place(proposed):
    words = ["pull", "--hub", "http://h", "--region", "ไทย", "-o", "my models", "--alpha", "0.3",
             "--adapter", "a/b", "--live", "--json"]  # fmt: skip
    assert proposed(
        words, "pull", {"--adapter": ["c/d", "e/f"], "--live": None, "--beta": 1.0}
    ) == (
        "ggez-hub pull --hub http://h --region 'ไทย' -o 'my models' --alpha 0.3 --adapter c/d "
        "--adapter e/f --json --beta 1"
    )


def test_another_command_takes_what_it_has_too(proposed):
    words = ["pull", "--region", "th", "--hub", "embedded", "-o", "thai"]
    assert proposed(words, "report", {"": "thai", "-o": "thai.html"}) == (
        "ggez-hub report thai -o thai.html --hub embedded"
    )


def test_without_a_command_it_is_what_is_proposed():
    assert command_line("pull", {"--region": "la", "--explain": True, "--beta": None}) == (
        "ggez-hub pull --region la --explain"
    )
