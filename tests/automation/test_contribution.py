"""contribution.yml and automerge.yml, step by step, against a real clone and a real hub."""

from __future__ import annotations

import os
import tempfile
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from huggingface_hub import CommitOperationAdd, HfApi, hf_hub_download
from safetensors.torch import load_file, save_file

from ggez_hub.automation.check import check_on_hub
from ggez_hub.automation.contribution_rules import ProposedCard, check_recipes
from ggez_hub.automation.git_changes import read_contribution
from ggez_hub.cards import parse_card, render_card
from ggez_hub.hub import Hub

from .conftest import git
from .runner import PROJECT

CARD = "cards/th/embedding/clip-emoji-th.md"
ADAPTER = "ggez-world/clip-emoji-th"


def check(registry):
    (ran,) = registry.runner.run("contribution.yml", "check", registry.pull_request())
    return ran


def test_a_good_card_passes_and_its_check_can_be_repeated(registry, good_card):
    registry.propose({CARD: good_card})
    for _ in range(2):
        ran = check(registry)
        assert ran.code == 0, ran.stderr
        assert "The contribution is well-formed" in ran.stdout
        assert "is the first adapter of th in the family embedding" in ran.stdout
        assert "::error" not in ran.stdout
        # The base is under cc-by-sa-4.0.
        assert "is under apache-2.0, which does not say what cc-by-sa-4.0 of its base" in ran.stdout


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"ggez_hub/x.py": "print()"}, "a change of the program is a pull request of its own"),
        ({".github/workflows/ci.yml": "on: push"}, "is neither cards/"),
        ({"cards/th/embedding/../../x.md": "a"}, "is neither cards/"),
        ({"README.md": None}, "is neither cards/"),
        ({"recipes/gates.yaml": "kind: gates\nretention: 0"}, "is neither cards/"),
        ({"recipes/evaluation.yaml": "kind: evaluation"}, "is neither cards/"),
        ({"recipes/th/x.yaml": "kind: merge\nbase: a/b@main\nbeta: 2"}, "line=3::beta: is not a known key"),
        ({"recipes/th/x.yaml": "kind: betas\nparts:\n- {tensors: a}"}, "line=3::parts.0: give `beta`"),
        ({"recipes/th/x.yaml": "kind: train\nfamily: sculpture"}, "line=2::family: must be one of"),
        ({"recipes/th/x.yaml": "kind: budget"}, "is of the kind 'budget', not one of merge"),
        ({"recipes/th/x.yaml": "a: [&a 1, *a]"}, "cannot be read"),
        ({CARD: b"\xff\xfe"}, "is not text in UTF-8"),
        ({CARD: "no front matter"}, "no front matter"),
        ({"cards/vn/embedding/x.md": "GOOD"}, "is in the folder vn and says region: th"),
        ({CARD: ("family: embedding", "family: sculpture")}, "ggez.family"),
        ({CARD: ("measured_by: self", "measured_by: registry")}, "did not write: yours are"),
        ({CARD: ("license: apache-2.0", "language: th")}, "has no licence"),
        ({CARD: ("adapter_model.safetensors", "adapter_model.bin")}, "records no safetensors file"),
        ({CARD: ("ggez-world/clip-emoji-th", "ggez-world/nobody")}, "gone or private"),
    ],
)  # fmt: skip
def test_a_bad_contribution_is_refused_with_the_reason(registry, good_card, files, message):
    def content(given):
        if given == "GOOD":
            return good_card
        if isinstance(given, tuple):
            assert given[0] in good_card
            return good_card.replace(*given)
        return given

    registry.propose({os.path.normpath(p): content(c) for p, c in files.items()})
    ran = check(registry)
    assert ran.code == 1
    assert message in ran.stdout
    assert "Traceback" not in ran.stderr


def test_the_recipes_of_the_registry_pass_their_own_check(registry):
    files = {
        path.relative_to(PROJECT).as_posix(): path.read_text()
        for path in sorted((PROJECT / "recipes").glob("*/*.yaml"))
        if path.parent.name != "demo"
    }
    head, base = registry.propose(files), registry.github.base
    git(registry.runner.clone, "fetch", "-q", "origin", "refs/pull/1/head")
    contribution = read_contribution(registry.runner.clone, base, head)
    assert len(contribution.changes) == len(files) > 10
    assert list(check_recipes(contribution)) == []


def test_another_base_is_refused(registry, good_card):
    start = good_card.index("weights:")
    digest = good_card[start:].split("safetensors: ")[1][:64]
    registry.propose({CARD: good_card.replace(digest, "f" * 64)})
    ran = check(registry)
    assert ran.code == 1
    assert "fits other weights than those of" in ran.stdout


def other_adapter(store, endpoint, good_card, name, change):
    """A card for an adapter whose tensors are those of the good one, changed."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        files = {
            file: Path(hf_hub_download(ADAPTER, file, endpoint=endpoint))
            for file in ("adapter_config.json", "adapter_model.safetensors")
        }
        tensors = change(load_file(files["adapter_model.safetensors"]))
        save_file(tensors, folder / "adapter_model.safetensors")
        data = {
            "adapter_config.json": files["adapter_config.json"].read_bytes(),
            "adapter_model.safetensors": (folder / "adapter_model.safetensors").read_bytes(),
        }
    store.create_repo("model", name)
    revision = store.commit("model", name, data, message="Add", author="s", email="s@x",
                            date=1_800_000_000)  # fmt: skip
    document = parse_card(good_card)
    block = document.card.model_dump(mode="json", exclude_defaults=True)
    block["adapter"] = {"repo": name, "revision": str(revision)}
    for file, content in data.items():
        block["files"][file] = {"size": len(content), "sha256": sha256(content).hexdigest()}
    card = type(document.card).model_validate(block)
    return render_card(type(document)(card, document.front_matter, document.prose))


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("another-name", lambda t: {k.replace("c_fc", "c_nobody"): v for k, v in t.items()}, "c_nobody"),
        ("another-shape", lambda t: {k: v[:, :-1].contiguous() for k, v in t.items()}, "someone/another-shape"),
    ],
)  # fmt: skip
def test_tensors_that_do_not_fit_the_base_are_found_without_weights(
    hub, store, good_card, name, change, message
):
    text = other_adapter(store, hub, good_card, f"someone/{name}", change)
    card = ProposedCard("cards/th/embedding/x.md", parse_card(text), None)
    (finding,) = [f for f in check_on_hub(card, Hub(hub), merges=True) if f.level == "error"]
    assert message in finding.message
    good = ProposedCard(CARD, parse_card(good_card), None)
    assert [f for f in check_on_hub(good, Hub(hub), merges=True) if f.level == "error"] == []


def test_an_adapter_that_lies_on_the_hub_as_a_pickle_is_refused(hub, store, good_card):
    """Its card records safetensors; loaders would take the file beside it."""
    files = {
        file: Path(hf_hub_download(ADAPTER, file, endpoint=hub)).read_bytes()
        for file in ("adapter_config.json", "adapter_model.safetensors")
    }
    store.create_repo("model", "someone/pickle")
    revision = store.commit(
        "model", "someone/pickle", files | {"adapter_model.bin": b"cos\nsystem\n"},
        message="Add", author="s", email="s@x", date=1_800_000_000,
    )  # fmt: skip
    document = parse_card(good_card)
    place = document.card.adapter.model_copy(
        update={"repo": "someone/pickle", "revision": str(revision)}
    )
    card = document.card.model_copy(update={"adapter": place})
    proposed = ProposedCard(CARD, replace(document, card=card), None)
    (finding,) = [f for f in check_on_hub(proposed, Hub(hub), merges=True) if f.level == "error"]
    assert "has adapter_model.bin, a pickle, beside adapter_model.safetensors" in finding.message


def test_links_and_sub_modules_are_refused(registry):
    work = registry.folder / "linking"
    git(registry.folder, "clone", "-q", str(registry.origin), str(work))
    place = work / CARD
    place.parent.mkdir(parents=True)
    place.symlink_to("/etc/passwd")
    git(work, "add", "-A")
    git(work, "commit", "-q", "-m", "Link")
    git(work, "push", "-q", "origin", "HEAD:refs/pull/1/head")
    registry.github.head, registry.github.base = git(work, "rev-parse", "HEAD", "HEAD^").split()
    ran = check(registry)
    assert ran.code == 1
    assert "is not a plain file (mode 120000)" in ran.stdout


def test_a_pull_request_that_moved_on_is_not_checked_under_its_old_name(registry, good_card):
    registry.propose({CARD: good_card})
    old = registry.pull_request()
    registry.propose({CARD: good_card + "\nMore.\n"})
    (ran,) = registry.runner.run("contribution.yml", "check", old)
    assert ran.code == 1
    assert "has moved on" in ran.stderr


@pytest.mark.parametrize("region", ["th", "vn"])
@pytest.mark.parametrize("together", [False, True])
def test_a_second_card_of_a_repository_is_refused(registry, good_card, region, together):
    again = f"cards/{region}/embedding/again.md"
    files = {again: good_card.replace("region: th", f"region: {region}")}
    if together:
        files[CARD] = good_card
    else:
        registry.accept({CARD: good_card})
    registry.propose(files)
    ran = check(registry)
    assert ran.code == 1
    assert f"speaks for the same adapter as {CARD}" in ran.stdout


def recommending(card):
    """A card that says of itself that a bare pull of its region takes it."""
    (line,) = [line for line in card.splitlines() if line.startswith("    revision:")][:1]
    return card.replace(line, f"{line}\n    recommended: true", 1)


def test_a_card_that_recommends_itself_waits_for_a_person(second, good_card):
    second.propose({CARD: recommending(good_card)})
    green(second)
    approve(second)
    assert "is to be what a pull of th takes" in automerge(second)
    second.accept({CARD: recommending(good_card)})
    other = recommending(good_card).replace(f"repo: {ADAPTER}", "repo: someone/else")
    second.propose({"cards/th/embedding/other.md": other})
    assert f"is `recommended` for th, and {CARD} is already" in check(second).stdout


def test_the_comment_is_written_once_and_edited(registry, good_card):
    registry.propose({CARD: "nothing"})
    registry.runner.run("automerge.yml", "answer", registry.finished())
    registry.propose({CARD: good_card})
    for _ in range(2):
        (ran,) = registry.runner.run("automerge.yml", "answer", registry.finished())
        assert ran.code == 0, ran.stderr
    (comment,) = registry.github.comments
    assert "The contribution is well-formed" in comment["body"]


def test_a_comment_of_somebody_else_with_the_mark_is_left_alone(registry, good_card):
    registry.propose({CARD: good_card})
    theirs = {"id": 1, "user": {"login": "stranger"}, "body": "<!-- ggez-hub: contribution -->\nx"}
    registry.github.comments.append(theirs)
    registry.runner.run("automerge.yml", "answer", registry.finished())
    assert registry.github.comments[0]["body"].endswith("\nx")
    assert len(registry.github.comments) == 2


def green(registry):
    registry.github.runs = [
        {
            "id": number, "name": "CI", "path": f".github/workflows/{file}", "event": "pull_request",
            "head_sha": registry.github.head, "conclusion": "success",
        }
        for number, file in enumerate(("ci.yml", "contribution.yml@main"), start=1)
    ]  # fmt: skip


def approve(registry, by="maintainer", commit=None, state="APPROVED"):
    registry.github.permissions["maintainer"] = "write"
    commit = commit or registry.github.head
    registry.github.reviews.append({"by": by, "state": state, "commit": commit})


def automerge(registry):
    (ran,) = registry.runner.run("automerge.yml", "merge", registry.finished())
    assert ran.code == 0, ran.stderr
    return ran.stdout


@pytest.fixture
def second(registry, good_card):
    """A change of an accepted card by its owner: nothing that needs a person."""
    registry.accept({CARD: good_card})
    registry.propose({CARD: good_card + "\nA note.\n"})
    return registry


def test_green_and_approved_is_merged(second):
    green(second)
    approve(second)
    assert "is merged" in automerge(second)
    assert second.github.merged == second.github.head
    # A merge by a run's own token starts no other run.
    assert second.github.dispatched == [("publish.yml", "main")]


def test_without_approval_or_green_it_waits(second):
    approve(second)
    assert "CI and Contribution have not both succeeded" in automerge(second)
    green(second)
    second.github.reviews.clear()
    assert "nobody who may decide has approved" in automerge(second)
    approve(second, by="stranger")
    assert "nobody who may decide has approved" in automerge(second)
    assert second.github.merged is None
    assert second.github.dispatched == []


def test_only_the_workflows_own_files_make_it_green(second):
    green(second)
    approve(second)
    for run, other in ((0, {"path": ".github/workflows/other.yml"}), (1, {"event": "push"})):
        known = dict(second.github.runs[run])
        second.github.runs[run] |= other
        assert "CI and Contribution have not both succeeded" in automerge(second)
        second.github.runs[run] = known
    second.github.runs.append({**second.github.runs[0], "id": 3, "conclusion": "failure"})
    assert "CI and Contribution have not both succeeded" in automerge(second)


def test_a_pull_request_for_another_branch_is_none_of_ours(second):
    green(second)
    approve(second)
    second.github.branch = "old"
    assert automerge(second) == ""
    assert second.github.merged is None


def test_an_approval_of_an_earlier_commit_does_not_count(second, good_card):
    approve(second)
    second.propose({CARD: good_card + "\nSomething else.\n"})
    green(second)
    assert "nobody who may decide has approved" in automerge(second)


def test_the_commit_of_a_strangers_proposal_is_not_the_repositorys(second, good_card, hub, store):
    """The hub gives it under the name of the repository that people trust."""
    store.add_account("mallory")
    api = HfApi(hub, token=store.new_token("mallory", "write"))
    add = [CommitOperationAdd("NOTICE", b"Mine.")]
    made = api.create_commit(ADAPTER, add, commit_message="Add", create_pr=True)
    trusted = parse_card(good_card).card.adapter.revision
    assert not Hub(hub).has_published(ADAPTER, made.oid)
    assert Hub(hub).has_published(ADAPTER, trusted)
    second.propose({CARD: good_card.replace(trusted, made.oid)})
    ran = check(second)
    assert ran.code == 1
    assert f"which no branch or tag of {ADAPTER} holds" in ran.stdout
    green(second)
    approve(second)
    assert "waits: it has 1 error" in automerge(second)
    assert second.github.merged is None


def test_an_earlier_commit_is_the_repositorys(hub, store):
    store.create_repo("model", "someone/long")
    revisions = [
        store.commit("model", "someone/long", {"a": b"%d" % n}, message="Add", author="s",
                     email="s@x", date=1_800_000_000)
        for n in range(60)
    ]  # fmt: skip
    assert Hub(hub).has_published("someone/long", str(revisions[0]))
    assert not Hub(hub).has_published("someone/long", "0" * 40)


def test_an_objection_holds_it(second):
    green(second)
    approve(second)
    second.github.permissions["other"] = "admin"
    approve(second, by="other", state="CHANGES_REQUESTED")
    assert "nobody who may decide has approved" in automerge(second)


def test_the_first_of_a_region_and_another_owner_wait_for_a_person(registry, good_card):
    registry.propose({CARD: good_card})
    green(registry)
    approve(registry)
    assert "is the first adapter of th" in automerge(registry)
    registry.accept(
        {CARD: good_card.replace("repo: ggez-world/clip-emoji-th", "repo: someone/else")}
    )
    registry.propose({CARD: good_card})
    green(registry)
    approve(registry)
    assert "changes the owner from someone to ggez-world" in automerge(registry)
    assert registry.github.merged is None


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("state: active", "state: yanked\n    reason: mine is better", "from active to yanked"),
        ("state: yanked\n    reason: it leaks", "state: active", "from yanked to active"),
        ("state: active", "state: deprecated\n    superseded_by: a/b", "from active to deprecated"),
    ],
)
def test_a_change_of_status_waits_for_a_person(registry, good_card, before, after, said):
    registry.accept({CARD: good_card.replace("state: active", before)})
    registry.propose({CARD: good_card.replace("state: active", after)})
    assert f"changes the status {said}" in check(registry).stdout
    green(registry)
    approve(registry)
    assert f"changes the status {said}" in automerge(registry)
    assert registry.github.merged is None


def test_the_review_of_a_deleted_account_counts_for_nothing(second):
    green(second)
    approve(second, by=None)
    assert "nobody who may decide has approved" in automerge(second)
    approve(second)
    assert "is merged" in automerge(second)
