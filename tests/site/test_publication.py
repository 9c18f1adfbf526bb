"""`site publish` and `site serve`: a static Space by one commit, and the same files over HTTP."""

from __future__ import annotations

import json
import urllib.request

import pytest
import yaml
from click.testing import CliRunner
from huggingface_hub import constants

from ggez_hub.cli.main import cli
from ggez_hub.errors import GgezError, UsageProblem
from ggez_hub.hub import Hub
from ggez_hub.site.publication import publish_site
from ggez_hub.site.server import site_server

from ..worlds import running
from .built import demo_world

pytestmark = pytest.mark.slow

SPACE = "curator/explorer"


@pytest.fixture
def curator(tmp_path):
    """A hub with the demo world, and somebody who may write there."""
    with demo_world(tmp_path / "store") as (hub, store):
        store.add_account("curator")
        yield Hub(hub.endpoint, store.new_token("curator", "write"))


def files_of(hub):
    return {file.path: file for file in hub.at_commit(SPACE, "main", "space").files}


def test_one_commit_makes_a_static_space_and_a_repeat_sends_nothing(curator, demo, tmp_path):
    _, site = demo
    done = publish_site(site, SPACE, curator)
    there = files_of(curator)
    paths = {path.relative_to(site).as_posix() for path in site.rglob("*") if path.is_file()}
    assert there.keys() - {".gitattributes"} == paths | {"README.md"}
    assert set(done.changed) == paths | {"README.md"}
    text = curator.read_text(SPACE, done.revision, "README.md", "space")
    front = yaml.safe_load(text.split("---")[1])
    assert (front["sdk"], front["app_file"]) == ("static", "index.html")
    assert len(curator.api.list_repo_commits(SPACE, repo_type="space")) <= 2
    again = publish_site(site, SPACE, curator)
    assert (again.changed, again.revision) == ((), done.revision)


def test_only_what_changed_is_sent_and_what_is_gone_goes(curator, tmp_path):
    site = tmp_path / "site"
    site.mkdir()
    for name in ("index.html", "same.js", "other.js", "old.js"):
        (site / name).write_text(name)
    publish_site(site, SPACE, curator)
    (site / "other.js").write_text("changed")
    (site / "old.js").unlink()
    done = publish_site(site, SPACE, curator)
    assert done.changed == ("other.js", "old.js")
    assert "old.js" not in files_of(curator)


def test_a_folder_that_is_not_a_site_and_a_hub_without_a_token_are_refused(curator, tmp_path):
    with pytest.raises(UsageProblem, match="not a site"):
        publish_site(tmp_path, SPACE, curator)
    with pytest.raises(UsageProblem, match="not a site"):
        site_server(tmp_path)
    (tmp_path / "index.html").write_text("x")
    with pytest.raises(GgezError, match="needs a token"):
        publish_site(tmp_path, SPACE, Hub(curator.endpoint))
    assert not curator.exists(SPACE, "space")


def test_a_site_is_served_below_a_path_as_static_files(demo):
    _, site = demo
    with running(site_server(site, prefix="/explorer")) as url:
        with urllib.request.urlopen(f"{url}/explorer/") as answer:  # noqa: S310
            assert answer.read() == (site / "index.html").read_bytes()
        with urllib.request.urlopen(f"{url}/explorer/data/overview.js") as answer:  # noqa: S310
            assert answer.headers["content-type"].startswith("text/javascript")
            assert answer.headers["x-content-type-options"] == "nosniff"


def test_the_commands_build_and_publish(curator, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", curator.token)
    template = constants.HUGGINGFACE_CO_URL_TEMPLATE.removeprefix(constants.ENDPOINT)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", curator.endpoint + template)
    monkeypatch.setattr(constants, "ENDPOINT", curator.endpoint)
    run = CliRunner().invoke
    out = tmp_path / "out"
    built = run(cli, ["site", "build", "--hub", curator.endpoint, "-o", str(out), "--json"])
    assert built.exit_code == 0, built.output
    assert json.loads(built.stdout)["adapters"] == 4
    assert (out / "explorer.js").is_file()
    again = run(cli, ["site", "build", "--hub", curator.endpoint, "-o", str(out)])
    assert (again.exit_code, "exists already" in again.stderr) == (1, True)
    done = run(cli, ["site", "publish", SPACE, "--dir", str(out), "--hub", curator.endpoint])
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith(f"{curator.endpoint}/spaces/{SPACE} @ ")
    done = run(cli, ["site", "publish", SPACE, "--hub", curator.endpoint])
    assert done.stdout.endswith(": unchanged\n"), done.output
    wrong = run(cli, ["site", "publish", "no-owner", "--hub", curator.endpoint])
    assert wrong.exit_code == 2
    wrong = run(cli, ["site", "build", "--index", str(tmp_path / "x"), "-o", str(tmp_path / "y")])
    assert (wrong.exit_code, "is not an index" in wrong.stderr) == (2, True)
