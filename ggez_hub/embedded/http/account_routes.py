"""Who the caller is, and the check of a card's metadata."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ggez_hub.embedded import cards
from ggez_hub.embedded.http import access, body


def whoami(request: Request) -> Response:
    """GET /api/whoami-v2."""
    principal = access.known_caller(request)
    orgs = [
        {
            "type": "org",
            "id": org.name,
            "name": org.name,
            "fullname": org.fullname,
            "email": None,
            "canPay": False,
            "periodEnd": None,
            "isEnterprise": False,
            "avatarUrl": "",
            "roleInOrg": org.role,
        }
        for org in principal.orgs
    ]
    return JSONResponse(
        {
            "type": "user",
            "id": principal.name,
            "name": principal.name,
            "fullname": principal.fullname,
            "email": f"{principal.name}@localhost",
            "emailVerified": True,
            "canPay": False,
            "periodEnd": None,
            "isPro": False,
            "avatarUrl": "",
            "orgs": orgs,
            "auth": {
                "type": "access_token",
                "accessToken": {"displayName": principal.scope, "role": principal.scope},
            },
        }
    )


async def validate_yaml(request: Request) -> Response:
    """POST /api/validate-yaml: the client asks before it commits a README.md."""
    data = await body.read_json(request, access.limits(request).json_body)
    content = body.text(data, "content")
    errors: list[dict[str, Any]] = []
    warnings: list[dict[str, Any]] = []
    try:
        card = cards.front_matter(content.encode(errors="replace"))
    except cards.CardError as error:
        errors.append({"message": str(error)})
    else:
        errors += [{"message": problem} for problem in cards.problems(card)]
        if not card:
            warnings.append({"message": "empty or missing yaml metadata in repo card"})
    return JSONResponse({"errors": errors, "warnings": warnings}, 400 if errors else 200)


routes = [
    Route("/api/whoami-v2", whoami, methods=["GET"]),
    Route("/api/validate-yaml", validate_yaml, methods=["POST"]),
]
