"""The conftest.py that the source distribution of huggingface_hub leaves out, for a hub under test.

It gives the suite the fixtures that it asks for, and counts for each test the requests that reached the
hub. The results go to the file CONFORMANCE_RESULTS, one JSON object for each test.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from huggingface_hub import HfApi, RepoUrl, constants
from huggingface_hub.utils import SoftTemporaryDirectory

from . import testing_constants

ENDPOINT = os.environ["HF_ENDPOINT"]
testing_constants.ENDPOINT_STAGING = ENDPOINT

from .testing_utils import repo_name, set_write_permission_and_retry  # noqa: E402

RESULTS = Path(os.environ["CONFORMANCE_RESULTS"])
_requests = 0
_outcomes: dict[str, dict[str, Any]] = {}


def _counting(original: Any) -> Any:
    def handle(self: Any, request: httpx2.Request) -> Any:
        global _requests  # noqa: PLW0603 - one counter for one process
        if urlsplit(str(request.url)).netloc == urlsplit(ENDPOINT).netloc:
            _requests += 1
        return original(self, request)

    return handle


httpx2.HTTPTransport.handle_request = _counting(httpx2.HTTPTransport.handle_request)
httpx2.AsyncHTTPTransport.handle_async_request = _counting(
    httpx2.AsyncHTTPTransport.handle_async_request
)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    before = _requests
    yield
    outcome = _outcomes.pop(item.nodeid, {"outcome": "skipped", "reason": ""})
    with RESULTS.open("a") as file:
        record = {"test": item.nodeid, "requests": _requests - before, **outcome}
        file.write(json.dumps(record) + "\n")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    known = _outcomes.get(report.nodeid)
    if report.failed or (report.when == "call" and known is None):
        reason = "" if report.passed else str(report.longrepr).strip().splitlines()[-1]
        _outcomes[report.nodeid] = {"outcome": report.outcome, "reason": reason}


class RepoFactory:
    """Makes repos that are deleted at the end of the test."""

    def __init__(self) -> None:
        self._made: list[tuple[HfApi, RepoUrl]] = []

    def __call__(
        self,
        repo_type: str = "model",
        *,
        repo_id: str | None = None,
        token: str = testing_constants.TOKEN,
        **options: Any,
    ) -> RepoUrl:
        api = HfApi(ENDPOINT, token=token)
        if repo_type == "space":
            options.setdefault("space_sdk", "static")
        url = api.create_repo(repo_id or repo_name(), repo_type=repo_type, **options)
        self._made.append((api, url))
        return url

    def clean(self) -> None:
        for api, url in self._made:
            api.delete_repo(url.repo_id, repo_type=url.repo_type, missing_ok=True)


@pytest.fixture
def repo_factory() -> Iterator[RepoFactory]:
    factory = RepoFactory()
    yield factory
    factory.clean()


@pytest.fixture(scope="session")
def api() -> HfApi:
    return HfApi(ENDPOINT, token=testing_constants.TOKEN)


@pytest.fixture(scope="session")
def api_prod() -> HfApi:
    return HfApi(testing_constants.ENDPOINT_PRODUCTION, token=False)


@pytest.fixture
def new_repo_id(api: HfApi) -> Iterator[str]:
    name = f"{testing_constants.USER}/{repo_name()}"
    yield name
    api.delete_repo(name, missing_ok=True)


@pytest.fixture(autouse=True)
def folders(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A cache, a home and a working folder of its own for each test."""
    with SoftTemporaryDirectory() as name:
        folder = Path(name).resolve()
        home = folder / "home"
        home.mkdir()
        monkeypatch.setenv("HF_HOME", str(home))
        monkeypatch.setattr(constants, "HF_HOME", str(home))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(home / "token"))
        monkeypatch.setattr(constants, "HF_STORED_TOKENS_PATH", str(home / "stored_tokens"))
        for constant in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
            monkeypatch.setattr(constants, constant, str(home / "hub"), raising=False)
        monkeypatch.setattr(constants, "HF_ASSETS_CACHE", str(home / "assets"), raising=False)
        yield
        shutil.rmtree(folder, onerror=set_write_permission_and_retry)
        folder.mkdir()


@pytest.fixture
def fx_cache_dir(request: pytest.FixtureRequest) -> Iterator[None]:
    """The attribute `cache_dir` of a test class."""
    with SoftTemporaryDirectory() as name:
        request.cls.cache_dir = Path(name).resolve()
        yield
        shutil.rmtree(name, onerror=set_write_permission_and_retry)
        Path(name).mkdir()
