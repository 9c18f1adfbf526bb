"""The signing key of the user's embedded hub, in its folder: what is published there is signed by it, and trusted.

It is made when something is signed for the first time, where the extra `sign` is installed.
"""

from __future__ import annotations

from filelock import FileLock

from ggez_hub.atomic_files import write_file
from ggez_hub.errors import MissingExtra
from ggez_hub.extras import require
from ggez_hub.hub import Hub
from ggez_hub.registry.constants import SIGNING_KEY, VERIFYING_KEY
from ggez_hub.registry.trust.policy import Signer, TrustPolicy
from ggez_hub.registry.trust.signing import SigningKey


def own_signing_key(hub: Hub) -> SigningKey | None:
    """The key of an embedded hub; None for another hub, and without the extra."""
    if hub.folder is None:
        return None
    try:
        require("sign", "cryptography", "model_signing")
    except MissingExtra:
        return None
    key = SigningKey(hub.folder / SIGNING_KEY, TrustPolicy())
    with FileLock(hub.folder / "signing.lock"):
        if not (hub.folder / SIGNING_KEY).exists():
            write_file(hub.folder / SIGNING_KEY, _new_key(), mode=0o600)
        if not (hub.folder / VERIFYING_KEY).exists():
            write_file(hub.folder / VERIFYING_KEY, key.public_pem)
    return key


def policy_on(hub: Hub, policy: TrustPolicy, owner: str) -> TrustPolicy:
    """The policy on a hub: the own key of an embedded one signs for every owner."""
    place = None if hub.folder is None else hub.folder / VERIFYING_KEY
    if place is None or not place.is_file():
        return policy
    return policy.with_signer(Signer(owners=(owner,), key=place.read_text(encoding="ascii")))


def _new_key() -> bytes:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
