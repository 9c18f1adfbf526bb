"""GitHub's API for branches, commits and new pull requests, over the real repository `origin`."""

from __future__ import annotations

import base64
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from starlette.responses import JSONResponse
from starlette.routing import Route

MISSING = JSONResponse({"message": "Not Found"}, status_code=404)


def git(folder, *arguments, stdin=None):
    return subprocess.run(
        ["git", "-c", "user.name=github-actions[bot]", "-c", "user.email=bot@x", *arguments],
        cwd=folder, check=True, capture_output=True, text=True, input=stdin,
    ).stdout.strip()  # fmt: skip


@dataclass
class GitData:
    """`proposals` are the pull requests that were opened; `moves` the times a branch moved."""

    url: str
    name: str
    origin: Path | None = None
    proposals: list[dict] = field(default_factory=list)
    moves: int = 0

    @property
    def at(self):
        return f"{self.url}/repos/{self.name}"

    def _sha(self, revision):
        done = subprocess.run(
            ["git", "rev-parse", "--verify", "--quiet", revision],
            cwd=self.origin, capture_output=True, text=True, check=False,
        )  # fmt: skip
        return done.stdout.strip() or None

    def branch(self, request):
        name = request.path_params["name"]
        sha = self._sha(f"refs/heads/{name}")
        return JSONResponse({"name": name, "commit": {"sha": sha}}) if sha else MISSING

    def contents(self, request):
        path, ref = request.path_params["path"], request.query_params["ref"]
        if self._sha(f"refs/heads/{ref}:{path}") is None:
            return MISSING
        done = subprocess.run(
            ["git", "show", f"refs/heads/{ref}:{path}"],
            cwd=self.origin, capture_output=True, check=True,
        )  # fmt: skip
        return JSONResponse(
            {
                "type": "file", "path": path, "encoding": "base64",
                "content": base64.b64encode(done.stdout).decode(),
            }
        )  # fmt: skip

    def commit(self, request):
        return JSONResponse(self._commit(request.path_params["sha"]))

    def _commit(self, sha):
        tree = self._sha(f"{sha}^{{tree}}")
        return {"sha": sha, "tree": {"sha": tree, "url": f"{self.at}/git/trees/{tree}"}}

    async def new_tree(self, request):
        asked = await request.json()
        index = {"GIT_INDEX_FILE": str(self.origin / "fake.index")}

        def step(*arguments, stdin=None):
            return subprocess.run(
                ["git", *arguments],
                cwd=self.origin, env=index, check=True, capture_output=True, text=True, input=stdin,
            ).stdout.strip()  # fmt: skip

        step("read-tree", asked["base_tree"])
        for file in asked["tree"]:
            blob = step("hash-object", "-w", "--stdin", stdin=file["content"])
            step("update-index", "--add", "--cacheinfo", f"{file['mode']},{blob},{file['path']}")
        sha = step("write-tree")
        return JSONResponse({"sha": sha, "url": f"{self.at}/git/trees/{sha}"}, status_code=201)

    async def new_commit(self, request):
        asked = await request.json()
        parents = [word for sha in asked["parents"] for word in ("-p", sha)]
        sha = git(self.origin, "commit-tree", asked["tree"], *parents, "-m", asked["message"])
        return JSONResponse(self._commit(sha), status_code=201)

    def ref(self, request):
        name = request.path_params["name"]
        sha = self._sha(f"refs/heads/{name}")
        # The singular to read, the plural to change: as GitHub has it.
        return JSONResponse(
            {
                "ref": f"refs/heads/{name}", "url": f"{self.at}/git/refs/heads/{name}",
                "object": {"sha": sha},
            }
        )  # fmt: skip

    async def new_ref(self, request):
        asked = await request.json()
        if self._sha(asked["ref"]):
            return JSONResponse({"message": "Reference already exists"}, status_code=422)
        return self._move(asked["ref"], asked["sha"], 201)

    async def edit_ref(self, request):
        asked = await request.json()
        return self._move(f"refs/heads/{request.path_params['name']}", asked["sha"], 200)

    def _move(self, ref, sha, status):
        git(self.origin, "update-ref", ref, sha)
        self.moves += 1
        return JSONResponse({"ref": ref, "object": {"sha": sha}}, status_code=status)

    async def pulls(self, request):
        if request.method == "GET":
            branch = request.query_params["head"].partition(":")[2]
            return JSONResponse([p for p in self.proposals if p["head"]["ref"] == branch])
        asked = await request.json()
        number = 100 + len(self.proposals)
        self.proposals.append(
            {
                "number": number, "state": "open", "title": asked["title"], "body": asked["body"],
                "head": {"ref": asked["head"]}, "base": {"ref": asked["base"]}, "merged_at": None,
                "url": f"{self.at}/pulls/{number}", "html_url": f"https://github.test/{number}",
            }
        )  # fmt: skip
        return JSONResponse(self.proposals[-1], status_code=201)

    async def edit_pull(self, request):
        pull = self.proposals[request.path_params["number"] - 100]
        pull |= await request.json()
        return JSONResponse(pull)

    def routes(self, at):
        return [
            Route(f"{at}/branches/{{name:path}}", self.branch),
            Route(f"{at}/contents/{{path:path}}", self.contents),
            Route(f"{at}/git/commits/{{sha}}", self.commit),
            Route(f"{at}/git/trees", self.new_tree, methods=["POST"]),
            Route(f"{at}/git/commits", self.new_commit, methods=["POST"]),
            Route(f"{at}/git/refs", self.new_ref, methods=["POST"]),
            Route(f"{at}/git/ref/heads/{{name:path}}", self.ref),
            Route(f"{at}/git/refs/heads/{{name:path}}", self.edit_ref, methods=["PATCH"]),
            Route(f"{at}/pulls", self.pulls, methods=["GET", "POST"]),
            Route(f"{at}/pulls/{{number:int}}", self.edit_pull, methods=["PATCH"]),
        ]
