"""Pull requests on a hub."""

from __future__ import annotations

from collections.abc import Mapping

from ggez_hub.hub.client import Hub
from ggez_hub.hub.listing import understood
from ggez_hub.hub.patience import patiently


def propose(
    hub: Hub, repo: str, files: Mapping[str, str], title: str, description: str, parent: str
) -> tuple[str, bool]:
    """Open a pull request that sets text `files` of a model repository; (address, whether it is new).

    parent: the commit that the files were made from; the hub refuses if its branch has moved. An
    open pull request of the same title and files is not opened again. Raises what the client raises,
    and BadAnswer.
    """
    from huggingface_hub import CommitOperationAdd

    api = hub._api
    with understood(f"the pull requests of {repo}"):
        there = patiently(
            lambda: list(
                api.get_repo_discussions(
                    repo, discussion_type="pull_request", discussion_status="open"
                )
            )
        )
    for found in there:
        same = found.title == title and all(
            hub.read_text(repo, f"refs/pr/{found.num}", path) == text
            for path, text in files.items()
        )
        if same:
            return found.url, False
    # Not tried again by itself: a second attempt could open a second one.
    commit = api.create_commit(
        repo,
        [CommitOperationAdd(path, text.encode()) for path, text in files.items()],
        commit_message=title,
        commit_description=description,
        create_pr=True,
        parent_commit=parent,
    )
    return str(commit.pr_url), True
