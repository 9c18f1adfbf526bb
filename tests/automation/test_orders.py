"""`/ggez evaluate`: who may, and of which commit."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from ggez_hub.automation.event import CommentEvent, PullRequestEvent, order, read_event
from ggez_hub.automation.github import GitHub
from ggez_hub.errors import GgezError

from .github_server import REPOSITORY, serve_github

HEAD = "a" * 40


@pytest.fixture
def github():
    with serve_github() as fake:
        fake.head, fake.base = HEAD, "b" * 40
        fake.permissions = {"member": "write"}
        yield GitHub(REPOSITORY, fake.url, "token")


def said(body, by="member", association="MEMBER", *, pull_request=True):
    return CommentEvent.model_validate(
        {
            "issue": {"number": 1} | ({"pull_request": {}} if pull_request else {}),
            "comment": {"body": body, "author_association": association, "user": {"login": by}},
        }
    )


def test_a_member_may(github):
    assert order(said("/ggez evaluate"), github).head == HEAD
    assert order(said("/ggez evaluate aaaaaaaaaa\n"), github).base == "b" * 40


@pytest.mark.parametrize(
    ("event", "message"),
    [
        # The association in the payload is not what decides.
        (said("/ggez evaluate", by="stranger", association="OWNER"), "may not start"),
        (said("/ggez evaluate; rm -rf /"), "is not `/ggez evaluate`"),
        (said("please\n/ggez evaluate"), "is not `/ggez evaluate`"),
        (said("/ggez evaluate", pull_request=False), "is not `/ggez evaluate`"),
        (said("/ggez evaluate bbbbbbbb"), "not at bbbbbbbb any more"),
    ],
)
def test_others_may_not(github, event, message):
    with pytest.raises(GgezError, match=message):
        order(event, github)


def test_another_event_is_refused(tmp_path):
    path = tmp_path / "event.json"
    path.write_text('{"action": "opened"}')
    with pytest.raises(GgezError, match="is not a pull_request event") as refused:
        read_event(PullRequestEvent, path)
    assert "pull_request.base.sha: is missing" in refused.value.message
    assert "pydantic" not in refused.value.message


def test_by_hand_without_an_event_says_what_is_missing(monkeypatch):
    from ggez_hub.cli.ci import ci_command

    monkeypatch.delenv("GITHUB_EVENT_PATH", raising=False)
    result = CliRunner().invoke(ci_command, ["check"])
    assert isinstance(result.exception, GgezError)
    assert "GITHUB_EVENT_PATH" in result.exception.hint


def test_why_there_is_no_evaluation_is_said_as_text(tmp_path, monkeypatch):
    from ggez_hub.cli.ci import ci_command

    with serve_github() as fake:
        monkeypatch.setenv("GITHUB_REPOSITORY", REPOSITORY)
        monkeypatch.setenv("GITHUB_TOKEN", "token")
        monkeypatch.setenv("GITHUB_API_URL", fake.url)
        say = ["say", "--number", "1", "--topic", "evaluation", "--file", str(tmp_path / "none.md")]
        for reason in ("cards/@everyone`: too large", "", "cards/@everyone`: too large"):
            result = CliRunner().invoke(ci_command, [*say, "--reason", reason])
            assert result.exit_code == 0, result.output
        (comment,) = fake.comments
    assert comment["body"].endswith("It is not evaluated: `cards/@everyone': too large`\n")
