"""Statements of Model Signing, verified: every file's path and sha256, in a Sigstore bundle.

The format is that of the package model-signing 1.1 (OpenSSF): a DSSE envelope around an in-toto
statement whose predicate lists the files. The predicate has one more key, `ggez`, which other
verifiers ignore: when it was signed, and for an index its number and expiry.
"""

from __future__ import annotations

import datetime
import json
import tempfile
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import AwareDatetime, ValidationError

from ggez_hub.extras import require
from ggez_hub.frozen_model import FrozenModel
from ggez_hub.registry.file_checks import NotFit
from ggez_hub.registry.trust.policy import Signer, TrustPolicy

if TYPE_CHECKING:
    from model_signing.manifest import Manifest

SIGNATURE_FILE = "model.sig"
# What Model Signing leaves out of every folder.
IGNORED = (".git", ".gitattributes", ".github", ".gitignore", SIGNATURE_FILE)


class BadSignature(NotFit):
    """What is not signed as it has to be."""


class UnknownSigner(BadSignature):
    """Nobody in trust.yaml may sign for an owner."""


class Freshness(FrozenModel, strict=False):
    """When a statement was signed; of an index its number, and when it expires."""

    signed: AwareDatetime
    number: int | None = None
    expires: AwareDatetime | None = None


@dataclass(frozen=True)
class Verified:
    """A statement whose signature holds: by whom, what it says of the files, and of itself.

    `signed` is the time of the transparency log, or of a key its own claim.
    """

    signer: Signer
    manifest: Manifest
    freshness: Freshness | None
    signed: datetime.datetime | None

    @property
    def files(self) -> dict[str, str]:
        """The sha256 of each file by path; raises BadSignature for other digests than that."""
        found = {}
        for resource in self.manifest.resource_descriptors():
            if resource.digest.algorithm != "sha256" or ":" in resource.identifier:
                raise BadSignature("the signature has no sha256s of complete files")
            found[resource.identifier] = resource.digest.digest_hex
        return found


def payload_of(bundle: bytes) -> tuple[str | None, dict[str, Any]]:
    """The key that a bundle names, and its statement, before anything is verified.

    Raises BadSignature for what is not a bundle with a statement.
    """
    import base64

    try:
        document = json.loads(bundle)
        material = document["verificationMaterial"]
        statement = json.loads(base64.b64decode(document["dsseEnvelope"]["payload"]))
        return material.get("publicKey", {}).get("hint"), dict(statement)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadSignature(f"it is not a signature with a statement: {error!r}") from error


def verify_bundle(bundle: bytes, policy: TrustPolicy, owner: str | None) -> Verified:
    """The signature of files by one who may sign for `owner`, or for anybody if that is None.

    Raises UnknownSigner where the policy has nobody, BadSignature, MissingExtra.
    """
    signer, statement, signed = verify_payload(bundle, policy, owner)
    from model_signing._signing import signing

    try:
        manifest = signing.dsse_payload_to_manifest(statement)
    except (ValueError, KeyError, TypeError) as error:
        raise BadSignature(f"{SIGNATURE_FILE} lists no files: {error}") from error
    return Verified(signer, manifest, _freshness(statement), signed)


def verify_payload(
    bundle: bytes, policy: TrustPolicy, owner: str | None
) -> tuple[Signer, dict[str, Any], datetime.datetime | None]:
    """Who signed a statement for `owner`, the statement, and when, as `Verified` has it.

    Raises as `verify_bundle`.
    """
    signers = list(policy.signers_of(owner))
    if not signers:
        raise UnknownSigner(
            f"nobody in trust.yaml may sign for {owner}",
            f"ggez-hub trust add {owner} --key FILE.pub, or --identity ADDRESS --issuer ADDRESS",
        )
    require("sign", "model_signing")
    reasons = []
    for signer in signers:
        try:
            return _verified(bundle, signer, policy)
        except BadSignature as problem:
            reasons.append(f"{signer.name}: {problem.message}")
    raise BadSignature("the signature does not count: " + "; ".join(reasons))


def _verified(
    bundle: bytes, signer: Signer, policy: TrustPolicy
) -> tuple[Signer, dict[str, Any], datetime.datetime | None]:
    try:
        if signer.key is not None:
            statement, logged = _by_key(bundle, signer.key), None
        else:
            statement, logged = _by_identity(bundle, signer, policy)
    except BadSignature:
        raise
    except Exception as error:  # a stranger's bytes in three parsers of others
        what = str(error).strip().partition("\n")[0] or type(error).__name__
        raise BadSignature(f"not signed by it ({what})") from error
    freshness = _freshness(statement)
    signed = logged or (freshness.signed if freshness else None)
    _require_in_time(signer, signed)
    return signer, statement, signed


def _freshness(statement: dict[str, Any]) -> Freshness | None:
    predicate = statement.get("predicate")
    stated = predicate.get("ggez") if isinstance(predicate, dict) else None
    try:
        return None if stated is None else Freshness.model_validate(stated)
    except ValidationError as error:
        raise BadSignature("its dates cannot be read") from error


def _require_in_time(signer: Signer, signed: datetime.datetime | None) -> None:
    """The date of a key is its own claim: whoever stole it writes any, so revoked it counts not at all."""
    day = None if signed is None else signed.astimezone(datetime.UTC).date()
    if signer.revoked is not None and (signer.key or day is None or day >= signer.revoked):
        raise BadSignature(f"revoked since {signer.revoked}")
    if signer.until is not None and (day is None or day > signer.until):
        raise BadSignature(f"signed on {day or 'no day'}, after {signer.until}, its last day")


def _by_key(bundle: bytes, pem: str) -> dict[str, Any]:
    import sys

    from model_signing._signing import sign_ec_key, sign_sigstore_pb, signing

    with tempfile.TemporaryDirectory() as work, redirect_stdout(sys.stderr):
        (key := Path(work) / "key.pub").write_text(pem)
        (place := Path(work) / SIGNATURE_FILE).write_bytes(bundle)
        verifier = sign_ec_key.Verifier(key)
        found = verifier._verify_signed_content(sign_sigstore_pb.Signature.read(place))
    return _statement(*found, signing._IN_TOTO_JSON_PAYLOAD_TYPE)


def _by_identity(
    bundle: bytes, signer: Signer, policy: TrustPolicy
) -> tuple[dict[str, Any], datetime.datetime]:
    from sigstore.models import Bundle, ClientTrustConfig
    from sigstore.verify import Verifier
    from sigstore.verify.policy import Identity

    parsed = Bundle.from_json(bundle)
    own = policy.own_sigstore
    config = (
        # Its root, as sigstore ships it: verification asks no network.
        ClientTrustConfig.production(offline=True)
        if own is None
        else ClientTrustConfig.from_json(own.read_text())
    )
    verifier = Verifier(trusted_root=config.trusted_root)
    found = verifier.verify_dsse(
        parsed, Identity(identity=signer.identity or "", issuer=signer.issuer)
    )
    # A certificate lives for minutes, within which the log has the signature.
    return (
        _statement(*found, "application/vnd.in-toto+json"),
        parsed.signing_certificate.not_valid_before_utc,
    )


def _statement(kind: str, payload: bytes, expected: str) -> dict[str, Any]:
    statement = json.loads(payload)
    if kind != expected or statement.get("_type") != "https://in-toto.io/Statement/v1":
        raise BadSignature(f"it is a {kind}, not an in-toto statement")
    found: dict[str, Any] = statement
    return found
