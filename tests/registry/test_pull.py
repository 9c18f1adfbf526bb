"""`pull` over HTTP, from a region to a folder that loads."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file

from ggez_hub import progress
from ggez_hub.cli.main import cli
from ggez_hub.families import get_family
from ggez_hub.merging import Adapter, merge

WEIGHTS = "open_clip_model.safetensors"


def pull(hub, *arguments):
    return CliRunner().invoke(cli, ["pull", "--hub", hub.endpoint, *map(str, arguments)])


def test_pull_th(seeded, world, tmp_path):
    out = tmp_path / "out"
    result = pull(seeded, "--region", "th", "-o", out)
    assert result.exit_code == 0, result.output
    for words in ("th is Thailand", "beta     0.5 at alpha 0.37397", "GRP", "open_clip."):
        assert words in result.stdout
    assert len(result.stdout.splitlines()) <= 12
    expected = tmp_path / "expected"
    family = world / "embedding"
    merge(family / "base", [Adapter(family / "th", 0.5)], expected, get_family("embedding"))
    merged = (out / "embedding" / WEIGHTS).read_bytes()
    assert merged == (expected / WEIGHTS).read_bytes()
    assert sorted(p.name for p in out.iterdir()) == ["embedding", "ggez.lock"]
    assert not any(p.is_symlink() for p in out.rglob("*"))
    card = (out / "embedding" / "README.md").read_text()
    assert "base_model_relation: merge" in card


def test_a_library_that_cannot_be_imported_says_why(seeded, tmp_path, monkeypatch):
    # Like torch, which fails otherwise once a part of it is there.
    (tmp_path / "mergekit").mkdir()
    (tmp_path / "mergekit" / "__init__.py").write_text(
        "import sys\nwhy = 'otherwise' if hasattr(sys, 'tried') else 'of itself'\n"
        "sys.tried = True\nraise RuntimeError(f'mergekit fails {why}')\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    command = [sys.executable, "-m", "ggez_hub", "pull", "--region", "th", "--hub", seeded.endpoint,
               "-o", str(tmp_path / "out")]  # fmt: skip
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "mergekit fails of itself" in result.stderr


def test_the_result_loads_in_open_clip(seeded, tmp_path):
    import open_clip

    out = tmp_path / "out"
    result = pull(seeded, "--region", "th", "-o", out, "--explain")
    assert result.exit_code == 0, result.output
    lines = [line for line in result.stdout.splitlines() if "open_clip" in line]
    names = {}
    exec("\n".join(lines), names)  # noqa: S102 - the lines that pull tells people to run
    state = names["model"].state_dict()
    stored = load_file(out / "embedding" / WEIGHTS)
    assert torch.equal(state["token_embedding.weight"], stored["token_embedding.weight"].float())
    assert isinstance(names["model"], open_clip.CLIP)


def test_beta_0_is_the_base_unchanged(seeded, world, tmp_path):
    out = tmp_path / "out"
    result = pull(seeded, "--region", "th", "--beta", "0", "-o", out)
    assert result.exit_code == 0, result.output
    assert "this is the base, unchanged" in result.stdout
    assert "merged (beta 0)" not in result.stdout
    base = (world / "embedding" / "base" / WEIGHTS).read_bytes()
    assert (out / "embedding" / WEIGHTS).read_bytes() == base
    assert "This is ggez-world/clip-emoji unchanged" in (out / "embedding/README.md").read_text()


def test_json(seeded, tmp_path):
    result = pull(seeded, "--region", "ไทย", "-o", tmp_path / "out", "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["region"] == "th"
    assert document["adapters"][0]["beta"]["value"] == 0.5
    assert [line["model"] for line in document["table"]] == ["base", "merged", "regional"]
    assert document["reused"] is False


def test_progress_of_downloads_and_merge_is_one(seeded, tmp_path, monkeypatch):
    """In a log file: lines, which name what is fetched and how much; none with --quiet."""
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0)
    result = pull(seeded, "--region", "th", "-o", tmp_path / "out", "--merge-here")
    assert result.exit_code == 0, result.output
    fetched = [line for line in result.stderr.splitlines() if line.startswith("fetching ")]
    assert {line.split(":")[0] for line in fetched} == {
        "fetching ggez-hub/index", "fetching ggez-world/clip-emoji", "fetching ggez-world/clip-emoji-th"
    }  # fmt: skip
    assert "(100 %)" in fetched[-1]
    assert result.stderr.splitlines()[-1].startswith("merging: ")
    again = pull(seeded, "--region", "th", "-o", tmp_path / "again", "--merge-here")
    assert "fetching" not in again.stderr
    quiet = pull(seeded, "--region", "th", "-o", tmp_path / "quiet", "--merge-here", "--quiet")
    assert quiet.stderr == ""


def test_a_second_pull_reuses_the_first(seeded, tmp_path):
    out = tmp_path / "out"
    assert pull(seeded, "--region", "th", "-o", out).exit_code == 0
    before = (out / "embedding" / WEIGHTS).stat().st_mtime_ns
    again = pull(seeded, "--region", "th", "-o", out, "--json")
    assert json.loads(again.stdout)["reused"] is True
    assert (out / "embedding" / WEIGHTS).stat().st_mtime_ns == before
    other = pull(seeded, "--region", "th", "-o", out, "--beta", "1")
    assert other.exit_code == 1
    assert "holds another pull" in other.stderr


def test_existing_folder_is_left_alone(seeded, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("years of work")
    result = pull(seeded, "--region", "th", "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert "exists already" in result.stderr
    assert "Traceback" not in result.stderr
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["thesis.txt"]


def test_dry_run_costs_and_writes_nothing(seeded, tmp_path):
    result = pull(seeded, "--region", "th", "-o", tmp_path / "out", "--dry-run", "--json")
    assert result.exit_code == 0, result.output
    costs = json.loads(result.stdout)
    assert set(costs) == {
        "fetch_bytes", "disk_bytes", "ram_bytes", "vram_bytes", "gated", "licences", "lacking",
        "fits",
    }  # fmt: skip
    assert costs["fetch_bytes"] > costs["vram_bytes"] > 0
    assert costs["licences"] == ["apache-2.0", "cc-by-sa-4.0"]
    assert not (tmp_path / "out").exists()


def test_khmer_takes_the_larger_region_and_says_so(seeded, tmp_path):
    result = pull(seeded, "--region", "kh", "-o", tmp_path / "out", "--explain")
    assert result.exit_code == 0, result.output
    assert "region southeast-asia, which kh falls back to" in result.stdout
    assert "rejected  ggez-world/clip-emoji-th (th): serves th" in result.stdout
    assert "on the items of kh" in result.stdout


def test_a_region_without_adapter_lists_what_exists(seeded, tmp_path):
    result = pull(seeded, "--region", "fr", "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert "no adapter serves fr (France)" in result.stderr
    assert "southeast-asia (embedding), th (embedding)" in result.stderr


def test_an_unknown_region_exits_2_with_near_ids(seeded, tmp_path):
    result = pull(seeded, "--region", "southeast-azia", "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert "southeast-asia" in result.stderr


def test_beta_and_alpha_of_the_user(seeded, tmp_path):
    given = pull(seeded, "--region", "th", "-o", tmp_path / "a", "--beta", "0", "--json")
    assert json.loads(given.stdout)["adapters"][0]["beta"]["why"] == "given"
    # With alpha 1 only the world counts: the base stays as it is.
    world = pull(seeded, "--region", "th", "-o", tmp_path / "b", "--alpha", "1", "--json")
    assert json.loads(world.stdout)["adapters"][0]["beta"]["value"] == 0
    same = [(tmp_path / name / "embedding" / WEIGHTS).read_bytes() for name in "ab"]
    assert same[0] == same[1]


def test_verify(seeded, tmp_path):
    out = tmp_path / "out"
    pull(seeded, "--region", "th", "-o", out)
    assert CliRunner().invoke(cli, ["verify", str(out)]).exit_code == 0
    weights = out / "embedding" / WEIGHTS
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    result = CliRunner().invoke(cli, ["verify", str(out)])
    assert result.exit_code == 1
    assert f"{WEIGHTS} has another sha256" in result.stderr


@pytest.mark.parametrize("name", ["ftp://x", "nonsense"])
def test_what_is_no_hub(name, tmp_path):
    result = CliRunner().invoke(cli, ["pull", "--region", "th", "--hub", name])
    assert result.exit_code == 2
