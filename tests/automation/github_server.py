"""The part of GitHub's REST API that the workflows use, over one pull request."""

from __future__ import annotations

import socket
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Thread

import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from .github_git import GitData

REPOSITORY = "ggez-hub/ggez-hub"


@dataclass
class FakeGitHub:
    """What the repository on GitHub knows; tests read and change it."""

    base: str = ""
    head: str = ""
    permissions: dict[str, str] = field(default_factory=dict)
    reviews: list[dict] = field(default_factory=list)
    runs: list[dict] = field(default_factory=list)
    comments: list[dict] = field(default_factory=list)
    merged: str | None = None
    dispatched: list[tuple[str, str]] = field(default_factory=list)
    url: str = ""
    branch: str = "main"
    git: GitData | None = None
    # Path below the repository -> (status, document) of what else is asked.
    settings: dict[str, tuple[int, object]] = field(default_factory=dict)

    def pull(self):
        return {
            "url": f"{self.url}/repos/{REPOSITORY}/pulls/1",
            "issue_url": f"{self.url}/repos/{REPOSITORY}/issues/1",
            "comments_url": f"{self.url}/repos/{REPOSITORY}/issues/1/comments",
            "number": 1,
            "state": "closed" if self.merged else "open",
            "base": {"sha": self.base, "ref": self.branch},
            "head": {"sha": self.head, "ref": "add-card"},
        }

    def repository(self, request):
        name = REPOSITORY.partition("/")[2]
        url = f"{self.url}/repos/{REPOSITORY}"
        return JSONResponse(
            {
                "id": 1, "name": name, "full_name": REPOSITORY, "url": url,
                "default_branch": "main",
                **self.settings.get("", (200, {}))[1],
            }
        )  # fmt: skip

    def setting(self, request):
        nothing = (404, {"message": "Not Found"})
        status, document = self.settings.get(request.path_params["path"], nothing)
        return JSONResponse(document, status_code=status)

    def get_branch(self, request):
        status, document = self.settings.get(f"branches/{request.path_params['name']}", (0, None))
        return JSONResponse(document, status_code=status) if status else self.git.branch(request)

    def get_pull(self, request):
        return JSONResponse(self.pull())

    def pulls_of(self, request):
        return JSONResponse([self.pull()])

    def commit(self, request):
        sha = request.path_params["sha"]
        return JSONResponse({"sha": sha, "url": f"{self.url}/repos/{REPOSITORY}/commits/{sha}"})

    def permission(self, request):
        login = request.path_params["login"]
        return JSONResponse({"permission": self.permissions.get(login, "read")})

    def get_reviews(self, request):
        return JSONResponse(
            [
                {
                    "id": i,
                    "user": r["by"] and {"login": r["by"]},
                    "state": r["state"],
                    "commit_id": r["commit"],
                }
                for i, r in enumerate(self.reviews)
            ]
        )

    def get_runs(self, request):
        sha = request.query_params["head_sha"]
        event = request.query_params["event"]
        found = [r for r in self.runs if r["head_sha"] == sha and r["event"] == event]
        return JSONResponse({"total_count": len(found), "workflow_runs": found})

    async def comments_of(self, request):
        if request.method == "POST":
            body = (await request.json())["body"]
            number = len(self.comments) + 1
            self.comments.append(
                {
                    "id": number,
                    "user": {"login": "github-actions[bot]"},
                    "body": body,
                    "url": f"{self.url}/repos/{REPOSITORY}/issues/comments/{number}",
                }
            )
            return JSONResponse(self.comments[-1], status_code=201)
        return JSONResponse(self.comments)

    def all_comments(self, request):
        at = f"{self.url}/repos/{REPOSITORY}/issues"
        return JSONResponse([{"issue_url": f"{at}/1"} | comment for comment in self.comments])

    async def edit_comment(self, request):
        comment = self.comments[int(request.path_params["number"]) - 1]
        comment["body"] = (await request.json())["body"]
        return JSONResponse(comment)

    def workflow(self, request):
        file = request.path_params["file"]
        at = f"{self.url}/repos/{REPOSITORY}/actions/workflows/{file}"
        return JSONResponse({"id": 1, "path": f".github/workflows/{file}", "url": at})

    async def dispatch(self, request):
        asked = await request.json()
        self.dispatched.append((request.path_params["file"], asked["ref"]))
        return Response(status_code=204)

    async def merge(self, request):
        asked = await request.json()
        if asked.get("sha") != self.head:
            return JSONResponse({"message": "Head branch was modified"}, status_code=409)
        self.merged = self.head
        return JSONResponse({"merged": True, "sha": self.head, "message": "merged"})


@contextmanager
def serve_github():
    """A FakeGitHub that answers at its `url`."""
    fake = FakeGitHub()
    at = f"/repos/{REPOSITORY}"
    fake.git = GitData("", REPOSITORY)
    app = Starlette(
        routes=[
            Route(f"{at}/branches/{{name:path}}", fake.get_branch),
            *fake.git.routes(at),
            Route(at, fake.repository),
            Route(f"{at}/pulls/1", fake.get_pull),
            Route(f"{at}/pulls/1/reviews", fake.get_reviews),
            Route(f"{at}/pulls/1/merge", fake.merge, methods=["PUT"]),
            Route(f"{at}/commits/{{sha}}", fake.commit),
            Route(f"{at}/commits/{{sha}}/pulls", fake.pulls_of),
            Route(f"{at}/collaborators/{{login}}/permission", fake.permission),
            Route(f"{at}/actions/runs", fake.get_runs),
            Route(f"{at}/actions/workflows/{{file}}", fake.workflow),
            Route(f"{at}/actions/workflows/{{file}}/dispatches", fake.dispatch, methods=["POST"]),
            Route(f"{at}/issues/comments", fake.all_comments),
            Route(f"{at}/issues/1/comments", fake.comments_of, methods=["GET", "POST"]),
            Route(f"{at}/issues/comments/{{number}}", fake.edit_comment, methods=["PATCH"]),
            Route(f"{at}/{{path:path}}", fake.setting),
        ]
    )
    listener = socket.create_server(("127.0.0.1", 0))
    fake.git.url = fake.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
    thread = Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield fake
    finally:
        server.should_exit = True
        thread.join(timeout=120)
        listener.close()
