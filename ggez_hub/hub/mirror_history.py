"""A repository of a hub in the folder of an embedded hub, with its history: every commit keeps its id."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from ggez_hub.errors import GgezError
from ggez_hub.hub.client import Hub
from ggez_hub.hub.mirror import Mirrored, allowed, check_size, is_hidden, is_public
from ggez_hub.hub.repository_files import HubFile, RepoAtCommit

if TYPE_CHECKING:
    from ggez_hub.embedded import HubStore
    from ggez_hub.embedded.catalog import RepoRecord
    from ggez_hub.embedded.reachable import Reachable
    from ggez_hub.embedded.repository import GitRepository

TIMEOUT = 60.0  # seconds without a byte


def mirror_history(
    source: Hub,
    store: HubStore,
    repo: str,
    revision: str,
    *,
    repo_type: str = "model",
    allow: Sequence[str] = (),
    private: bool | None = None,
    max_size: int | None = None,
) -> Mirrored:
    """Make the branch `main` of a repository in `store` the commit `revision` of `repo` in `source`.

    History comes by git, so that commits have their ids; of large files those of the one commit come,
    where their paths match `allow`, one after the other. Each is compared with the sha256 that git
    names for it, and the tree with the list of the source. What came before does not come again. The
    branch moves at the end, if nothing is lost by it. `private` as for `mirror`. Raises GgezError, also
    where the large files, or what git sends, have more than `max_size` bytes.
    """
    from ggez_hub.embedded.names import branch_ref

    at = source.at_commit(repo, revision, repo_type)
    large = [file for file in allowed(at.files, allow) if file.sha256 is not None]
    if not allowed(at.files, allow):
        raise GgezError(f"{repo}@{at.revision[:12]} has no file that matches {', '.join(allow)}")
    check_size(large, max_size)
    hidden = is_hidden(at, private)
    store.create_repo(repo_type, repo, private=hidden, exist_ok=True)
    record = store.repo(repo_type, repo)
    if hidden and not record.private:
        raise is_public(repo)
    with store.git(record) as git:
        head = git.refs.head("main")
        history = _history(git, at.revision)
        if history is None:
            _fetch_history(source, repo, repo_type, store.folder(record), at.revision, max_size)
            history = _history(git, at.revision)
        if history is None:
            raise GgezError(f"{source.endpoint} has not all of the history of {at.revision[:12]}")
        if not (
            head is None
            or head in history.commits
            or _is_kept(git, head)
            or source.has_published(repo, head, repo_type)
        ):
            raise GgezError(
                f"main of {repo} has commits of its own: {head[:12]} would be lost",
                "Make a branch or a tag of it there, and run it again.",
            )
    sent = [file.path for file in large if _bring(source, store, record, at, file, repo_type)]
    with store.git(record) as git, git.lock():
        # What no branch leads to yet, a collection takes.
        history = _history(git, at.revision)
        wanted = {str(file.sha256) for file in large}
        if history is None or wanted - store.catalog.use(record, wanted).keys():
            raise GgezError(f"a part of {repo} was removed meanwhile by `hub gc`", "Run it again.")
        listed = git.snapshot(at.revision).listing(recursive=True)
        found = {
            entry.path: (entry.size, entry.lfs.oid if entry.lfs else entry.oid)
            for entry in listed
            if not entry.is_folder
        }
        if found != {file.path: (file.size, file.sha256 or file.oid) for file in at.files}:
            raise GgezError(
                f"{source.endpoint} lists other files of {repo}@{at.revision[:12]} than git has",
                "Do not use this repository.",
            )
        store.catalog.refuse_purged(history.blobs)
        if head != at.revision:
            git.move(branch_ref("main"), head, at.revision)
    size = sum(file.size for file in large)
    return Mirrored(
        *(repo, repo_type, source.endpoint, at.revision, at.revision),
        *(len(large), size, tuple(sent), ()),
    )


def _history(git: GitRepository, commit: str) -> Reachable | None:
    """What a commit leads to; None where a part is missing, as a collection may have left it."""
    from ggez_hub.embedded.reachable import Reachable

    found = Reachable(git.objects)
    try:
        found.add([commit])
    except KeyError:
        return None
    return found


def _is_kept(git: GitRepository, commit: str) -> bool:
    """Whether another ref than the branch `main` leads to a commit."""
    from ggez_hub.embedded.reachable import Reachable

    kept = Reachable(git.objects)
    kept.add(oid for ref, oid in git.refs.values().items() if ref != "refs/heads/main")
    return commit in kept.commits


def _bring(
    source: Hub,
    store: HubStore,
    record: RepoRecord,
    at: RepoAtCommit,
    file: HubFile,
    repo_type: str,
) -> bool:
    """Have a large file in the store; whether it was fetched."""
    from ggez_hub.embedded.lfs import Pointer

    pointer = Pointer(str(file.sha256), file.size)
    if store.catalog.use(record, [pointer.oid]):
        return False
    # What was in the user's cache before stays there.
    brought = source.missing_bytes(at.repo, at.revision, [file], repo_type)
    path = source.fetch(at.repo, at.revision, [file], repo_type) / file.path
    with (
        store.lfs.receive(partial(store.catalog.link, record), pointer) as upload,
        path.open("rb") as content,
    ):
        while block := content.read(1 << 20):
            upload.write(block)
    if brought:
        source.forget(at.repo, at.revision, [file.path], repo_type)
    return True


def _fetch_history(
    source: Hub, repo: str, repo_type: str, folder: Path, commit: str, most: int | None
) -> None:
    """Fetch a commit and its ancestors into a bare repository, `most` bytes; no ref moves."""
    import urllib3
    from dulwich.client import HttpGitClient
    from dulwich.errors import (
        ApplyDeltaError,
        GitProtocolError,
        HangupException,
        NotGitRepository,
    )
    from dulwich.objects import ObjectID
    from dulwich.repo import Repo

    from ggez_hub.atomic_files import sync
    from ggez_hub.embedded.objects import DAMAGED

    wanted = ObjectID(commit.encode())

    def wants(refs: Mapping[Any, Any], depth: int | None = None) -> list[Any]:
        # Not every server gives a commit that no ref names: then it is in the history of one.
        heads = {oid for name, oid in refs.items() if oid and name.startswith(b"refs/heads/")}
        heads |= {oid for name, oid in refs.items() if oid and name.startswith(b"refs/tags/")}
        return [wanted] if wanted in set(refs.values()) else sorted(heads)

    received = 0

    def bounded(write: Callable[[bytes], int]) -> Callable[[bytes], int]:
        def count(data: bytes) -> int:
            nonlocal received
            received += len(data)
            if most is not None and received > most:
                raise GgezError(
                    f"the history of {repo} has more than the {most} bytes that are allowed",
                    "Give a larger --max-size, or the other hub by --hub: then no history comes.",
                )
            return write(data)

        return count

    # A redirect could lead the token elsewhere.
    options: dict[str, Any] = {"retries": urllib3.Retry(2, redirect=0), "timeout": TIMEOUT}
    address = urlsplit(source.endpoint)
    proxy = getproxies().get(address.scheme) or getproxies().get("all")
    pool = (
        urllib3.PoolManager(**options)
        if proxy is None or proxy_bypass(address.hostname or "")
        else urllib3.ProxyManager(proxy, **options)
    )
    user = "hf" if source.token else None
    prefix = "" if repo_type == "model" else f"{repo_type}s/"
    try:
        with Repo(str(folder)) as git:
            client = HttpGitClient(
                source.endpoint,
                pool_manager=pool,
                quiet=True,
                thin_packs=False,
                username=user,
                password=source.token,
            )
            file, finish, abandon = git.object_store.add_pack()
            try:
                walker = git.get_graph_walker()
                client.fetch_pack(f"/{prefix}{repo}", wants, walker, bounded(file.write))
            except BaseException:
                abandon()
                raise
            finish()
            complete = wanted in git.object_store
    except (
        *(GitProtocolError, HangupException, NotGitRepository, ApplyDeltaError, *DAMAGED),
        urllib3.exceptions.HTTPError,
    ) as error:
        raise GgezError(
            f"the history of {repo} could not be fetched by git from {source.endpoint}: "
            f"{str(error) or type(error).__name__}",
            "Give the other hub by --hub: then its files come without their history.",
        ) from error
    if not complete:
        raise GgezError(f"no branch or tag of {repo} leads to {commit[:12]}")
    packs = folder / "objects" / "pack"
    for path in (*packs.iterdir(), packs):
        sync(path)
