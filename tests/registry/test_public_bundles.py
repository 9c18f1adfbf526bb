"""Bundles that others have signed with the public Sigstore: what is valid is accepted, the rest refused."""

from __future__ import annotations

import base64
import datetime
import json
from copy import deepcopy
from pathlib import Path

import pytest
import sigstore

from ggez_hub.registry.trust.policy import Signer, TrustPolicy
from ggez_hub.registry.trust.statement import BadSignature, verify_bundle, verify_payload

FOLDER = Path(__file__).with_name("bundles")
WORKFLOW = (FOLDER / "pypi_attestation_models-0.0.4a2.tar.gz.sigstore").read_bytes()
PERSON = (FOLDER / "rfc8785-0.1.2-py3-none-any.whl.sigstore").read_bytes()
ATTESTATION = FOLDER / "pypi_attestations-0.0.19.tar.gz.publish.attestation"
SIGNED = datetime.date(2024, 6, 10)
IDENTITY = (
    "https://github.com/trailofbits/pypi-attestation-models/.github/workflows/release.yml"
    "@refs/tags/v0.0.4a2"
)
OTHER = "https://github.com/trailofbits/pypi-attestations/.github/workflows/release.yml@refs/tags/v0.0.19"
STAGING = "https%3A%2F%2Ftuf-repo-cdn.sigstage.dev"
ISSUER = "https://token.actions.githubusercontent.com"


def policy(identity=IDENTITY, issuer=ISSUER, **dates):
    signer = Signer(owners=("trailofbits",), identity=identity, issuer=issuer, **dates)
    return TrustPolicy(signers=(signer,))


def verified(bundle, **trusted):
    return verify_payload(bundle, policy(**trusted), "trailofbits")


def of_attestation(path):
    """The bundle that an attestation of PyPI (PEP 740) is made of."""
    made = json.loads(path.read_bytes())
    material, envelope = made["verification_material"], made["envelope"]
    return {
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": {
            "certificate": {"rawBytes": material["certificate"]},
            "tlogEntries": material["transparency_entries"],
        },
        "dsseEnvelope": {
            "payload": envelope["statement"],
            "payloadType": "application/vnd.in-toto+json",
            "signatures": [{"sig": envelope["signature"]}],
        },
    }


def subjects(statement):
    return [subject["name"] for subject in statement["subject"]]


def test_what_workflows_signed_is_accepted_without_network():
    signer, statement, signed = verified(WORKFLOW)
    assert (signer.identity, signed.date()) == (IDENTITY, SIGNED)
    assert subjects(statement) == ["pypi_attestation_models-0.0.4a2.tar.gz"]
    bundle = json.dumps(of_attestation(ATTESTATION)).encode()
    _, statement, _ = verified(bundle, identity=OTHER)
    assert subjects(statement) == ["pypi_attestations-0.0.19.tar.gz"]


def test_what_a_person_signed_with_another_sigstore_counts_by_its_root_alone(tmp_path):
    who = {"identity": "william@yossarian.net", "issuer": "https://github.com/login/oauth"}
    with pytest.raises(BadSignature, match="does not count"):
        verified(PERSON, **who)
    folder = Path(sigstore.__file__).parent / "_store" / STAGING
    config = {
        "mediaType": "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json",
        "trustedRoot": json.loads((folder / "trusted_root.json").read_bytes()),
        "signingConfig": json.loads((folder / "signing_config.v0.2.json").read_bytes()),
    }
    (tmp_path / "staging.json").write_text(json.dumps(config))
    own = policy(**who).model_copy(update={"sigstore": str(tmp_path / "staging.json")})
    _, statement, _ = verify_payload(PERSON, own, "trailofbits")
    assert subjects(statement) == ["rfc8785-0.1.2-py3-none-any.whl"]
    with pytest.raises(BadSignature, match="does not count"):
        verify_payload(WORKFLOW, policy().model_copy(update={"sigstore": own.sigstore}), None)


def test_a_statement_without_a_list_of_files_is_not_one_of_a_model():
    with pytest.raises(BadSignature, match=r"model.sig lists no files"):
        verify_bundle(WORKFLOW, policy(), "trailofbits")


@pytest.mark.parametrize(
    "trusted",
    [
        {"identity": IDENTITY.replace("v0.0.4a2", "v0.0.4a1")},
        {"identity": IDENTITY.replace("release", "test")},
        {"identity": IDENTITY.replace("trailofbits", "TrailOfBits")},
        {"issuer": "https://accounts.google.com"},
        {"revoked": SIGNED},
        {"until": SIGNED - datetime.timedelta(days=1)},
    ],
)
def test_another_signer_or_day_does_not_count(trusted):
    with pytest.raises(BadSignature, match="does not count"):
        verified(WORKFLOW, **trusted)


def entry(bundle):
    return bundle["verificationMaterial"]["tlogEntries"][0]


def payload_changed(bundle, _):
    envelope = bundle["dsseEnvelope"]
    text = base64.b64decode(envelope["payload"]).replace(b"0.0.4a2", b"0.0.4a3")
    envelope["payload"] = base64.b64encode(text).decode()


def signature_of_another(bundle, other):
    bundle["dsseEnvelope"]["signatures"] = other["dsseEnvelope"]["signatures"]


def envelope_of_another(bundle, other):
    bundle["dsseEnvelope"] = other["dsseEnvelope"]


def certificate_of_another(bundle, other):
    bundle["verificationMaterial"]["certificate"] = other["verificationMaterial"]["certificate"]


def entry_of_another(bundle, other):
    """CVE-2022-36056: a valid entry of the log, of something else."""
    bundle["verificationMaterial"]["tlogEntries"] = [entry(other)]


def no_entry(bundle, _):
    bundle["verificationMaterial"]["tlogEntries"] = []


def no_proof(bundle, _):
    del entry(bundle)["inclusionProof"]


def proof_of_another(bundle, other):
    entry(bundle)["inclusionProof"] = entry(other)["inclusionProof"]


def promise_of_another(bundle, other):
    entry(bundle)["inclusionPromise"] = entry(other)["inclusionPromise"]


def other_root(bundle, _):
    entry(bundle)["inclusionProof"]["rootHash"] = base64.b64encode(bytes(32)).decode()


def later(bundle, _):
    entry(bundle)["integratedTime"] = str(int(entry(bundle)["integratedTime"]) + 3600)


def two_signatures(bundle, other):
    bundle["dsseEnvelope"]["signatures"] += other["dsseEnvelope"]["signatures"]


def other_type(bundle, _):
    bundle["dsseEnvelope"]["payloadType"] = "application/json"


def a_key_instead(bundle, _):
    del bundle["verificationMaterial"]["certificate"]
    bundle["verificationMaterial"]["publicKey"] = {"hint": "x"}


@pytest.mark.parametrize(
    "change",
    [
        payload_changed, signature_of_another, envelope_of_another, certificate_of_another,
        entry_of_another, no_entry, no_proof, proof_of_another, promise_of_another, other_root, later,
        two_signatures, other_type, a_key_instead,
    ],
)  # fmt: skip
def test_what_was_changed_does_not_count(change):
    bundle, other = json.loads(WORKFLOW), of_attestation(ATTESTATION)
    unchanged = deepcopy(bundle)
    change(bundle, other)
    assert bundle != unchanged
    with pytest.raises(BadSignature):
        verified(json.dumps(bundle).encode())
    assert verified(json.dumps(unchanged).encode())
