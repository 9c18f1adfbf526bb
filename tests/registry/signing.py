"""Keys, and policies that name them."""

from __future__ import annotations

import subprocess
import sys

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ggez_hub.registry.trust.policy import Signer, TrustPolicy, write_policy


def new_key(folder, name="signing"):
    """A private key and its public one, as PEM files."""
    key = ec.generate_private_key(ec.SECP256R1())
    private, public = folder / f"{name}.pem", folder / f"{name}.pub"
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    public.write_bytes(
        key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    return private, public


def trust(public, *owners, signatures="if-present", **dates):
    """Write a policy in which a key signs for some owners."""
    signer = Signer(owners=owners, key=public.read_text(), **dates)
    policy = TrustPolicy(signatures=signatures, signers=(signer,))
    write_policy(policy)
    return policy


def model_signing(*arguments):
    """Run the program of OpenSSF Model Signing."""
    return subprocess.run(
        [sys.executable, "-m", "model_signing", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
