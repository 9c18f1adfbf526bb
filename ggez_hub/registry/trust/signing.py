"""Signing files by OpenSSF Model Signing: with a key, or as the identity of a run of a workflow."""

from __future__ import annotations

import datetime
import hashlib
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ggez_hub.digests import sha256_file
from ggez_hub.errors import GgezError
from ggez_hub.extras import require
from ggez_hub.hub import Hub, RepoAtCommit
from ggez_hub.hub.commits import Content
from ggez_hub.registry.trust.policy import TrustPolicy, key_digest
from ggez_hub.registry.trust.statement import IGNORED, SIGNATURE_FILE, Freshness, payload_of

KEYLESS = "keyless"
PRIVATE = "openssl ecparam -name prime256v1 -genkey -noout -out signing.pem"


@dataclass(frozen=True)
class SigningKey:
    """What signs: a private key of an elliptic curve (PEM), or the identity of this workflow.

    `key` None signs keyless, by the identity token of the run; `policy` names the Sigstore.
    """

    key: Path | None
    policy: TrustPolicy

    def sign(self, statement: Any) -> bytes:
        """The bundle of a statement; raises GgezError."""
        payload = SimpleNamespace(statement=statement)
        with tempfile.TemporaryDirectory() as work:
            place = Path(work) / SIGNATURE_FILE
            signer = self._signer()
            try:
                signer.sign(payload).write(place)
            except Exception as error:  # those of the clients that it asks have no base in common
                raise GgezError(
                    f"nothing was signed: {error or type(error).__name__}",
                    "Run it again; --signing-key FILE signs without Sigstore.",
                ) from error
            return place.read_bytes()

    def _signer(self) -> Any:
        from model_signing._signing import sign_ec_key, sign_sigstore

        if self.key is None:
            own = self.policy.own_sigstore
            return sign_sigstore.Signer(identity_token=_identity(), trust_config=own)
        try:
            return sign_ec_key.Signer(self.key)
        except (OSError, ValueError, TypeError) as error:
            raise GgezError(f"{self.key} is not a signing key: {error}", PRIVATE) from error

    @property
    def public(self) -> str | None:
        """The sha256 of the public key, as bundles name it; None for keyless."""
        return None if self.key is None else key_digest(self.public_pem)

    @property
    def public_pem(self) -> str:
        """The public key of a key (PEM)."""
        from cryptography.hazmat.primitives import serialization

        public = self._signer()._private_key.public_key()
        pem: bytes = public.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return pem.decode()


def _identity() -> str:
    """The token of this run of a workflow; without one the library would open a web browser."""
    from sigstore.oidc import IdentityError, detect_credential

    hint = "Name a key (--signing-key FILE), or give the job the permission `id-token: write`."
    try:
        token = detect_credential()
    except IdentityError as error:
        raise GgezError(f"this run gives no identity: {error}", hint) from error
    if token is None:
        raise GgezError("this is not a run of a workflow with an identity", hint)
    return token


def signing_key(value: str, policy: TrustPolicy) -> SigningKey:
    """What --signing-key names: a file, or `keyless`; raises MissingExtra."""
    require("sign", "model_signing")
    return SigningKey(None if value == KEYLESS else Path(value), policy)


def sign_files(
    by: SigningKey,
    name: str,
    files: Mapping[str, Content],
    previous: bytes | None = None,
    kept: Mapping[str, str] | None = None,
    **freshness: Any,
) -> bytes:
    """The signature of files by their paths, for a repository `name`; `previous` if it is as good.

    A previous one is, if it is of the same files and the same key, and `freshness` is not asked for.
    `kept` are the sha256s of further files, which are not read.
    """
    from model_signing import manifest
    from model_signing._hashing.hashing import Digest
    from model_signing._signing import signing

    digests = dict(kept or {}) | {
        path: sha256_file(content)
        if isinstance(content, Path)
        else hashlib.sha256(content).hexdigest()
        for path, content in files.items()
        if path.partition("/")[0] not in IGNORED
    }
    if previous is not None and not freshness and _is_of(previous, digests, by.public):
        return previous
    kind = manifest.SerializationType.from_args(
        {
            "method": "files",
            "hash_type": "sha256",
            "allow_symlinks": False,
            "ignore_paths": list(IGNORED),
        }
    )
    items = [
        kind.new_item(path, Digest("sha256", bytes.fromhex(digest)))
        for path, digest in digests.items()
    ]
    payload = signing.Payload(manifest.Manifest(name, items, kind))
    now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    stated = Freshness(signed=now, **freshness).model_dump(mode="json", exclude_none=True)
    # The protobuf knows no integers.
    payload.statement.pb.predicate.update({"ggez": {key: str(v) for key, v in stated.items()}})
    return by.sign(payload.statement)


def with_signature(
    files: Mapping[str, Content], by: SigningKey | None, hub: Hub, head: RepoAtCommit
) -> dict[str, Content]:
    """Files for a model's repository, whose head this is, with their signature.

    Raises GgezError for a repository that was signed before, where nobody signs now.
    """
    signed = head.file(SIGNATURE_FILE) is not None
    if by is None:
        if signed:
            raise signs_already(head.repo)
        return dict(files)
    previous = hub.read_text(head.repo, head.revision, SIGNATURE_FILE) if signed else None
    bundle = sign_files(by, head.repo, files, previous.encode() if previous else None)
    return {**files, SIGNATURE_FILE: bundle}


def signs_already(repo: str) -> GgezError:
    """The error of a publication that would leave a signature of other files."""
    return GgezError(
        f"{repo} is signed, and what is sent now would not be",
        f"Sign it too (--signing-key of `publish`, `pull --push`, `index publish`), or remove "
        f"{SIGNATURE_FILE} there first.",
    )


def _is_of(bundle: bytes, digests: Mapping[str, str], key: str | None) -> bool:
    with suppress(GgezError, KeyError, TypeError):
        hint, statement = payload_of(bundle)
        listed = statement["predicate"]["resources"]
        return hint == key and {r["name"]: r["digest"] for r in listed} == digests
    return False
