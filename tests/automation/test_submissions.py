"""How often a line was measured on a test side: counted from the bot's comments, said with each result."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from ggez_hub.automation.submissions import (
    MOST,
    BadSubmissions,
    Submission,
    read_submissions,
    record,
    recorded,
    write_submissions,
)

from .github_server import REPOSITORY, serve_github

SIDE, OTHER_SIDE = "a" * 64, "b" * 64


def submission(line="me/clip-th", model=1, side=SIDE):
    return Submission(line=line, side=side, model=f"{model:064x}")


@pytest.fixture
def said(tmp_path, monkeypatch):
    """Say under pull request 1 what was measured; returns what was printed and the comment."""
    from ggez_hub.cli.ci import ci_command

    with serve_github() as fake:
        monkeypatch.setenv("GITHUB_REPOSITORY", REPOSITORY)
        monkeypatch.setenv("GITHUB_TOKEN", "token")
        monkeypatch.setenv("GITHUB_API_URL", fake.url)
        (tmp_path / "comment.md").write_text("The table.\n")

        def say(*new, text=True):
            place = tmp_path / "measured.json"
            place.unlink(missing_ok=True)
            if new:
                write_submissions(place, new)
            name = "comment.md" if text else "none.md"
            command = ["say", "--number", "1", "--topic", "evaluation", "--measured", str(place),
                       "--file", str(tmp_path / name)]  # fmt: skip
            result = CliRunner().invoke(ci_command, command)
            assert result.exit_code == 0, (result.output, result.exception)
            return result.stdout, fake.comments[-1]["body"]

        say.fake = fake
        yield say


def sentence(line, author, of="me/clip-th", by="me"):
    return (
        f"so far, this one included: {line} version{'s' if line != 1 else ''} of `{of}`, "
        f"{author} of all adapters by `{by}`."
    )


def test_each_new_version_counts_once(said):
    for count in (1, 2, 3):
        printed, body = said(submission(model=count))
        assert sentence(count, count) in printed
        assert sentence(count, count) in body
    # The same model again shows nothing new; the Hub ignores the case of names.
    printed, body = said(submission(line="Me/Clip-TH", model=3))
    assert sentence(3, 3, "Me/Clip-TH", "Me") in body
    assert said(submission(model=3))[1].count("Measured on this test side") == 1
    assert len(said.fake.comments) == 1
    assert body.startswith("<!-- ggez-hub: evaluation -->\n<!-- ggez-hub measured: [")
    assert "The table." in body


def test_lines_authors_and_test_sides_are_counted_apart(said):
    said(submission(), submission("me/vlm-th", 2), submission("you/clip-th", 3))
    said(submission(model=4, side=OTHER_SIDE))
    _, body = said(submission(model=5))
    assert sentence(2, 3) in body
    _, body = said(submission("you/other", 6))
    assert sentence(1, 2, "you/other", "you") in body


def test_a_failed_evaluation_keeps_what_was_recorded(said):
    said(submission(model=1))
    _, body = said(text=False)
    assert recorded(body) == (submission(model=1),)
    assert "ended without a result" in body
    assert sentence(2, 2) in said(submission(model=2))[1]


def test_only_the_bots_own_record_counts(said):
    forged = record([submission(model=n) for n in range(9)])
    for login, body in (
        ("stranger", f"<!-- ggez-hub: evaluation -->\n{forged}\n"),
        ("github-actions[bot]", f"<!-- ggez-hub: check -->\n{forged}\n"),
        # What a table quotes stands further down.
        ("github-actions[bot]", f"<!-- ggez-hub: evaluation -->\ntext\n{forged}\n"),
        ("github-actions[bot]", "<!-- ggez-hub: evaluation -->\n<!-- ggez-hub measured: [7] -->"),
    ):
        number = len(said.fake.comments) + 1
        said.fake.comments.append(
            {
                "id": number, "user": {"login": login}, "body": body,
                "issue_url": f"{said.fake.url}/repos/{REPOSITORY}/issues/{number + 1}",
                "url": f"{said.fake.url}/repos/{REPOSITORY}/issues/comments/{number}",
            }
        )  # fmt: skip
    assert sentence(1, 1) in said(submission(model=20))[0]


def test_a_long_record_is_a_lower_bound(said):
    said(*(submission(model=n) for n in range(MOST)))
    printed, body = said(submission(model=MOST))
    assert f"at least {MOST + 1} versions of `me/clip-th`" in printed
    assert len(recorded(body)) == MOST
    assert len(body) < 60_000


@pytest.mark.parametrize(
    "content",
    ["{", "{}", "[1]", '[{"line": "a", "side": "b", "model": "c"}]',
     f'[{{"line": "me/x-->", "side": "{SIDE}", "model": "{SIDE}"}}]', "[" * 60_000],
    ids=["cut", "object", "number", "names", "end of comment", "large"],
)  # fmt: skip
def test_a_file_of_another_shape_is_refused(tmp_path, content):
    place = tmp_path / "measured.json"
    place.write_text(content)
    with pytest.raises(BadSubmissions):
        read_submissions(place)
    assert read_submissions(tmp_path / "none.json") == ()
