"""The hub by itself, and its accounts file."""

import json
import subprocess
import sys

import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError

from ggez_hub.embedded.accounts import load_accounts
from ggez_hub.embedded.errors import InvalidRequestError

ACCOUNTS = """
- name: ada
  fullname: Ada
  token: hf_adaadaadaadaadaada
  orgs:
    - {name: lovelace, fullname: Lovelace & Co, role: admin, default_private: true}
    - {name: babbage, role: read}
    - jacquard
- name: charles
  tokens:
    - {token: hf_charlescharlescharles, scope: read}
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
    assert api.model_info("lovelace/engine").private
    api.create_repo("jacquard/loom", private=False)
    with pytest.raises(HfHubHTTPError, match="403"):
        api.create_repo("babbage/engine")
    orgs = {org["name"]: org for org in api.whoami()["orgs"]}
    assert orgs["lovelace"]["fullname"] == "Lovelace & Co"
    assert [orgs[name]["roleInOrg"] for name in sorted(orgs)] == ["read", "write", "admin"]
    assert HfApi(endpoint, token="hf_charlescharlescharles").model_info("jacquard/loom")
    owner = (tmp_path / "hub" / "token").read_text()
    assert HfApi(endpoint, token=owner).whoami()["name"] == "local"
    process.terminate()
    _, errors = process.communicate(timeout=120)
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
        "- {name: ada, orgs: acme}",
        "- {name: ada, orgs: [{name: acme, role: owner}]}",
        "- {name: ada, orgs: [{name: acme, default_private: 'no'}]}",
        "- {name: ada, org: [acme]}",
    ],
)
def test_accounts_files_that_are_refused(store, tmp_path, text):
    (tmp_path / "accounts.yaml").write_text(text)
    with pytest.raises(InvalidRequestError):
        load_accounts(store.accounts, tmp_path / "accounts.yaml")


def test_a_misspelt_key_of_an_account_is_named(store, tmp_path):
    (tmp_path / "accounts.yaml").write_text("- {name: ada}\n- {nme: bob}")
    with pytest.raises(
        InvalidRequestError, match="account 2: missing key 'name'; unknown key 'nme'"
    ):
        load_accounts(store.accounts, tmp_path / "accounts.yaml")


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


def test_the_package_imports_of_ours_only_leaves():
    script = (
        "import sys, importlib, pkgutil, ggez_hub.embedded as e\n"
        "for module in pkgutil.walk_packages(e.__path__, e.__name__ + '.'):\n"
        "    if not module.name.endswith('__main__'): importlib.import_module(module.name)\n"
        "print([m for m in sys.modules if m.startswith('ggez_hub.') and '.embedded' not in m])"
    )
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout
    assert set(json.loads(found.replace("'", '"'))) == {
        "ggez_hub.atomic_files",
        "ggez_hub.errors",
        "ggez_hub.linear_patterns",
        "ggez_hub.safe_yaml",
    }
