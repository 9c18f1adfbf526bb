"""`publish` over HTTP: all or nothing, nothing twice, and only what `pull` will take."""

from __future__ import annotations

import json
import shutil
import struct

import pytest
from click.testing import CliRunner
from huggingface_hub import constants

from ggez_hub.cli.main import cli
from ggez_hub.registry.request import Request
from ggez_hub.registry.resolver.resolver import NoAdapter, resolve

from ..faults import NotedClock, wire
from .conftest import CLIP, SDXL, card_at, pulls

REPO = "ana/thai-names"


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    NotedClock.of_clients(monkeypatch)


@pytest.fixture
def folder(ana, peft):
    """A PEFT folder with a card."""
    done = ana("card", "init", peft, "--region", "th", "--base", CLIP, "--license", "apache-2.0")
    assert done.exit_code == 0, done.output
    (peft / "LICENSE").write_text("Apache-2.0")
    (peft / "evidence").mkdir()
    (peft / "evidence" / "predictions.parquet").write_bytes(bytes(range(256)) * 400)
    return peft


def live(place, repo=REPO):
    """What a live search takes for Thailand, or None."""
    request = Request("th", beta=0.5, trust=repo.partition("/")[0], live=True)
    try:
        return resolve(request, place.hub()).resolution.adapters[0]
    except NoAdapter:
        return None


def listening(place, monkeypatch, ana, *arguments, alter=lambda data: data, cut=None):
    """A run through a wire: the result, and what the client sent; it dies where `cut` is sent."""
    sent = bytearray()

    def upstream(data):
        sent.extend(data)
        return None if cut is not None and cut in sent else data

    with wire(place.endpoint, alter, upstream) as line, monkeypatch.context() as patch:
        patch.setattr(constants, "ENDPOINT", line.endpoint)
        done = ana(*arguments)
    return done, bytes(sent)


def uploads(sent):
    """The paths of what was uploaded or committed, from the requests."""
    lines = [line.split(b" ")[:2] for line in sent.split(b"\r\n") if line.endswith(b" HTTP/1.1")]
    return [path for verb, path in lines if verb == b"PUT" or b"/commit/" in path]


def test_a_folder_is_published_once(place, ana, folder, monkeypatch):
    done = ana("publish", folder, "--repo", REPO)
    assert done.exit_code == 0, done.output
    assert "is v1: sent LICENSE, README.md, adapter_config.json" in done.stdout
    assert "left out: optimizer.pt" in done.stdout
    assert f"Register it: ggez-hub contribute {REPO}" in done.stdout
    assert "--repo" not in done.stdout
    listed = {f.path for f in place.hub().at_commit(REPO, "v1").files}
    assert listed == {
        ".gitattributes", "LICENSE", "README.md", "adapter_config.json",
        "adapter_model.safetensors", "bom.cdx.json", "evidence/predictions.parquet",
    }  # fmt: skip
    adapter = live(place)
    assert adapter.source.repo == REPO
    tags = place.api("boo").model_info(REPO).tags
    assert {"ggez", "ggez-region:th", "ggez-family:embedding", f"base_model:adapter:{CLIP}"} <= set(
        tags
    )

    again, sent = listening(place, monkeypatch, ana, "publish", folder, "--repo", REPO)
    assert again.exit_code == 0, again.output
    assert "is v1: unchanged" in again.stdout
    assert uploads(sent) == []
    assert len(sent) < 40_000
    assert len(place.api("boo").list_repo_commits(REPO)) == len(
        place.api("boo").list_repo_commits(REPO, revision="v1")
    )


def test_a_change_is_a_new_version_and_sends_itself_alone(place, ana, folder, monkeypatch):
    assert ana("publish", folder, "--repo", REPO).exit_code == 0
    readme = folder / "README.md"
    readme.write_text(readme.read_text() + "\nMore words.\n")
    done, sent = listening(place, monkeypatch, ana, "publish", folder, "--repo", REPO, "--json")
    assert done.exit_code == 0, done.output
    answer = json.loads(done.stdout)
    assert (answer["tag"], answer["changed"]) == ("v2", ["README.md"])
    assert [path for path in uploads(sent) if b"/commit/" not in path] == []
    refs = place.api("boo").list_repo_refs(REPO)
    assert {tag.name for tag in refs.tags} == {"v1", "v2"}


def test_an_interrupted_upload_is_taken_up_again(place, ana, folder, monkeypatch):
    weights = (folder / "adapter_model.safetensors").read_bytes()
    evidence = (folder / "evidence" / "predictions.parquet").read_bytes()
    done, sent = listening(place, monkeypatch, ana, "publish", folder, "--repo", REPO,
                           cut=b'"key": "header"')  # fmt: skip
    assert done.exit_code == 1
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
    assert weights[-100:] in sent
    assert evidence[-100:] in sent
    # The repository is there, and holds nothing that anybody could resolve.
    assert place.api("boo").repo_exists(REPO)
    assert live(place) is None

    done, sent = listening(place, monkeypatch, ana, "publish", folder, "--repo", REPO)
    assert done.exit_code == 0, done.output
    assert weights[-100:] not in sent
    assert evidence[-100:] not in sent
    assert live(place) is not None


def test_a_commit_whose_answer_was_lost(place, ana, folder, monkeypatch):
    def lose(data):
        return None if b"commitOid" in data else data

    done, _ = listening(place, monkeypatch, ana, "publish", folder, "--repo", REPO, alter=lose)
    assert done.exit_code == 1
    assert "could not be reached" in done.stderr
    done, sent = listening(place, monkeypatch, ana, "publish", folder, "--repo", REPO)
    assert done.exit_code == 0, done.output
    assert "is v1: unchanged" in done.stdout
    assert uploads(sent) == []


@pytest.mark.parametrize("cut", [b"POST /api/repos/create", b"/preupload/", b"/info/lfs/", b"PUT /",
                                 b"/tag/"])  # fmt: skip
def test_wherever_it_is_cut_a_repeat_completes_it(place, ana, folder, monkeypatch, cut):
    done, _ = listening(place, monkeypatch, ana, "publish", folder, "--repo", REPO, cut=cut)
    assert done.exit_code == 1
    assert done.stderr.startswith("error: ")
    found = live(place)
    assert (found is not None) == (cut == b"/tag/")
    assert ana("publish", folder, "--repo", REPO).exit_code == 0
    assert live(place) is not None
    assert [tag.name for tag in place.api("boo").list_repo_refs(REPO).tags] == ["v1"]


def test_a_failed_new_version_leaves_the_old_one(place, ana, folder, monkeypatch):
    assert ana("publish", folder, "--repo", REPO).exit_code == 0
    before = place.hub().at_commit(REPO, "main").revision
    (folder / "LICENSE").write_text("MIT")
    done, _ = listening(place, monkeypatch, ana, "publish", folder, "--repo", REPO,
                        cut=b'"key": "header"')  # fmt: skip
    assert done.exit_code == 1
    assert live(place).source.revision == before


def broken_sha(folder):
    path = folder / "adapter_model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def overlapping(folder):
    header = json.dumps(
        {n: {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]} for n in ("a", "b")}
    ).encode()
    (folder / "adapter_model.safetensors").write_bytes(
        struct.pack("<Q", len(header)) + header + b"...."
    )


def config(**changes):
    def change(folder):
        path = folder / "adapter_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return change


def card(old, new):
    def change(folder):
        path = folder / "README.md"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    return change


def outside(folder):
    (folder / "LICENSE").unlink()
    (folder / "LICENSE").symlink_to("/etc/hostname")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (broken_sha, "has another adapter_model.safetensors than its card records"),
        (overlapping, "overlaps another"),
        (lambda folder: (folder / "adapter_config.json").unlink(), "lacks adapter_config.json"),
        (config(base_model_name_or_path="evil/base"), "another adapter_config.json"),
        (card("license: apache-2.0\n", ""), "no known licence"),
        (card("license: apache-2.0\n", "license: my-own\n"), "nobody has reviewed"),
        (card("level: declared", "level: excellent"), "ggez.level"),
        (outside, "is a link to a file outside"),
    ],
)  # fmt: skip
def test_what_pull_would_not_take_is_not_published(place, ana, folder, damage, said):
    damage(folder)
    done = ana("publish", folder, "--repo", REPO)
    assert done.exit_code == 1
    assert said in done.stderr
    assert not place.api("ana").repo_exists(REPO)


def test_an_adapter_for_another_base_is_not_published(place, ana, folder):
    config(base_model_name_or_path="evil/base")(folder)
    assert ana("card", "init", folder, "--region", "th", "--base", CLIP, "--force").exit_code == 0
    card("    repo: evil/base\n", "    repo: good/base\n")(folder)
    done = ana("publish", folder, "--repo", REPO)
    assert done.exit_code == 1
    assert "names the base 'evil/base' in adapter_config.json" in done.stderr


def test_pickles_in_the_repository(place, ana, folder):
    place.api("ana").create_repo(REPO)
    place.api("ana").upload_file(
        path_or_fileobj=b"\x80\x04.", path_in_repo="adapter_model.bin", repo_id=REPO
    )
    done = ana("publish", folder, "--repo", REPO)
    assert done.exit_code == 1
    assert "holds adapter_model.bin, which loaders may take instead" in done.stderr
    assert "--include" not in done.stdout


def test_a_pattern_that_fits_nothing(ana, folder):
    done = ana("publish", folder, "--repo", REPO, "--include", "training.jsn")
    assert done.exit_code == 2
    assert "fits --include 'training.jsn'" in done.stderr


def test_a_proposal_to_somebody_else(place, ana, folder):
    place.api("boo").create_repo("boo/names")
    place.api("boo").upload_file(
        path_or_fileobj=b"# Names\n", path_in_repo="README.md", repo_id="boo/names"
    )
    for state in ("opened", "unchanged"):
        done = ana("publish", folder, "--repo", "boo/names", "--pr")
        assert done.exit_code == 0, done.output
        assert f"{state}: {place.endpoint}/boo/names/discussions/1" in done.stdout
    (folder / "LICENSE").write_text("MIT")
    assert "updated: " in ana("publish", folder, "--repo", "boo/names", "--pr").stdout
    assert [p.num for p in pulls(place, repo="boo/names", repo_type="model")] == [1]
    assert place.api("boo").list_repo_refs("boo/names").tags == []
    place.api("boo").merge_pull_request("boo/names", 1)
    assert "accepted: " in ana("publish", folder, "--repo", "boo/names", "--pr").stdout
    assert card_at(place, "README.md", "main", "boo/names", "model").card.region == "th"


def test_private_stays_private(place, ana, folder):
    assert ana("publish", folder, "--repo", "manila/secret", "--private").exit_code == 0
    assert not place.api("boo").repo_exists("manila/secret")
    assert place.api("ana").repo_exists("manila/secret")


def test_somebody_elses_name(place, ana, folder):
    done = ana("publish", folder, "--repo", "boo/mine")
    assert done.exit_code == 1
    assert done.stderr.startswith("error: ")
    assert not place.api("boo").repo_exists("boo/mine")


def test_what_is_named_wrongly_is_said(ana, folder, tmp_path):
    done = ana("publish", folder, "--repo", "mine")
    assert done.exit_code == 2
    assert "A repository is named org/name" in done.stderr
    done = ana("publish", tmp_path, "--repo", REPO)
    assert done.exit_code == 1
    assert "has no card: README.md" in done.stderr
    assert "ggez-hub card init" in done.stderr


def test_without_a_token(place, folder, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    done = CliRunner().invoke(cli, ["publish", str(folder), "--repo", REPO])
    assert done.exit_code == 1
    assert "hf auth login" in done.stderr


def test_the_token_is_for_its_own_hub_alone(place, ana, folder):
    sent = bytearray()

    def upstream(data):
        sent.extend(data)
        return data

    with wire(place.endpoint, lambda data: data, upstream) as line:
        done = ana("publish", folder, "--repo", REPO, "--hub", line.endpoint)
    assert done.exit_code == 1
    assert "needs a token" in done.stderr
    assert place.tokens["ana"].encode() not in sent


def test_a_full_fine_tune_goes_with_what_lies_beside_it(place, ana, plain, tmp_path):
    folder = shutil.copytree(plain, tmp_path / "manila-xl")
    (folder / ".env").write_text("SECRET=1")
    (folder / "unet" / "optimizer.pt").write_bytes(b"\x80\x04.")
    done = ana("card", "init", folder, "--region", "ph", "--base", SDXL, "--license", "openrail++")
    assert done.exit_code == 0, done.output
    done = ana("publish", folder, "--repo", "ana/manila-xl")
    assert done.exit_code == 0, done.output
    assert "left out: .env, unet/optimizer.pt" in done.stdout
    listed = {f.path for f in place.hub().at_commit("ana/manila-xl", "v1").files}
    here = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert listed - {".gitattributes", "bom.cdx.json"} == here - {".env", "unet/optimizer.pt"}
    request = Request("ph", family="diffusion", beta=0.5, trust="ana", live=True)
    (adapter,) = resolve(request, place.hub()).resolution.adapters
    assert adapter.kind == "finetune"
    # What lies beside the weights is fetched with them.
    assert "model_index.json" in {file.path for file in adapter.source.files}
