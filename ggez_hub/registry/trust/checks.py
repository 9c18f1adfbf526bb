"""Signatures of repositories and folders against trust.yaml."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ggez_hub.digests import sha256_file, sha256_files
from ggez_hub.errors import MissingExtra
from ggez_hub.hub import Hub, RepoAtCommit
from ggez_hub.hub.listings import Signatures
from ggez_hub.registry.trust.own_key import policy_on
from ggez_hub.registry.trust.policy import TrustPolicy, read_policy
from ggez_hub.registry.trust.statement import (
    IGNORED,
    SIGNATURE_FILE,
    BadSignature,
    UnknownSigner,
    Verified,
    verify_bundle,
)

# Where huggingface_hub notes what it downloaded into a folder.
CLIENT_FOLDER = ".cache"
UNSIGNED = "pass --signatures if-present to take what is not signed"


def required_by(hub: Hub, policy: TrustPolicy) -> Signatures:
    """What has to be signed on a hub: what was asked for, or what the policy says."""
    return hub.signatures or policy.signatures


def verified_statement(
    hub: Hub, repo: str, bundle: bytes | None, policy: TrustPolicy
) -> Verified | None:
    """The signature of a repository, by one who may sign for its owner.

    None for one without, or that nobody can judge here, unless signatures are required. Raises
    BadSignature, and MissingExtra where signatures are required.
    """
    asked = required_by(hub, policy)
    if asked == "off":
        return None
    if bundle is None:
        if asked == "required":
            raise BadSignature("is not signed", UNSIGNED)
        return None
    try:
        owner = repo.partition("/")[0]
        return verify_bundle(bundle, policy_on(hub, policy, owner), owner)
    except (UnknownSigner, MissingExtra):
        if asked == "required":
            raise
        return None


def signer_of(hub: Hub, at: RepoAtCommit, files: Mapping[str, str | None]) -> str | None:
    """Who signed `files` of a model's repository at a commit, by path with their sha256s.

    A file without a sha256 is fetched. None and raises as `verified_statement`; what the client
    raises.
    """
    policy = read_policy()
    if required_by(hub, policy) == "off":
        return None
    there = at.file(SIGNATURE_FILE) is not None
    bundle = hub.read_text(at.repo, at.revision, SIGNATURE_FILE).encode() if there else None
    found = verified_statement(hub, at.repo, bundle, policy)
    if found is None:
        return None
    signed = found.files
    for path, sha256 in files.items():
        if (sha256 or _sha256(hub, at, path)) != signed.get(path):
            what = "another" if path in signed else "no"
            raise BadSignature(f"has a signature of {what} {path}")
    return found.signer.name


def _sha256(hub: Hub, at: RepoAtCommit, path: str) -> str:
    files = [file for file in at.files if file.path == path]
    return sha256_file(hub.fetch(at.repo, at.revision, files) / path)


def verify_folder(folder: Path, signature: Path, owner: str | None = None) -> Verified:
    """The signature of a folder by one who may sign for `owner`, every byte read.

    Raises BadSignature where the signature does not count, or names the files that differ.
    """
    found = verify_bundle(signature.read_bytes(), read_policy(), owner)
    if wrong := list(_differences(folder, found)):
        raise BadSignature(f"{folder} is not what was signed:\n  " + "\n  ".join(wrong))
    return found


def _differences(folder: Path, found: Verified) -> Iterable[str]:
    from model_signing import hashing

    expected = {r.identifier: r.digest for r in found.manifest.resource_descriptors()}
    stated = found.manifest.serialization_type
    skipped = {*IGNORED, CLIENT_FOLDER, *stated.get("ignore_paths", ())}
    signed = {name.partition(":")[0] for name in expected}
    for place in sorted(folder.rglob("*")):
        path = place.relative_to(folder)
        left_out = any(part.as_posix() in skipped for part in (path, *path.parents))
        if place.is_file() and not left_out and path.as_posix() not in signed:
            yield f"{path.as_posix()} was not signed"
    if stated["method"] == "files" and stated["hash_type"] == "sha256":
        names = [name for name in expected if (folder / name).is_file()]
        actual = sha256_files(folder, names)
        yield from (
            f"{name} is missing" if name not in actual else f"{name} has another sha256"
            for name, digest in expected.items()
            if actual.get(name) != digest.digest_hex
        )
        return
    # As other programs sign: by other digests, or in shards.
    config: Any = hashing.Config()  # type: ignore[no-untyped-call]
    common = {"hashing_algorithm": stated["hash_type"], "allow_symlinks": stated["allow_symlinks"]}
    if stated["method"] == "shards":
        config.use_shard_serialization(**common, shard_size=int(stated["shard_size"]))
    else:
        config.use_file_serialization(**common)
    there = [folder / name for name in signed if (folder / name).is_file()]
    listed = config.hash(folder, files_to_hash=there).resource_descriptors()
    now = {r.identifier: r.digest for r in listed}
    yield from (f"{name} differs" for name in expected if now.get(name) != expected[name])
