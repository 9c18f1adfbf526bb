"""A hub as the rest of the house sees it: repositories at commits, files with digests."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ggez_hub.errors import GgezError
from ggez_hub.weights import sha256_file

if TYPE_CHECKING:
    from huggingface_hub import HfApi

PARALLEL_DOWNLOADS = 4


class ChangedFile(GgezError):
    """A file is not the one that was recorded."""


@dataclass(frozen=True)
class HubFile:
    """A file of a repository at a commit.

    `size` is in bytes; `sha256` is known for large files, `oid` is git's id of a small one.
    """

    path: str
    size: int
    oid: str
    sha256: str | None


@dataclass(frozen=True)
class RepoAtCommit:
    """A repository at one commit: its files, its date (ISO 8601) and whether access is gated.

    `front_matter` is what its card declares, as the hub reads it.
    """

    repo: str
    revision: str
    files: tuple[HubFile, ...]
    date: str
    gated: bool
    front_matter: Mapping[str, Any] = field(default_factory=dict)

    def file(self, path: str) -> HubFile | None:
        """The file at `path`, if there is one."""
        return next((file for file in self.files if file.path == path), None)


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

        # Without a token of our own the client would send the stored one: False forbids it.
        return HfApi(endpoint=self.endpoint, token=self.token or False, library_name="ggez-hub")

    def at_commit(self, repo: str, revision: str, repo_type: str = "model") -> RepoAtCommit:
        """A repository at the commit that `revision` names now; raises what the client raises."""
        from huggingface_hub import RepoFile

        info = self._api.repo_info(repo, revision=revision, repo_type=repo_type)
        tree = self._api.list_repo_tree(
            repo, revision=info.sha, repo_type=repo_type, recursive=True
        )
        files = tuple(
            HubFile(entry.path, entry.size, entry.blob_id, entry.lfs.sha256 if entry.lfs else None)
            for entry in tree
            if isinstance(entry, RepoFile)
        )
        date = info.last_modified.isoformat() if info.last_modified else ""
        declared = info.card_data.to_dict() if info.card_data else {}
        return RepoAtCommit(repo, info.sha, files, date, bool(info.gated), declared)

    def newest(self, repo: str, path: str, repo_type: str = "model") -> tuple[str, HubFile] | None:
        """A file on the branch `main` and the commit of the branch, in one small request.

        None if there is no such file; raises what the client raises (RevisionNotFoundError if there
        is no commit yet), and ChangedFile if the hub does not say how large the file is.
        """
        from huggingface_hub import hf_hub_url
        from huggingface_hub.errors import EntryNotFoundError

        url = hf_hub_url(repo, path, repo_type=repo_type, revision="main", endpoint=self.endpoint)
        try:
            seen = self._api.get_hf_file_metadata(url=url)
        except EntryNotFoundError:
            return None
        if seen.commit_hash is None or seen.etag is None or seen.size is None:
            raise ChangedFile(f"{self.endpoint} does not say which {path} of {repo} it has")
        # The tag of a large file is its sha256, that of a small one git's id.
        sha256 = seen.etag if len(seen.etag) == 64 else None
        return seen.commit_hash, HubFile(path, seen.size, seen.etag, sha256)

    def discover(self, tags: Sequence[str]) -> list[tuple[str, str]]:
        """Models that carry all `tags`, as (repository, commit), sorted by name."""
        found = self._api.list_models(filter=list(tags), full=True)
        return sorted((model.id, model.sha) for model in found if model.sha)

    def exists(self, repo: str, repo_type: str = "model") -> bool:
        """Whether the repository can be read."""
        return self._api.repo_exists(repo, repo_type=repo_type)

    def read_text(self, repo: str, revision: str, path: str, repo_type: str = "model") -> str:
        """A text file of a repository at a commit."""
        return self._download(repo, revision, path, repo_type).read_text(encoding="utf-8")

    def header(
        self, repo: str, revision: str, path: str
    ) -> tuple[dict[str, str], dict[str, dict[str, Any]]]:
        """Metadata and tensors of a safetensors file, without its weights.

        A tensor is {dtype, shape, data_offsets}. Raises SafetensorsParsingError of the client.
        """
        found = self._api.parse_safetensors_file_metadata(repo, path, revision=revision)
        tensors = {
            name: {"dtype": t.dtype, "shape": list(t.shape), "data_offsets": list(t.data_offsets)}
            for name, t in found.tensors.items()
        }
        return dict(found.metadata or {}), tensors

    def account(self) -> str | None:
        """The name of the token's account; None without a token."""
        return str(self._api.whoami()["name"]) if self.token else None

    def fetch(
        self, repo: str, revision: str, files: Iterable[HubFile], repo_type: str = "model"
    ) -> Path:
        """Download files at a commit into the user's cache; returns their common folder.

        Every file is compared with its record. Raises ChangedFile, after removing the file from
        the cache, if one differs. What is in the cache already is not downloaded again.
        """
        wanted = list(files)
        with ThreadPoolExecutor(PARALLEL_DOWNLOADS) as pool:
            paths = list(
                pool.map(lambda f: self._download(repo, revision, f.path, repo_type), wanted)
            )
        for file, path in zip(wanted, paths, strict=True):
            check_file(path, file, where=f"{repo}@{revision[:12]}")
        first = wanted[0].path
        return paths[0].parents[first.count("/")]

    def missing_bytes(self, repo: str, revision: str, files: Iterable[HubFile]) -> int:
        """Bytes of `files` that are not in the user's cache yet."""
        from huggingface_hub import try_to_load_from_cache

        return sum(
            file.size
            for file in files
            if not isinstance(try_to_load_from_cache(repo, file.path, revision=revision), str)
        )

    def _download(self, repo: str, revision: str, path: str, repo_type: str) -> Path:
        # With a full commit id the client answers from its cache without asking the hub.
        return Path(self._api.hf_hub_download(repo, path, revision=revision, repo_type=repo_type))


def check_file(path: Path, record: HubFile, where: str) -> None:
    """Raise ChangedFile unless the file has the recorded size and digest."""
    if path.stat().st_size == record.size and _digest_matches(path, record):
        return
    blob = path.resolve()
    path.unlink()
    blob.unlink(missing_ok=True)
    raise ChangedFile(
        f"{record.path} of {where} is not the file that was recorded "
        f"(expected sha256 or git id {(record.sha256 or record.oid)[:16]}…)",
        "It was removed from the cache. Run it again; if it stays, the file on the hub or on the "
        "way was changed: do not use it.",
    )


def _digest_matches(path: Path, record: HubFile) -> bool:
    if record.sha256 is not None:
        return sha256_file(path) == record.sha256
    content = path.read_bytes()
    git = hashlib.sha1(b"blob %d\0" % len(content), usedforsecurity=False)
    git.update(content)
    return git.hexdigest() == record.oid


def link_fetched(folder: Path, files: Iterable[HubFile], target: Path) -> Path:
    """A new folder `target` of just these files of the cache's `folder`, as links where it can be.

    The cache's own folder may hold more of the same commit. Returns `target`.
    """
    target.mkdir(parents=True)
    for file in files:
        place = target / file.path
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            place.symlink_to((folder / file.path).resolve())
        except OSError:
            # Links are a privilege on Windows.
            shutil.copyfile(folder / file.path, place)
    return target
