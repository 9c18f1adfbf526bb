"""A hub with an index, two bases and two people: Ana, who contributes, and Boo, who has published."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner
from huggingface_hub import HfApi, constants
from safetensors.torch import load_file, save_file

from ggez_hub.cli.main import cli
from ggez_hub.demo.hub import seed
from ggez_hub.embedded.store import HubStore
from ggez_hub.hub import Hub

from ..diffusion.loras import write_named
from ..diffusion.pipelines import write_pipeline
from ..diffusion.styles import SGM
from ..models import write_lora
from ..worlds import serving, write_world

SDXL = "stabilityai/stable-diffusion-xl-base-1.0"
CLIP = "ggez-world/clip-emoji"
INDEX = "ggez-hub/index"

# As sd-scripts writes it, the private parts included.
KOHYA = {
    "ss_sd_model_name": "/home/ana/models/sd_xl_base_1.0.safetensors",
    "ss_base_model_version": "sdxl_base_v1-0",
    "ss_network_module": "networks.lora",
    "ss_network_dim": "64",
    "ss_network_alpha": "3.0",
    "ss_learning_rate": "0.0001",
    "ss_text_encoder_lr": "None",
    "ss_optimizer": "bitsandbytes.optim.adamw.AdamW8bit",
    "ss_seed": "42",
    "ss_steps": "1600",
    "ss_sd_scripts_commit_hash": "0123456789abcdef0123456789abcdef01234567",
    "ss_dataset_dirs": json.dumps({"10_jeepney": {"n_repeats": 10, "img_count": 80}}),
    "ss_tag_frequency": json.dumps({"10_jeepney": {"private caption": 80}}),
    "ss_training_comment": "for my cousin",
    "modelspec.architecture": "stable-diffusion-xl-v1-base/lora",
    "modelspec.title": "Jeepneys of Manila",
    "modelspec.license": "CC-BY-4.0",
}


@dataclass(frozen=True)
class Place:
    """The running hub, its store, and tokens by account."""

    endpoint: str
    store: HubStore
    tokens: dict[str, str]

    def api(self, who: str) -> HfApi:
        return HfApi(self.endpoint, token=self.tokens[who])

    def hub(self, who: str | None = None) -> Hub:
        return Hub(self.endpoint, self.tokens[who] if who else None)


@pytest.fixture(scope="session")
def plain(tmp_path_factory):
    """A tiny SDXL as diffusers saves it."""
    return write_pipeline("sdxl", tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="session")
def sdxl(tmp_path_factory, plain):
    """The same with variants beside its weights and a checkpoint, as the real one has."""
    folder = shutil.copytree(plain, tmp_path_factory.mktemp("hub") / "sdxl")
    (folder / "README.md").write_text(
        "---\nlicense: openrail++\npipeline_tag: text-to-image\n---\n# SDXL\n"
    )
    for path in list(folder.glob("*/*.safetensors")):
        save_file(load_file(path), path.with_suffix(".fp16.safetensors"))
    (folder / "sd_xl_base_1.0.safetensors").write_bytes((folder / "unet/config.json").read_bytes())
    return folder


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    return write_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="session")
def prepared(tmp_path_factory, world, sdxl):
    """A store to copy."""
    root = tmp_path_factory.mktemp("prepared")
    with HubStore.open(root) as store:
        seed(store, world)
        files = {p.relative_to(sdxl).as_posix(): p for p in sdxl.rglob("*") if p.is_file()}
        store.create_repo("model", SDXL)
        store.commit("model", SDXL, files, message="Add", author="s", email="s@x", date=1)
    return root


@pytest.fixture
def place(prepared, tmp_path, monkeypatch):
    """A hub of its own for a test; HF_ENDPOINT is its address, and nobody is signed in."""
    shutil.copytree(prepared, tmp_path / "hub")
    with HubStore.open(tmp_path / "hub") as store:
        store.add_account("ana", fullname="Ana", orgs=["manila"])
        store.add_account("boo")
        tokens = {name: store.new_token(name, "write") for name in ("ana", "boo")}
        with serving(store) as endpoint:
            # As HF_ENDPOINT would set them when the client is imported.
            template = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
            monkeypatch.setattr(constants, "ENDPOINT", endpoint)
            monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
            monkeypatch.chdir(tmp_path)
            yield Place(endpoint, store, tokens)


@pytest.fixture
def ana(place, monkeypatch):
    """Ana at her terminal: a function that runs a command, signed in."""
    monkeypatch.setenv("HF_TOKEN", place.tokens["ana"])

    def run(*arguments, **options):
        return CliRunner().invoke(cli, list(map(str, arguments)), **options)

    return run


@pytest.fixture(scope="session")
def lora(tmp_path_factory, plain):
    """A kohya file without a word about itself: the UNet of SDXL only."""
    names = {f"lora_unet_{key}": f"unet/{path}.weight" for key, path in SGM.items()}
    folder = tmp_path_factory.mktemp("kohya")
    return write_named(plain, folder / "Jeepney v2.safetensors", names, alpha=lambda _: 3, rank=64)


@pytest.fixture(scope="session")
def lora_told(tmp_path_factory, lora):
    """The same file with what sd-scripts writes into it."""
    path = tmp_path_factory.mktemp("told") / "jeepney.safetensors"
    save_file(load_file(lora), path, metadata=KOHYA)
    return path


@pytest.fixture
def peft(tmp_path):
    """A PEFT folder as save_pretrained leaves it, with the README that nobody has written yet."""
    folder = write_lora(tmp_path / "thai-names", targets=r"(transformer\..*c_fc|token_embedding)")
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | {"base_model_name_or_path": CLIP, "auto_mapping": None}))
    (folder / "README.md").write_text(
        "---\nbase_model: /home/ana/clip\nlibrary_name: peft\n"
        "tags:\n- base_model:adapter:/home/ana/clip\n- lora\n---\n\n"
        "# Model Card for Model ID\n\n[More Information Needed]\n"
    )
    (folder / "optimizer.pt").write_bytes(b"\x80\x04.")
    return folder


def pulls(place, *, repo_type="dataset", repo=INDEX):
    """The open pull requests of a repository."""
    return list(
        place.api("boo").get_repo_discussions(
            repo, repo_type=repo_type, discussion_type="pull_request", discussion_status="open"
        )
    )


def card_at(place, path, revision, repo=INDEX, repo_type="dataset"):
    """The card in a repository at a revision."""
    from ggez_hub.cards import parse_card

    return parse_card(
        Path(
            place.api("boo").hf_hub_download(repo, path, revision=revision, repo_type=repo_type)
        ).read_text(encoding="utf-8")
    )
