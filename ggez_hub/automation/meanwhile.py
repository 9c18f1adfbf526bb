"""What happened on the default branch while a run was measuring."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path

from dulwich.object_store import tree_lookup_path
from dulwich.objects import Blob, Commit
from dulwich.refs import Ref
from dulwich.repo import Repo

from ggez_hub.errors import GgezError

REFERENCE = "refs/ggez/default"


class NoOrigin(GgezError):
    """What the default branch holds now cannot be asked."""


def changed_meanwhile(repository: Path, paths: Iterable[str]) -> frozenset[str]:
    """Those of `paths` that origin's default branch has in another form than `repository`, or no more.

    Raises NoOrigin.
    """
    done = subprocess.run(
        ["git", "fetch", "--quiet", "--no-tags", "--force", "origin", f"HEAD:{REFERENCE}"],  # noqa: S607
        cwd=repository, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise NoOrigin(f"the default branch cannot be fetched: {done.stderr.strip()}")
    with Repo(str(repository)) as repo:
        now = repo[repo.refs[Ref(REFERENCE.encode())]]
        assert isinstance(now, Commit)  # noqa: S101 - a branch is at a commit
        return frozenset(
            path for path in paths if _content(repo, now, path) != (repository / path).read_bytes()
        )


def _content(repo: Repo, commit: Commit, path: str) -> bytes | None:
    try:
        _, sha = tree_lookup_path(repo.__getitem__, commit.tree, path.encode())
    except KeyError:
        return None
    found = repo[sha]
    return found.data if isinstance(found, Blob) else None
