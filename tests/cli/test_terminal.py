"""What strangers wrote reaches the terminal as text: nothing of it is obeyed."""

from __future__ import annotations

import json
import os
import sys

import pytest
from click.testing import CliRunner

from ggez_hub.cli.main import cli
from ggez_hub.cli.output import Output
from ggez_hub.errors import GgezError
from ggez_hub.text_files import COMMANDS

# The title of the window, a colour, the clipboard, C1's own CSI, a carriage return, an override.
HOSTILE = "Thai\x1b]0;owned\x07\x1b[31m\x1b]52;c;cm0gLXJm\x1b\\\x9b2J\rfree \u202egnp.exe [bold]"
SHOWN = (
    "Thai\\x1b]0;owned\\x07\\x1b[31m\\x1b]52;c;cm0gLXJm\\x1b\\\\x9b2J\\x0dfree "
    "\\u202egnp.exe [bold]"
)


def test_every_way_out_writes_it_out(capsys):
    out = Output()
    out.line(HOSTILE)
    out.note(HOSTILE)
    out.table(("name", HOSTILE), [(HOSTILE, "[/bold]")], title=HOSTILE)
    Output(as_json=True).document({HOSTILE: HOSTILE})
    from ggez_hub.cli.errors import explain

    explain(GgezError(HOSTILE, HOSTILE)).show()
    found = capsys.readouterr()
    assert not COMMANDS.search(found.out + found.err)
    assert found.err == f"{SHOWN}\nerror: {SHOWN}\n  {SHOWN}\n"
    lines = found.out.splitlines()
    assert lines[:2] == [SHOWN, SHOWN]
    assert lines[3].split("  ")[0] == SHOWN
    assert lines[3].endswith("[/bold]")
    # The document says the same, and holds no such character either.
    assert json.loads(found.out[found.out.index("{") :]) == {HOSTILE: HOSTILE}


@pytest.mark.parametrize("text", ["ภาษาไทย", "ភាសា\u200bខ្មែរ", "क्\u200dष", "two\nlines\tand a tab"])
def test_what_people_write_stays(text, capsys):
    Output().line(text)
    assert capsys.readouterr().out == f"{text}\n"


def test_a_table_of_nothing_is_nothing(capsys):
    Output().table(("name",), [], title="Names")
    assert capsys.readouterr().out == ""


def test_a_document_is_json_whatever_was_computed(capsys):
    Output(as_json=True).document({"share": float("nan"), "range": (0.5, float("inf"))})
    assert json.loads(capsys.readouterr().out, parse_constant=pytest.fail) == {
        "share": None,
        "range": [0.5, None],
    }


def test_a_name_that_is_no_text(capsys):
    Output().line(os.fsdecode(b"th\xff.md"))
    assert capsys.readouterr().out == "th\\udcff.md\n"


def test_a_name_that_a_command_repeats(tmp_path):
    strange = tmp_path / "\x1b[31mowned\x1b[0m"
    strange.mkdir()
    result = CliRunner().invoke(cli, ["verify", str(strange)])
    assert result.exit_code == 1
    assert "\\x1b[31mowned" in result.stderr
    assert not COMMANDS.search(result.output)


def test_a_narrow_terminal_loses_optional_columns_and_no_name(monkeypatch, capsys):
    name = "organisation/an-adapter-with-quite-a-long-name-of-62-characters-in-all"
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    header = ("adapter", "region", "kind", "level")
    Output().table(
        header, [(name, "th", "lora", "declared")], figures=False, optional=header[:1:-1]
    )
    shown, row = capsys.readouterr().out.splitlines()
    assert shown.split() == ["adapter", "region"]
    assert row.split() == [name, "th"]
    Output().table(("adapter", "status"), [(name * 2, "active")], figures=False)
    lines = capsys.readouterr().out.splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert name * 2 in "".join(line.partition(" ")[0] for line in lines[1:])
