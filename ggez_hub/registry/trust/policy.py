"""trust.yaml: which keys and which identities of workflows may sign for which owners on a hub."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import Field, ValidationError, model_validator

from ggez_hub.atomic_files import write_file
from ggez_hub.cards.values import Account
from ggez_hub.errors import GgezError
from ggez_hub.frozen_model import FrozenModel
from ggez_hub.hub.listings import Signatures
from ggez_hub.registry.constants import policy_file
from ggez_hub.safe_yaml import load_mapping
from ggez_hub.text_files import read_text
from ggez_hub.validation_errors import listed

SHIPPED = Path(__file__).with_name("trust.yaml")
MAX_BYTES = 1_000_000


class Signer(FrozenModel, strict=False):
    """A key (PEM), or an identity with its issuer, that signs for `owners`.

    `until` is the last day of its signatures; from `revoked` on it signs nothing.
    """

    owners: Annotated[tuple[Account, ...], Field(min_length=1)]
    key: str | None = None
    identity: str | None = None
    issuer: str | None = None
    until: datetime.date | None = None
    revoked: datetime.date | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Signer:
        if (self.key is None) == (self.identity is None):
            raise ValueError("a signer has either a `key` or an `identity`")
        if (self.identity is None) != (self.issuer is None):
            raise ValueError("an `identity` has an `issuer`, and a key has none")
        return self

    @property
    def name(self) -> str:
        """The identity, or the sha256 of the key, as signatures name it."""
        return self.identity or f"key {key_digest(self.key or '')[:16]}"

    @property
    def who(self) -> tuple[str | None, str | None, str | None]:
        """What makes it this signer, whatever its dates."""
        return self.key, self.identity, self.issuer


class TrustPolicy(FrozenModel, strict=False):
    """What has to be signed, and by whom."""

    signatures: Signatures = "if-present"
    signers: tuple[Signer, ...] = ()
    sigstore: str | None = None

    def signers_of(self, owner: str | None) -> Iterator[Signer]:
        """Those who may sign for an owner; of None all."""
        asked = owner and owner.lower()
        for signer in self.signers:
            if asked is None or asked in map(str.lower, signer.owners):
                yield signer

    def with_signer(self, signer: Signer) -> TrustPolicy:
        """The policy with `signer` in place of the same key or identity for the same owners."""
        kept = tuple(s for s in self.signers if (s.who, s.owners) != (signer.who, signer.owners))
        return self.model_copy(update={"signers": (*kept, signer)})

    def without(self, owner: str, who: str | None) -> TrustPolicy:
        """The policy without the signers of an owner, or the one of them that is named `who`."""
        kept = []
        for signer in self.signers:
            if who is not None and signer.name != who:
                kept.append(signer)
                continue
            if owners := tuple(o for o in signer.owners if o.lower() != owner.lower()):
                kept.append(signer.model_copy(update={"owners": owners}))
        return self.model_copy(update={"signers": tuple(kept)})

    @property
    def own_sigstore(self) -> Path | None:
        """The trust configuration of the policy's own Sigstore; None for the public one."""
        return None if self.sigstore is None else Path(self.sigstore).expanduser()

    @property
    def text(self) -> str:
        """The YAML of a trust.yaml."""
        data: dict[str, Any] = self.model_dump(mode="json", exclude_none=True)
        return yaml.safe_dump(data, sort_keys=False, allow_unicode=True)


def key_digest(pem: str) -> str:
    """The sha256 of a public key as Model Signing names it in a bundle; raises GgezError."""
    from ggez_hub.extras import require

    require("sign", "cryptography")
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    try:
        key = serialization.load_pem_public_key(pem.encode())
    except ValueError as error:
        raise GgezError(f"this is not a public key in PEM: {error}") from error
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise GgezError(
            "the key is not of an elliptic curve",
            "openssl ecparam -name prime256v1 -genkey -noout -out signing.pem",
        )
    data = key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return hashlib.sha256(data).hexdigest()


def read_policy() -> TrustPolicy:
    """The user's policy, or the shipped one; raises GgezError."""
    path = policy_file()
    path = path if path.is_file() else SHIPPED
    try:
        return TrustPolicy.model_validate(load_mapping(read_text(path, MAX_BYTES), str(path)))
    except ValidationError as error:
        raise GgezError(f"{path} is not a trust policy:\n{listed(error)}") from error
    except (OSError, ValueError) as error:
        raise GgezError(f"{path} is not a trust policy: {error}") from error


def write_policy(policy: TrustPolicy) -> Path:
    """Write the user's own policy; returns its place."""
    write_file(policy_file(), policy.text)
    return policy_file()
