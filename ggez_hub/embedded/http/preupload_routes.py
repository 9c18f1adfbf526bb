"""Before a commit: which of its files go to LFS, and which are left out."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ggez_hub.embedded.attributes import ignored
from ggez_hub.embedded.commits import Snapshot
from ggez_hub.embedded.errors import InvalidRequestError
from ggez_hub.embedded.http import access, body
from ggez_hub.embedded.http.commit_routes import branch_head, target
from ggez_hub.embedded.http.handlers import takes_json
from ggez_hub.embedded.http.path_parameters import API, REVISION
from ggez_hub.embedded.names import check_path


@dataclass(frozen=True, slots=True)
class _File:
    path: str
    size: int
    sample: bytes


@takes_json
def preupload(request: Request, data: dict[str, Any]) -> Response:
    """POST /api/models/{id}/preupload/{revision}: how each file is to be sent."""
    repo, _ = target(request)
    files = data.get("files")
    if not isinstance(files, list):
        raise InvalidRequestError("'files' must be a list")
    with access.store(request).git(repo) as git:
        head = branch_head(git, request)
        snapshot = Snapshot(git.objects, head) if head else None
        attributes = git.attributes(head)
        rules = body.text(data, "gitIgnore", "").encode(errors="replace")
        if not rules and snapshot is not None:
            rules = snapshot.text(".gitignore") or b""
        answer = []
        for item in files:
            file = _announced(item)
            lfs = attributes.wants_lfs(file.path, file.size, file.sample)
            entry = snapshot.find(file.path) if snapshot else None
            present = entry.lfs.oid if entry and entry.lfs else entry.oid if entry else None
            answer.append(
                {
                    "path": file.path,
                    "uploadMode": "lfs" if lfs else "regular",
                    "shouldIgnore": ignored(rules, file.path),
                    "oid": present,
                }
            )
    return JSONResponse({"files": answer})


def _announced(item: object) -> _File:
    if not isinstance(item, dict):
        raise InvalidRequestError("each of 'files' is an object")
    size = item.get("size")
    if not isinstance(size, int) or size < 0:
        raise InvalidRequestError("'size' must be a number")
    try:
        sample = base64.b64decode(body.text(item, "sample", ""), validate=True)
    except binascii.Error as error:
        raise InvalidRequestError("'sample' is not base64") from error
    return _File(check_path(body.text(item, "path")), size, sample)


routes = [Route(f"{API}/preupload/{REVISION}", preupload, methods=["POST"])]
