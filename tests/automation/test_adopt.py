"""adopt.yml, step by step: a proposal at the index on the hub becomes a pull request of the registry."""

from __future__ import annotations

import pytest
from click.testing import CliRunner
from huggingface_hub import CommitOperationAdd, HfApi

from ggez_hub.automation.github import GitHub
from ggez_hub.cli.ci import ci_command, contributions
from ggez_hub.errors import GgezError

from .conftest import git
from .github_server import REPOSITORY

CARD = "cards/ph/embedding/jeepney.md"
INDEX = "ggez-hub/index"


@pytest.fixture(scope="module")
def contributor(store, hub):
    store.add_account("juan")
    return HfApi(hub, token=store.new_token("juan", "write"))


@pytest.fixture(autouse=True)
def _proposals_end(contributor):
    """No test sees the proposals of another one: the index is that of all tests."""
    yield
    for found in contributor.get_repo_discussions(INDEX, repo_type="dataset"):
        if found.status == "open" and found.author == "juan":
            contributor.change_discussion_status(INDEX, found.num, "closed", repo_type="dataset")


def propose(api, title, files):
    operations = [CommitOperationAdd(path, text.encode()) for path, text in files.items()]
    done = api.create_commit(
        INDEX, operations, commit_message=title, repo_type="dataset", create_pr=True
    )
    return int(done.pr_url.rpartition("/")[2])


def adopt(registry):
    (ran,) = registry.runner.run("adopt.yml", "adopt", {})
    assert ran.code == 0, ran.stderr
    return ran.stdout


def again(registry, monkeypatch):
    """The same step by hand, in this process."""
    monkeypatch.setenv("GITHUB_REPOSITORY", REPOSITORY)
    monkeypatch.setenv("GITHUB_TOKEN", "token")
    monkeypatch.setenv("GITHUB_API_URL", registry.github.url)
    where = ["--repository", str(registry.runner.clone), "--hub", registry.runner.hub]
    result = CliRunner().invoke(ci_command, ["adopt", *where])
    assert result.exit_code == 0, result.output
    return result.output


def test_a_card_comes_over_once_and_follows_its_proposal(
    registry, contributor, hub, good_card, monkeypatch
):
    text = good_card.replace("region: th", "region: ph", 1)
    number = propose(contributor, "x\n`@all` rm -rf", {CARD: text})
    two = propose(contributor, "Two", {CARD: text, CARD.replace("jeepney", "other"): text})
    out = adopt(registry)
    assert f"proposal {number}: opened https://github.test/100\n" in out
    assert f"proposal {two}: changes 2 cards: a person looks at it\n" in out
    (pull,) = registry.github.git.proposals
    assert pull["title"] == f"Add ph/embedding/jeepney (proposal {number} on the hub)"
    assert pull["body"].startswith(
        f"Proposed on the hub: {hub}/datasets/{INDEX}/discussions/{number}"
    )
    assert "by `juan`" in pull["body"]
    branch = f"hub/{number}"
    assert git(registry.origin, "diff", "--name-only", "main", branch) == CARD
    assert git(registry.origin, "show", f"{branch}:{CARD}") == text.strip()
    assert f"proposal {number}: unchanged" in again(registry, monkeypatch)
    contributor.upload_file(
        path_or_fileobj=f"{text}\nMore.\n".encode(), path_in_repo=CARD, repo_id=INDEX,
        repo_type="dataset", revision=f"refs/pr/{number}",
    )  # fmt: skip
    assert f"proposal {number}: updated" in again(registry, monkeypatch)
    assert git(registry.origin, "show", f"{branch}:{CARD}").endswith("More.")
    registry.accept({CARD: f"{text}\nMore.\n"})
    assert f"proposal {number}: is accepted already" in again(registry, monkeypatch)
    assert len(registry.github.git.proposals) == 1
    # Proposals cost nothing on the hub: there may be any number of them.
    for name in ("three", "four"):
        propose(contributor, name, {CARD.replace("jeepney", name): text})
    monkeypatch.setattr(contributions, "MOST_NEW", 1)
    for opened in (2, 3):
        assert "are opened: the others wait for the next run" in again(registry, monkeypatch)
        assert len(registry.github.git.proposals) == opened


def test_a_poisoned_proposal_stops_no_other(registry, contributor, good_card, monkeypatch):
    text = good_card.replace("region: th", "region: ph", 1)
    bytes_of = {"jeepney": b"\xff\xfe\x00", "halo-halo": text.encode(), "adobo": text.encode()}
    numbers = {
        name: int(
            contributor.create_commit(
                INDEX, [CommitOperationAdd(CARD.replace("jeepney", name), content)],
                commit_message=name, repo_type="dataset", create_pr=True,
            ).pr_url.rpartition("/")[2]
        )
        for name, content in bytes_of.items()
    }  # fmt: skip
    known = GitHub.propose

    def refuse(self, wanted):
        if "halo-halo" in wanted.path:
            raise GgezError("GitHub does not take it")
        return known(self, wanted)

    monkeypatch.setattr(GitHub, "propose", refuse)
    out = again(registry, monkeypatch)
    assert f"proposal {numbers['jeepney']}: cannot be read: `" in out
    assert "is not UTF-8 text" in out
    assert f"proposal {numbers['halo-halo']}: GitHub does not take it" in out
    assert f"proposal {numbers['adobo']}: opened" in out
