"""Signed outcomes of gates: that measured means measured by who signed it.

An in-toto statement (https://in-toto.io/attestation/test-result/v0.1) beside the evidence of a card: the
files that it rests on with their sha256s, and which gates passed, warned (undetermined) or failed.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ggez_hub.digests import sha256_files
from ggez_hub.errors import GgezError
from ggez_hub.registry.trust.policy import Signer, read_policy
from ggez_hub.registry.trust.signing import SigningKey
from ggez_hub.registry.trust.statement import BadSignature, payload_of, verify_payload

RESULT_FILE = "test-result.sig"
PREDICATE = "https://in-toto.io/attestation/test-result/v0.1"
LISTS = {"pass": "passedTests", "undetermined": "warnedTests", "fail": "failedTests"}
RESULTS = {"pass": "PASSED", "undetermined": "WARNED", "fail": "FAILED"}


def sign_gates(
    by: SigningKey,
    card: str,
    files: Mapping[str, str],
    verdicts: Mapping[str, str],
    outcome: str,
    previous: bytes | None,
) -> bytes:
    """The signed outcome of a card's gates over evidence, by path with sha256s.

    `previous` if it says the same, by the same key.
    """
    from in_toto_attestation.v1.resource_descriptor import ResourceDescriptor
    from in_toto_attestation.v1.statement import Statement

    predicate: dict[str, Any] = {
        "result": RESULTS[outcome],
        "configuration": [{"name": card}],
        **{
            key: sorted(name for name, verdict in verdicts.items() if verdict == which)
            for which, key in LISTS.items()
        },
    }
    if previous is not None:
        with suppress(GgezError):
            key, before = payload_of(previous)
            same = before.get("predicate") == predicate and _subjects(before) == files
            if same and key == by.public:
                return previous
    subjects = [ResourceDescriptor(name=n, digest={"sha256": d}).pb for n, d in files.items()]
    return by.sign(Statement(subjects, PREDICATE, predicate))


def verify_gates(folder: Path, owner: str | None) -> tuple[Signer, str]:
    """Who signed the outcome of the gates over a folder's evidence, and the outcome in words.

    Raises BadSignature, also where a file is another one.
    """
    signer, statement, _ = verify_payload((folder / RESULT_FILE).read_bytes(), read_policy(), owner)
    if statement.get("predicateType") != PREDICATE:
        raise BadSignature(f"{RESULT_FILE} is not the result of a test")
    files = _subjects(statement)
    names = [name for name in files if (folder / name).is_file()]
    if wrong := sorted(files.items() - sha256_files(folder, names).items()):
        raise BadSignature(
            f"{folder} is not what was measured: {', '.join(name for name, _ in wrong)}"
        )
    predicate = statement["predicate"]
    parts = [f"{len(found)} {key[:-5]}" for key in LISTS.values() if (found := predicate.get(key))]
    return signer, f"{predicate['result']} ({', '.join(parts)})"


def _subjects(statement: Mapping[str, Any]) -> dict[str, str]:
    try:
        return {subject["name"]: subject["digest"]["sha256"] for subject in statement["subject"]}
    except (KeyError, TypeError) as error:
        raise BadSignature("the statement names no files") from error
