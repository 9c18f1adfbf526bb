"""Webhooks: what happens is told to whom it is for, again where it failed, and to no other host."""

import hashlib
import hmac
import http.server
import json
import threading

import pytest
from click.testing import CliRunner
from huggingface_hub import WebhookPayload

from ggez_hub.cli.main import cli
from ggez_hub.embedded import webhook_delivery
from ggez_hub.embedded.webhook_delivery import ATTEMPTS, deliver, delivering

HOSTS = ["127.0.0.1"]


class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.received.append((dict(self.headers), body))
        status = self.server.statuses.pop(0) if self.server.statuses else 200
        self.send_response(status)
        if status == 302:
            self.send_header("Location", self.server.elsewhere)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def receiver(monkeypatch):
    # What failed comes again after a time that no test takes.
    monkeypatch.setattr(webhook_delivery, "TIMEOUT", 120.0)
    monkeypatch.setattr(webhook_delivery, "FIRST_WAIT", 3600)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        server.received, server.statuses = [], []
        server.url = f"http://127.0.0.1:{server.server_port}/hook"
        server.elsewhere = f"http://localhost:{server.server_port}/elsewhere"
        threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        yield server
        server.shutdown()


def send_all(hub, hosts=HOSTS):
    for _ in range(20):
        deliver(hub.store, "https://hub.example.org", hosts)


@pytest.fixture
def watch(hub, receiver):
    made = []

    def add(watched):
        command = [
            "hub",
            "webhook",
            "add",
            receiver.url,
            "--watch",
            watched,
            "--json",
            "--root",
            str(hub.store.root),
        ]
        found = CliRunner().invoke(cli, command)
        assert found.exit_code == 0, found.output
        made.append(json.loads(found.stdout))
        return made[-1]

    yield add
    for hook in made:
        hub.store.database.write("DELETE FROM webhooks WHERE key = ?", hook["id"])


def test_what_happens_is_told_in_order_and_signed(hub, api, new_id, watch, receiver):
    repo, other = new_id(), new_id()
    hook = watch(repo)
    api.create_repo(repo)
    api.create_repo(other)
    commit = api.upload_file(path_or_fileobj=b"x", path_in_repo="a.txt", repo_id=repo)
    api.create_tag(repo, tag="v1")
    api.delete_tag(repo, tag="v1")
    api.create_discussion(repo, title="A question", description="text")
    pull = api.upload_file(path_or_fileobj=b"y", path_in_repo="b.txt", repo_id=repo, create_pr=True)
    api.merge_pull_request(repo, 2)
    api.update_repo_settings(repo, private=True)
    send_all(hub)
    api.delete_repo(repo)
    send_all(hub)
    told = [json.loads(body) for _, body in receiver.received]
    events = [f"{each['event']['scope']} {each['event']['action']}" for each in told]
    assert events == [
        "repo create", "repo.content update", "repo.content update", "repo.content update",
        "repo.content update", "discussion create", "discussion.comment create",
        "discussion create", "repo.content update", "discussion update", "repo.config update", "repo delete",
    ]  # fmt: skip
    assert told[2]["updatedRefs"][0]["newSha"] == commit.oid
    assert told[2]["updatedRefs"][0]["oldSha"] == told[1]["updatedRefs"][0]["newSha"]
    assert told[4]["updatedRefs"] == [{"ref": "refs/tags/v1", "oldSha": commit.oid, "newSha": None}]
    assert told[7]["discussion"]["isPullRequest"]
    assert pull.pr_url.endswith("/discussions/2")
    assert told[9]["discussion"]["url"]["web"] == f"https://hub.example.org/{repo}/discussions/2"
    for document in (each for each in told if each["event"]["action"] != "delete"):
        WebhookPayload.model_validate(document)
    for headers, body in receiver.received:
        assert headers["X-Webhook-Secret"] == hook["secret"]
        signature = hmac.new(hook["secret"].encode(), body, hashlib.sha256).hexdigest()
        assert headers["X-Webhook-Signature"] == f"sha256={signature}"
    assert hub.store.webhooks.all()[0].waiting == 0


def test_what_fails_is_sent_again_and_given_up_in_the_end(
    hub, api, repo, watch, receiver, monkeypatch
):
    monkeypatch.setattr(webhook_delivery, "FIRST_WAIT", 0)
    watch(repo)
    api.create_tag(repo, tag="v1")
    api.create_tag(repo, tag="v2")
    receiver.statuses = [500, 404, 302]
    send_all(hub)
    tags = [json.loads(body)["updatedRefs"][0]["ref"][-2:] for _, body in receiver.received]
    assert tags == ["v1", "v1", "v1", "v1", "v2"]
    assert len({headers["X-Webhook-Delivery"] for headers, _ in receiver.received}) == 2
    receiver.statuses = [500] * ATTEMPTS
    api.create_tag(repo, tag="v3")
    send_all(hub)
    (hook,) = hub.store.webhooks.all()
    assert (hook.failed, hook.waiting) == (1, 0)


def test_a_failure_waits_before_it_is_tried_again(hub, api, repo, watch, receiver):
    watch(repo)
    receiver.statuses = [500]
    api.create_tag(repo, tag="v1")
    send_all(hub)
    assert len(receiver.received) == 1
    assert hub.store.webhooks.all()[0].waiting == 1


def test_nothing_is_sent_to_a_host_that_was_not_named(hub, api, repo, watch, receiver, caplog):
    watch(repo)
    api.create_tag(repo, tag="v1")
    send_all(hub, ["hooks.example.org"])
    assert not receiver.received
    assert "not a host of --webhook-host" in caplog.text


def test_a_server_sends_by_itself(hub, api, repo, watch, receiver, monkeypatch):
    monkeypatch.setattr(webhook_delivery, "_POLL", 0.02)
    watch(repo.partition("/")[0])
    arrived = threading.Event()
    receiver.received = type("Told", (list,), {"append": lambda self, item: arrived.set()})()
    with delivering(hub.store, hub.endpoint, HOSTS):
        api.create_tag(repo, tag="v1")
        assert arrived.wait(120)


@pytest.mark.parametrize(
    "words",
    [
        ("ftp://example.org", "--watch", "acme"),
        ("http://user:x@example.org", "--watch", "acme"),
        ("http://example.org", "--watch", "api"),
        ("http://example.org", "--watch", "acme", "--secret", "\n"),
    ],
)
def test_wrong_webhooks_are_refused(hub, words):
    command = ["hub", "webhook", "add", *words, "--root", str(hub.store.root)]
    assert CliRunner().invoke(cli, command).exit_code == 2
    assert (
        CliRunner()
        .invoke(cli, ["hub", "webhook", "remove", "99", "--root", str(hub.store.root)])
        .exit_code
        == 2
    )
