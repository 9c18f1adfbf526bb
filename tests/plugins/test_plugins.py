"""Plug-ins: families and merge methods of other distributions."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest
import torch
from click.testing import CliRunner

from ggez_hub.cli.main import cli
from ggez_hub.errors import UsageProblem
from ggez_hub.families import FAMILIES, detect_family, get_family
from ggez_hub.merging import Adapter, merge
from ggez_hub.merging.methods import METHODS, plugins_of
from ggez_hub.plugins import NO_PLUGINS, BadPlugin, PluginRecord
from ggez_hub.registry.lock import read_any_lock

from ..merging.exactness import load_pair
from ..models import write_lora, write_open_clip
from .distribution import install, installed

__all__ = ["installed"]

FAMILY = {"families": ["speech = somebody_else:FAMILY"]}
METHOD = {"merge_methods": ["negated = somebody_else:negated"]}
EMBEDDING = get_family("embedding")


def test_a_family_of_a_plug_in_is_looked_up_after_ours(installed):
    ours = list(FAMILIES)
    installed(FAMILY)
    assert list(FAMILIES) == [*ours, "speech"]
    assert get_family("speech").title == "speech model"
    assert plugins_of("speech", "ggez_linear") == (
        PluginRecord("somebody-else", "1.2.3", "somebody_else:FAMILY"),
    )
    assert plugins_of("embedding", "ggez_linear") == ()


def test_a_lock_names_the_plug_in_and_its_version_changes_the_digest(installed, tmp_path):
    installed(METHOD)
    (tmp_path / "base").mkdir()
    base = write_open_clip(tmp_path / "base", torch.float32)
    lora = write_lora(tmp_path / "lora", targets=["c_fc"])
    found = []
    for version, out in (("1.2.3", "first"), ("1.2.4", "second")):
        if out == "second":
            shutil.rmtree(tmp_path / "site")
            installed(METHOD, version=version)
        options = ["--base", base, "--adapter", lora, "--beta", "0.5", "--method", "negated"]
        command = ["merge", *options, "-o", tmp_path / out]
        done = CliRunner().invoke(cli, list(map(str, command)), catch_exceptions=False)
        assert done.exit_code == 0, done.output
        lock = read_any_lock(tmp_path / out / "ggez.lock")
        assert lock.merge.plugins == (
            PluginRecord("somebody-else", version, "somebody_else:negated"),
        )
        card = (tmp_path / out / "README.md").read_text()
        assert f"plug-in somebody_else:negated of somebody-else {version}" in card
        found.append(lock.merge.digest)
    assert len(set(found)) == 2


def test_a_folder_that_is_of_one_of_ours_stays_so(installed, tmp_path):
    installed(FAMILY)
    (tmp_path / "base").mkdir()
    base = write_open_clip(tmp_path / "base", torch.float32)
    assert detect_family(base) is EMBEDDING


def test_a_merge_method_of_a_plug_in(installed, tmp_path):
    installed(METHOD)
    (tmp_path / "base").mkdir()
    base = write_open_clip(tmp_path / "base", torch.float32)
    lora = write_lora(tmp_path / "lora", targets=["c_fc"])
    merge(base, [Adapter(lora, 0.5)], tmp_path / "there", EMBEDDING)
    merge(base, [Adapter(lora, 0.5)], tmp_path / "back", EMBEDDING, "negated")
    stored, there = load_pair(base, tmp_path / "there")
    _, back = load_pair(base, tmp_path / "back")
    moved = {name for name, tensor in stored.items() if not torch.equal(tensor, back[name])}
    assert moved
    for name in moved:
        torch.testing.assert_close(there[name] - stored[name], stored[name] - back[name])


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ({"families": ["vlm = somebody_else:FAMILY"]}, "offers 'vlm' .* part of ggez-hub"),
        ({"merge_methods": ["ties = somebody_else:negated"]}, "offers 'ties' .* part of ggez-hub"),
    ],
)
def test_a_name_of_ours_is_refused(installed, points, message):
    installed(points)
    with pytest.raises(BadPlugin, match=message) as problem:
        get_family("embedding") if "families" in points else METHODS.find("ggez_linear")
    assert NO_PLUGINS in problem.value.hint


def test_a_name_that_two_offer_is_refused(installed):
    installed(FAMILY)
    installed({"families": ["speech = other:FAMILY"]}, name="other")
    with pytest.raises(BadPlugin, match=r"other:FAMILY of other 1\.2\.3"):
        get_family("embedding")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("somebody_else:NOT_A_FAMILY", "is not a family, it is 7"),
        ("somebody_else:MISSING", "cannot be imported"),
        ("nobody_at_all:FAMILY", "cannot be imported"),
    ],
)
def test_a_value_that_is_not_a_family(installed, value, message):
    installed({"families": [f"speech = {value}"]})
    assert get_family("embedding") is EMBEDDING
    with pytest.raises(BadPlugin, match=message):
        get_family("speech")


def test_plug_ins_are_turned_off(installed, monkeypatch):
    installed(FAMILY | METHOD)
    monkeypatch.setenv(NO_PLUGINS, "1")
    assert "speech" not in FAMILIES
    with pytest.raises(UsageProblem, match="no family 'speech'") as problem:
        get_family("speech")
    assert "turned off" in problem.value.hint


def test_the_option_turns_them_off(tmp_path):
    site = install(tmp_path / "site", {"families": ["vlm = somebody_else:FAMILY"]})
    (tmp_path / "base").mkdir()
    base = write_open_clip(tmp_path / "base", torch.float32)
    lora = write_lora(tmp_path / "lora", targets=["c_fc"])
    paths = [str(site), os.environ.get("PYTHONPATH", "")]
    command = ["merge", "--base", str(base), "--adapter", str(lora), "--beta", "0.5", "--json"]
    runs = [
        subprocess.run(
            [sys.executable, "-m", "ggez_hub", *first, *command, "-o", str(tmp_path / name)],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
            capture_output=True,
            text=True,
            check=False,
        )
        for name, first in (("refused", []), ("done", ["--no-plugins"]))
    ]
    assert [run.returncode for run in runs] == [1, 0], runs
    assert "somebody-else" in runs[0].stderr
    assert json.loads(runs[1].stdout)["family"] == "embedding"
