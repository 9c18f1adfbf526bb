"""Collections, as huggingface_hub makes and reads them."""

import httpx2
import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError

from ggez_hub.embedded import collections
from ggez_hub.embedded.account_keeping import remove_account
from ggez_hub.embedded.store import HubStore

from .conftest import running


@pytest.fixture
def collection(api, new_id):
    """A new collection of acme."""
    made = api.create_collection(new_id(), namespace="acme", description="About it")
    yield made
    api.delete_collection(made.slug, missing_ok=True)


def ids(collection):
    return [item.item_id for item in collection.items]


def status(action, *arguments, **options):
    with pytest.raises(HfHubHTTPError) as caught:
        action(*arguments, **options)
    return caught.value.response.status_code


def slugs(api, **query):
    return [each.slug for each in api.list_collections(**query)]


def test_a_collection_keeps_its_id_when_its_title_changes(api):
    made = api.create_collection("Café: models & more", namespace="acme", description="Old")
    assert made.slug.startswith("acme/cafe-models-more-")
    assert (made.owner["name"], made.items, made.private) == ("acme", [], False)
    changed = api.update_collection_metadata(
        made.slug, title="ไทย", description="New", private=True, theme="pink"
    )
    assert changed.slug == "acme/" + made.slug[-24:]
    found = api.get_collection(made.slug)
    assert (found.slug, found.title, found.description) == (changed.slug, "ไทย", "New")
    assert (found.private, found.theme) == (True, "pink")
    assert api.update_collection_metadata(made.slug, description="").description is None
    api.delete_collection(made.slug)
    assert status(api.delete_collection, made.slug) == 404
    api.delete_collection(made.slug, missing_ok=True)


def test_a_title_is_taken_once_by_an_owner(api, collection):
    again = {"title": collection.title, "namespace": "acme"}
    assert status(api.create_collection, **again) == 409
    assert api.create_collection(**again, exists_ok=True).slug == collection.slug


def test_items_are_added_noted_moved_and_removed(api, collection, repo, new_id):
    data = new_id()
    api.create_repo(data, repo_type="dataset")
    api.add_collection_item(collection.slug, repo, "model", note="First <b>")
    api.add_collection_item(collection.slug, data, "dataset")
    api.add_collection_item(collection.slug, "2310.06825", "paper")
    full = api.add_collection_item(collection.slug, collection.slug, "collection")
    assert ids(full) == [repo, data, "2310.06825", collection.slug]
    assert [item.position for item in full.items] == [0, 1, 2, 3]
    assert [item.note for item in full.items] == ["First <b>", None, None, None]

    assert status(api.add_collection_item, collection.slug, repo, "model") == 409
    api.add_collection_item(collection.slug, repo, "model", exists_ok=True)
    assert status(api.add_collection_item, collection.slug, repo, "dataset") == 404
    assert status(api.add_collection_item, collection.slug, "no paper", "paper") == 400

    first = full.items[0].item_object_id
    api.update_collection_item(collection.slug, first, note="Second", position=2)
    found = api.get_collection(collection.slug)
    assert ids(found) == [data, "2310.06825", repo, collection.slug]
    assert found.items[2].note == "Second"
    api.delete_collection_item(collection.slug, first)
    assert status(api.delete_collection_item, collection.slug, first) == 404
    api.delete_collection_item(collection.slug, first, missing_ok=True)
    assert ids(api.get_collection(collection.slug)) == [data, "2310.06825", collection.slug]


def test_a_note_is_text_for_whoever_shows_it_as_html(hub, api, collection, repo):
    api.add_collection_item(collection.slug, repo, "model", note="<script>")
    answer = httpx2.get(f"{hub.endpoint}/api/collections/{collection.slug}").json()
    assert answer["items"][0]["note"] == {"html": "&lt;script&gt;", "text": "<script>"}


def test_items_follow_a_repo_that_moves_and_go_with_it(api, collection, repo):
    api.add_collection_item(collection.slug, repo, "model")
    api.move_repo(repo, f"{repo}-moved")
    assert ids(api.get_collection(collection.slug)) == [f"{repo}-moved"]
    api.delete_repo(f"{repo}-moved")
    assert ids(api.get_collection(collection.slug)) == []


def test_a_private_collection_does_not_exist_for_others(hub, api, collection, repo):
    api.add_collection_item(collection.slug, repo, "model")
    api.update_collection_metadata(collection.slug, private=True)
    owner = api.create_collection(f"around {collection.title}", namespace="acme")
    api.add_collection_item(owner.slug, collection.slug, "collection")
    assert ids(api.get_collection(owner.slug)) == [collection.slug]
    for other in (hub.api("bob"), hub.api(None)):
        assert status(other.get_collection, collection.slug) == 404
        assert collection.slug not in slugs(other, item=f"models/{repo}")
        assert ids(other.get_collection(owner.slug)) == []
        assert slugs(other, item=f"collections/{collection.slug}") == []
    assert status(hub.api("bob").delete_collection, collection.slug) == 404
    assert slugs(api, item=f"models/{repo}") == [collection.slug]
    api.delete_collection(owner.slug)


def test_a_private_repo_is_not_seen_in_a_public_collection(hub, api, collection, secret_repo, repo):
    bob = hub.api("bob")
    mine = bob.create_collection("mine")
    assert status(bob.add_collection_item, mine.slug, secret_repo, "model") == 404
    bob.delete_collection(mine.slug)
    api.add_collection_item(collection.slug, secret_repo, "model", note="secret")
    api.add_collection_item(collection.slug, repo, "model")
    around = api.create_collection(f"around {collection.title}", namespace="acme")
    api.add_collection_item(around.slug, collection.slug, "collection")
    assert ids(api.get_collection(collection.slug)) == [secret_repo, repo]
    for other in (bob, hub.api(None)):
        found = other.get_collection(collection.slug)
        # A gap in the positions would show that there is one.
        assert [(item.item_id, item.position) for item in found.items] == [(repo, 0)]
        assert slugs(other, item=f"models/{secret_repo}") == []
        headers = other._build_hf_headers()
        answer = httpx2.get(f"{hub.endpoint}/api/collections/{around.slug}", headers=headers)
        assert answer.json()["items"][0]["numberItems"] == 1
    assert slugs(api, item=f"models/{secret_repo}") == [collection.slug]
    api.delete_collection(around.slug)


def test_only_those_who_may_write_change_a_collection(hub, api, collection, repo):
    full = api.add_collection_item(collection.slug, repo, "model")
    item = full.items[0].item_object_id
    for who, expected in (("bob", 403), ("reader", 403), (None, 401)):
        other = hub.api(who)
        assert status(other.create_collection, "New", namespace="acme") == expected
        for action, *arguments in (
            (other.update_collection_metadata, collection.slug),
            (other.delete_collection, collection.slug),
            (other.add_collection_item, collection.slug, "2310.06825", "paper"),
            (other.update_collection_item, collection.slug, item),
            (other.delete_collection_item, collection.slug, item),
        ):
            assert status(action, *arguments) == expected
    assert ids(api.get_collection(collection.slug)) == [repo]


def test_an_item_is_changed_in_its_own_collection_alone(hub, api, collection, repo):
    item = api.add_collection_item(collection.slug, repo, "model").items[0].item_object_id
    bob = hub.api("bob")
    mine = bob.create_collection("mine")
    assert status(bob.delete_collection_item, mine.slug, item) == 404
    assert status(bob.update_collection_item, mine.slug, item, note="mine") == 404
    bob.delete_collection(mine.slug)
    assert ids(api.get_collection(collection.slug)) == [repo]


def test_lists_are_filtered_sorted_and_paged(store, monkeypatch):
    store.add_account("alice", orgs=["acme"])
    token = store.new_token("alice", "write")
    monkeypatch.setattr("ggez_hub.embedded.http.collection_routes.PAGE", 2)
    with running(store) as endpoint:
        api = HfApi(endpoint, token=token)
        made = [api.create_collection(f"title {n}", namespace="acme").slug for n in range(4)]
        papers = [f"2310.0000{n}" for n in range(5)]
        for paper in papers:
            api.add_collection_item(made[1], paper, "paper")
        other = api.create_collection("another").slug
        store.database.write("UPDATE collections SET updated = 9 WHERE title = 'title 2'")
        assert slugs(api) == [*made, other]
        assert slugs(api, limit=3) == made[:3]
        assert slugs(api, owner="ACME") == made
        assert slugs(api, owner=["alice", "nobody"]) == [other]
        assert slugs(api, sort="lastModified")[-1] == made[2]
        assert slugs(api, sort="upvotes") == slugs(api, sort="trending") == [*made, other]
        assert slugs(api, item=["papers/2310.00003", "models/acme/none"]) == [made[1]]
        assert slugs(api, item="models/acme/none") == []
        found = next(each for each in api.list_collections() if each.slug == made[1])
        assert ids(found) == papers[:4]
        asked = httpx2.get(f"{endpoint}/api/collections", params={"q": "TITLE 3"}).json()
        assert [each["slug"] for each in asked] == [made[3]]
        assert status(lambda: slugs(api, sort="size")) == 400
        assert status(lambda: slugs(api, owner=["acme"] * 33)) == 400
        api.update_collection_metadata(made[3], position=0)
        assert slugs(api, owner="acme") == [made[3], *made[:3]]


def test_sizes_are_limited(api, collection, monkeypatch):
    for too_long in ({"title": "t" * 61}, {"title": " "}, {"description": "d" * 151}):
        assert status(api.update_collection_metadata, collection.slug, **too_long) == 400
    for wrong in ({"theme": "red"}, {"position": -1}, {"position": 1 << 40}):
        assert status(api.update_collection_metadata, collection.slug, **wrong) == 400
    add = api.add_collection_item
    assert status(add, collection.slug, "2310.06825", "paper", note="n" * 501) == 400
    add(collection.slug, "2310.06825", "paper", note="n" * 500)
    monkeypatch.setattr(collections, "MOST_ITEMS", 1)
    assert status(add, collection.slug, "2310.06826", "paper") == 413
    monkeypatch.setattr(collections, "MOST_COLLECTIONS", 1)
    assert status(api.create_collection, "One more", namespace="acme") == 413


def test_collections_are_kept_and_go_with_their_owner(tmp_path):
    with HubStore.open(tmp_path) as store:
        store.add_account("alice")
        kept = store.collections.add("alice", "Kept", description=None, private=True)
    with HubStore.open(tmp_path) as store:
        assert store.collections.by_id(kept.id) == kept
        remove_account(store, "alice", "user")
        assert store.database.rows("SELECT * FROM collections") == []
