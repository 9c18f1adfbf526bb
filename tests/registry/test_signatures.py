"""Signatures of files: made and checked here and by OpenSSF's own program; who may sign, and when."""

from __future__ import annotations

import base64
import datetime
import json

import pytest
from click.testing import CliRunner

from ggez_hub.cli.main import cli
from ggez_hub.digests import sha256_file
from ggez_hub.registry.trust.gate_results import RESULT_FILE, sign_gates, verify_gates
from ggez_hub.registry.trust.policy import Signer, TrustPolicy, read_policy
from ggez_hub.registry.trust.signing import sign_files, signing_key
from ggez_hub.registry.trust.statement import (
    SIGNATURE_FILE,
    BadSignature,
    UnknownSigner,
    verify_bundle,
)

from .signing import model_signing, new_key, trust

TODAY = datetime.datetime.now(datetime.UTC).date()
DAY = datetime.timedelta(days=1)


@pytest.fixture
def keys(tmp_path):
    return new_key(tmp_path)


@pytest.fixture
def model(tmp_path):
    """A folder whose paths sort otherwise as text than as parts."""
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    (folder / ".eval_results").mkdir()
    for path in ("weights.safetensors", "sub/b", "sub.x", ".eval_results/x.yaml"):
        (folder / path).write_text(path)
    (folder / ".gitattributes").write_text("the hub's own")
    return folder


def paths(folder):
    return {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}


def sign(folder, private):
    bundle = sign_files(signing_key(str(private), TrustPolicy()), "org/model", paths(folder))
    (folder / SIGNATURE_FILE).write_bytes(bundle)
    return bundle


def verify(folder, *more):
    return CliRunner().invoke(cli, ["verify", str(folder), *more])


def their_verify(folder, public, *more):
    return model_signing(
        "verify", "key", "--signature", folder / SIGNATURE_FILE, "--public_key", public, *more, folder
    )  # fmt: skip


def test_their_program_accepts_ours(model, keys):
    private, public = keys
    sign(model, private)
    done = their_verify(model, public)
    assert done.returncode == 0, done.stderr
    (model / "sub" / "b").write_text("changed")
    assert their_verify(model, public).returncode != 0


@pytest.mark.parametrize("taken", [None, "weights.safetensors", "sub/b"])
def test_ours_accepts_theirs_and_reads_every_byte(model, keys, taken):
    private, public = keys
    trust(public, "org")
    done = model_signing(
        "sign", "key", "--signature", model / SIGNATURE_FILE, "--private_key", private, model
    )
    assert done.returncode == 0, done.stderr
    if taken is None:
        result = verify(model, "--owner", "org")
        assert result.exit_code == 0, result.output
        assert "4 files are as signed" in result.output
        return
    (model / taken).write_text("changed")
    result = verify(model)
    assert result.exit_code == 1
    assert f"{taken} has another sha256" in result.output


def test_ours_accepts_theirs_in_shards(model, keys, tmp_path):
    """Other programs sign by shards of files; then these are hashed as they say."""
    from model_signing import hashing, signing

    private, public = keys
    trust(public, "org")
    config = signing.Config().use_elliptic_key_signer(private_key=private)
    shards = hashing.Config().use_shard_serialization(shard_size=4)
    config.set_hashing_config(shards.set_ignored_paths(paths=[SIGNATURE_FILE]))
    config.sign(model, model / SIGNATURE_FILE)
    assert verify(model).exit_code == 0, verify(model).output
    (model / "sub.x").write_text("longer than it was")
    assert verify(model).exit_code == 1


def test_what_was_added_is_not_signed(model, keys):
    private, public = keys
    trust(public, "org")
    sign(model, private)
    (model / "pytorch_model.bin").write_text("a pickle")
    result = verify(model)
    assert result.exit_code == 1
    assert "pytorch_model.bin was not signed" in result.output


def test_a_folder_without_a_signature(model, keys):
    trust(keys[1], "org")
    assert verify(model, "--signatures", "required").exit_code == 1
    assert "is not signed" in verify(model, "--signatures", "required").output


def test_who_may_sign_for_whom(model, keys, tmp_path):
    private, public = keys
    bundle = sign(model, private)
    policy = trust(public, "org")
    assert verify_bundle(bundle, policy, "org").signer.key == public.read_text()
    assert verify_bundle(bundle, policy, "ORG").files.keys() == {
        "weights.safetensors", "sub/b", "sub.x", ".eval_results/x.yaml",
    }  # fmt: skip
    with pytest.raises(UnknownSigner, match=r"nobody in trust\.yaml may sign for other"):
        verify_bundle(bundle, policy, "other")
    _, stranger = new_key(tmp_path, "stranger")
    with pytest.raises(BadSignature, match="not signed by it"):
        verify_bundle(bundle, trust(stranger, "org"), "org")


def test_a_changed_statement_does_not_count(model, keys):
    private, public = keys
    bundle = json.loads(sign(model, private))
    envelope = bundle["dsseEnvelope"]
    statement = json.loads(base64.b64decode(envelope["payload"]))
    statement["predicate"]["resources"][0]["digest"] = "0" * 64
    envelope["payload"] = base64.b64encode(json.dumps(statement).encode()).decode()
    with pytest.raises(BadSignature):
        verify_bundle(json.dumps(bundle).encode(), trust(public, "org"), "org")


@pytest.mark.parametrize("bundle", [b"", b"{}", b"[" * 100_000, b'{"mediaType": 3}', b"\xff"])
def test_what_is_not_a_bundle_is_one_clear_error(keys, bundle):
    with pytest.raises(BadSignature, match="does not count"):
        verify_bundle(bundle, trust(keys[1], "org"), "org")


def test_rotation(model, keys, tmp_path):
    """The old key's last day is behind; what the new one signs counts, and what the old one signed."""
    private, public = keys
    bundle = sign(model, private)
    new_private, new_public = new_key(tmp_path, "next")
    signed = verify_bundle(bundle, trust(public, "org"), "org").signed
    # Not of this moment, which may be another day.
    last = signed.astimezone(datetime.UTC).date()
    old = Signer(owners=("org",), key=public.read_text(), until=last)
    new = Signer(owners=("org",), key=new_public.read_text())
    policy = TrustPolicy(signers=(old, new))
    assert verify_bundle(bundle, policy, "org").signer == old
    assert verify_bundle(sign(model, new_private), policy, "org").signer == new
    expired = policy.with_signer(old.model_copy(update={"until": last - DAY}))
    with pytest.raises(BadSignature, match="its last day"):
        verify_bundle(bundle, expired, "org")


def test_without_a_date_an_expired_key_signs_nothing(model, keys):
    private, public = keys
    model_signing(
        "sign", "key", "--signature", model / SIGNATURE_FILE, "--private_key", private, model
    )
    bundle = (model / SIGNATURE_FILE).read_bytes()
    policy = trust(public, "org", until=TODAY)
    with pytest.raises(BadSignature, match="signed on no day"):
        verify_bundle(bundle, policy, "org")


@pytest.mark.parametrize("revoked", [TODAY - DAY, TODAY + DAY])
def test_a_revoked_key_counts_not_at_all(model, keys, revoked):
    """Whoever stole it writes any date into what it signs."""
    private, public = keys
    bundle = sign(model, private)
    with pytest.raises(BadSignature, match="revoked since"):
        verify_bundle(bundle, trust(public, "org", revoked=revoked), "org")


def test_the_same_files_are_not_signed_twice(model, keys, tmp_path):
    private, _ = keys
    key = signing_key(str(private), TrustPolicy())
    first = sign_files(key, "org/model", paths(model))
    assert sign_files(key, "org/model", paths(model), first) == first
    other = signing_key(str(new_key(tmp_path, "other")[0]), TrustPolicy())
    assert sign_files(other, "org/model", paths(model), first) != first
    (model / "sub.x").write_text("changed")
    assert sign_files(key, "org/model", paths(model), first) != first


def test_the_outcome_of_gates(model, keys):
    private, public = keys
    trust(public, "org")
    files = {"sub/b": sha256_file(model / "sub" / "b")}
    verdicts = {"improvement": "pass", "retention": "undetermined"}
    asked = ("cards/th/embedding/a.md", files, verdicts, "undetermined")
    key = signing_key(str(private), TrustPolicy())
    bundle = sign_gates(key, *asked, None)
    assert sign_gates(key, *asked, bundle) == bundle
    (model / RESULT_FILE).write_bytes(bundle)
    signer, outcome = verify_gates(model, "org")
    assert (signer.key, outcome) == (public.read_text(), "WARNED (1 passed, 1 warned)")
    (model / "sub" / "b").write_text("changed")
    with pytest.raises(BadSignature, match=r"not what was measured: sub/b"):
        verify_gates(model, "org")
    # A signature of files is not the outcome of gates, nor the other way round.
    (model / RESULT_FILE).write_bytes(sign(model, private))
    with pytest.raises(BadSignature, match="is not the result of a test"):
        verify_gates(model, "org")
    with pytest.raises(BadSignature, match="lists no files"):
        verify_bundle(bundle, read_policy(), "org")


def run(*arguments):
    return CliRunner().invoke(cli, ["trust", *map(str, arguments)])


def test_trust_show_add_remove(keys, tmp_path):
    _, public = keys
    shown = run("show")
    assert "shipped with ggez-hub" in shown.output
    assert "publish.yml@refs/heads/main of https://token.actions" in shown.output
    assert run("add", "org", "--key", public).exit_code == 0
    # Other dates of the same key take the place of what was there.
    assert run("add", "org", "--key", public, "--until", "2026-01-31").exit_code == 0
    found = list(read_policy().signers_of("org"))
    assert [signer.until for signer in found] == [datetime.date(2026, 1, 31)]
    assert "until 2026-01-31" in run("show").output
    issuer = ("--issuer", "https://accounts.example")
    assert run("add", "org", "--identity", "a@b.example", *issuer).exit_code == 0
    assert run("remove", "org", "--signer", "a@b.example").exit_code == 0
    assert len(list(read_policy().signers_of("org"))) == 1
    assert run("remove", "org").exit_code == 0
    assert not list(read_policy().signers_of("org"))
    # The shipped signer stayed.
    assert list(read_policy().signers_of("ggez-hub"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["add", "org"], "either a `key` or an `identity`"),
        (["add", "org", "--identity", "a@b.example"], "an `identity` has an `issuer`"),
        (["remove", "nobody"], "nobody signs for nobody"),
    ],
)
def test_trust_refuses(arguments, said):
    result = run(*arguments)
    assert result.exit_code == 2
    assert said in result.output


def test_trust_refuses_what_is_not_a_key(tmp_path):
    (tmp_path / "no.pub").write_text("no key")
    result = run("add", "org", "--key", tmp_path / "no.pub")
    assert result.exit_code == 1
    assert "not a public key in PEM" in result.output
