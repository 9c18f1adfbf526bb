"""A dishonest hub: whatever a malicious server, or a mirror that was broken into, may answer."""

from __future__ import annotations

import hashlib
import time
from contextlib import contextmanager
from threading import Thread

import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ggez_hub.cards import parse_card, render_card
from ggez_hub.cards.schema import Location
from ggez_hub.demo.hub import BASE_REPO
from ggez_hub.demo.world import EMBEDDING
from ggez_hub.registry.constants import INDEX_REPO

COMMIT = "c" * 40
ADAPTER_REPO = EMBEDDING.adapter_repo("th")
CARD_PATH = "cards/th/embedding/clip-emoji-th.md"


class DishonestHub:
    """Serves repositories {id: {path: bytes}} as a hub does, but for `false_answers`.

    false_answers: `paths` {path listed: path meant}, `etag`, `sha`, `listing` (bytes of the complete answer), `packed` (how it is encoded),
    `endless` (a path whose body does not end), `missing` (a path that is listed and not there). `asked` lists what was requested.
    """

    def __init__(self, repos, **false_answers):
        self.repos, self.false_answers, self.asked = repos, false_answers, []
        routes = [
            Route("/api/{kind}/{owner}/{name}", self.info),
            Route("/api/{kind}/{owner}/{name}/revision/{revision}", self.info),
            Route("/api/{kind}/{owner}/{name}/tree/{revision}", self.tree),
            Route("/{owner}/{name}/resolve/{revision}/{path:path}", self.file),
            Route("/datasets/{owner}/{name}/resolve/{revision}/{path:path}", self.file),
        ]
        self.app = Starlette(routes=routes)

    def repo(self, request):
        self.asked.append(f"{request.method} {request.url.path}")
        return self.repos.get("{owner}/{name}".format(**request.path_params))

    async def info(self, request):
        files = self.repo(request)
        if files is None:
            return JSONResponse({}, 404, headers={"X-Error-Code": "RepoNotFound"})
        if "listing" in self.false_answers:
            headers = (
                {"Content-Encoding": packed} if (packed := self.false_answers.get("packed")) else {}
            )
            return Response(
                self.false_answers["listing"], media_type="application/json", headers=headers
            )
        siblings = [
            {"rfilename": self.false_answers.get("paths", {}).get(path, path), **digests(content)}
            for path, content in files.items()
        ]
        name = "{owner}/{name}".format(**request.path_params)
        return JSONResponse(
            {
                "id": name,
                "sha": self.false_answers.get("sha", COMMIT),
                "siblings": siblings,
                "gated": False,
            }
        )

    async def tree(self, request):
        entries = [
            {
                "type": "file",
                "path": self.false_answers.get("paths", {}).get(path, path),
                **git_digests(content),
            }
            for path, content in self.repo(request).items()
        ]
        return JSONResponse(entries)

    async def file(self, request):
        files = self.repo(request)
        content = (files or {}).get(request.path_params["path"])
        if content is None or request.path_params["path"] == self.false_answers.get("missing"):
            return Response(status_code=404, headers={"X-Error-Code": "EntryNotFound"})
        etag = self.false_answers.get("etag") or hashlib.sha256(content).hexdigest()
        headers = {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT}
        if request.method == "HEAD":
            return Response(headers={**headers, "Content-Length": str(len(content))})
        if request.path_params["path"] == self.false_answers.get("endless"):
            content *= 1 + (40 << 20) // len(content)
        return Response(content, headers=headers)


def digests(content):
    sha256, git = hashlib.sha256(content).hexdigest(), git_id(content)
    lfs = {"sha256": sha256, "size": len(content), "pointerSize": 130}
    return {"size": len(content), "blobId": git, "lfs": lfs}


def git_digests(content):
    return {"size": len(content), "oid": git_id(content)}


def git_id(content):
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


@contextmanager
def dishonest(repos, **false_answers):
    """A running dishonest hub, with its address as `endpoint`."""
    hub = DishonestHub(repos, **false_answers)
    config = uvicorn.Config(hub.app, port=0, log_config=None, lifespan="off", loop="asyncio")
    server = uvicorn.Server(config)
    sock = config.bind_socket()
    hub.endpoint = f"http://127.0.0.1:{sock.getsockname()[1]}"
    thread = Thread(target=server.run, args=([sock],), daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield hub
    finally:
        server.should_exit = True
        thread.join(timeout=120)
        sock.close()


def honest(adapter):
    """An index and its adapter as a dishonest hub serves them."""
    document = parse_card((adapter / "README.md").read_text())
    block = document.card.model_copy(
        update={"adapter": Location(repo=ADAPTER_REPO, revision=COMMIT)}
    )
    text = render_card(type(document)(block, document.front_matter, document.prose))
    base = adapter.parent / "base"
    return {
        INDEX_REPO: {CARD_PATH: text.encode()},
        ADAPTER_REPO: {p.name: p.read_bytes() for p in adapter.glob("adapter_*")},
        BASE_REPO: {p.name: p.read_bytes() for p in base.iterdir()},
    }
