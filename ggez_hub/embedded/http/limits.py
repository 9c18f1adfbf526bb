"""How much a client may send at once."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes, but for `commit_files`, the files of one commit.

    An LFS upload is bounded by what was announced for it, and by `lfs_object`.
    """

    headers: int = 32 << 10

    json_body: int = 8 << 20
    commit_body: int = 1 << 30
    commit_files: int = 25_000
    regular_file: int = 10 << 20
    lfs_object: int = 64 << 30

    @property
    def commit_line(self) -> int:
        """One line of a commit: a regular file in base64, with its path."""
        return self.regular_file * 4 // 3 + (64 << 10)
