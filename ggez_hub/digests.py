"""sha256 digests of files and of JSON values."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

# More files at a time wait for the disk.
HASH_THREADS = 4


def sha256_file(path: Path) -> str:
    """The sha256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_files(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """The sha256 of files below a folder, by name; several are read at a time."""
    wanted = list(names)
    with ThreadPoolExecutor(HASH_THREADS) as pool:
        digests = pool.map(lambda name: sha256_file(folder / name), wanted)
        return dict(zip(wanted, digests, strict=True))


def canonical_json(value: object) -> str:
    """JSON with sorted keys and no spaces: equal values have equal bytes, hence equal digests."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest_json(value: object) -> str:
    """The sha256 of the canonical JSON of a value."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def finite(value: Any) -> Any:
    """The same lists and dicts, with null for numbers that JSON does not know."""
    if isinstance(value, dict):
        return {key: finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
