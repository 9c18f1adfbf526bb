"""Pages for people: what the printed addresses show, to whom, and never a stranger's script."""

import base64
import json
import os
import re
import shutil

import httpx2
import pytest

from ggez_hub.embedded.http.pages.markdown import LONGEST, rendered

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
HTML = {"Accept": "text/html,application/xhtml+xml"}
PICTURE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M/wHwAEBgIApD5fRAAAAABJRU5ErkJggg=="
)
CARD = """---
license: mit
tags: [one, "<b>two</b>"]
---
# A *model* card

| a | b |
|---|---|
| 1 | 2 |

[guide](docs/guide.md) [elsewhere](https://example.org/x) ![picture](picture.png)

```python
print("<hi>")
```
"""
HOSTILE = """# Hostile

[up](../../../../api/whoami-v2)

<script>window.hacked = 1</script><img src=x onerror="window.hacked = 1">
<svg onload="window.hacked = 1"><style>* { display: none }</style></svg>
<iframe srcdoc="<script>parent.hacked = 1</script>"></iframe>
<form action="https://evil.example"><button>x</button></form>
<a href="javascript:window.hacked=1" id="trap">click</a> [b](javascript:window.hacked=1) [c](data:text/html,x)
<img src="https://evil.example/pixel.png"><img src="//evil.example/p.png"><link rel=stylesheet href="https://evil.example/x">
<meta http-equiv="refresh" content="0;url=https://evil.example"><base href="https://evil.example/">
<div style="position:fixed;inset:0" onclick="window.hacked=1">over</div><object data="x"></object>
<math><mi//xlink:href="data:x,<script>window.hacked=1</script>">
</main></body></html><h1>after</h1>
"""

# One for all: each loads the certificates that it would trust.
CLIENT = httpx2.Client()


def get(hub, path, who=None, **headers):
    if who:
        secret = base64.b64encode(f"x:{hub.tokens[who]}".encode()).decode()
        headers["Authorization"] = f"Basic {secret}"
    return CLIENT.get(hub.endpoint + path, headers={**HTML, **headers})


@pytest.fixture
def shown(api, repo):
    """A model with a card, a folder, a discussion and a pull request."""
    files = {
        "README.md": CARD.encode(),
        "docs/guide.md": b"# Guide\n<script>",
        "picture.png": PICTURE,
        "model.safetensors": b"\0" * 100,
        "a b#?.txt": b"odd",
    }
    for path, content in files.items():
        api.upload_file(
            path_or_fileobj=content, path_in_repo=path, repo_id=repo, commit_message=f"Add {path}"
        )
    api.create_discussion(
        repo, title="A <question>", description="Does it **work**? <script>x</script>"
    )
    api.upload_file(path_or_fileobj=b"new", path_in_repo="new.txt", repo_id=repo, create_pr=True)
    return repo


def test_every_printed_address_is_a_page(hub, api, shown):
    info = api.create_commit(shown, [], commit_message="Add a b#?.txt")
    assert info.commit_url.endswith(info.oid)
    printed = {
        f"/{shown}": ["license:mit", "guide", "<h1>A <em>model</em> card</h1>"],
        f"/{shown}/tree/main": ["model.safetensors", "100 bytes", "docs/"],
        f"/{shown}/tree/main/docs": ["guide.md"],
        f"/{shown}/blob/main/docs/guide.md": ["# Guide", "&lt;script&gt;"],
        f"/{shown}/blob/main/model.safetensors": ["This is a large file", "sha256"],
        f"/{shown}/blob/main/a%20b%23%3F.txt": ["odd"],
        f"/{shown}/commits/main": ["Add README.md", "alice"],
        f"/{shown}/commit/{info.oid}": ["Add a b#?.txt", info.oid, "added"],
        f"/{shown}/discussions": ["A &lt;question&gt;", "pull request"],
        f"/{shown}/discussions/1": ["<strong>work</strong>"],
        f"/{shown}/discussions/2": ["+new", "pull request into main"],
        f"/{shown}/tree/refs%2Fpr%2F2": ["new.txt"],
        f"/{shown}/tree/refs/pr/2": ["new.txt"],
        "/": [shown],
    }
    links = {}
    for path, words in printed.items():
        answer = get(hub, path)
        assert answer.status_code == 200, path
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        for word in words:
            assert word in answer.text, (path, word)
        assert "<script" not in answer.text
        links |= dict.fromkeys(re.findall(r'(?:href|src)="(/[^"]*)"', answer.text), path)
    # Others may have left repos that they broke.
    for link in (link for link in links if shown in link or link == "/-/style.css"):
        assert get(hub, link.replace("&amp;", "&")).status_code == 200, (links[link], link)


def test_datasets_and_spaces_have_pages(hub, api, new_id):
    name = new_id()
    api.create_repo(name, repo_type="dataset")
    api.create_repo(name, repo_type="space", space_sdk="static")
    assert "/datasets/" in get(hub, f"/datasets/{name}").text
    assert get(hub, f"/spaces/{name}/tree/main").status_code == 200
    assert get(hub, f"/{name}").status_code == 401


def test_a_private_repo_is_shown_to_who_gives_a_token(hub, secret_repo):
    for path in (
        "",
        "/tree/main",
        "/blob/main/a.txt",
        "/commits/main",
        "/discussions",
        "/discussions/1",
    ):
        answer = get(hub, f"/{secret_repo}{path}")
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Basic")
        assert get(hub, f"/{secret_repo}{path}", "bob").status_code == 404
        assert secret_repo not in answer.text
    shown = get(hub, f"/{secret_repo}/blob/main/a.txt", "alice")
    assert "hidden" in shown.text
    assert "private" in shown.headers["cache-control"]
    assert secret_repo not in get(hub, "/").text
    assert secret_repo in get(hub, "/", "alice").text


def test_a_gated_repo_shows_no_content(hub, api, shown):
    api.update_repo_settings(shown, gated="manual")
    answer = get(hub, f"/{shown}", "bob")
    assert "ask-access" in answer.text
    assert "card</h1>" not in answer.text
    assert get(hub, f"/{shown}/blob/main/docs/guide.md", "bob").status_code == 403
    assert "+new" not in get(hub, f"/{shown}/discussions/2", "bob").text


def test_what_is_not_there_is_a_page_for_browsers_and_json_for_programs(hub, repo):
    for path in (
        f"/{repo}/tree/none",
        f"/{repo}/blob/main/none",
        f"/{repo}/discussions/9",
        f"/{repo}/discussions/x",
        f"/{repo}/commits/main?p=x",
        "/api/none",
    ):
        answer = get(hub, path)
        assert answer.status_code in {400, 401, 404}, path
        assert answer.headers["content-type"].startswith("text/html")
        answer = httpx2.get(hub.endpoint + path)
        assert "error" in json.loads(answer.text)
    assert json.loads(httpx2.get(hub.endpoint).text)["name"] == "ggez-hub"


def test_a_damaged_repo_keeps_nobody_from_the_others(hub, api, repo, new_id):
    api.upload_file(path_or_fileobj=b"a", path_in_repo="x/a.txt", repo_id=repo)
    broken = new_id()
    hub.store.create_repo("model", broken)
    commit = hub.store.commit(
        "model", broken, {"x/a.txt": b"b"}, message="x", author="a", email="b", date=1
    )
    with hub.store.git(hub.store.repo("model", broken)) as git:
        tree = git.objects.commit(commit).tree.decode()
    (hub.store.folder(hub.store.repo("model", broken)) / "objects" / tree[:2] / tree[2:]).unlink()
    assert repo in get(hub, "/").text
    assert repo in {model.id for model in api.list_models()}
    api.delete_repo(broken)


def test_an_old_name_leads_to_the_new_page(hub, api, repo, new_id):
    name = new_id()
    api.move_repo(repo, name)
    answer = get(hub, f"/{repo}/tree/main")
    assert (answer.status_code, answer.headers["location"]) == (307, f"/{name}/tree/main")


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_pages_of_others_cannot_use_the_password_of_a_browser(hub, repo, site):
    secret = base64.b64encode(f"x:{hub.tokens['alice']}".encode()).decode()
    headers = {
        "Authorization": f"Basic {secret}",
        "Sec-Fetch-Site": site,
        "Content-Type": "text/plain",
    }
    address = f"{hub.endpoint}/api/models/{repo}/super-squash/main"
    answer = httpx2.post(address, headers=headers, content="{}")
    assert answer.status_code == 403
    assert (
        httpx2.post(
            address, headers=headers | {"Sec-Fetch-Site": "same-origin"}, content="{}"
        ).status_code
        != 403
    )


def test_markdown_of_strangers():
    page = str(rendered(HOSTILE, "/acme/a"))
    for word in (
        "<script",
        "onerror",
        "onload",
        "onclick",
        "<svg",
        "<iframe",
        "<form",
        "<style",
        "style=",
        '"javascript',
        '"data:',
        "evil.example",
        "<meta",
        "<base",
        "<object",
        "<link",
        " id=",
    ):
        assert word not in page, word
    assert '"/acme/a/blob/main/api/whoami-v2"' in page
    links = {
        "[a](x/../y.md)": "/acme/a/blob/v%2F1/y.md",
        "![a](./p%20q.png)": "/acme/a/resolve/v%2F1/p%20q.png",
        "[a](mailto:a@example.org)": "mailto:a@example.org",
        "[a](https://example.org)": "https://example.org",
    }
    for text, address in links.items():
        assert f'"{address}"' in rendered(text, "/acme/a", "v/1")
    assert rendered("x" * LONGEST + "<b>").endswith("&lt;b&gt;</pre>")


# In a browser


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.mark.slow
@pytest.mark.skipif(
    BROWSER is None and os.environ.get("CI") != "true", reason="there is no chromium here"
)
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_pages_in_a_browser(hub, api, shown, browser, scheme, width):
    from axe_playwright_python.sync_playwright import Axe

    api.upload_file(
        path_or_fileobj=(CARD + HOSTILE).encode(), path_in_repo="README.md", repo_id=shown
    )
    api.create_discussion(shown, title="Hostile " + "w" * 150, description=HOSTILE)
    asked = []
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 800})
    opened = context.new_page()
    opened.on("request", lambda request: asked.append(request.url))
    paths = (
        "/",
        f"/{shown}",
        f"/{shown}/tree/main",
        f"/{shown}/blob/main/docs/guide.md",
        f"/{shown}/commits/main",
        f"/{shown}/discussions",
        f"/{shown}/discussions/2",
        f"/{shown}/discussions/3",
    )
    for number, path in enumerate(paths):
        opened.goto(hub.endpoint + path)
        if "SHOTS" in os.environ:
            opened.screenshot(path=f"{os.environ['SHOTS']}/{number}-{width}-{scheme}.png")
        assert opened.evaluate("typeof window.hacked") == "undefined"
        assert not opened.evaluate("document.documentElement.scrollWidth > innerWidth"), path
        options = {"runOnly": ["wcag2a", "wcag2aa", "wcag21aa"]}
        # What a stranger wrote may lack a text for a picture.
        ours = {"exclude": [".text"]}
        found = Axe().run(opened, context=ours, options=options).response["violations"]
        assert not found, json.dumps(found, indent=1)
        if path == f"/{shown}":
            picture = "document.querySelector('.text img').naturalWidth"
            assert opened.evaluate(picture) == 1
    assert all(url.startswith(hub.endpoint) for url in asked)
    context.close()


def test_pages_of_collections_and_buckets(hub, api, repo, secret_repo):
    made = api.create_collection("<b>Mine</b>", namespace="acme", description="About <i>it</i>")
    api.add_collection_item(made.slug, repo, "model", note="<script>window.hacked = 1</script>")
    api.add_collection_item(made.slug, secret_repo, "model")
    api.add_collection_item(made.slug, "2310.06825", "paper")
    path = made.url.removeprefix(hub.endpoint).removeprefix("https://huggingface.co")
    shown = get(hub, path)
    assert f'<a href="/{repo}">{repo}</a>' in shown.text
    assert "2310.06825" in shown.text
    assert not re.search("<script|<b>|<i>", shown.text)
    assert secret_repo not in shown.text
    assert secret_repo in get(hub, path, "alice").text
    api.update_collection_metadata(made.slug, private=True)
    assert get(hub, path).status_code == 404
    api.delete_collection(made.slug)

    bucket = api.create_bucket(repo)
    api.batch_bucket_files(repo, add=[(b"a", "d/<a>.txt"), (b"bc", "b&.txt")])
    path = bucket.url.removeprefix(hub.endpoint)
    shown = get(hub, path)
    assert "b&amp;.txt" in shown.text
    assert "2 bytes" in shown.text
    assert f'<a href="/buckets/{repo}/tree/d">d/</a>' in shown.text
    inside = get(hub, f"{path}/tree/d")
    assert "&lt;a&gt;.txt" in inside.text
    address = re.search(r'href="(/buckets/[^"]*/resolve/[^"]*)"', inside.text)[1]
    assert get(hub, address).content == b"a"
    assert get(hub, f"{path}/tree/none").status_code == 404
    api.update_bucket_settings(repo, private=True)
    assert [get(hub, path, who).status_code for who in (None, "bob", "alice")] == [401, 404, 200]
    api.delete_bucket(repo)
