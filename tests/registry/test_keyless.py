"""Keyless: the production call of a workflow's run, against a Sigstore on this machine."""

from __future__ import annotations

import datetime
import json
import subprocess
import sys

import pytest

from ggez_hub.errors import GgezError
from ggez_hub.registry.trust.policy import Signer, TrustPolicy
from ggez_hub.registry.trust.signing import sign_files, signing_key
from ggez_hub.registry.trust.statement import SIGNATURE_FILE, BadSignature, verify_bundle

from .local_sigstore import ISSUER, LocalSigstore, serving_sigstore

WORKFLOW = "org/hub/.github/workflows/publish.yml@refs/heads/main"
FILES = {"weights.safetensors": b"weights", "sub/config.json": b"{}"}
DAY = datetime.timedelta(days=1)


@pytest.fixture
def sigstore(tmp_path, monkeypatch):
    """A Sigstore that vouches for a run of the workflow, in whose environment the test is."""
    local = LocalSigstore(WORKFLOW)
    with serving_sigstore(local) as address:
        (tmp_path / "sigstore.json").write_text(local.trust_config(address))
        monkeypatch.setenv("GITHUB_ACTIONS", "true")
        monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "secret")
        monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_URL", f"{address}/token")
        yield local


def policy(tmp_path, identity, **dates):
    signer = Signer(owners=("org",), identity=identity, issuer=ISSUER, **dates)
    return TrustPolicy(signers=(signer,), sigstore=str(tmp_path / "sigstore.json"))


def test_a_run_signs_by_its_identity(sigstore, tmp_path):
    trusted = policy(tmp_path, sigstore.identity)
    bundle = sign_files(signing_key("keyless", trusted), "org/model", FILES, number=7)
    found = verify_bundle(bundle, trusted, "org")
    assert found.signer.name == f"https://github.com/{WORKFLOW}"
    assert found.files.keys() == FILES.keys()
    assert found.freshness.number == 7


def test_their_program_accepts_it(sigstore, tmp_path):
    trusted = policy(tmp_path, sigstore.identity)
    model = tmp_path / "model"
    for path, content in FILES.items():
        (model / path).parent.mkdir(parents=True, exist_ok=True)
        (model / path).write_bytes(content)
    bundle = sign_files(signing_key("keyless", trusted), "org/model", FILES)
    (model / SIGNATURE_FILE).write_bytes(bundle)
    command = [
        sys.executable, "-m", "model_signing", "verify", "sigstore", str(model),
        "--signature", str(model / SIGNATURE_FILE), "--identity", sigstore.identity,
        "--identity_provider", ISSUER, "--trust_config", str(tmp_path / "sigstore.json"),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "identity",
    [
        f"https://github.com/{WORKFLOW.replace('main', 'mine')}",
        f"https://github.com/{WORKFLOW.replace('publish', 'other')}",
        f"https://github.com/{WORKFLOW.replace('org/', 'fork/')}",
    ],
)
def test_another_ref_workflow_or_repository_does_not_count(sigstore, tmp_path, identity):
    trusted = policy(tmp_path, identity)
    bundle = sign_files(signing_key("keyless", trusted), "org/model", FILES)
    with pytest.raises(BadSignature, match="not signed by it"):
        verify_bundle(bundle, trusted, "org")


def test_what_an_identity_signed_after_its_revocation_is_refused(sigstore, tmp_path):
    """The day is that of its certificate and the log: what was signed before still counts."""
    trusted = policy(tmp_path, sigstore.identity)
    bundle = sign_files(signing_key("keyless", trusted), "org/model", FILES)
    signed = verify_bundle(bundle, trusted, "org").signed.date()
    with pytest.raises(BadSignature, match=f"revoked since {signed}"):
        verify_bundle(bundle, policy(tmp_path, sigstore.identity, revoked=signed), "org")
    later = policy(tmp_path, sigstore.identity, revoked=signed + DAY, until=signed)
    assert verify_bundle(bundle, later, "org").signed.date() == signed
    expired = policy(tmp_path, sigstore.identity, until=signed - DAY)
    with pytest.raises(BadSignature, match="its last day"):
        verify_bundle(bundle, expired, "org")


def test_a_log_that_does_not_answer_is_one_clear_error(sigstore, tmp_path, monkeypatch):
    monkeypatch.setattr(sigstore, "log_entry", lambda _: None)
    with pytest.raises(GgezError, match="nothing was signed"):
        sign_files(signing_key("keyless", policy(tmp_path, "a@b.example")), "org/model", FILES)


@pytest.mark.parametrize("missing", ["GITHUB_ACTIONS", "ACTIONS_ID_TOKEN_REQUEST_URL"])
def test_without_an_identity_nothing_is_signed(sigstore, tmp_path, monkeypatch, missing):
    """Nor does a web browser open, by which people sign in."""
    monkeypatch.delenv(missing)
    with pytest.raises(GgezError, match=r"identity") as problem:
        sign_files(signing_key("keyless", policy(tmp_path, "a@b.example")), "org/model", FILES)
    assert "--signing-key FILE" in problem.value.hint


def test_an_entry_that_the_log_did_not_sign_does_not_count(sigstore, tmp_path):
    trusted = policy(tmp_path, sigstore.identity)
    bundle = json.loads(sign_files(signing_key("keyless", trusted), "org/model", FILES))
    (entry,) = bundle["verificationMaterial"]["tlogEntries"]
    entry["integratedTime"] = str(int(entry["integratedTime"]) + 1)
    with pytest.raises(BadSignature, match="not signed by it"):
        verify_bundle(json.dumps(bundle).encode(), trusted, "org")


def test_another_sigstore_does_not_count(sigstore, tmp_path):
    trusted = policy(tmp_path, sigstore.identity)
    bundle = sign_files(signing_key("keyless", trusted), "org/model", FILES)
    # The public one, by the root that its library ships.
    public = trusted.model_copy(update={"sigstore": None})
    with pytest.raises(BadSignature, match="not signed by it"):
        verify_bundle(bundle, public, "org")
