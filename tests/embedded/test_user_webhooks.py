"""Webhooks that users add over the API: theirs alone, of what they may see, and bounded."""

import json
import sqlite3

import pytest
from huggingface_hub import WebhookWatchedItem
from huggingface_hub.errors import HfHubHTTPError

from ggez_hub.embedded import database, webhooks
from ggez_hub.embedded.database import STEPS, Database
from ggez_hub.embedded.webhooks import Watched

from .test_webhooks import receiver, send_all

__all__ = ["receiver"]
URL = "http://127.0.0.1:9/hook"
ACME = [WebhookWatchedItem(type="org", name="acme")]


@pytest.fixture(autouse=True)
def _no_others(hub):
    yield
    hub.store.database.write("DELETE FROM webhooks")


def status(action, *arguments, **options):
    with pytest.raises(HfHubHTTPError) as caught:
        action(*arguments, **options)
    return caught.value.response.status_code


def told(receiver):
    found = [json.loads(body) for _, body in receiver.received]
    return [f"{each['event']['scope']} {each['repo']['name']}" for each in found]


def test_a_webhook_is_made_changed_switched_and_deleted(api):
    made = api.create_webhook(url=URL, watched=ACME, secret="my-secret")
    assert (made.url, made.secret, made.disabled) == (URL, "my-secret", False)
    assert (made.watched, made.domains) == (ACME, ["repo", "discussion"])
    assert api.list_webhooks() == [made] == [api.get_webhook(made.id)]
    item = {"type": "model", "name": "acme/x"}
    changed = api.update_webhook(made.id, url=f"{URL}2", watched=[item], domains=["repo"])
    assert (changed.url, changed.domains, changed.secret) == (f"{URL}2", ["repo"], "my-secret")
    assert changed.watched == [WebhookWatchedItem(**item)]
    assert api.update_webhook(made.id, secret="another").watched == changed.watched
    assert api.disable_webhook(made.id).disabled
    assert not api.enable_webhook(made.id).disabled
    api.delete_webhook(made.id)
    assert status(api.get_webhook, made.id) == 404
    assert api.list_webhooks() == []


def test_a_webhook_is_its_owners_alone(hub, api):
    made = api.create_webhook(url=URL, watched=ACME)
    bob, keepers = hub.api("bob"), hub.store.webhooks.add(URL, "acme")[0]
    for key in (made.id, str(keepers), "x", "9" * 30):
        for action in (bob.get_webhook, bob.disable_webhook, bob.delete_webhook):
            assert status(action, key) == 404
        assert status(bob.update_webhook, key, secret="bob") == 404
    assert bob.list_webhooks() == []
    assert status(hub.api(None).list_webhooks) == 401
    assert status(hub.api("reader").list_webhooks) == 403
    assert status(hub.api("reader").create_webhook, url=URL, watched=ACME) == 403
    assert api.get_webhook(made.id) == made


def test_what_is_sent_is_what_the_owner_may_see(hub, api, repo, secret_repo, receiver):
    bob = hub.api("bob")
    bob.create_webhook(url=receiver.url, watched=ACME)
    api.create_tag(secret_repo, tag="v1")
    api.create_discussion(secret_repo, title="A secret")
    api.create_tag(repo, tag="v1")
    send_all(hub)
    assert told(receiver) == [f"repo.content {repo}"]
    # It was public when it was recorded, and no longer when it is sent.
    api.create_discussion(repo, title="A question")
    api.update_repo_settings(repo, private=True)
    send_all(hub)
    assert told(receiver) == [f"repo.content {repo}"]
    api.create_webhook(url=receiver.url, watched=[{"type": "model", "name": secret_repo}])
    api.create_tag(secret_repo, tag="v2")
    send_all(hub)
    assert told(receiver)[1:] == [f"repo.content {secret_repo}"]


def test_types_domains_and_the_switch_are_obeyed(hub, api, repo, receiver):
    watched = [
        {"type": "model", "name": repo.upper()},
        {"type": "user", "name": repo.partition("/")[0]},
    ]
    both = api.create_webhook(url=receiver.url, watched=watched, domains=["discussion"])
    api.create_webhook(url=receiver.url, watched=[{"type": "dataset", "name": repo}])
    api.create_tag(repo, tag="v1")
    api.create_discussion(repo, title="A question")
    send_all(hub)
    # Once, though it is watched twice; without a secret there is nothing to sign with.
    assert told(receiver) == [f"discussion {repo}", f"discussion.comment {repo}"]
    assert not any(name.startswith("X-Webhook-S") for name in receiver.received[0][0])
    api.create_discussion(repo, title="Another")
    api.disable_webhook(both.id)
    api.create_discussion(repo, title="A third")
    api.enable_webhook(both.id)
    send_all(hub)
    assert len(receiver.received) == 2


def test_what_this_hub_does_not_send_is_refused(api):
    refused = {
        403: {"url": "http://localhost/hook", "watched": ACME},
        400: {"url": "ftp://127.0.0.1", "watched": ACME},
        501: {"job_id": "1", "watched": ACME},
    }
    for expected, words in refused.items():
        assert status(api.create_webhook, **words) == expected
    made = api.create_webhook(url=URL, watched=ACME)
    assert status(api.update_webhook, made.id, url="http://localhost/hook") == 403
    for item in ({"type": "org", "name": "a/b"}, {"type": "model", "name": "a"}, {"type": "x"}):
        assert status(api.create_webhook, url=URL, watched=[item]) == 400
    assert status(api.create_webhook, url=URL, watched=[]) == 400
    assert status(api.create_webhook, url=URL, watched=ACME, secret="\n") == 400
    assert status(api.create_webhook, url=URL, watched=ACME, secret="x" * 257) == 400
    assert status(api.create_webhook, url=URL, watched=ACME * 21) == 400


def test_webhooks_and_what_waits_for_them_are_bounded(hub, api, repo, monkeypatch):
    made = api.create_webhook(url=URL, watched=ACME)
    record = hub.store.catalog.find("model", *repo.split("/"))
    with hub.store.database.transaction() as connection:
        connection.executemany(
            "INSERT INTO deliveries (webhook, scope, action, repo, type, name, private) "
            "VALUES (?, 'repo', 'update', ?, 'model', ?, 0)",
            [(made.id, record.key, str(number)) for number in range(1002)],
        )
    (webhook,) = hub.store.webhooks.all()
    assert (webhook.waiting, webhook.failed, webhook.owner) == (1000, 2, "alice")
    query = "SELECT min(cast(name AS INTEGER)) FROM deliveries"
    assert hub.store.database.rows(query)[0][0] == 2
    monkeypatch.setattr(webhooks, "MOST_WEBHOOKS", 1)
    assert status(api.create_webhook, url=URL, watched=ACME) == 413


def test_webhooks_of_an_older_hub_are_kept(tmp_path):
    path = tmp_path / "hub.sqlite3"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(database, "STEPS", STEPS[:4])
        Database(path).close()
    with sqlite3.connect(path) as old:
        insert = "INSERT INTO webhooks (url, watched, secret) VALUES (?, ?, 'secret')"
        old.executemany(insert, [(URL, "acme"), (URL, "acme/x")])
    old.close()
    kept = Database(path)
    found = webhooks.Webhooks(kept).all()
    kept.close()
    assert [webhook.watched for webhook in found] == [(Watched("acme"),), (Watched("acme/x"),)]
    assert [webhook.owner for webhook in found] == [None, None]
