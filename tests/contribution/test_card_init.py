"""`card init` and `card validate --online`, over HTTP: what is known is written, the rest is unknown."""

from __future__ import annotations

import json
import shutil

import pytest
from safetensors import safe_open

from ggez_hub.cards import read_card
from ggez_hub.digests import sha256_file
from ggez_hub.hub.sparse_copy import shapes_digest

from ..faults import wire
from .conftest import CLIP, KOHYA, SDXL


def test_a_file_without_a_word(ana, place, lora, sdxl, tmp_path):
    done = ana("card", "init", lora, "--region", "ph", "--base", SDXL)
    assert done.exit_code == 0, done.output
    document = read_card(tmp_path / "jeepney-v2.md")
    card = document.card
    assert (card.level, card.kind, card.family, card.region) == (
        "declared",
        "lora",
        "diffusion",
        "ph",
    )
    assert card.base.revision == place.hub().at_commit(SDXL, "main").revision
    # The plain weights, not the variants beside them, nor the checkpoint for other programs.
    assert set(card.base.weights) == {
        f"{part}/{name}.safetensors"
        for part, name in (("unet", "diffusion_pytorch_model"), ("vae", "diffusion_pytorch_model"),
                           ("text_encoder", "model"), ("text_encoder_2", "model"))
    }  # fmt: skip
    assert all(sha256_file(sdxl / path) == digest for path, digest in card.base.weights.items())
    found = {}
    for path in card.base.weights:
        with safe_open(sdxl / path, "np") as file:
            for name in file.keys():  # noqa: SIM118 - no mapping
                part = file.get_slice(name)
                key = f"{path.rpartition('/')[0]}/{name}"
                found[key] = (part.get_dtype(), tuple(part.get_shape()))
    assert card.base.shapes == shapes_digest(found)
    record = card.files[lora.name]
    assert (record.size, record.sha256) == (lora.stat().st_size, sha256_file(lora))
    assert card.alpha.series == "KOFIpGIdf"
    assert card.alpha.members == ["ph"]
    # The modules are the UNet's alone: the prompts stay English.
    assert card.adapts == ["content"]
    assert {card.training, card.trained_on, card.languages, card.data_rights} == {"unknown"}
    assert document.license == "unknown"
    assert document.front_matter["pipeline_tag"] == "text-to-image"
    assert "unknown: license" in done.stdout


def test_a_file_that_speaks(ana, lora_told, tmp_path):
    done = ana("card", "init", lora_told, "--region", "ph", "--base", SDXL, "--json")
    assert done.exit_code == 0, done.output
    document = read_card(tmp_path / "jeepney.md")
    training = document.card.training
    assert training.method == "networks.lora of kohya's sd-scripts"
    assert training.hyper_parameters["network_alpha"] == 3.0
    assert training.hyper_parameters["steps"] == 1600
    assert "text_encoder_lr" not in training.hyper_parameters
    assert training.seed == 42
    assert document.card.trained_on == "base"
    assert document.license == "cc-by-4.0"
    text = (tmp_path / "jeepney.md").read_text()
    for private in ("/home/ana", "cousin", "private caption", "10_jeepney"):
        assert private not in text
    assert "# Jeepneys of Manila" in text
    assert "license" not in json.loads(done.stdout)["unknown"]


def test_a_folder_keeps_its_own_words(ana, peft):
    (peft / "README.md").write_text(
        "---\nlicense: mit\nbase_model: /home/ana/clip\nwidget: [1]\n---\n\n# Mine\n"
    )
    done = ana("card", "init", peft, "--region", "ไทย", "--base", CLIP)
    assert done.exit_code == 0, done.output
    document = read_card(peft / "README.md")
    assert document.prose == "# Mine\n"
    assert document.front_matter["widget"] == [1]
    assert document.front_matter["base_model"] == CLIP
    assert document.front_matter["tags"] == ["ggez", "ggez-region:th", "ggez-family:embedding"]
    assert document.card.adapts == ["prompt_language"]
    assert set(document.card.files) == {"adapter_config.json", "adapter_model.safetensors"}
    assert document.card.training.hyper_parameters["r"] == 4
    again = ana("card", "init", peft, "--region", "th", "--base", CLIP)
    assert again.exit_code == 1
    assert "is a card already" in again.stderr
    assert ana("card", "init", peft, "--region", "th", "--base", CLIP, "--force").exit_code == 0


def test_another_base_than_the_files_name_is_noted(ana, peft):
    config = peft / "adapter_config.json"
    written = json.loads(config.read_text())
    for named, is_noted in ((CLIP, False), ("another/model", True)):
        config.write_text(json.dumps(written | {"base_model_name_or_path": named}))
        done = ana("card", "init", peft, "--region", "th", "--base", CLIP, "--force")
        assert done.exit_code == 0, done.output
        noted = f"was trained on another/model, not on {CLIP}" in done.stderr
        assert noted == is_noted
    shown = ana("contribute", peft, "--region", "th", "--base", CLIP, "--license", "mit", "--print")
    assert "another/model" not in shown.stderr, "it is on the card by now"
    (peft / "README.md").unlink()
    shown = ana("contribute", peft, "--region", "th", "--base", CLIP, "--license", "mit", "--print")
    assert f"was trained on another/model, not on {CLIP}" in shown.stderr


def test_a_folder_without_a_card_is_told_how_to_start_one(ana, tmp_path):
    done = ana("card", "validate", tmp_path)
    assert done.exit_code == 2
    assert "holds no README.md" in done.stderr
    assert "card init" in done.stderr


def test_the_template_of_peft_is_no_prose(ana, peft):
    assert ana("card", "init", peft, "--region", "th", "--base", CLIP).exit_code == 0
    text = (peft / "README.md").read_text()
    assert "More Information" not in text
    assert "/home/ana" not in text


def test_a_repository_and_no_weights_fetched(place, ana, lora_told, tmp_path):
    place.api("boo").create_repo("boo/jeepney")
    place.api("boo").upload_file(
        path_or_fileobj=lora_told, path_in_repo="jeepney.safetensors", repo_id="boo/jeepney"
    )
    sent = []

    def listen(data):
        sent.append(data)
        return data

    with wire(place.endpoint, listen) as line:
        done = ana("card", "init", "boo/jeepney", "--region", "ph", "--base", SDXL,
                   "--hub", line.endpoint)  # fmt: skip
    assert done.exit_code == 0, done.output
    card = read_card(tmp_path / "jeepney.md").card
    assert card.published_by == "boo"
    assert card.files["jeepney.safetensors"].sha256 == sha256_file(lora_told)
    assert card.training.seed == 42
    # Of a base no more passes than what holds the headers: tests/registry/test_pinning.py.
    assert lora_told.read_bytes()[-200:] not in b"".join(sent)


def test_what_is_missing_is_named(ana, lora):
    done = ana("card", "init", lora)
    assert done.exit_code == 2
    assert "--region, --base" in done.stderr


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.bin", b"\x80\x04.", "Formats that can run code are not taken"),
        ("a.safetensors", b"\xff" * 64, "is not a safetensors file"),
    ],
)
def test_what_is_no_adapter(ana, tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    done = ana("card", "init", tmp_path / name, "--region", "ph", "--base", SDXL)
    assert done.exit_code == 1
    assert said in done.stderr


def test_a_token_in_the_metadata_is_not_published(ana, lora, tmp_path):
    from safetensors.torch import load_file, save_file

    token = "hf_" + "AbCdEfGhIjKlMnOpQrStUvWxYz01234567"
    path = tmp_path / "leak.safetensors"
    save_file(load_file(lora), path, metadata=KOHYA | {"ss_training_comment": f"with {token}"})
    done = ana("card", "init", path, "--region", "ph", "--base", SDXL)
    assert done.exit_code == 1
    assert "a Hugging Face token" in done.stderr
    assert token not in done.stderr


def test_validate_online(place, ana, peft, world):
    assert (
        ana("card", "init", peft, "--region", "th", "--base", CLIP, "--license", "mit").exit_code
        == 0
    )
    good = ana("card", "validate", peft, "--online")
    assert good.exit_code == 0, good.output
    assert "base checked; the adapter with --repo" in good.stdout
    place.api("ana").create_repo("ana/names")
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        place.api("ana").upload_file(
            path_or_fileobj=peft / name, path_in_repo=name, repo_id="ana/names"
        )
    assert ana("card", "validate", peft, "--online", "--repo", "ana/names").exit_code == 0
    text = (peft / "README.md").read_text()
    line = text.splitlines().index("  base:") + 1
    digest = sha256_file(world / "embedding" / "base" / "open_clip_model.safetensors")
    (peft / "README.md").write_text(text.replace(digest, "d0" * 32))
    bad = ana("card", "validate", peft, "--online")
    assert bad.exit_code == 1
    assert f"line {line}: ggez.base: fits other weights than those of" in bad.stderr


def test_validate_online_names_what_is_not_there(place, ana, peft):
    assert ana("card", "init", peft, "--region", "th", "--base", CLIP).exit_code == 0
    text = (peft / "README.md").read_text()
    revision = place.hub().at_commit(CLIP, "main").revision
    (peft / "README.md").write_text(text.replace(revision, "e" * 40))
    bad = ana("card", "validate", peft, "--online")
    gone = f"needs {CLIP}@{'e' * 12}, a commit that is gone"
    assert f"ggez.base.revision: {gone}" in bad.stderr
    (peft / "README.md").write_text(text.replace(CLIP, "ggez-world/nothing"))
    bad = ana("card", "validate", peft, "--online")
    gone = "needs ggez-world/nothing, which is gone or private"
    assert f"ggez.base.repo: {gone}" in bad.stderr


def test_a_full_fine_tune(ana, plain, tmp_path):
    folder = shutil.copytree(plain, tmp_path / "manila-xl")
    done = ana("card", "init", folder, "--region", "ph", "--base", SDXL, "--license", "openrail++")
    assert done.exit_code == 0, done.output
    document = read_card(folder / "README.md")
    assert document.card.kind == "finetune"
    assert document.card.adapts == "unknown"
    assert set(document.card.files) == set(document.card.base.weights)
    assert document.front_matter["base_model_relation"] == "finetune"
