"""`card validate` and `card schema`."""

from __future__ import annotations

import json
import re

from click.testing import CliRunner

from ggez_hub.cli.main import cli
from ggez_hub.demo.hub import ASSETS


def test_the_cards_of_the_demo_world_are_good():
    folders = [str(ASSETS / "embedding" / name) for name in ("th", "southeast-asia")]
    result = CliRunner().invoke(cli, ["card", "validate", *folders])
    assert result.exit_code == 0, result.output


def test_every_bad_card_is_told(tmp_path):
    good = (ASSETS / "embedding" / "th" / "README.md").read_text(encoding="utf-8")
    (tmp_path / "README.md").write_text(good.replace("  level: measured", "  level: excellent"))
    (tmp_path / "empty.md").write_text("")
    paths = [str(tmp_path), str(tmp_path / "empty.md")]
    result = CliRunner().invoke(cli, ["card", "validate", *paths])
    assert result.exit_code == 1
    line = good.splitlines().index("  level: measured") + 1
    assert f"line {line}: ggez.level" in result.stderr
    assert "no front matter" in result.stderr
    document = json.loads(CliRunner().invoke(cli, ["card", "validate", *paths, "--json"]).stdout)
    assert (document["ok"], len(document["problems"])) == (False, 2)


def test_the_schema_is_json_schema():
    result = CliRunner().invoke(cli, ["card", "schema"])
    schema = json.loads(result.stdout)
    assert schema["additionalProperties"] is False
    assert {"region", "base", "curve", "files"} <= set(schema["required"])


def test_scores_that_look_like_shares_get_a_hint(tmp_path):
    good = (ASSETS / "embedding" / "th" / "README.md").read_text(encoding="utf-8")
    (tmp_path / "README.md").write_text(re.sub(r"(\bscore: )[0-9.]+", r"\g<1>0.6", good))
    result = CliRunner().invoke(cli, ["card", "validate", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert "hint: " in result.stderr
    assert "no score of the curve is above 1: are they shares?" in result.stderr
    as_it_is = CliRunner().invoke(cli, ["card", "validate", str(ASSETS / "embedding" / "th")])
    assert "hint" not in as_it_is.stderr
