"""What a hub lists: repositories at commits, their files with digests, tags, models."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias

from ggez_hub.errors import GgezError
from ggez_hub.hub.answers import Answers, NotInCache
from ggez_hub.hub.cache import ChangedFile
from ggez_hub.hub.guard import guard_client
from ggez_hub.hub.repository_files import HubFile, RepoAtCommit, check_listing, readable_answer
from ggez_hub.retry import with_retries

if TYPE_CHECKING:
    from huggingface_hub import HfApi, HfFileMetadata
    from huggingface_hub.errors import RepositoryNotFoundError

LIBRARY = "ggez-hub"
MOST_HEADS, MOST_COMMITS = 100, 5_000
# Of so many repositories, with at most so many files, the listing is remembered: texts are checked by it.
MOST_LISTINGS, MOST_LISTED = 50, 2_000
# Many times what any registry holds.
MOST_FOUND = 20_000
COMMIT = re.compile(r"[0-9a-f]{40}")
NO_REPOSITORY = "no such repository"
DIGEST = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
# What has to be signed: all, what has a signature, nothing.
Signatures: TypeAlias = Literal["required", "if-present", "off"]


@dataclass(frozen=True)
class HubListings:
    """The address of a hub, and what it answers about repositories; `Hub` has their files, too.

    An `offline` hub is never asked: what reads answers from the cache or raises NotInCache, all else
    raises GgezError. The answers of a `temporary` one, whose address ends with the command, are not
    kept; `folder` is where it is on this machine. `signatures` is what is asked of what it holds,
    None what trust.yaml says; with `allow_stale` an index may be older than one seen before. Methods
    raise what the client raises, beside the errors that they name.
    """

    endpoint: str
    token: str | None = field(default=None, repr=False)
    offline: bool = False
    temporary: bool = False
    signatures: Signatures | None = None
    allow_stale: bool = False
    folder: Path | None = None
    _listings: dict[tuple[str, str, str], RepoAtCommit] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @classmethod
    def of_environment(cls, endpoint: str | None = None, *, offline: bool = False) -> Self:
        """The hub of HF_ENDPOINT with the user's token, or that at `endpoint`.

        The token belongs to HF_ENDPOINT: another address never sees it. HF_HUB_OFFLINE makes it
        `offline` as well.
        """
        from huggingface_hub import constants, get_token, is_offline_mode

        offline = offline or is_offline_mode()
        if endpoint in {None, constants.ENDPOINT}:
            return cls(constants.ENDPOINT, get_token(), offline)
        return cls(str(endpoint), offline=offline)

    @cached_property
    def api(self) -> HfApi:
        """The client of huggingface_hub for this hub and token, guarded."""
        from huggingface_hub import HfApi

        if self.offline:
            raise GgezError(
                f"this needs {self.endpoint}, which may not be asked (offline)",
                "Run it without --offline and HF_HUB_OFFLINE.",
            )
        guard_client(self.endpoint, self.token)
        # Without a token of our own the client would send the stored one: False forbids it.
        return HfApi(endpoint=self.endpoint, token=self.token or False, library_name=LIBRARY)

    def page(self, repo: str, repo_type: str = "model") -> str:
        """The web page of a repository."""
        kind = "" if repo_type == "model" else f"{repo_type}s/"
        return f"{self.endpoint}/{kind}{repo}"

    def at_commit(self, repo: str, revision: str, repo_type: str = "model") -> RepoAtCommit:
        """A repository at the commit that `revision` names now, by one request.

        Offline, what it named when it was asked last. Raises GgezError for a listing that cannot be
        acted on.
        """
        if self.offline:
            return self._recalled(repo, revision, repo_type)

        def ask() -> Any:
            return self.api.repo_info(
                repo, revision=revision, repo_type=repo_type, files_metadata=True
            )

        with readable_answer(repo):
            info = with_retries(ask)
            files = tuple(
                HubFile(f.rfilename, f.size, f.blob_id, f.lfs.sha256 if f.lfs else None)
                for f in info.siblings or ()
            )
            date = info.last_modified.isoformat() if info.last_modified else ""
            declared = info.card_data.to_dict() if info.card_data else {}
        check_listing(repo, revision, info.sha, files)
        shown = (bool(info.gated), declared, bool(info.private))
        found = RepoAtCommit(repo, info.sha, files, date, *shown)
        if len(files) <= MOST_LISTED:
            self._listings[repo_type, repo, found.revision] = found
        for listed in list(self._listings)[:-MOST_LISTINGS]:
            self._listings.pop(listed, None)
        for asked in {revision, found.revision}:
            self._keep(("repository", repo_type, repo, asked), asdict(found))
        return found

    def listing(self, repo: str, commit: str, repo_type: str = "model") -> RepoAtCommit:
        """What this hub has at a commit, which does not change: it is asked once."""
        if (known := self._listings.get((repo_type, repo, commit))) is not None:
            return known
        if not self.temporary:
            with suppress(NotInCache):
                return self._recalled(repo, commit, repo_type)
        return self.at_commit(repo, commit, repo_type)

    def _recalled(self, repo: str, revision: str, repo_type: str) -> RepoAtCommit:
        what = f"the list of files of {repo}@{revision[:12]}"
        kept = self._answers.recall(("repository", repo_type, repo, revision), what)
        try:
            files = tuple(HubFile(**file) for file in kept.pop("files"))
            found = RepoAtCommit(files=files, **kept)
        except (AttributeError, KeyError, TypeError) as error:
            raise NotInCache(what) from error
        check_listing(repo, revision, found.revision, files)
        return found

    @property
    def _answers(self) -> Answers:
        return Answers(self.endpoint)

    def _keep(self, question: tuple[str, ...], answer: Any) -> None:
        if not self.temporary:
            self._answers.keep(question, answer)

    def newest(self, repo: str, path: str, repo_type: str = "model") -> tuple[str, HubFile] | None:
        """A file on the branch `main` and the commit of the branch, in one small request.

        None if there is no such file. Offline, what was answered last. Raises ChangedFile if the answer lacks commit, digest or
        size; RevisionNotFoundError if there is no commit yet.
        """
        from huggingface_hub.errors import EntryNotFoundError, RepositoryNotFoundError

        question = ("newest", repo_type, repo, path)
        if self.offline:
            return self._newest_recalled(question)
        try:
            seen = self._head(repo, path, repo_type)
        except EntryNotFoundError:
            self._keep(question, None)
            return None
        except RepositoryNotFoundError:
            self._keep(question, NO_REPOSITORY)
            raise
        commit, tag = seen.commit_hash or "", seen.etag or ""
        if not (COMMIT.fullmatch(commit) and DIGEST.fullmatch(tag)) or seen.size is None:
            raise ChangedFile(f"{self.endpoint} does not say which {path} of {repo} it has")
        # The tag of a large file is its sha256, that of a small one git's id.
        found = HubFile(path, seen.size, tag, tag if len(tag) == 64 else None)
        self._keep(question, {"commit": commit, "file": asdict(found)})
        return commit, found

    def _newest_recalled(self, question: tuple[str, ...]) -> tuple[str, HubFile] | None:
        *_, repo, path = question
        what = f"{path} of {repo}, as it is now on {self.endpoint},"
        kept = self._answers.recall(question, what)
        if kept == NO_REPOSITORY:
            raise _no_repository(f"{self.endpoint}/{repo}")
        try:
            return kept and (str(kept["commit"]), HubFile(**kept["file"]))
        except (KeyError, TypeError) as error:
            raise NotInCache(what) from error

    def newest_commit(self, repo: str, path: str, repo_type: str = "model") -> str | None:
        """The commit of the branch `main`, by asking for a file that need not be there.

        None if the hub does not answer with it. One small request, and no more of the client is
        imported.
        """
        from huggingface_hub.errors import HfHubHTTPError

        if self.offline:
            found = self._newest_recalled(("newest", repo_type, repo, path))
            return found[0] if found else None
        try:
            return self._head(repo, path, repo_type).commit_hash
        except HfHubHTTPError as error:
            return error.response.headers.get("X-Repo-Commit")

    def _head(self, repo: str, path: str, repo_type: str) -> HfFileMetadata:
        from huggingface_hub import get_hf_file_metadata, hf_hub_url

        guard_client(self.endpoint, self.token)
        url = hf_hub_url(repo, path, repo_type=repo_type, revision="main", endpoint=self.endpoint)
        return with_retries(
            lambda: get_hf_file_metadata(
                url, token=self.token or False, library_name=LIBRARY, endpoint=self.endpoint
            )
        )

    def discover(self, tags: Sequence[str]) -> list[tuple[str, str]]:
        """Models that carry all `tags`, as (repository, commit), sorted by name.

        Raises GgezError for a list without end.
        """

        def ask() -> list[tuple[str, str]]:
            listed = self.api.list_models(filter=list(tags), full=True)
            # Each page names the next.
            return [(m.id, m.sha) for m in islice(listed, MOST_FOUND + 1) if m.sha is not None]

        what, question = f"models with the tags {', '.join(tags)}", ("models", *sorted(tags))
        if self.offline:
            return [(name, commit) for name, commit in self._answers.recall(question, what)]
        with readable_answer(what):
            found = with_retries(ask)
        if len(found) > MOST_FOUND:
            raise GgezError(f"the hub lists more than {MOST_FOUND:,} {what}")
        models = sorted((name, commit) for name, commit in found if commit)
        self._keep(question, models)
        return models

    def tags(self, repo: str) -> dict[str, str]:
        """The tags of a model and the commits that they name."""
        question = ("tags", repo)
        if self.offline:
            return dict(self._answers.recall(question, f"the list of tags of {repo}"))
        with readable_answer(repo):
            refs = with_retries(lambda: self.api.list_repo_refs(repo))
            found = {tag.name: tag.target_commit for tag in refs.tags}
        self._keep(question, found)
        return found

    def has_published(self, repo: str, commit: str, repo_type: str = "model") -> bool:
        """Whether a branch or a tag of a repository holds a commit.

        A hub gives the commit of anybody's pull request, or of a fork, under the repository's name.
        Of long histories the newest MOST_COMMITS of a branch are looked at.
        """
        from huggingface_hub.utils import build_hf_headers, paginate

        with readable_answer(repo):
            refs = with_retries(lambda: self.api.list_repo_refs(repo, repo_type=repo_type))
            heads = dict.fromkeys(ref.target_commit for ref in (*refs.branches, *refs.tags))
            if commit in heads:
                return True
            headers = build_hf_headers(token=self.token or False, library_name=LIBRARY)
            for head in islice(heads, MOST_HEADS):
                at = f"{self.endpoint}/api/{repo_type}s/{repo}/commits/{head}"
                listed = paginate(at, params={}, headers=headers)
                if any(entry["id"] == commit for entry in islice(listed, MOST_COMMITS)):
                    return True
        return False

    def exists(self, repo: str, repo_type: str = "model") -> bool:
        """Whether the repository can be read."""
        from huggingface_hub.errors import RepositoryNotFoundError

        try:
            with_retries(lambda: self.api.repo_info(repo, repo_type=repo_type))
        except RepositoryNotFoundError:
            return False
        return True

    def account(self) -> str | None:
        """The name of the token's account; None without a token."""
        return str(self.api.whoami()["name"]) if self.token else None


def _no_repository(url: str) -> RepositoryNotFoundError:
    """The client's error, as it was raised when the hub was asked."""
    import httpx2
    from huggingface_hub.errors import RepositoryNotFoundError

    response = httpx2.Response(404, request=httpx2.Request("HEAD", url))
    return RepositoryNotFoundError(f"there was no repository {url}", response=response)
