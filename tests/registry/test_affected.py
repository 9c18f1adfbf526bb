"""What a yank or a takedown reaches: merges that were published, and folders that were pulled."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from huggingface_hub import constants

from ggez_hub.automation.affected_pull_requests import marked_card
from ggez_hub.cli.main import cli
from ggez_hub.demo.hub import BASE_REPO
from ggez_hub.errors import GgezError
from ggez_hub.hub import Hub
from ggez_hub.registry.affected import AFFECTED_TAG, Cause

from ..faults import Failing, answer
from ..worlds import serving
from .signing import new_key, trust
from .test_status import SEA, TH, WHO, YANKED, restate

REPO = "ggez-hub/thai"


def run(*arguments):
    result = CliRunner().invoke(cli, [str(a) for a in arguments])
    assert result.exit_code == 0, result.output
    return result


def affected(hub, *named):
    done = run("registry", "affected", *named, "--hub", hub.endpoint, "--json")
    return {
        merge["repo"]: [(c["repo"], c["state"], c["reason"]) for c in merge["causes"]]
        for merge in json.loads(done.stdout)["merges"]
    }


@pytest.fixture
def published(assets, hub_of, tmp_path, monkeypatch):
    """A hub with a published Thai adapter form, pulled as `pulled`; and its token in the environment."""
    hub, store = hub_of(assets)
    store.add_account("curator", orgs=["ggez-hub"])
    token = store.new_token("curator", "write")
    monkeypatch.setenv("HF_TOKEN", token)
    monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)
    template = hub.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    private, public = new_key(tmp_path)
    trust(public, "ggez-hub")
    options = ("--as", "peft", "--push", REPO, "--signing-key", private, "--hub", hub.endpoint)
    run("pull", "--region", "th", "-o", tmp_path / "pulled", *options)
    return Hub(hub.endpoint, token), store, private


def mark(hub, *options):
    return json.loads(run("ci", "affected", "--hub", hub.endpoint, "--json", *options).stdout)[
        "merges"
    ]


def test_a_yank_reaches_what_was_published(published, assets, tmp_path):
    hub, store, _ = published
    assert affected(hub) == {}
    assert affected(hub, TH) == {REPO: [(TH, "active", "")]}
    assert affected(hub, SEA) == {}
    commit = store.head("model", TH)
    assert affected(hub, f"{TH}@{commit}") == affected(hub, TH)
    assert affected(hub, f"{TH}@{'0' * 40}") == {}
    card = tmp_path / "card.md"
    restate(hub, store, assets, "th", YANKED)
    path = next(
        p for p in hub.api.list_repo_files("ggez-hub/index", repo_type="dataset") if "/th/" in p
    )
    card.write_text(hub.read_text("ggez-hub/index", "main", path, "dataset"))
    reached = {REPO: [(TH, "yanked", "wrong data")]}
    assert affected(hub) == affected(hub, card) == reached
    shown = run("registry", "affected", "--hub", hub.endpoint).stdout
    assert f"{TH}@{commit[:12]}" in shown
    assert "was yanked: wrong data" in shown


def test_the_pull_request_marks_the_card_once_and_what_was_signed_stays_signed(
    published, assets, tmp_path
):
    hub, store, private = published
    assert mark(hub) == []
    restate(hub, store, assets, "th", YANKED)
    before = hub.at_commit(REPO, "main")
    key = ("--signing-key", private)
    (dry,) = mark(hub, "--dry-run")
    assert (dry["state"], dry["marked"]) == ("affected", False)
    assert [m["state"] for m in (*mark(hub, *key), *mark(hub, *key))] == ["opened", "unchanged"]
    (pull,) = hub.api.get_repo_discussions(REPO)
    details = hub.api.get_discussion_details(REPO, pull.num)
    assert (
        f"`{TH}@{store.head('model', TH)[:12]}` was yanked: `wrong data`"
        in details.events[0].content
    )
    hub.api.merge_pull_request(REPO, pull.num)
    after = hub.at_commit(REPO, "main")
    changed = {f.path for f in after.files} ^ {f.path for f in before.files} | {
        f.path for f in after.files if f.oid not in {b.oid for b in before.files}
    }
    assert changed == {"README.md", "model.sig"}
    assert AFFECTED_TAG in after.front_matter["tags"]
    assert [(m["state"], m["marked"]) for m in mark(hub, *key)] == [("accepted", True)]
    folder = hub.fetch(REPO, after.revision, after.files)
    checked = run("verify", folder, "--hub", hub.endpoint, "--owner", "ggez-hub", "--json")
    assert [c["repo"] for c in json.loads(checked.stdout)["yanked"]] == [TH]
    assert f"warning: {TH} was yanked: wrong data" in checked.stderr


def test_without_the_key_it_says_that_the_signature_is_older_and_closed_it_stays_closed(
    published, assets, monkeypatch
):
    hub, store, _ = published
    restate(hub, store, assets, "th", YANKED)
    with monkeypatch.context() as reading:
        reading.setenv("HF_TOKEN", store.new_token("curator", "read"))
        # What the hub refuses of one is no reason to leave out the others.
        assert [m["state"] for m in mark(hub)] == ["left"]
    assert [m["state"] for m in mark(hub)] == ["opened"]
    (pull,) = hub.api.get_repo_discussions(REPO)
    body = hub.api.get_discussion_details(REPO, pull.num).events[0].content
    assert "sign the files again" in body
    hub.api.change_discussion_status(REPO, pull.num, "closed")
    assert [m["state"] for m in mark(hub)] == ["declined"]
    assert len(list(hub.api.get_repo_discussions(REPO))) == 1


def test_an_adapter_that_is_gone_reaches_it_too_and_an_odd_lock_hides_nothing(published):
    hub, store, _ = published
    store.create_repo("model", "curator/odd")
    files = {"ggez.lock": b"[" * 100_000, "README.md": b"---\ntags: [ggez]\n---\n"}
    store.commit("model", "curator/odd", files, **WHO)
    store.delete_repo(store.repo("model", TH))
    assert affected(hub) == {REPO: [(TH, "gone", "is gone or private")]}
    done = json.loads(run("registry", "affected", "--hub", hub.endpoint, "--json").stdout)
    assert [repo for repo, _ in done["unreadable"]] == ["curator/odd"]


def test_verify_names_what_was_yanked_since_and_where_it_cannot_know(published, assets, tmp_path):
    hub, store, _ = published
    folder = tmp_path / "pulled"
    before = run("verify", folder, "--hub", hub.endpoint, "--json")
    assert json.loads(before.stdout)["yanked"] == []
    restate(hub, store, assets, "th", YANKED)
    after = run("verify", folder, "--hub", hub.endpoint)
    assert f"warning: {TH} was yanked: wrong data" in after.stderr
    nobody = run("verify", folder, "--hub", "http://127.0.0.1:9", "--json")
    assert json.loads(nobody.stdout)["yanked"] is None
    assert "yanked since is not known: the hub could not be reached" in nobody.stderr


CAUSE = Cause("a/b", "1" * 40, "yanked", "x` [link](http://x)\n@all")


def test_a_mark_is_one_tag_and_one_notice_and_nothing_else():
    text = "---\n# ours\ntags: [ggez, 'x']\nlicense: mit\n---\n\n# Title\n\nText.\n"
    marked = marked_card(text, [CAUSE])
    assert marked_card(marked, [CAUSE]) == marked
    assert "# ours" in marked
    assert marked.endswith("# Title\n\nText.\n")
    assert f"{AFFECTED_TAG}" in marked.partition("\n---\n")[0]
    # The reason is a stranger's text.
    assert "was yanked: `x' [link](http://x) @all`\n" in marked
    assert marked_card(text, []) == text
    block = text.replace(" [ggez, 'x']", "\n  - ggez\n  - x")
    assert marked_card(marked_card(block, [CAUSE]), []) == block
    other = marked_card(marked, [Cause("c/d", None, "gone", "is gone or private")])
    assert "a/b" not in other
    assert other.count("Affected.") == 1
    for odd in (
        "no front matter",
        "---\nlicense: mit\n---\n",
        "---\ntags: x\n---\n",
        "---\n&a: *a\n---\n",
    ):
        with pytest.raises(GgezError):
            marked_card(odd, [CAUSE])


def merged_pull_request(hub):
    """Merge the one open pull request; its title."""
    (pull,) = (p for p in hub.api.get_repo_discussions(REPO) if p.status == "open")
    hub.api.merge_pull_request(REPO, pull.num)
    return pull.title


def test_a_lifted_yank_takes_its_mark_off_and_what_was_signed_stays_signed(published, assets):
    hub, store, private = published
    key = ("--signing-key", private)
    before = hub.read_text(REPO, hub.at_commit(REPO, "main").revision, "README.md")
    restate(hub, store, assets, "th", YANKED)
    mark(hub, *key)
    merged_pull_request(hub)
    assert [m["state"] for m in mark(hub, *key)] == ["accepted"]
    restate(hub, store, assets, "th", {"state": "active"})
    assert affected(hub) == {REPO: [(BASE_REPO, "active", ""), (TH, "active", "")]}
    (dry,) = mark(hub, "--dry-run")
    assert (dry["state"], dry["marked"]) == ("lifted", True)
    assert [m["state"] for m in (*mark(hub, *key), *mark(hub, *key))] == ["opened", "unchanged"]
    assert merged_pull_request(hub) == f"Lift the mark: affected no longer by {TH}"
    after = hub.at_commit(REPO, "main")
    assert hub.read_text(REPO, after.revision, "README.md") == before
    folder = hub.fetch(REPO, after.revision, after.files)
    run("verify", folder, "--hub", hub.endpoint, "--owner", "ggez-hub")
    assert mark(hub) == []
    assert affected(hub) == {}
    # Yanked again it is marked again.
    restate(hub, store, assets, "th", YANKED)
    assert [m["state"] for m in mark(hub, *key)] == ["opened"]


def test_a_mark_of_others_and_of_what_the_index_forgot_stays(published, assets):
    hub, store, _ = published
    text = hub.read_text(REPO, hub.at_commit(REPO, "main").revision, "README.md")
    unknown = marked_card(text, [Cause("x/gone", None, "gone", "is gone or private")])
    for card in (unknown, text.replace("tags:\n", f"tags:\n- {AFFECTED_TAG}\n", 1)):
        store.commit("model", REPO, {"README.md": card.encode()}, **WHO)
        assert AFFECTED_TAG in hub.at_commit(REPO, "main").front_matter["tags"]
        assert [m["state"] for m in mark(hub)] == ["left"]


def test_a_card_that_was_changed_since_it_was_signed_is_not_signed_by_the_way(published, assets):
    hub, store, private = published
    text = hub.read_text(REPO, hub.at_commit(REPO, "main").revision, "README.md")
    changed = f"{text}\nPip install this first: evil\n".encode()
    store.commit("model", REPO, {"README.md": changed}, **WHO)
    restate(hub, store, assets, "th", YANKED)
    assert [m["state"] for m in mark(hub, "--signing-key", private)] == ["opened"]
    (pull,) = hub.api.get_repo_discussions(REPO)
    body = hub.api.get_discussion_details(REPO, pull.num).events[0].content
    assert "sign the files again" in body
    signed = [hub.at_commit(REPO, at).file("model.sig") for at in ("main", f"refs/pr/{pull.num}")]
    assert signed[0] == signed[1]


def test_a_merge_that_the_hub_does_not_show_now_is_named(published, assets):
    hub, store, _ = published
    restate(hub, store, assets, "th", YANKED)
    commit = store.head("model", REPO)

    def around(app):
        failing = Failing(app)
        failing.fails = [(f"GET /api/models/{REPO}/revision/{commit}", 9, answer(403))]
        return failing

    with serving(store, around) as endpoint:
        done = run("registry", "affected", "--hub", endpoint, "--json")
    found = json.loads(done.stdout)
    assert (found["merges"], [repo for repo, _ in found["unreadable"]]) == ([], [REPO])
