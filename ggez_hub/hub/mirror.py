"""The files of a repository of one hub, at a commit, in another hub that is reached by its address."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ggez_hub.errors import GgezError
from ggez_hub.hub.client import Hub
from ggez_hub.hub.commits import ensure_repo, head_of, require_token, send
from ggez_hub.hub.repository_files import HubFile, RepoAtCommit
from ggez_hub.retry import with_retries

# The rules of Git LFS are the hub's own: it adds to them what it stores.
RULES = ".gitattributes"


@dataclass(frozen=True)
class Mirrored:
    """What a mirror holds: the commit it was made from, its own, and what had to be sent."""

    repo: str
    repo_type: str
    source: str
    source_revision: str
    revision: str
    files: int
    size: int
    sent: tuple[str, ...]
    removed: tuple[str, ...]


def mirror(
    source: Hub,
    target: Hub,
    repo: str,
    revision: str,
    *,
    repo_type: str = "model",
    allow: Sequence[str] = (),
    private: bool | None = None,
    max_size: int | None = None,
) -> Mirrored:
    """Make a repository of `target` hold the files of `repo` at a commit of `source`.

    A new one is `private`, by default where the source is private or gated; one that is public already
    is then refused. `allow` are patterns of the paths that are wanted, all without one; others stay as they are. Every
    file is compared with the digest that the source lists for it: its sha256, or git's id of a small
    one. Either all of it arrives, by one commit, or nothing. What was fetched or sent before is not
    again. A tag with the name of the source's commit leads to the mirror's own. Raises GgezError, also before
    anything is fetched where the files have more than `max_size` bytes.
    """
    require_token(target)
    at = source.at_commit(repo, revision, repo_type)
    check_size(allowed(at.files, allow), max_size)
    hidden = is_hidden(at, private)
    sdk = _sdk(at) if repo_type == "space" else None
    ensure_repo(target, repo, private=hidden, repo_type=repo_type, space_sdk=sdk)
    if hidden and not target.api.repo_info(repo, repo_type=repo_type).private:
        raise is_public(repo)
    head = head_of(target, repo, repo_type)
    same_source = _tags(target, repo, repo_type).get(at.revision) == head.revision
    wanted = [
        file for file in allowed(at.files, allow) if file.path != RULES or head.file(RULES) is None
    ]
    if not wanted:
        raise GgezError(
            f"{repo}@{at.revision[:12]} has no file that matches {', '.join(allow)}"
            if allow
            else f"{repo}@{at.revision[:12]} has no files"
        )
    paths = {file.path for file in at.files}
    gone = [f.path for f in allowed(head.files, allow) if f.path not in paths | {RULES}]
    new = [file for file in wanted if not _is_there(head, file, same_source=same_source)]
    # What is in the user's cache already stays there.
    brought = [
        file.path for file in new if source.missing_bytes(repo, at.revision, [file], repo_type)
    ]
    local: dict[str, Path] = {}
    if new:
        folder = source.fetch(repo, at.revision, new, repo_type)
        local = {file.path: folder / file.path for file in new}
    commit = head.revision
    if new or gone:
        message = f"Mirror {repo} at {at.revision} from {source.endpoint}"
        info = send(
            target, repo, local, gone, message, "", repo_type, "main", head.revision or None
        )
        commit = info.oid
    _compare(target.at_commit(repo, commit, repo_type), wanted, local, same_source=same_source)
    _tag(target, repo, repo_type, at.revision, commit)
    source.forget(repo, at.revision, brought, repo_type)
    return Mirrored(
        repo,
        repo_type,
        source.endpoint,
        at.revision,
        commit,
        len(wanted),
        sum(file.size for file in wanted),
        tuple(sorted(local)),
        tuple(gone),
    )


def check_size(files: Sequence[HubFile], max_size: int | None) -> None:
    """Raise GgezError if files have more than `max_size` bytes together; None: any number."""
    size = sum(file.size for file in files)
    if max_size is not None and size > max_size:
        raise GgezError(
            f"the files have {size} bytes together, more than the {max_size} that are allowed",
            "Choose some of them by --allow, or give a larger --max-size.",
        )


def allowed(files: Sequence[HubFile], patterns: Sequence[str]) -> list[HubFile]:
    """The files whose paths match one of the patterns; all without patterns."""
    from huggingface_hub.utils import filter_repo_objects

    chosen = filter_repo_objects(files, allow_patterns=list(patterns) or None, key=lambda f: f.path)
    return list(chosen)


def is_hidden(at: RepoAtCommit, private: bool | None) -> bool:
    """Whether a copy has to be private: as asked, or else where not everybody may read the source."""
    return at.private or at.gated if private is None else private


def is_public(repo: str) -> GgezError:
    """The error of a copy that has to be private, where the repository is there and is not."""
    return GgezError(
        f"{repo} is public on the hub that gets it, and what comes is not for everybody",
        "Make it private there first, or give --public.",
    )


def _sdk(at: RepoAtCommit) -> str:
    """What a Space is run by, as its card says; one that the client does not know is served as files."""
    from huggingface_hub.constants import SPACES_SDK_TYPES

    sdk = at.front_matter.get("sdk")
    return sdk if sdk in SPACES_SDK_TYPES else "static"


def _is_there(head: RepoAtCommit, file: HubFile, *, same_source: bool) -> bool:
    """Whether a repository holds a file; with `same_source` it was made from the file's commit."""
    found = head.file(file.path)
    if found is None or found.size != file.size:
        return False
    if (found.sha256 is None) != (file.sha256 is None):
        # Large for one hub and small for the other: their digests cannot be compared.
        return same_source
    return (found.sha256 or found.oid) == (file.sha256 or file.oid)


def _compare(
    held: RepoAtCommit, wanted: Sequence[HubFile], local: dict[str, Path], *, same_source: bool
) -> None:
    """Raise GgezError unless a mirror lists what was wanted, byte for byte."""
    for file in wanted:
        found = held.file(file.path)
        # A file that is large for one hub can be small for the other: then by what was fetched.
        same = found is not None and (
            _is_there(held, file, same_source=same_source)
            or (file.path in local and found.matches(local[file.path]))
            or file.path == RULES
        )
        if not same:
            raise GgezError(
                f"the mirror has another {file.path} than the source",
                "Run it again; if it stays, the hub or something on the way is out of order.",
            )


def _tag(target: Hub, repo: str, repo_type: str, name: str, commit: str) -> None:
    """Let the source's commit lead to the mirror's."""
    there = _tags(target, repo, repo_type)
    if there.get(name) == commit:
        return
    if name in there:
        target.api.delete_tag(repo, tag=name, repo_type=repo_type)
    target.api.create_tag(repo, tag=name, revision=commit, repo_type=repo_type)


def _tags(hub: Hub, repo: str, repo_type: str) -> dict[str, str]:
    refs = with_retries(lambda: hub.api.list_repo_refs(repo, repo_type=repo_type))
    return {tag.name: tag.target_commit for tag in refs.tags}
