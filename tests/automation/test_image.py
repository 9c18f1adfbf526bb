"""The image of jobs, from a tag to a digest, against a registry that asks for a token as Docker Hub does."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest
from click.testing import CliRunner

from ggez_hub.automation.container_image import Image
from ggez_hub.cli.ci import ci_command

from .runner import PROJECT

DIGEST = "sha256:" + "5" * 64


class Registry(BaseHTTPRequestHandler):
    """Knows python:3.11-bookworm; `says` are the headers of its manifest."""

    says: ClassVar = {"Docker-Content-Digest": DIGEST}

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        here = f"http://127.0.0.1:{self.server.server_port}"
        if self.headers["Authorization"] != "Bearer anybody":
            self.send_response(401)
            self.send_header(
                "WWW-Authenticate",
                f'Bearer realm="{here}/token",service="r",scope="repository:library/python:pull"',
            )
        elif self.path == "/v2/library/python/manifests/3.11-bookworm":
            assert "application/vnd.oci.image.index.v1+json" in self.headers["Accept"]
            self.send_response(200)
            for key, value in self.says.items():
                self.send_header(key, value)
        else:
            self.send_response(404)
        self.end_headers()

    def do_GET(self):
        assert self.path == "/token?service=r&scope=repository%3Alibrary%2Fpython%3Apull"
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"token": "anybody"}).encode())


@pytest.fixture
def registry():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Registry)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def clone(tmp_path, registry):
    return with_image(tmp_path, f"{registry}/library/python:3.11-bookworm")


def with_image(clone, image):
    text = (PROJECT / ".github" / "budget.yaml").read_text()
    old = next(line for line in text.splitlines() if line.startswith("image:"))
    (clone / ".github").mkdir()
    (clone / ".github" / "budget.yaml").write_text(text.replace(old, f"image: {image}"))
    return clone


def pin(clone, *arguments):
    command = ["pin", "--repository", str(clone), "--hub", "http://127.0.0.1:9", *arguments]
    return CliRunner().invoke(ci_command, command)


def test_the_tag_gets_the_digest_that_the_registry_says_once(clone):
    path = clone / ".github" / "budget.yaml"
    before = path.read_text().splitlines()
    loose = pin(clone, "--check")
    assert loose.exit_code == 1
    assert "is not pinned" in str(loose.exception)
    assert pin(clone).exit_code == 0
    after = path.read_text().splitlines()
    changed = [(a, b) for a, b in zip(before, after, strict=True) if a != b]
    ((old, new),) = changed
    assert new == f"{old}@{DIGEST}"
    assert pin(clone, "--check").exit_code == 0
    assert json.loads(pin(clone, "--json").output)["image"] is None
    assert path.read_text().splitlines() == after


@pytest.mark.parametrize(
    ("tag", "says", "message"),
    [
        ("nobody", {}, "404 Not Found"),
        ("3.11-bookworm", {}, "names no sha256 of library/python:3.11-bookworm"),
        ("3.11-bookworm", {"Docker-Content-Digest": "sha256:5"}, "names no sha256"),
    ],
)
def test_what_the_registry_does_not_say_leaves_the_file_as_it_was(
    tmp_path, registry, monkeypatch, tag, says, message
):
    monkeypatch.setattr(Registry, "says", says)
    clone = with_image(tmp_path, f"{registry}/library/python:{tag}")
    before = (clone / ".github" / "budget.yaml").read_text()
    result = pin(clone)
    assert result.exit_code == 1
    assert message in str(result.exception)
    assert (clone / ".github" / "budget.yaml").read_text() == before


def test_a_registry_that_is_not_there_is_an_error_of_one_line(tmp_path):
    clone = with_image(tmp_path, "127.0.0.1:9/python:3.11")
    assert "python:3.11 cannot be asked for at 127.0.0.1:9" in str(pin(clone).exception)


@pytest.mark.parametrize(
    ("reference", "address"),
    [
        ("python:3.11", "https://registry-1.docker.io/v2/library/python/manifests/3.11"),
        ("org/image", "https://registry-1.docker.io/v2/org/image/manifests/latest"),
        ("ghcr.io/org/image:v1", "https://ghcr.io/v2/org/image/manifests/v1"),
        ("localhost:5000/image", "http://localhost:5000/v2/image/manifests/latest"),
    ],
)
def test_references_are_read_as_docker_reads_them(reference, address):
    assert Image.of(reference).manifest == address
