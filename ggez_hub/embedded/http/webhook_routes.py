"""The webhooks of a user: `/api/settings/webhooks`, as huggingface_hub uses it."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, StringConstraints
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ggez_hub.embedded.access_control import Principal, require_write_scope
from ggez_hub.embedded.errors import (
    HubError,
    InvalidRequestError,
    PermissionDeniedError,
    WebhookNotFoundError,
)
from ggez_hub.embedded.http import access
from ggez_hub.embedded.http.body import Body, takes
from ggez_hub.embedded.webhooks import (
    DOMAINS,
    Domain,
    Watched,
    WatchedType,
    Webhook,
    Webhooks,
    host_of,
)

Url = Annotated[str, StringConstraints(max_length=2000)]
Secret = Annotated[str, StringConstraints(max_length=256)]


def _owner(request: Request) -> Principal:
    """Who calls; a token that may only read sees no secrets. Raises as `access.known_caller`."""
    principal = access.known_caller(request)
    require_write_scope(principal)
    return principal


def _webhooks(request: Request) -> Webhooks:
    return access.store(request).webhooks


def _asked_for(request: Request, principal: Principal) -> Webhook:
    key = request.path_params["key"]
    if not key.isascii() or not key.isdigit() or len(key) > 18:
        raise WebhookNotFoundError
    return _webhooks(request).get(principal.key, int(key))


class _Watched(Body):
    type: WatchedType
    name: str


class _Settings(Body):
    url: Url | None = None
    watched: list[_Watched] = Field(default_factory=list, max_length=20)
    domains: list[Domain] | None = Field(None, min_length=1, max_length=len(DOMAINS))
    secret: Secret | None = None
    jobSourceId: str | None = None  # noqa: N815 - as the Hub spells it

    def changes(self, request: Request) -> dict[str, Any]:
        """What is given; raises HubError for what this hub does not send."""
        if self.jobSourceId is not None:
            raise HubError("The webhooks of this hub do not start jobs: give a url", 501)
        if self.url is not None:
            host = host_of(self.url)
            if host not in request.app.state.webhook_hosts:
                raise PermissionDeniedError(
                    f"This hub sends nothing to {host}: who keeps it has to serve it with "
                    f"--webhook-host {host}"
                )
        given = {"url": self.url, "domains": self.domains, "secret": self.secret}
        watched = [Watched(each.name, each.type) for each in self.watched]
        return {key: value for key, value in (*given.items(), ("watched", watched)) if value}


def listing(request: Request) -> Response:
    """GET /api/settings/webhooks."""
    found = _webhooks(request).of(_owner(request).key)
    return JSONResponse([_document(webhook) for webhook in found])


def info(request: Request) -> Response:
    """GET /api/settings/webhooks/{key}."""
    return JSONResponse({"webhook": _document(_asked_for(request, _owner(request)))})


@takes(_Settings, _owner)
def create(request: Request, principal: Principal, data: _Settings) -> Response:
    """POST /api/settings/webhooks {url, watched, domains, secret}."""
    given = data.changes(request)
    if "url" not in given or "watched" not in given:
        raise InvalidRequestError("a webhook has a 'url', and something that is 'watched'")
    made = _webhooks(request).add_for(
        principal.key,
        given["url"],
        given["watched"],
        given.get("domains", DOMAINS),
        given.get("secret", ""),
    )
    return JSONResponse({"webhook": _document(made)})


@takes(_Settings, _owner)
def update(request: Request, principal: Principal, data: _Settings) -> Response:
    """POST /api/settings/webhooks/{key}: what is given changes, an empty list of watched does not."""
    webhook, given = _asked_for(request, principal), data.changes(request)
    if given:
        _webhooks(request).update(webhook, given)
    return info(request)


def switch(request: Request) -> Response:
    """POST /api/settings/webhooks/{key}/enable and /disable."""
    webhook = _asked_for(request, _owner(request))
    disabled = request.url.path.endswith("/disable")
    _webhooks(request).update(webhook, {"disabled": disabled})
    return info(request)


def delete(request: Request) -> Response:
    """DELETE /api/settings/webhooks/{key}."""
    _webhooks(request).remove(_asked_for(request, _owner(request)).key)
    return JSONResponse({"success": True})


def _document(webhook: Webhook) -> dict[str, Any]:
    return {
        "id": str(webhook.key),
        "url": webhook.url,
        "watched": [{"type": each.type, "name": each.name} for each in webhook.watched],
        "domains": list(webhook.domains),
        "secret": webhook.secret or None,
        "disabled": webhook.disabled,
    }


_ALL = "/api/settings/webhooks"
_ONE = f"{_ALL}/{{key:hub_segment}}"

routes = [
    Route(_ALL, listing, methods=["GET"]),
    Route(_ALL, create, methods=["POST"]),
    Route(_ONE, info, methods=["GET"]),
    Route(_ONE, update, methods=["POST"]),
    Route(_ONE, delete, methods=["DELETE"]),
    Route(f"{_ONE}/enable", switch, methods=["POST"]),
    Route(f"{_ONE}/disable", switch, methods=["POST"]),
]
