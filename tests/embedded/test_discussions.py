"""Discussions and pull requests, with the unmodified client."""

import warnings
from pathlib import Path

import httpx2
import pytest
from huggingface_hub import CommitOperationAdd, CommitOperationDelete
from huggingface_hub.errors import HfHubHTTPError, RevisionNotFoundError


@pytest.fixture
def shared(api, repo):
    """A repo with a file that many sides may want to change."""
    api.upload_file(path_or_fileobj=b"one\n", path_in_repo="a.txt", repo_id=repo)
    return repo


@pytest.fixture
def bob(hub):
    return hub.api("bob")


def propose(api, repo, files, delete=(), **options):
    operations = [CommitOperationAdd(path, content) for path, content in files.items()]
    operations += [CommitOperationDelete(path) for path in delete]
    return api.create_commit(repo, operations, commit_message="Propose", create_pr=True, **options)


def read(api, repo, path, revision="main"):
    return Path(api.hf_hub_download(repo, path, revision=revision, force_download=True)).read_text()


class TestProposals:
    def test_whoever_reads_may_propose(self, api, bob, shared):
        commit = propose(bob, shared, {"a.txt": b"two\n", "b.bin": b"\0large"})
        assert commit.pr_url == f"{bob.endpoint}/{shared}/discussions/1"
        assert commit.pr_revision == "refs/pr/1"
        assert read(api, shared, "a.txt") == "one\n"
        assert read(api, shared, "a.txt", "refs/pr/1") == "two\n"
        details = api.get_discussion_details(shared, 1)
        assert (details.author, details.status, details.target_branch) == ("bob", "open", "main")
        assert [event.type for event in details.events] == ["commit"]
        assert details.events[0].oid == commit.oid
        assert details.conflicting_files == []
        assert "-one\n+two\n" in details.diff
        assert api.list_repo_refs(shared, include_pull_requests=True).pull_requests

    def test_the_owner_merges(self, hub, api, bob, shared):
        propose(bob, shared, {"b.txt": b"b\n"}, delete=["a.txt"], commit_description="Because.")
        api.upload_file(path_or_fileobj=b"c\n", path_in_repo="c.txt", repo_id=shared)
        with pytest.raises(HfHubHTTPError, match="403"):
            bob.merge_pull_request(shared, 1)
        api.merge_pull_request(shared, 1, comment="Thanks")
        assert api.list_repo_files(shared) == [".gitattributes", "b.txt", "c.txt"]
        details = api.get_discussion_details(shared, 1)
        head = api.list_repo_commits(shared)[0]
        assert (details.status, details.merge_commit_oid) == ("merged", head.commit_id)
        assert head.title == "Propose (#1)"
        assert [event.type for event in details.events] == [
            "comment",
            "commit",
            "comment",
            "status-change",
        ]
        with pytest.raises(HfHubHTTPError, match="Only an open pull request"):
            api.merge_pull_request(shared, 1)
        with pytest.raises(HfHubHTTPError, match="merged already"):
            bob.upload_file(
                path_or_fileobj=b"x", path_in_repo="x", repo_id=shared, revision="refs/pr/1"
            )

    def test_both_sides_changed_a_file(self, api, bob, shared):
        propose(bob, shared, {"a.txt": b"two\n"})
        propose(bob, shared, {"a.txt": b"three\n"})
        api.merge_pull_request(shared, 2)
        assert api.get_discussion_details(shared, 1).conflicting_files == ["a.txt"]
        with pytest.raises(
            HfHubHTTPError, match=r"409.*(?s:.*)conflicts with its target in: a.txt"
        ):
            api.merge_pull_request(shared, 1)
        assert read(api, shared, "a.txt") == "three\n"
        bob.upload_file(
            path_or_fileobj=b"three\n", path_in_repo="a.txt", repo_id=shared, revision="refs/pr/1"
        )
        api.merge_pull_request(shared, 1)
        assert api.get_discussion_details(shared, 1).status == "merged"

    def test_a_merge_cannot_bring_names_that_collide(self, api, bob, shared):
        propose(bob, shared, {"B.txt": b"b"})
        api.upload_file(path_or_fileobj=b"b", path_in_repo="b.txt", repo_id=shared)
        with pytest.raises(HfHubHTTPError, match="case-insensitive"):
            api.merge_pull_request(shared, 1)

    def test_large_files_of_both_sides_are_tracked(self, api, bob, shared):
        propose(bob, shared, {"x.one": b"\0one"})
        api.upload_file(path_or_fileobj=b"\0two", path_in_repo="x.two", repo_id=shared)
        assert api.get_discussion_details(shared, 1).conflicting_files == []
        api.merge_pull_request(shared, 1)
        rules = read(api, shared, ".gitattributes")
        assert "x.one filter=lfs" in rules
        assert "x.two filter=lfs" in rules
        assert len(api.list_repo_files(shared)) == 4

    def test_a_branch_is_the_target(self, api, bob, shared):
        api.create_branch(shared, branch="next")
        propose(bob, shared, {"b.txt": b"b\n"}, revision="next")
        api.merge_pull_request(shared, 1)
        assert not api.file_exists(shared, "b.txt")
        assert api.file_exists(shared, "b.txt", revision="next")
        propose(bob, shared, {"c.txt": b"c\n"}, revision="next")
        api.delete_branch(shared, branch="next")
        assert api.get_discussion_details(shared, 2).conflicting_files is True
        with pytest.raises(RevisionNotFoundError):
            propose(bob, shared, {"c.txt": b"c\n"}, revision="next")

    def test_a_parent_is_checked(self, api, bob, shared):
        old = api.list_repo_commits(shared)[0].commit_id
        api.upload_file(path_or_fileobj=b"c\n", path_in_repo="c.txt", repo_id=shared)
        with pytest.raises(HfHubHTTPError, match="412"):
            propose(bob, shared, {"b.txt": b"b\n"}, parent_commit=old)
        assert list(api.get_repo_discussions(shared)) == []

    def test_others_do_not_add_to_a_proposal(self, hub, api, bob, shared):
        propose(api, shared, {"b.txt": b"b\n"})
        with pytest.raises(HfHubHTTPError, match="403"):
            bob.upload_file(
                path_or_fileobj=b"x", path_in_repo="x", repo_id=shared, revision="refs/pr/1"
            )
        for stranger in ("reader", None):
            with pytest.raises(HfHubHTTPError, match=r"40[13]"):
                propose(hub.api(stranger), shared, {"b.txt": b"b\n"})

    @pytest.mark.parametrize("revision", ["refs/pr/7", "refs/pr/01", "refs/pr/x"])
    def test_pull_requests_that_do_not_exist(self, api, shared, revision):
        with pytest.raises(HfHubHTTPError) as refusal:
            api.upload_file(
                path_or_fileobj=b"x", path_in_repo="x", repo_id=shared, revision=revision
            )
        assert refusal.value.response.status_code in {400, 404}

    def test_a_commit_to_a_discussion(self, api, shared):
        api.create_discussion(shared, "Only words")
        with pytest.raises(RevisionNotFoundError):
            api.upload_file(
                path_or_fileobj=b"x", path_in_repo="x", repo_id=shared, revision="refs/pr/1"
            )

    def test_a_draft_is_opened_before_it_is_merged(self, api, shared):
        draft = api.create_pull_request(shared, "A draft")
        assert (draft.status, draft.diff) == ("draft", "")
        api.upload_file(
            path_or_fileobj=b"x", path_in_repo="x", repo_id=shared, revision=draft.git_reference
        )
        with pytest.raises(HfHubHTTPError, match="Only an open pull request"):
            api.merge_pull_request(shared, draft.num)
        api.change_discussion_status(shared, draft.num, "open")
        api.merge_pull_request(shared, draft.num)
        assert api.file_exists(shared, "x")

    def test_after_a_squash_nothing_is_lost(self, api, bob, shared):
        propose(bob, shared, {"b.txt": b"b\n"})
        api.super_squash_history(shared)
        api.merge_pull_request(shared, 1)
        assert api.list_repo_files(shared) == [".gitattributes", "a.txt", "b.txt"]

    def test_long_differences_are_cut(self, api, bob, shared):
        lines = b"".join(b"%d\n" % number for number in range(100_000))
        propose(bob, shared, {"a.txt": b"two\n", "long.txt": lines})
        diff = api.get_discussion_details(shared, 1).diff
        assert "+two" in diff
        assert "too long to be shown" in diff
        assert len(diff) < 10_000

    def test_a_crafted_difference_is_bounded(self, api, bob, shared):
        """Each line stands again with another between: difflib compares every pair of 20,000 lines."""
        lines = [b"%d\n" % number for number in range(20_000)]
        api.upload_file(path_or_fileobj=b"".join(lines), path_in_repo="b.txt", repo_id=shared)
        changed = b"".join(b"-\n" + line for line in lines)
        propose(bob, shared, {"a.txt": b"two\n", "b.txt": changed})
        diff = api.get_discussion_details(shared, 1).diff
        assert "-one\n+two\n" in diff
        # The rest is a block that was replaced, from which the file follows all the same.
        assert "\n-19999\n" in diff
        assert (
            diff.count("\n+") - diff.count("\n+++")
            == diff.count("\n-") - diff.count("\n---") + 20_000
        )


class TestDiscussions:
    @pytest.fixture
    def thread(self, bob, shared):
        return bob.create_discussion(shared, "  A   question ", description="Why?")

    def test_a_thread(self, api, bob, shared, thread):
        assert (thread.num, thread.title, thread.author) == (1, "A question", "bob")
        assert [event.content for event in thread.events] == ["Why?"]
        comment = api.comment_discussion(shared, 1, "Because.")
        bob.rename_discussion(shared, 1, "An answer")
        bob.change_discussion_status(shared, 1, "closed", comment="Thanks")
        details = api.get_discussion_details(shared, 1)
        assert (details.title, details.status) == ("An answer", "closed")
        assert [event.author for event in details.events] == ["bob", "alice", "bob", "bob", "bob"]
        assert details.events[1].id == comment.id
        api.change_discussion_status(shared, 1, "open")
        with pytest.raises(HfHubHTTPError, match="open already"):
            api.change_discussion_status(shared, 1, "open")

    def test_a_comment_is_edited_by_its_author(self, api, bob, shared, thread):
        (first,) = thread.events
        with pytest.raises(HfHubHTTPError, match="403"):
            api.edit_discussion_comment(shared, 1, first.id, "Mine now")
        edited = bob.edit_discussion_comment(shared, 1, first.id, "Why <not>?")
        assert (edited.content, edited.edited, edited.number_of_edits) == ("Why <not>?", True, 1)
        assert edited.edit_history[0]["raw"] == "Why?"
        assert edited.rendered == "<p>Why &lt;not&gt;?</p>"

    def test_what_is_hidden_is_gone(self, hub, api, bob, shared, thread):
        comment = bob.comment_discussion(shared, 1, "a secret that slipped out")
        bob.edit_discussion_comment(shared, 1, comment.id, "nothing to see")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            hidden = api.hide_discussion_comment(shared, 1, comment.id)
        assert hidden.hidden
        details = httpx2.get(f"{api.endpoint}/api/models/{shared}/discussions/1").text
        assert "slipped" not in details
        assert "nothing to see" not in details
        with pytest.raises(HfHubHTTPError, match="403"):
            bob.edit_discussion_comment(shared, 1, comment.id, "again")

    def test_strangers_do_not_rename_or_close(self, hub, bob, api, shared):
        api.create_discussion(shared, "Ours")
        for attempt in (
            lambda: bob.rename_discussion(shared, 1, "Theirs"),
            lambda: bob.change_discussion_status(shared, 1, "closed"),
            lambda: hub.api(None).comment_discussion(shared, 1, "hi"),
            lambda: hub.api("reader").comment_discussion(shared, 1, "hi"),
        ):
            with pytest.raises(HfHubHTTPError, match=r"40[13]"):
                attempt()

    def test_lists(self, api, bob, shared):
        for number in range(60):
            bob.create_discussion(shared, f"Number {number}")
        api.create_pull_request(shared, "A draft")
        api.change_discussion_status(shared, 3, "closed")

        def numbers(**filters):
            return [item.num for item in api.get_repo_discussions(shared, **filters)]

        assert numbers() == list(range(61, 0, -1))
        assert numbers(discussion_type="pull_request") == [61]
        assert numbers(author="BOB", discussion_status="closed") == [3]
        assert 61 in numbers(discussion_status="open")

    @pytest.mark.parametrize("title", ["", "ab", "x" * 201])
    def test_titles_that_are_none(self, api, shared, title):
        with pytest.raises(HfHubHTTPError) as refusal:
            api.create_discussion(shared, title)
        assert refusal.value.response.status_code == 400

    @pytest.mark.parametrize("path", ["0", "2", "x", "9" * 30, "1/comment/0/edit"])
    def test_discussions_that_do_not_exist(self, hub, shared, thread, path):
        address = f"{hub.endpoint}/api/models/{shared}/discussions/{path}"
        method = "POST" if "edit" in path else "GET"
        answer = httpx2.request(
            method,
            address,
            headers={"Authorization": f"Bearer {hub.tokens['bob']}"},
            json={"content": "x"} if method == "POST" else None,
        )
        assert answer.status_code == 404

    def test_they_go_with_the_repo(self, api, shared, thread):
        api.delete_repo(shared)
        api.create_repo(shared)
        assert list(api.get_repo_discussions(shared)) == []
