"""Making, removing, renaming repos; who may see them; their branches and tags."""

from __future__ import annotations

from functools import partial
from typing import Final, Literal

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ggez_hub.embedded.access_control import Principal, require_write
from ggez_hub.embedded.catalog import RepoRecord
from ggez_hub.embedded.changes import Change, PutBlob, PutPointer, put_files
from ggez_hub.embedded.errors import AlreadyExistsError
from ggez_hub.embedded.http import access
from ggez_hub.embedded.http.body import Body, RepoPath, decoded, takes
from ggez_hub.embedded.http.parameters import API, REVISION
from ggez_hub.embedded.names import (
    URL_PREFIXES,
    GitType,
    RepoType,
    check_name,
    check_namespace,
    split_repo_id,
)
from ggez_hub.embedded.refs import NamedRef
from ggez_hub.embedded.repository import DEFAULT_BRANCH

MOST_FIRST_FILES: Final = 100


class FirstFile(Body):
    """A small file of the first commit of a repo."""

    path: RepoPath
    content: str
    encoding: Literal["base64", "utf-8"] = "utf-8"

    @property
    def data(self) -> bytes:
        """The content; raises InvalidRequestError."""
        return decoded(self.content) if self.encoding == "base64" else self.content.encode()


class _Visibility(Body):
    visibility: Literal["public", "private"] | None = None
    private: bool | None = None

    @property
    def is_private(self) -> bool | None:
        return self.private if self.visibility is None else self.visibility == "private"


class _Repo(_Visibility):
    type: GitType = "model"
    name: str
    organization: str | None = None
    sdk: str | None = None
    license: str | None = Field(None, pattern=r"^[A-Za-z0-9_.+-]+$", max_length=100)
    files: list[FirstFile] = Field(default_factory=list, max_length=MOST_FIRST_FILES)


@takes(_Repo, access.known_caller)
def create(request: Request, principal: Principal, data: _Repo) -> Response:
    """POST /api/repos/create."""
    name = check_name(data.name, "repo name")
    namespace = check_namespace(data.organization or principal.name)
    require_write(principal, namespace)
    first = {file.path: file.data for file in data.files}
    repo_id = f"{namespace}/{name}"
    url = f"{request.base_url}{URL_PREFIXES[data.type]}{repo_id}"
    store = access.store(request)
    private = data.is_private
    try:
        if private is None:
            private = store.accounts.default_private(namespace)
        store.create_repo(data.type, repo_id, private=private)
    except AlreadyExistsError as error:
        # The client reads the address from this answer when it was told `exist_ok`.
        return JSONResponse({"error": error.message, "url": url, "name": repo_id}, error.status)
    repo = store.repo(data.type, repo_id)
    with store.git(repo) as git:
        facts = {"license": data.license}
        if data.type == "space":
            facts |= {"title": name, "sdk": data.sdk or "static"}
        lines = "".join(f"{key}: {value}\n" for key, value in facts.items() if value)
        files = {"README.md": f"---\n{lines}---\n".encode()} if lines else {}
        files |= first
        attributes, keep = git.attributes(None), partial(store.catalog.link, repo)
        changes = put_files(files, attributes, git.objects, partial(store.lfs.add, register=keep))
        signature = access.signature(principal)
        git.commit(DEFAULT_BRANCH, changes, message="initial commit", signature=signature)
    return JSONResponse({"url": url, "name": repo_id, "id": str(repo.key)})


class _Duplicate(_Visibility):
    repository: str


@takes(_Duplicate, access.contributable)
def duplicate(request: Request, granted: access.Granted, data: _Duplicate) -> Response:
    """POST /api/models/{id}/duplicate {repository}: a repo with the files of this one as they are now."""
    store, source, principal = granted
    namespace, name = split_repo_id(data.repository)
    require_write(principal, namespace)
    private = data.is_private
    if private is None:
        private = source.private or store.accounts.default_private(namespace)
    repo_id = f"{namespace}/{name}"
    document = {"url": f"{request.base_url}{URL_PREFIXES[source.type]}{repo_id}", "name": repo_id}
    try:
        store.create_repo(source.type, repo_id, private=private)
    except AlreadyExistsError as error:
        return JSONResponse({**document, "error": error.message}, error.status)
    repo = store.repo(source.type, repo_id)
    try:
        _copy_files(granted, repo)
    except BaseException:
        store.delete_repo(repo)
        raise
    return JSONResponse({**document, "id": str(repo.key), "filesCopyPending": False})


def _copy_files(granted: access.Granted, repo: RepoRecord) -> None:
    """Commit the files of a repo to an empty one, which gets the large ones by reference."""
    catalog = granted.store.catalog
    with granted.git() as origin, granted.store.git(repo) as git:
        if origin.refs.head(DEFAULT_BRANCH) is None:
            return
        snapshot = origin.snapshot()
        changes: list[Change] = []
        listing = snapshot.listing(recursive=True)
        oids = [entry.lfs.oid for entry in listing if entry.lfs]
        held = catalog.linked(granted.repo, oids)
        granted.store.quotas.check(repo.namespace, sum(held.values()))
        catalog.share(granted.repo, repo, oids)
        for entry in listing:
            if entry.lfs is not None:
                changes.append(PutPointer(entry.path, entry.lfs))
            elif not entry.is_folder:
                blob = git.objects.write_blob(snapshot.read(entry))
                changes.append(PutBlob(entry.path, blob))
        message = f"Duplicate from {granted.repo.id}"
        git.commit(DEFAULT_BRANCH, changes, message=message, signature=granted.signature)


@takes(_Repo, access.known_caller)
def delete(request: Request, principal: Principal, data: _Repo) -> Response:
    """DELETE /api/repos/delete."""
    namespace = data.organization or principal.name
    repo = access.find(request, data.type, f"{namespace}/{data.name}")
    require_write(principal, repo.namespace)
    access.store(request).delete_repo(repo)
    return JSONResponse({"success": True})


class _Move(Body):
    type: RepoType = "model"
    fromRepo: str  # noqa: N815 - as the Hub spells it
    toRepo: str  # noqa: N815


@takes(_Move, access.known_caller)
def move(request: Request, principal: Principal, data: _Move) -> Response:
    """POST /api/repos/move."""
    repo = access.find(request, data.type, data.fromRepo)
    require_write(principal, repo.namespace)
    require_write(principal, data.toRepo.partition("/")[0])
    moved = access.store(request).move_repo(repo, data.toRepo)
    return JSONResponse({"url": f"{request.base_url}{moved.url_path}"})


class _Settings(_Visibility):
    gated: Literal["auto", "manual", False] | None = None


@takes(_Settings, access.writable)
def settings(request: Request, granted: access.Granted, data: _Settings) -> Response:
    """PUT /api/models/{id}/settings: visibility, and whether readers must ask for access."""
    repo, private, gated = granted.repo, data.is_private, data.gated
    if private is None:
        private = repo.private
    if gated is None:
        gated = repo.gated or False
    granted.store.catalog.set_access(repo, private=private, gated=gated or None)
    return JSONResponse({"private": private, "gated": gated})


def refs(request: Request) -> Response:
    """GET /api/models/{id}/refs."""
    repo = access.readable(request)
    kinds = {"branches": "refs/heads/", "converts": "refs/convert/", "tags": "refs/tags/"}
    if request.query_params.get("include_prs"):
        kinds["pullRequests"] = "refs/pr/"
    with access.store(request).git(repo) as git:
        found = {kind: git.refs.named(prefix) for kind, prefix in kinds.items()}
    return JSONResponse({kind: [_ref(ref) for ref in named] for kind, named in found.items()})


def _ref(ref: NamedRef) -> dict[str, str]:
    return {"name": ref.name, "ref": ref.ref, "targetCommit": ref.commit}


class _Branch(Body):
    startingPoint: str = ""  # noqa: N815
    emptyBranch: bool = False  # noqa: N815
    overwrite: bool = False


@takes(_Branch, access.writable)
def create_branch(request: Request, granted: access.Granted, data: _Branch) -> Response:
    """POST /api/models/{id}/branch/{branch}."""
    with granted.git() as git:
        name, start = request.path_params["revision"], data.startingPoint or None
        if data.emptyBranch:
            start = git.empty_commit(granted.signature)
        git.create_branch(name, start, overwrite=data.overwrite)
    return JSONResponse({"success": True})


def delete_branch(request: Request) -> Response:
    """DELETE /api/models/{id}/branch/{branch}."""
    with access.writable(request).git() as git:
        git.delete_branch(request.path_params["revision"])
    return JSONResponse({"success": True})


class _Tag(Body):
    tag: str
    message: str = ""


@takes(_Tag, access.writable)
def create_tag(request: Request, granted: access.Granted, data: _Tag) -> Response:
    """POST /api/models/{id}/tag/{revision}."""
    annotation = (granted.signature, data.message) if data.message else None
    with granted.git() as git:
        git.create_tag(data.tag, request.path_params["revision"], annotation)
    return JSONResponse({"success": True})


def delete_tag(request: Request) -> Response:
    """DELETE /api/models/{id}/tag/{tag}."""
    with access.writable(request).git() as git:
        git.delete_tag(request.path_params["revision"])
    return JSONResponse({"success": True})


class _Squash(Body):
    message: str | None = None


@takes(_Squash, access.writable)
def squash(request: Request, granted: access.Granted, data: _Squash) -> Response:
    """POST /api/models/{id}/super-squash/{branch}."""
    branch = request.path_params["revision"]
    message = data.message or f"Super-squash branch '{branch}'"
    with granted.git() as git:
        oid = git.squash(branch, message, granted.signature)
    return JSONResponse({"success": True, "commitOid": oid})


routes = [
    Route("/api/repos/create", create, methods=["POST"]),
    Route("/api/repos/delete", delete, methods=["DELETE"]),
    Route("/api/repos/move", move, methods=["POST"]),
    Route(f"{API}/duplicate", duplicate, methods=["POST"]),
    Route(f"{API}/settings", settings, methods=["PUT"]),
    Route(f"{API}/refs", refs, methods=["GET"]),
    Route(f"{API}/branch/{REVISION}", create_branch, methods=["POST"]),
    Route(f"{API}/branch/{REVISION}", delete_branch, methods=["DELETE"]),
    Route(f"{API}/tag/{REVISION}", create_tag, methods=["POST"]),
    Route(f"{API}/tag/{REVISION}", delete_tag, methods=["DELETE"]),
    Route(f"{API}/super-squash/{REVISION}", squash, methods=["POST"]),
]
