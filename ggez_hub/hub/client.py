"""A hub for the rest of the package: repositories at commits, files with digests."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from ggez_hub.daemon_threads import map_at_once
from ggez_hub.errors import GgezError
from ggez_hub.hub.answers import Answers, NotInCache
from ggez_hub.hub.cache import ChangedFile, check_file, check_inside, remove, remove_leftovers
from ggez_hub.hub.guard import counting_bar, guard_client
from ggez_hub.hub.repository_files import HubFile, RepoAtCommit, check_listing, readable_answer
from ggez_hub.progress import task
from ggez_hub.retry import with_retries

if TYPE_CHECKING:
    from huggingface_hub import HfApi, HfFileMetadata
    from huggingface_hub.errors import RepositoryNotFoundError

LIBRARY = "ggez-hub"
PARALLEL_DOWNLOADS = 4
MOST_HEADS, MOST_COMMITS = 100, 5_000
# Of so many repositories, with at most so many files, the listing is remembered: texts are checked by it.
MOST_LISTINGS, MOST_LISTED = 50, 2_000
# Many times what any registry holds.
MOST_FOUND = 20_000
# A card or a configuration; what claims to be more is not text for people.
MAX_TEXT_BYTES = 8_000_000
COMMIT = re.compile(r"[0-9a-f]{40}")
NO_REPOSITORY = "no such repository"
DIGEST = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
# What has to be signed: all, what has a signature, nothing.
Signatures: TypeAlias = Literal["required", "if-present", "off"]


class NoAccess(GgezError):
    """The licence of a gated repository is not accepted yet, or not by this token's account."""


@dataclass(frozen=True)
class Hub:
    """The Hugging Face Hub, or another server that speaks its protocol.

    An `offline` hub is never asked: what reads answers from the cache or raises NotInCache, all else
    raises GgezError. The answers of a `temporary` one, whose address ends with the command, are not
    kept; `folder` is where it is on this machine. `signatures` is what is asked of what it holds, None what trust.yaml says; with
    `allow_stale` an index may be older than one seen before. Methods raise what the client raises,
    beside the errors that they name.
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
    def of_environment(cls, endpoint: str | None = None, *, offline: bool = False) -> Hub:
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

    def require_access(self, repo: str) -> None:
        """Raise NoAccess, which names the page, unless the files of a model may be read.

        Offline nothing is raised: fetching names what is not in the cache.
        """
        from huggingface_hub.errors import GatedRepoError

        if self.offline:
            return
        try:
            with_retries(lambda: self.api.auth_check(repo))
        except GatedRepoError as error:
            raise self._no_access(repo) from error

    def _no_access(self, repo: str) -> NoAccess:
        return NoAccess(
            f"access to {repo} is restricted, and its licence is not accepted yet",
            f"Accept it at {self.page(repo)} while signed in, then set HF_TOKEN or run "
            "`hf auth login`.",
        )

    def read_text(self, repo: str, revision: str, path: str, repo_type: str = "model") -> str:
        """A text file of a repository at a commit; raises GgezError if it is long or not UTF-8.

        Raises ChangedFile as `fetch` if the commit was listed just now, and it is another file than this
        hub has: the cache is of all hubs, of which another one may have named the commit.
        """
        found = self._download(repo, revision, path, repo_type, MAX_TEXT_BYTES)
        check_inside(found)
        listed = self._listings.get((repo_type, repo, revision))
        if listed is not None and (record := listed.file(path)) is not None:
            check_file(found, record, where=f"{repo}@{revision[:12]}")
        if found.stat().st_size > MAX_TEXT_BYTES:
            raise GgezError(f"{path} of {repo} has more than {MAX_TEXT_BYTES:,} bytes")
        try:
            return found.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise GgezError(f"{path} of {repo}@{revision[:12]} is not UTF-8 text") from error

    def read_range(
        self, repo: str, revision: str, path: str, start: int, end: int, repo_type: str = "model"
    ) -> bytes:
        """The bytes of a file at a commit from `start` up to `end`, fewer where it ends before.

        They are held in memory, and not kept. Raises GgezError for more than that.
        """
        if self.offline:
            with self._download(repo, revision, path, repo_type, 0).open("rb") as file:
                file.seek(start)
                return file.read(end - start)
        from huggingface_hub import hf_hub_url
        from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

        guard_client(self.endpoint, self.token)
        headers = build_hf_headers(token=self.token or False, library_name=LIBRARY)
        response = get_session().get(
            hf_hub_url(repo, path, repo_type=repo_type, revision=revision, endpoint=self.endpoint),
            headers={**headers, "range": f"bytes={start}-{end - 1}"},
        )
        hf_raise_for_status(response)
        return bytes(response.content)

    def account(self) -> str | None:
        """The name of the token's account; None without a token."""
        return str(self.api.whoami()["name"]) if self.token else None

    def fetch(
        self, repo: str, revision: str, files: Iterable[HubFile], repo_type: str = "model"
    ) -> Path:
        """Download files at a commit into the user's cache; returns their common folder.

        Raises ChangedFile, after removing the file from the cache, if one is not as recorded, and
        GgezError while a body is longer than its record. What is in the cache is not downloaded
        again.
        """
        wanted = list(files)
        if self.offline:
            self._require_cached(repo, revision, wanted, repo_type)
        remove_leftovers(repo, repo_type)
        missing = self.missing_bytes(repo, revision, wanted, repo_type)
        with task(f"fetching {repo}", missing, "bytes") as fetching:

            def download(file: HubFile) -> Path:
                received = fetching.advance
                return self._download(repo, revision, file.path, repo_type, file.size, received)

            paths = map_at_once(download, wanted, PARALLEL_DOWNLOADS)
        for file, path in zip(wanted, paths, strict=True):
            check_file(path, file, where=f"{repo}@{revision[:12]}")
        return paths[0].parents[wanted[0].path.count("/")]

    def forget(
        self, repo: str, revision: str, paths: Iterable[str], repo_type: str = "model"
    ) -> None:
        """Remove fetched files of a commit from the user's cache."""
        for path in paths:
            if found := self._cached(repo, revision, path, repo_type):
                remove(Path(found))

    def missing_bytes(
        self, repo: str, revision: str, files: Iterable[HubFile], repo_type: str = "model"
    ) -> int:
        """Bytes of `files` that are not in the user's cache yet."""
        return sum(
            file.size for file in files if not self._cached(repo, revision, file.path, repo_type)
        )

    def _require_cached(
        self, repo: str, revision: str, files: Iterable[HubFile], repo_type: str
    ) -> None:
        missing = [f for f in files if not self._cached(repo, revision, f.path, repo_type)]
        if missing:
            more = f" (and {len(missing) - 1} more of its files)" if len(missing) > 1 else ""
            raise NotInCache(f"{missing[0].path} of {repo}@{revision[:12]}{more}")

    def _cached(self, repo: str, revision: str, path: str, repo_type: str = "model") -> str | None:
        from huggingface_hub import try_to_load_from_cache

        found = try_to_load_from_cache(repo, path, revision=revision, repo_type=repo_type)
        return found if isinstance(found, str) else None

    def _download(
        self,
        repo: str,
        revision: str,
        path: str,
        repo_type: str,
        nbytes: int,
        received: Callable[[int], None] = lambda _: None,
    ) -> Path:
        """The path in the cache of a file of at most `nbytes` bytes; raises NoAccess if gated."""
        from huggingface_hub.errors import GatedRepoError

        if self.offline:
            cached = self._cached(repo, revision, path, repo_type)
            if cached is None:
                raise NotInCache(f"{path} of {repo}@{revision[:12]}")
            return Path(cached)

        def download() -> Any:
            # With a full commit id the client answers from its cache without asking the hub.
            return self.api.hf_hub_download(
                repo,
                path,
                revision=revision,
                repo_type=repo_type,
                tqdm_class=counting_bar(nbytes, received),
            )

        try:
            return Path(with_retries(download))
        except GatedRepoError as error:
            raise self._no_access(repo) from error
        except OSError as error:
            if type(error) is not OSError or error.errno is not None:
                raise
            # The client's error for a body that is not as long as the hub announced.
            raise GgezError(
                f"the hub sends {path} of {repo} in another length than it announces",
                "Run it again; if it stays, the hub or something on the way is out of order.",
            ) from error


def _no_repository(url: str) -> RepositoryNotFoundError:
    """The client's error, as it was raised when the hub was asked."""
    import httpx2
    from huggingface_hub.errors import RepositoryNotFoundError

    response = httpx2.Response(404, request=httpx2.Request("HEAD", url))
    return RepositoryNotFoundError(f"there was no repository {url}", response=response)
