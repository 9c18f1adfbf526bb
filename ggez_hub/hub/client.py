"""A hub for the rest of the package: what it lists, and the files of its repositories."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ggez_hub.daemon_threads import map_at_once
from ggez_hub.errors import GgezError
from ggez_hub.hub.answers import NotInCache
from ggez_hub.hub.cache import check_file, check_inside, remove, remove_leftovers
from ggez_hub.hub.guard import counting_bar, guard_client
from ggez_hub.hub.listings import LIBRARY, HubListings
from ggez_hub.hub.repository_files import HubFile
from ggez_hub.progress import task
from ggez_hub.retry import with_retries

PARALLEL_DOWNLOADS = 4
# A card or a configuration; what claims to be more is not text for people.
MAX_TEXT_BYTES = 8_000_000


class NoAccess(GgezError):
    """The licence of a gated repository is not accepted yet, or not by this token's account."""


@dataclass(frozen=True)
class Hub(HubListings):
    """The Hugging Face Hub, or another server that speaks its protocol.

    Its fields are those of HubListings. Methods raise what the client raises, beside the errors that
    they name.
    """

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
