"""The hub by itself, and its accounts file."""

import subprocess
import sys

import pytest
from huggingface_hub import HfApi

from ggez_hub.embedded.errors import InvalidRequestError
from ggez_hub.embedded.serving import load_accounts

ACCOUNTS = """
- name: ada
  fullname: Ada
  orgs: [lovelace]
  tokens:
    - {token: hf_adaadaadaadaadaada, scope: write}
"""
SERVE = """
import sys
from pathlib import Path
from ggez_hub.embedded import serve
serve(Path(sys.argv[1]), port=0, accounts=Path(sys.argv[2]))
"""


def test_serve(tmp_path):
    accounts = tmp_path / "accounts.yaml"
    accounts.write_text(ACCOUNTS)
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, tmp_path / "hub", accounts],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    endpoint = process.stdout.readline().strip()
    assert endpoint.startswith("http://127.0.0.1:")
    api = HfApi(endpoint, token="hf_adaadaadaadaadaada")
    assert api.create_repo("lovelace/engine").repo_id == "lovelace/engine"
    owner = (tmp_path / "hub" / "token").read_text()
    assert HfApi(endpoint, token=owner).whoami()["name"] == "local"
    process.terminate()
    _, errors = process.communicate(timeout=30)
    assert owner not in errors


@pytest.mark.parametrize(
    "text",
    [
        "name: ada",
        "- fullname: Ada",
        "[",
        "- name: ../ada",
        "- {name: ada, tokens: [{token: short, scope: read}]}",
        "- {name: ada, tokens: [{token: hf_adaadaadaadaadaada, scope: root}]}",
        "- {name: ada, tokens: [hf_adaadaadaadaadaada]}",
    ],
)
def test_accounts_files_that_are_refused(store, tmp_path, text):
    (tmp_path / "accounts.yaml").write_text(text)
    with pytest.raises(InvalidRequestError):
        load_accounts(store, tmp_path / "accounts.yaml")


def test_importing_the_package_loads_nothing_else():
    script = (
        "import sys; before = set(sys.modules); import ggez_hub.embedded; "
        "print(sorted(name.partition('.')[0] for name in set(sys.modules) - before))"
    )
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout
    assert "starlette" not in found
    assert "dulwich" not in found
    assert "sqlite3" not in found


def test_the_package_imports_nothing_else_of_ours():
    script = (
        "import sys, importlib, pkgutil, ggez_hub.embedded as e\n"
        "for module in pkgutil.walk_packages(e.__path__, e.__name__ + '.'):\n"
        "    if not module.name.endswith('__main__'): importlib.import_module(module.name)\n"
        "print([m for m in sys.modules if m.startswith('ggez_hub.') and '.embedded' not in m])"
    )
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout
    assert found.strip() == "[]"
