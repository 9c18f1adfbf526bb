"""Long histories: which commit changed a file last, and pages of commits."""

import random

import httpx2
import pytest

from ggez_hub.embedded import history
from ggez_hub.embedded.commits import locate


@pytest.fixture
def long(hub, new_id):
    """A repo with files that come, change, move into folders of their own name, and go."""
    repo, chance = new_id(), random.Random(3)  # noqa: S311
    hub.store.create_repo("model", repo)
    signature = {"author": "a", "email": "a@example.org"}
    files = {f"{number % 3}/{number}.txt": b"%d" % number for number in range(20)}
    hub.store.commit("model", repo, files, message="first", date=1, **signature)
    for number in range(130):
        path = chance.choice([f"{number % 3}/{number % 25}.txt", f"new/{number % 7}", "README.md"])
        gone = [f"new/{number % 7}"] if number % 11 == 0 and "new/" not in path else []
        gone = [path for path in gone if exists(hub, repo, path)]
        content = {path: b"%d" % number}
        hub.store.commit(
            "model", repo, content, message="x", date=number + 2, delete=gone, **signature
        )
    return repo


def exists(hub, repo, path):
    with hub.store.git(hub.store.repo("model", repo)) as git:
        return git.snapshot().find(path) is not None


def compared(git, path):
    """The last commit that changed a path, by looking at every commit."""
    links = history.first_parents(git.objects, git.refs.head("main"))
    for link, parent in zip(links, [*links[1:], None], strict=True):
        before = locate(git.objects, parent.tree, path) if parent else None
        if locate(git.objects, link.tree, path) != before:
            return link.commit
    raise AssertionError(path)


def test_the_last_commit_of_each_path(hub, api, long):
    with hub.store.git(hub.store.repo("model", long)) as git:
        entries = list(api.list_repo_tree(long, recursive=True, expand=True))
        assert len(entries) > 25
        assert {entry.path: entry.last_commit.oid for entry in entries} == {
            entry.path: compared(git, entry.path) for entry in entries
        }
    # And after another commit, which is added to what is remembered.
    api.upload_file(path_or_fileobj=b"!", path_in_repo="2/2.txt", repo_id=long)
    with hub.store.git(hub.store.repo("model", long)) as git:
        found = api.get_paths_info(long, ["2/2.txt", "2", "1/1.txt", "README.md"], expand=True)
        assert len(found) == 4
        for entry in found:
            assert entry.last_commit.oid == compared(git, entry.path)


def test_a_history_is_read_once(hub, long, monkeypatch):
    repo = hub.store.repo("model", long)
    with hub.store.git(repo) as git:
        head = git.refs.head("main")
        before = history.last_changes(git.objects, head)
    oid = hub.store.commit(
        "model", long, {"1/1.txt": b"new"}, message="x", author="a", email="a@example.org", date=999
    )
    with hub.store.git(repo) as git:
        read = []
        raw = type(git.objects).raw
        monkeypatch.setattr(
            type(git.objects), "raw", lambda self, oid: read.append(oid) or raw(self, oid)
        )
        after = history.last_changes(git.objects, oid)
    # The commit, and two trees before and after it.
    assert len(read) == 5
    assert after == {**before, "1": oid, "1/1.txt": oid}


def test_a_long_list_of_commits_is_kept_for_the_next_server(hub, api, long, monkeypatch):
    monkeypatch.setattr(history, "_SHORT", 5)
    monkeypatch.setattr(history, "_LONG", 50)
    repo = hub.store.repo("model", long)

    def walk():
        """What a server finds that was just started, and how many commits it reads."""
        monkeypatch.setattr(history, "_histories", history._Recent(8))
        with hub.store.git(repo) as git:
            raw, read = git.objects.raw, []
            git.objects.raw = lambda oid: read.append(oid) or raw(oid)
            return history.first_parents(git.objects, git.refs.head("main")), len(read)

    links, read = walk()
    assert read == len(links) == 131
    for number in range(7):
        api.upload_file(path_or_fileobj=b"%d" % number, path_in_repo="new.txt", repo_id=long)
    longer, read = walk()
    assert (longer[7:], read) == (links, 7)
    # A damaged file, or that of another history, is as good as none.
    file = hub.store.folder(repo) / "hub-history"
    for text in (b"\xff", b"x\n", b"0 1 2\n", file.read_bytes()[82 * 3 + 1 :], b""):
        file.write_bytes(text)
        assert walk() == (longer, 138)
        assert file.read_text().count("\n") == 138


def test_pages_of_commits(hub, api, long):
    first = httpx2.get(f"{hub.endpoint}/api/models/{long}/commits/main")
    assert len(first.json()) == 100
    assert first.headers["X-Total-Count"] == "131"
    rest = httpx2.get(first.links["next"]["url"])
    assert len(rest.json()) == 31
    assert "next" not in rest.links
    commits = api.list_repo_commits(long)
    assert [commit.commit_id for commit in commits] == [
        item["id"] for item in (*first.json(), *rest.json())
    ]
    assert commits[-1].title == "first"


def test_requests_for_last_commits_keep_no_others_waiting(hub, long, monkeypatch):
    """However many wait for histories, the threads of the others stay free."""
    from concurrent.futures import ThreadPoolExecutor
    from threading import Event

    from ggez_hub.embedded.http import file_routes

    free, walk = Event(), file_routes.last_changes

    def slow(*arguments):
        assert free.wait(60)
        return walk(*arguments)

    monkeypatch.setattr(file_routes, "last_changes", slow)
    address = f"{hub.endpoint}/api/models/{long}/tree/main?expand=true"
    with ThreadPoolExecutor(60) as pool:
        waiting = [pool.submit(httpx2.get, address, timeout=120) for _ in range(60)]
        assert httpx2.get(hub.endpoint + "/", timeout=60).status_code == 200
        assert not any(answer.done() for answer in waiting)
        free.set()
        assert all(answer.result().status_code == 200 for answer in waiting)
