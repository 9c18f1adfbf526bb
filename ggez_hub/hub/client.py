"""A hub as the rest of the house sees it: repositories at commits, files with digests."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ggez_hub.errors import GgezError
from ggez_hub.hub.cache import ChangedFile, check_file, remove, remove_leftovers, require_inside
from ggez_hub.hub.guard import BadAnswer, TooLong, at_most, guard_client
from ggez_hub.hub.listing import HubFile, RepoAtCommit, check_listing, understood
from ggez_hub.retry import with_retries

if TYPE_CHECKING:
    from huggingface_hub import HfApi, HfFileMetadata


class NoAccess(GgezError):
    """The licence of a gated repository is not accepted yet, or not by this token's account."""


def page(endpoint: str, repo: str) -> str:
    """The page of a model, where its licence is accepted."""
    return f"{endpoint}/{repo}"


def no_access(endpoint: str, repo: str) -> NoAccess:
    """The error for a repository that may not be read; it names the page."""
    return NoAccess(
        f"access to {repo} is restricted, and its licence is not accepted yet",
        f"Accept it at {page(endpoint, repo)} while signed in, then set HF_TOKEN or run "
        "`hf auth login`.",
    )


def require_access(hub: Hub, repo: str) -> None:
    """Raise NoAccess, which names the page, unless the files may be read; asks the hub."""
    from huggingface_hub.errors import GatedRepoError

    try:
        with_retries(lambda: hub._api.auth_check(repo))
    except GatedRepoError as error:
        raise no_access(hub.endpoint, repo) from error


LIBRARY = "ggez-hub"
PARALLEL_DOWNLOADS = 4
# Many times what any registry holds.
MOST_FOUND = 20_000
COMMIT = re.compile(r"[0-9a-f]{40}")
DIGEST = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")

# A card or a configuration; what claims to be more is no text for people.
MAX_TEXT_BYTES = 8_000_000


@dataclass(frozen=True)
class Hub:
    """The Hugging Face Hub, or another server that speaks its protocol."""

    endpoint: str
    token: str | None = field(default=None, repr=False)

    @classmethod
    def of_environment(cls, endpoint: str | None = None) -> Hub:
        """The hub of HF_ENDPOINT with the user's token, or that at `endpoint`.

        The token belongs to HF_ENDPOINT: another address never sees it.
        """
        from huggingface_hub import constants, get_token

        if endpoint in {None, constants.ENDPOINT}:
            return cls(constants.ENDPOINT, get_token())
        return cls(str(endpoint))

    @cached_property
    def _api(self) -> HfApi:
        from huggingface_hub import HfApi

        guard_client()
        # Without a token of our own the client would send the stored one: False forbids it.
        return HfApi(endpoint=self.endpoint, token=self.token or False, library_name=LIBRARY)

    def at_commit(self, repo: str, revision: str, repo_type: str = "model") -> RepoAtCommit:
        """A repository at the commit that `revision` names now, by one request.

        Raises BadAnswer if the hub lists what cannot be, and what the client raises.
        """

        def ask() -> Any:
            return self._api.repo_info(
                repo, revision=revision, repo_type=repo_type, files_metadata=True
            )

        with understood(repo):
            info = with_retries(ask)
            files = tuple(
                HubFile(f.rfilename, f.size, f.blob_id, f.lfs.sha256 if f.lfs else None)
                for f in info.siblings or ()
            )
            date = info.last_modified.isoformat() if info.last_modified else ""
            declared = info.card_data.to_dict() if info.card_data else {}
        check_listing(repo, revision, info.sha, files)
        return RepoAtCommit(repo, info.sha, files, date, bool(info.gated), declared)

    def newest(self, repo: str, path: str, repo_type: str = "model") -> tuple[str, HubFile] | None:
        """A file on the branch `main` and the commit of the branch, in one small request.

        None if there is no such file; raises what the client raises (RevisionNotFoundError if there
        is no commit yet), and ChangedFile if the hub does not say how large the file is.
        """
        from huggingface_hub.errors import EntryNotFoundError

        try:
            seen = self._head(repo, path, repo_type)
        except EntryNotFoundError:
            return None
        commit, tag = seen.commit_hash or "", seen.etag or ""
        if not (COMMIT.fullmatch(commit) and DIGEST.fullmatch(tag)) or seen.size is None:
            raise ChangedFile(f"{self.endpoint} does not say which {path} of {repo} it has")
        # The tag of a large file is its sha256, that of a small one git's id.
        return commit, HubFile(path, seen.size, tag, tag if len(tag) == 64 else None)

    def newest_commit(self, repo: str, path: str, repo_type: str = "model") -> str | None:
        """The commit of the branch `main`, by asking for a file that need not be there.

        None if the hub does not say. One small request, and no more of the client is imported.
        """
        from huggingface_hub.errors import HfHubHTTPError

        try:
            return self._head(repo, path, repo_type).commit_hash
        except HfHubHTTPError as error:
            return error.response.headers.get("X-Repo-Commit")

    def _head(self, repo: str, path: str, repo_type: str) -> HfFileMetadata:
        from huggingface_hub import get_hf_file_metadata, hf_hub_url

        guard_client()
        url = hf_hub_url(repo, path, repo_type=repo_type, revision="main", endpoint=self.endpoint)
        return with_retries(
            lambda: get_hf_file_metadata(
                url, token=self.token or False, library_name=LIBRARY, endpoint=self.endpoint
            )
        )

    def discover(self, tags: Sequence[str]) -> list[tuple[str, str]]:
        """Models that carry all `tags`, as (repository, commit), sorted by name.

        Raises BadAnswer for a list without end, and what the client raises.
        """

        def ask() -> list[tuple[str, str]]:
            listed = self._api.list_models(filter=list(tags), full=True)
            # Each page names the next.
            return [(m.id, m.sha) for m in islice(listed, MOST_FOUND + 1) if m.sha is not None]

        what = f"models with the tags {', '.join(tags)}"
        with understood(what):
            found = with_retries(ask)
        if len(found) > MOST_FOUND:
            raise BadAnswer(f"the hub lists more than {MOST_FOUND:,} {what}")
        return sorted((name, commit) for name, commit in found if commit)

    def tags(self, repo: str) -> dict[str, str]:
        """The tags of a model and the commits that they name; raises what the client raises."""
        with understood(repo):
            refs = with_retries(lambda: self._api.list_repo_refs(repo))
            return {tag.name: tag.target_commit for tag in refs.tags}

    def exists(self, repo: str, repo_type: str = "model") -> bool:
        """Whether the repository can be read."""
        from huggingface_hub.errors import RepositoryNotFoundError

        try:
            with_retries(lambda: self._api.repo_info(repo, repo_type=repo_type))
        except RepositoryNotFoundError:
            return False
        return True

    def read_text(self, repo: str, revision: str, path: str, repo_type: str = "model") -> str:
        """A text file of a repository at a commit; raises TooLong, and what the client raises."""
        found = self._download(repo, revision, path, repo_type, MAX_TEXT_BYTES)
        require_inside(found)
        if found.stat().st_size > MAX_TEXT_BYTES:
            raise TooLong(f"{path} of {repo} has more than {MAX_TEXT_BYTES:,} bytes")
        try:
            return found.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise BadAnswer(f"{path} of {repo}@{revision[:12]} is no UTF-8 text") from error

    def read_range(self, repo: str, revision: str, path: str, start: int, end: int) -> bytes:
        """The bytes of a file at a commit from `start` up to `end`, fewer where it ends before.

        They are held in memory, and not kept. Raises BadAnswer for more than that, and what the
        client raises.
        """
        from huggingface_hub import hf_hub_url
        from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

        guard_client()
        headers = build_hf_headers(token=self.token or False, library_name=LIBRARY)
        response = get_session().get(
            hf_hub_url(repo, path, revision=revision, endpoint=self.endpoint),
            headers={**headers, "range": f"bytes={start}-{end - 1}"},
        )
        hf_raise_for_status(response)
        return bytes(response.content)

    def account(self) -> str | None:
        """The name of the token's account; None without a token."""
        return str(self._api.whoami()["name"]) if self.token else None

    def fetch(
        self, repo: str, revision: str, files: Iterable[HubFile], repo_type: str = "model"
    ) -> Path:
        """Download files at a commit into the user's cache; returns their common folder.

        Every file is compared with its record. Raises ChangedFile, after removing the file from
        the cache, if one differs, and TooLong while a body is longer than its record. What is in
        the cache already is not downloaded again.
        """
        wanted = list(files)
        remove_leftovers(repo, repo_type)
        with ThreadPoolExecutor(PARALLEL_DOWNLOADS) as pool:
            paths = list(
                pool.map(
                    lambda f: self._download(repo, revision, f.path, repo_type, f.size), wanted
                )
            )
        for file, path in zip(wanted, paths, strict=True):
            check_file(path, file, where=f"{repo}@{revision[:12]}")
        first = wanted[0].path
        return paths[0].parents[first.count("/")]

    def forget(self, repo: str, revision: str, paths: Iterable[str]) -> None:
        """Remove fetched files of a commit from the user's cache."""
        from huggingface_hub import try_to_load_from_cache

        for path in paths:
            found = try_to_load_from_cache(repo, path, revision=revision)
            if isinstance(found, str):
                remove(Path(found))

    def missing_bytes(self, repo: str, revision: str, files: Iterable[HubFile]) -> int:
        """Bytes of `files` that are not in the user's cache yet."""
        from huggingface_hub import try_to_load_from_cache

        return sum(
            file.size
            for file in files
            if not isinstance(try_to_load_from_cache(repo, file.path, revision=revision), str)
        )

    def _download(self, repo: str, revision: str, path: str, repo_type: str, nbytes: int) -> Path:
        """The path in the cache of a file of at most `nbytes` bytes; raises NoAccess if gated."""

        def download() -> str:
            # With a full commit id the client answers from its cache without asking the hub.
            return str(
                self._api.hf_hub_download(
                    repo, path, revision=revision, repo_type=repo_type, tqdm_class=at_most(nbytes)
                )
            )

        from huggingface_hub.errors import GatedRepoError

        try:
            return Path(with_retries(download))
        except GatedRepoError as error:
            raise no_access(self.endpoint, repo) from error
        except OSError as error:
            if type(error) is not OSError or error.errno is not None:
                raise
            # So the client tells of a body that is not as long as the hub announced.
            raise BadAnswer(
                f"the hub sends {path} of {repo} in another length than it announces",
                "Run it again; if it stays, the hub or something on the way is out of order.",
            ) from error
