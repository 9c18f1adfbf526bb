"""A hub whose adapters and index are signed: what `pull` takes, and that no hub can be taken back."""

from __future__ import annotations

import datetime
import importlib.util
import json
import shutil
from dataclasses import replace

import pytest
from click.testing import CliRunner
from huggingface_hub import HfApi, constants, snapshot_download

from ggez_hub.cards import read_card, write_card
from ggez_hub.cards.schema import Status
from ggez_hub.cli.main import cli
from ggez_hub.embedded.store import HubStore
from ggez_hub.errors import GgezError
from ggez_hub.extras import require
from ggez_hub.hub import Hub
from ggez_hub.registry.constants import INDEX_FILE, INDEX_REPO
from ggez_hub.registry.index.build import publish_index
from ggez_hub.registry.index.search import accepted_entries
from ggez_hub.registry.lock import read_lock
from ggez_hub.registry.request import Request
from ggez_hub.registry.resolver.resolver import NoAdapter, resolve
from ggez_hub.registry.trust import freshness
from ggez_hub.registry.trust.freshness import UntrustedIndex
from ggez_hub.registry.trust.memory import memory_file, seen_index
from ggez_hub.registry.trust.policy import Signer, TrustPolicy, write_policy
from ggez_hub.registry.trust.signing import sign_files, signing_key
from ggez_hub.registry.trust.statement import SIGNATURE_FILE

from .. import faults
from ..worlds import serving
from .signing import model_signing, new_key, trust

pytestmark = pytest.mark.slow

ADAPTER = "ggez-world/clip-emoji-th"
DAY = datetime.timedelta(days=1)


@pytest.fixture
def keys(tmp_path):
    """The registry's key; it signs for its index and for the world's adapters."""
    private, public = new_key(tmp_path)
    trust(public, "ggez-hub", "ggez-world")
    return private, public


@pytest.fixture
def by(keys):
    return signing_key(str(keys[0]), TrustPolicy())


@pytest.fixture
def place(assets, hub_of, monkeypatch):
    """The world's hub with its owner signed in, and its store."""
    hub, store = hub_of(assets)
    store.add_account("curator", orgs=["ggez-hub", "ggez-world"])
    token = store.new_token("curator", "write")
    monkeypatch.setenv("HF_TOKEN", token)
    monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)
    template = hub.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    return Hub(hub.endpoint, token), store


@pytest.fixture
def hub(place):
    return place[0]


@pytest.fixture
def cards(hub, tmp_path):
    at = hub.at_commit(INDEX_REPO, "main", "dataset")
    fetched = hub.fetch(INDEX_REPO, at.revision, at.files, "dataset")
    return shutil.copytree(fetched / "cards", tmp_path / "cards")


def run(*arguments):
    return CliRunner().invoke(cli, list(map(str, arguments)))


def pull(hub, out, *more):
    return run("pull", "--region", "th", "--hub", hub.endpoint, "-o", out, *more)


def sign_adapter(hub, by, content=None):
    """Sign the Thai adapter as it is, or a statement of other bytes, and accept the new commit."""
    at = hub.at_commit(ADAPTER, "main")
    folder = hub.fetch(ADAPTER, at.revision, at.files)
    files = {f.path: folder / f.path for f in at.files}
    files |= content or {}
    HfApi(hub.endpoint, hub.token).upload_file(
        path_or_fileobj=sign_files(by, ADAPTER, files),
        path_in_repo=SIGNATURE_FILE,
        repo_id=ADAPTER,
    )


def accept(cards, hub, by=None, **changes):
    """Publish the index with the Thai adapter at its head, and other changes of its card."""
    (path,) = (cards / "th").rglob("*.md")
    document = read_card(path)
    revision = hub.at_commit(ADAPTER, "main").revision
    location = document.card.adapter.model_copy(update={"revision": revision})
    write_card(path, document.with_card(adapter=location, **changes))
    return publish_index(cards, hub, by=by)


def rejected(hub):
    """Why the Thai adapter was not taken; that of the larger region was."""
    resolution = resolve(Request("th"), hub).resolution
    assert resolution.adapters[0].source.repo != ADAPTER
    return next(each.reason for each in resolution.rejected if each.repo == ADAPTER)


def test_the_signer_stands_in_explain_lock_and_card(hub, by, keys, cards, tmp_path):
    sign_adapter(hub, by)
    accept(cards, hub, by)
    out = tmp_path / "out"
    done = pull(hub, out, "--signatures", "required", "--explain")
    assert done.exit_code == 0, done.output
    assert f"signed   {ADAPTER} is signed by key " in done.stdout
    assert "signed   the index is signed by key " in done.stdout
    (adapter,) = read_lock(out / "ggez.lock").resolution.adapters
    assert adapter.source.signer.startswith("key ")
    assert adapter.card.signer == adapter.source.signer
    assert f"- {ADAPTER} is signed by key " in (out / "embedding" / "README.md").read_text()
    assert run("verify", out).exit_code == 0


def test_what_is_not_signed_is_refused_where_it_has_to_be(hub, by, cards):
    accept(cards, hub, by)
    assert resolve(Request("th"), hub).resolution.adapters[0].source.signer is None
    with pytest.raises(NoAdapter, match="is not signed"):
        resolve(Request("th"), replace(hub, signatures="required"))


def test_an_index_that_is_not_signed_is_refused_where_it_has_to_be(hub, keys):
    with pytest.raises(UntrustedIndex, match="is not signed"):
        accepted_entries(replace(hub, signatures="required"))
    assert accepted_entries(replace(hub, signatures="off")).entries


def test_a_signature_of_other_bytes_is_refused(hub, by, cards):
    sign_adapter(hub, by, {"adapter_model.safetensors": b"other"})
    accept(cards, hub, by)
    assert "has a signature of another adapter_model.safetensors" in rejected(hub)
    off = resolve(Request("th"), replace(hub, signatures="off")).resolution
    assert off.adapters[0].source.repo == ADAPTER


def test_a_strangers_signature_is_refused(hub, by, cards, tmp_path):
    stranger = signing_key(str(new_key(tmp_path, "stranger")[0]), TrustPolicy())
    sign_adapter(hub, stranger)
    accept(cards, hub, by)
    assert "the signature does not count" in rejected(hub)


def test_nobody_judges_where_the_policy_names_nobody(hub, by, cards, keys):
    sign_adapter(hub, by)
    accept(cards, hub, by)
    trust(keys[1], "somebody-else")
    (adapter,) = resolve(Request("th"), hub).resolution.adapters
    assert adapter.source.signer is None
    with pytest.raises(UntrustedIndex, match=r"nobody in trust\.yaml may sign for ggez-hub"):
        resolve(Request("th"), replace(hub, signatures="required"))


def test_without_the_extra_it_says_that_nothing_was_checked_or_refuses(
    hub, by, keys, cards, tmp_path, monkeypatch
):
    sign_adapter(hub, by)
    accept(cards, hub, by)
    assert run("pull", "--region", "th", "--as", "peft", "--hub", hub.endpoint, "-o", tmp_path / "out",
               "--push", "ggez-hub/thai", "--signing-key", keys[0]).exit_code == 0  # fmt: skip
    at = hub.at_commit("ggez-hub/thai", "main")
    folder = hub.fetch("ggez-hub/thai", at.revision, at.files)
    require.cache_clear()
    found = importlib.util.find_spec
    absent = {"model_signing", "cryptography"}
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name in absent else found(name)
    )
    install = "pip install 'ggez-hub[sign]'"
    before = pull(hub, tmp_path / "new")
    assert f"cannot be checked here ({install}?); number 1" in before.stderr
    memory_file().unlink()
    for target, more in (
        ("new", ()),
        ("again", ("--locked", "--lock", tmp_path / "new/ggez.lock")),
    ):
        done = pull(hub, tmp_path / target, *more)
        assert done.exit_code == 0, done.output
        (said,) = [line for line in done.stderr.splitlines() if "not checked" in line]
        assert f"signatures of {ADAPTER}, the index were not checked: {install}" in said
    assert "not checked" not in pull(hub, tmp_path / "off", "--signatures", "off").stderr
    refused = pull(hub, tmp_path / "refused", "--signatures", "required")
    assert refused.exit_code == 1
    assert install in refused.stderr
    verify = ("verify", folder, "--hub", hub.endpoint)
    checked = run(*verify)
    assert (checked.exit_code, checked.stdout) == (0, f"{folder}: 2 files are what the lock says\n")
    assert f"was not checked: {install}" in checked.stderr
    assert install in run(*verify, "--signatures", "required").stderr
    assert run(*verify, "--signatures", "required").exit_code == 1


def test_a_lock_whose_signer_was_revoked_since(hub, by, cards, keys, tmp_path):
    """A lock is a promise: it is kept with a warning, and refused where signatures are required."""
    sign_adapter(hub, by)
    accept(cards, hub, by)
    assert pull(hub, tmp_path / "out").exit_code == 0
    lock = tmp_path / "out" / "ggez.lock"
    trust(keys[1], "ggez-hub", "ggez-world", revoked=datetime.date(2026, 1, 1))
    kept = pull(hub, tmp_path / "a", "--locked", "--lock", lock)
    assert kept.exit_code == 0, kept.output
    assert f"warning: {ADAPTER}: the signature does not count" in kept.stderr
    refused = pull(hub, tmp_path / "b", "--locked", "--lock", lock, "--signatures", "required")
    assert refused.exit_code == 1
    assert "revoked since 2026-01-01" in refused.output


def test_publish_signs_and_a_repeat_sends_nothing(hub, keys, assets, tmp_path):
    private, public = keys
    folder = assets / "embedding" / "th"
    arguments = ("publish", folder, "--repo", "ggez-world/signed", "--hub", hub.endpoint)
    first = run(*arguments, "--signing-key", private)
    assert first.exit_code == 0, first.output
    assert SIGNATURE_FILE in first.output
    again = run(*arguments, "--signing-key", private)
    assert "unchanged" in again.output
    unsigned = run(*arguments)
    assert unsigned.exit_code == 1
    assert "is signed, and what is sent now would not be" in unsigned.output
    there = snapshot_download("ggez-world/signed", local_dir=tmp_path / "there")
    checked = run("verify", there, "--owner", "ggez-world", "--signatures", "required")
    assert checked.exit_code == 0, checked.output
    theirs = model_signing(
        "verify", "key", "--signature", f"{there}/{SIGNATURE_FILE}", "--public_key", public,
        "--ignore-paths", f"{there}/.cache", there,
    )  # fmt: skip
    assert theirs.returncode == 0, theirs.stdout + theirs.stderr


def test_a_pushed_result_is_signed_with_its_lock_and_bill(hub, keys, tmp_path):
    push = ("--push", "ggez-hub/thai", "--signing-key", keys[0])
    done = pull(hub, tmp_path / "out", *push)
    assert done.exit_code == 0, done.output
    there = snapshot_download("ggez-hub/thai", local_dir=tmp_path / "there")
    checked = run("verify", there, "--json")
    assert checked.exit_code == 0, checked.output
    assert json.loads(checked.stdout)["signer"].startswith("key ")
    names = {file.path for file in hub.at_commit("ggez-hub/thai", "main").files}
    assert {"ggez.lock", "bom.cdx.json", SIGNATURE_FILE} <= names


def test_a_published_merge_is_taken_if_its_signature_counts(hub, by, cards, keys, tmp_path):
    push = ("--push", "ggez-hub/thai", "--signing-key", keys[0])
    assert pull(hub, tmp_path / "out", *push).exit_code == 0
    sign_adapter(hub, by)
    shutil.rmtree(constants.HF_HUB_CACHE)
    taken = pull(hub, tmp_path / "taken", "--json")
    assert taken.exit_code == 0, taken.output
    assert json.loads(taken.stdout)["published"].startswith("ggez-hub/thai@")
    shutil.rmtree(constants.HF_HUB_CACHE)
    trust(new_key(tmp_path, "other")[1], "ggez-hub")
    merged = pull(hub, tmp_path / "merged", "--json")
    assert merged.exit_code == 0, merged.output
    assert json.loads(merged.stdout)["published"] is None


def take_back(store, revision):
    """What an operator of a hub can do: let `main` be an older commit."""
    with store.git(store.repo("dataset", INDEX_REPO)) as git:
        git.move(b"refs/heads/main", git.refs.head("main"), revision)


def test_a_hub_cannot_be_taken_back(place, by, cards, tmp_path):
    """An adapter was yanked; the hub goes back to the index in which it was not."""
    hub, store = place
    before = accept(cards, hub, by)
    out = tmp_path / "out"
    assert pull(hub, out).exit_code == 0
    status = Status(state="yanked", reason="the captions were copied")
    accept(cards, hub, by, status=status)
    # What is there already is not given out by its note either.
    assert run("search", "--hub", hub.endpoint).exit_code == 0
    assert seen_index(hub).number == 2
    take_back(store, before.revision)
    for arguments in ((tmp_path / "new",), (out,)):
        refused = pull(hub, *arguments)
        assert refused.exit_code == 1
        assert "is number 1 of" in refused.output
        assert "number 2 of" in refused.output
        assert "was seen here before" in refused.output
    stale = pull(hub, tmp_path / "new", "--allow-stale")
    assert stale.exit_code == 0, stale.output
    # The newest is remembered all the same.
    assert seen_index(hub).number == 2


def test_a_hub_that_lost_its_signature_is_refused(place, by, cards):
    hub, store = place
    unsigned = store.head("dataset", INDEX_REPO)
    accept(cards, hub, by)
    accepted_entries(hub)
    take_back(store, unsigned)
    with pytest.raises(UntrustedIndex, match="is not signed now; number 1 of"):
        accepted_entries(hub)
    assert accepted_entries(replace(hub, allow_stale=True)).entries


def test_an_expired_index_is_refused(hub, by, cards, monkeypatch, tmp_path):
    monkeypatch.setattr(freshness, "LIFETIME", -DAY)
    accept(cards, hub, by)
    refused = pull(hub, tmp_path / "out")
    assert refused.exit_code == 1
    assert "and expired on" in refused.output
    assert "yanks since are unknown" in refused.output
    assert pull(hub, tmp_path / "out", "--allow-stale").exit_code == 0


def test_it_is_signed_anew_when_half_of_its_life_is_over(hub, by, cards, monkeypatch):
    first = accept(cards, hub, by)
    assert publish_index(cards, hub, by=by).revision == first.revision
    monkeypatch.setattr(freshness, "LIFETIME", 2.5 * freshness.LIFETIME)
    renewed = publish_index(cards, hub, by=by)
    assert renewed.changed == (SIGNATURE_FILE,)
    accepted_entries(hub)
    assert seen_index(hub).number == 2


def test_the_number_follows_what_a_curator_saw_after_a_hub_was_taken_back(place, by, cards):
    hub, store = place
    first = accept(cards, hub, by)
    accept(cards, hub, by, status=Status(state="yanked", reason="x"))
    accepted_entries(hub)
    take_back(store, first.revision)
    accept(cards, hub, by, status=Status(state="yanked", reason="y"))
    accepted_entries(hub)
    assert seen_index(hub).number == 3


def test_a_signed_index_is_not_replaced_by_one_without_signature(hub, by, cards):
    accept(cards, hub, by)
    with pytest.raises(GgezError, match="is signed, and what is sent now would not be"):
        publish_index(cards, hub)


def test_another_index_file_under_the_signature_is_refused(hub, by, cards):
    accept(cards, hub, by)
    at = hub.at_commit(INDEX_REPO, "main", "dataset")
    signature = hub.read_text(INDEX_REPO, at.revision, SIGNATURE_FILE, "dataset")
    (path,) = (cards / "th").rglob("*.md")
    path.unlink()
    api = HfApi(hub.endpoint, hub.token)
    api.delete_file(SIGNATURE_FILE, INDEX_REPO, repo_type="dataset")
    publish_index(cards, hub)
    api.upload_file(
        path_or_fileobj=signature.encode(),
        path_in_repo=SIGNATURE_FILE,
        repo_id=INDEX_REPO,
        repo_type="dataset",
    )
    with pytest.raises(UntrustedIndex, match=f"a signature of another {INDEX_FILE}"):
        accepted_entries(hub)


def test_a_memory_that_cannot_be_read_is_one_clear_error(hub, by, cards, tmp_path):
    accept(cards, hub, by)
    accepted_entries(hub)
    memory_file().write_text("{")
    result = pull(hub, tmp_path / "out")
    assert result.exit_code == 1
    assert "remembers the newest indexes, cannot be read" in result.output


def test_the_shipped_index_says_its_day_and_that_it_knows_no_later_yanks(hub, tmp_path):
    write_policy(
        TrustPolicy(
            signatures="if-present",
            signers=(Signer(owners=("x",), identity="a@b.example", issuer="https://b.example"),),
        )
    )
    result = run("search", "--index", "shipped", "--hub", hub.endpoint)
    assert result.exit_code == 0, result.output
    assert "yanks since then are unknown" in result.output


def test_what_another_hub_says_of_a_commit_hides_no_signature(hub, by, keys, cards, tmp_path):
    """The client's cache is of all hubs, and a dishonest one names any commit."""
    publish_index(cards, hub, by=by)
    real = hub.at_commit(INDEX_REPO, "main", "dataset").revision
    with HubStore.open(tmp_path / "dishonest") as store, serving(store) as endpoint:
        store.create_repo("dataset", INDEX_REPO)
        who = {"message": "x", "author": "x", "email": "x@example.org", "date": 1_700_000_000}
        own = store.commit("dataset", INDEX_REPO, {"x": b"x"}, **who)

        def named(data):
            return data.replace(own.encode(), real.encode())

        def asked(data):
            return data.replace(real.encode(), own.encode())

        with faults.wire(endpoint, named, asked) as line:
            assert freshness.index_signature(Hub(line.endpoint), real) is None
    (signer, *_) = {entry.card.signer for entry in accepted_entries(hub).entries}
    assert signer.startswith("key ")
